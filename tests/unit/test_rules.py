"""The rules of the nine field types: values of drivers in the form the API documents."""

from __future__ import annotations

import datetime as dt
import enum
import math
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pendulum
import pytest

from airflow_provider_connectif.contacts.fields import SYSTEM_FIELDS, Field
from airflow_provider_connectif.contacts.rules import RULES, Unfit, addresses, coercer
from airflow_provider_connectif.contacts.rules.texts import by_value

MADRID = ZoneInfo("Europe/Madrid")

TIERS = (("gold", "Gold"), ("silver", "Silver"), ("1", "First"), ("a|b", "Both"), ("x", "Same"), ("y", "same"))


def rule(kind: str, region: str | None = None, field_id: str = "field", **limits: Any) -> Any:
    return coercer(Field(field_id, kind, **limits), region)


TEXT, INTEGER, DECIMAL, BOOLEAN, DATE, PHONE = map(rule, ("text", "integer", "decimal", "boolean", "date", "phone"))
BIRTHDATE = rule("date", field_id="_birthdate")
SPANISH = rule("phone", "ES")
LANDLINE = rule("phone", calling_code="34")
RADIO = rule("radio", options=TIERS)
CHECKBOX = rule("checkbox", options=TIERS)
SHORT = rule("text", max_length=5, required=True)
GRADE = rule("integer", min_value=0, max_value=10)
PRICE = rule("decimal", min_value=-0.5, max_value=99.5)
RECENT = rule("date", min_date="2020-01-01T00:00:00.000Z", max_date="2026-12-31T23:59:59Z")


class Colour(str, enum.Enum):
    RED = "red"


ACCEPTED: list[tuple[Any, Any, Any]] = [
    (TEXT, "Ana", "Ana"),
    (TEXT, " Ana ", " Ana "),
    (TEXT, "", ""),
    (TEXT, "Łukasz 🎉", "Łukasz 🎉"),
    (TEXT, Colour.RED, "red"),
    (INTEGER, 7, 7),
    (INTEGER, -7, -7),
    (INTEGER, 7.0, 7),
    (INTEGER, Decimal("7.00"), 7),
    (INTEGER, "7", 7),
    (INTEGER, " 7.0 ", 7),
    (INTEGER, "1e3", 1000),
    (INTEGER, "9007199254740993", 9007199254740993),
    (DATE, dt.date(1990, 5, 17), "1990-05-17"),
    (DATE, dt.datetime(1990, 5, 17), "1990-05-17T00:00:00Z"),
    (DATE, dt.datetime(1990, 5, 17, 8, 30, tzinfo=dt.UTC), "1990-05-17T08:30:00Z"),
    (DATE, dt.datetime(1990, 5, 17, tzinfo=MADRID), "1990-05-17T00:00:00+02:00"),
    (DATE, dt.datetime(1880, 5, 17, tzinfo=MADRID), "1880-05-17T00:00:00-00:15"),
    (DATE, pendulum.datetime(1990, 5, 17, 8), "1990-05-17T08:00:00Z"),
    (DATE, "1990-05-17", "1990-05-17"),
    (DATE, "1990-05-17 08:30:00", "1990-05-17T08:30:00Z"),
    (DATE, "1990-05-17T08:30:00+02:00", "1990-05-17T08:30:00+02:00"),
    (DATE, dt.date.min, "0001-01-01"),
    (DATE, dt.datetime.max, "9999-12-31T23:59:59.999999Z"),
    (PHONE, "+34600123456", "+34600123456"),
    (PHONE, " +34 (600) 12-34.56 ", "+34600123456"),
    (PHONE, "+34\u00a0600\u2011123\u2013456", "+34600123456"),
    (addresses.email, " ana+news@example.com ", "ana+news@example.com"),
    (addresses.email, '"ana maria"@example.com', '"ana maria"@example.com'),
    (addresses.email, "stanisław.wójcik@wp.pl", "stanisław.wójcik@wp.pl"),
    (addresses.email, f"{'a' * 242}@example.com", f"{'a' * 242}@example.com"),
    (addresses.external_id, " C-17 ", "C-17"),
    (addresses.external_id, 17, "17"),
    (addresses.external_id, Decimal("17"), "17"),
    (addresses.external_id, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (by_value, True, True),
    (by_value, 17, 17),
    (by_value, 1.5, 1.5),
    (by_value, Decimal("39.62"), 39.62),
    (by_value, Decimal("12.00"), 12),
    (by_value, "gold", "gold"),
    (by_value, dt.date(2026, 1, 2), "2026-01-02"),
    (by_value, ["b", "a"], ["b", "a"]),
    (by_value, ("b", "a"), ["b", "a"]),
    (by_value, {"b", "a"}, ["a", "b"]),
    (by_value, [], []),
    (by_value, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (TEXT, 28001, "28001"),
    (TEXT, 28001.0, "28001"),
    (TEXT, Decimal("12.50"), "12.5"),
    (TEXT, 1e22, "10000000000000000000000"),
    (TEXT, 1e-7, "0.0000001"),
    (TEXT, Decimal("-0.00"), "0"),
    (TEXT, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (SHORT, "ñandú", "ñandú"),
    (GRADE, 10, 10),
    (GRADE, Decimal("0"), 0),
    (DECIMAL, 1.5, 1.5),
    (DECIMAL, 2, 2),
    (DECIMAL, "39.62", 39.62),
    (DECIMAL, " -1e-3 ", -0.001),
    (DECIMAL, Decimal("0.1000"), 0.1),
    (DECIMAL, 9007199254740993, 9007199254740993),
    (PRICE, -0.5, -0.5),
    (BOOLEAN, True, True),
    (BOOLEAN, 0, False),
    (BOOLEAN, 1.0, True),
    (BOOLEAN, Decimal("1"), True),
    (BOOLEAN, " Yes ", True),
    (BOOLEAN, "F", False),
    (BOOLEAN, "0", False),
    (RECENT, dt.date(2020, 1, 1), "2020-01-01"),
    (RECENT, dt.datetime(2026, 12, 31, 23, 59, 59), "2026-12-31T23:59:59Z"),
    (BIRTHDATE, dt.date(1990, 5, 17), "1990-05-17"),
    (BIRTHDATE, dt.datetime(1990, 5, 17, tzinfo=MADRID), "1990-05-17T00:00:00Z"),
    (BIRTHDATE, dt.datetime(1990, 5, 17, 23, 30, tzinfo=dt.timezone(-dt.timedelta(hours=5))), "1990-05-17T23:30:00Z"),
    (PHONE, "+44 020 7707 0707", "+442077070707"),
    (PHONE, "+4402077070707", "+442077070707"),
    (PHONE, "+54 (0)11 4311 4333", "+541143114333"),
    (PHONE, "+39 06 1234 5678", "+390612345678"),
    (PHONE, "+34\u200b600123456", "+34600123456"),
    (SPANISH, " 600 123 456 ", "+34600123456"),
    (SPANISH, "00 34 600/123-456", "+34600123456"),
    (SPANISH, "+44 20 7707 0707", "+442077070707"),
    (LANDLINE, "914 454 454", "+34914454454"),
    (addresses.email, "ana@exämple.com", "ana@xn--exmple-cua.com"),
    (addresses.email, "Ana@Example.COM", "Ana@Example.COM"),
    (addresses.email, "ana@xn--exmple-cua.com", "ana@xn--exmple-cua.com"),
    (addresses.email, "ana@example.test", "ana@example.test"),
    (RADIO, "gold", "gold"),
    (RADIO, "GOLD", "gold"),
    (RADIO, " Silver ", "silver"),
    (RADIO, 1, "1"),
    (CHECKBOX, ["gold", "Silver", "gold"], ["gold", "silver"]),
    (CHECKBOX, ("silver", "gold"), ["silver", "gold"]),
    (CHECKBOX, {"silver", "gold"}, ["gold", "silver"]),
    (CHECKBOX, [], []),
    (CHECKBOX, "silver|gold|", ["silver", "gold"]),
    (CHECKBOX, "a|b", ["a|b"]),
    (CHECKBOX, "Both", ["a|b"]),
    (CHECKBOX, '["silver", "gold"]', ["silver", "gold"]),
    (CHECKBOX, "[]", []),
    (CHECKBOX, '{silver,"gold", "a|b"}', ["silver", "gold", "a|b"]),
    (CHECKBOX, "{}", []),
]


@pytest.mark.parametrize(("coerce", "value", "expected"), ACCEPTED)
def test_accepted(coerce: Any, value: Any, expected: Any) -> None:
    sent = coerce(value)
    assert sent == expected
    assert type(sent) is type(expected)


REFUSED: list[tuple[Any, Any, str]] = [
    (TEXT, b"Ana", "must be text or a number, not a bytes"),
    (TEXT, "Ana\ud800", "not valid Unicode"),
    (INTEGER, True, "not a bool"),
    (INTEGER, 7.5, "without decimals"),
    (INTEGER, Decimal("7.5"), "without decimals"),
    (INTEGER, "7,000", "this text is not one"),
    (INTEGER, "1_000", "this text is not one"),
    (INTEGER, "", "this text is not one"),
    (INTEGER, "nan", "this text is not one"),
    (INTEGER, math.nan, "not NaN"),
    (INTEGER, Decimal("Infinity"), "not NaN or infinity"),
    (INTEGER, "1e9999", "64 bits"),
    (INTEGER, 2**63, "64 bits"),
    (INTEGER, 10**4000, "64 bits"),
    (INTEGER, [7], "not a list"),
    (DATE, "17/05/1990", "this text is not one"),
    (DATE, "1990", "this text is not one"),
    (DATE, "1990-02-30", "no day of the calendar"),
    (DATE, "1990-05-17T25:00:00", "this text is not one"),
    (DATE, "", "this text is not one"),
    (DATE, 19900517, "not an int"),
    (DATE, dt.time(8), "not a time"),
    (PHONE, "600123456", "+ and the country code first"),
    (PHONE, "0034600123456", "+ and the country code first"),
    (PHONE, "+34 600 ABC", "digits, and +"),
    (PHONE, "+0034600123456", "no country has"),
    (PHONE, "+346001234567890123", "too long for its country"),
    (PHONE, "+34600123456 ext 5", "digits, and +"),
    (PHONE, "  ", "blank"),
    (PHONE, 34600123456, "not an int"),
    (addresses.email, "ana", "must have an @-sign"),
    (addresses.email, "ana maria@example.com", "must be an e-mail address: "),
    (addresses.email, "ana@@example.com", "must be an e-mail address: "),
    (addresses.email, "ana@example.com\x00", "must be an e-mail address: "),
    (addresses.email, "ana@example.com\r\nX: y", "must be an e-mail address: "),
    (addresses.email, "  ", "blank"),
    (addresses.email, f"{'a' * 243}@example.com", "at most 254"),
    (addresses.email, 7, "not an int"),
    (addresses.external_id, "..", "only dots"),
    (addresses.external_id, " ", "blank"),
    (addresses.external_id, "x" * 51, "at most 50"),
    (addresses.external_id, "a\nb", "control character"),
    (addresses.external_id, True, "not a bool"),
    (addresses.external_id, 1.5, "whole number"),
    (by_value, math.inf, "not NaN or infinity"),
    (by_value, Decimal("sNaN"), "not NaN or infinity"),
    (by_value, Decimal("1e400"), "a double can hold"),
    (by_value, Decimal("1e-400"), "holds exactly"),
    (by_value, 10**400, "64 bits"),
    (by_value, b"x", "not a bytes"),
    (by_value, memoryview(b"x"), "not a memoryview"),
    (by_value, {"a": 1}, "not a dict"),
    (by_value, ["a", 1], "an int in it"),
    (by_value, ["a", None], "a NoneType in it"),
    (by_value, dt.timedelta(1), "not a timedelta"),
    (by_value, object(), "not an object"),
    (TEXT, True, "not a bool"),
    (TEXT, math.nan, "not NaN"),
    (TEXT, dt.date(1990, 5, 17), "not a date"),
    (SHORT, "sixsix", "at most 5 characters long"),
    (SHORT, "", "must not be blank"),
    (SHORT, 123456, "at most 5 characters long"),
    (GRADE, 11, "at most 10"),
    (GRADE, -1, "at least 0"),
    (DECIMAL, True, "not a bool"),
    (DECIMAL, "1,5", "this text is not one"),
    (DECIMAL, Decimal("3.3333333333333333333333333333"), "round it in the query"),
    (DECIMAL, "1e400", "a double can hold"),
    (PRICE, 99.51, "at most 99.5"),
    (PRICE, Decimal("-0.51"), "at least -0.5"),
    (BOOLEAN, 2, "or 0 or 1, not another number"),
    (BOOLEAN, "maybe", "this text is not one"),
    (BOOLEAN, [], "not a list"),
    (RECENT, dt.date(2019, 12, 31), "not be before 2020-01-01"),
    (RECENT, dt.datetime(2020, 1, 1, 0, 30, tzinfo=MADRID), "not be before 2020-01-01"),
    (RECENT, "2027-01-01", "not be after 2026-12-31"),
    (PHONE, "+34600", "too short for its country"),
    (PHONE, "+999600123456", "no country has"),
    (PHONE, "914 454 454", "or set default_region"),
    (SPANISH, "454 454", "too short for its country"),
    (SPANISH, "tel 914454454", "digits, and +"),
    (PHONE, "+" + "1" * 10_000_000, "digits, and +"),
    (addresses.email, "ana@localhost", "must be an e-mail address: "),
    (addresses.email, ".ana@example.com", "must be an e-mail address: "),
    (addresses.email, "ana@exa_mple.com", "must be an e-mail address: "),
    (addresses.email, "x" * 10_000_000, "at most 254"),
    (RADIO, "Gold ?", "must be one of gold, silver, 1, a|b, x, ... (6 options)"),
    (RADIO, "same", "must be one of"),
    (RADIO, True, "not a bool"),
    (RADIO, ["gold"], "not a list"),
    (CHECKBOX, "gold|bronze", "must be a list out of"),
    (CHECKBOX, ["gold", None], "not a NoneType"),
    (CHECKBOX, " ", "blank"),
    (CHECKBOX, "[1", "no JSON array"),
    (CHECKBOX, "{gold,NULL}", "no PostgreSQL array without NULL"),
    (CHECKBOX, "{gold", "must be a list out of"),
    (CHECKBOX, 7, "not an int"),
]


@pytest.mark.parametrize(("coerce", "value", "rule"), REFUSED)
def test_refused_with_the_rule(coerce: Any, value: Any, rule: str) -> None:
    with pytest.raises(Unfit) as unfit:
        coerce(value)
    assert rule in str(unfit.value)


@pytest.mark.parametrize(
    ("property_id", "options"),
    [
        ("_emailStatus", ["active", "bounced", "paused", "banned"]),
        ("_mobilePhoneStatus", ["active", "bounced", "paused"]),
        ("_newsletterSubscriptionStatus", ["subscribed", "unsubscribed", "none"]),
        ("_smsSubscriptionStatus", ["subscribed", "unsubscribed", "none"]),
    ],
)
def test_a_status_is_one_of_its_options(property_id: str, options: list[str]) -> None:
    """Allowed values: API document, 3.2."""
    coerce = coercer(SYSTEM_FIELDS[property_id])
    assert [coerce(option) for option in options] == options
    for other in ("Active", "", "deleted", True, 1, None, ["active"]):
        with pytest.raises(Unfit, match=f"must be one of {', '.join(options)}"):
            coerce(other)


def test_every_type_of_the_documentation_has_a_rule() -> None:
    """API document, 4.2."""
    documented = {"text", "email", "phone", "integer", "decimal", "boolean", "date", "radio", "checkbox"}
    assert set(RULES) == documented


def test_a_type_that_is_not_known_leaves_the_value_to_connectif() -> None:
    assert rule("url")("https://example.com") == "https://example.com"


def test_options_that_are_not_known_leave_the_value_to_connectif() -> None:
    assert rule("radio")("anything") == "anything"
    assert rule("checkbox")("a|b") == ["a|b"]
