"""Values of drivers in the form the API documents (API document, 3.2 and 7)."""

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

from airflow_provider_connectif.contacts import coercion
from airflow_provider_connectif.contacts.coercion import Unfit
from airflow_provider_connectif.contacts.fields import SYSTEM_FIELDS

MADRID = ZoneInfo("Europe/Madrid")


class Colour(str, enum.Enum):
    RED = "red"


ACCEPTED: list[tuple[Any, Any, Any]] = [
    (coercion.text, "Ana", "Ana"),
    (coercion.text, " Ana ", " Ana "),
    (coercion.text, "", ""),
    (coercion.text, "Łukasz 🎉", "Łukasz 🎉"),
    (coercion.text, Colour.RED, "red"),
    (coercion.integer, 7, 7),
    (coercion.integer, -7, -7),
    (coercion.integer, 7.0, 7),
    (coercion.integer, Decimal("7.00"), 7),
    (coercion.integer, "7", 7),
    (coercion.integer, " 7.0 ", 7),
    (coercion.integer, "1e3", 1000),
    (coercion.integer, "9007199254740993", 9007199254740993),
    (coercion.iso_date, dt.date(1990, 5, 17), "1990-05-17"),
    (coercion.iso_date, dt.datetime(1990, 5, 17), "1990-05-17T00:00:00Z"),
    (coercion.iso_date, dt.datetime(1990, 5, 17, 8, 30, tzinfo=dt.UTC), "1990-05-17T08:30:00Z"),
    (coercion.iso_date, dt.datetime(1990, 5, 17, tzinfo=MADRID), "1990-05-17T00:00:00+02:00"),
    (coercion.iso_date, dt.datetime(1880, 5, 17, tzinfo=MADRID), "1880-05-17T00:00:00-00:15"),
    (coercion.iso_date, pendulum.datetime(1990, 5, 17, 8), "1990-05-17T08:00:00Z"),
    (coercion.iso_date, "1990-05-17", "1990-05-17"),
    (coercion.iso_date, "1990-05-17 08:30:00", "1990-05-17T08:30:00Z"),
    (coercion.iso_date, "1990-05-17T08:30:00+02:00", "1990-05-17T08:30:00+02:00"),
    (coercion.iso_date, dt.date.min, "0001-01-01"),
    (coercion.iso_date, dt.datetime.max, "9999-12-31T23:59:59.999999Z"),
    (coercion.phone, "+34600123456", "+34600123456"),
    (coercion.phone, " +34 (600) 12-34.56 ", "+34600123456"),
    (coercion.phone, "+34\u00a0600\u2011123\u2013456", "+34600123456"),
    (coercion.email, " ana+news@example.com ", "ana+news@example.com"),
    (coercion.email, '"ana maria"@example.com', '"ana maria"@example.com'),
    (coercion.email, "stanisław.wójcik@wp.pl", "stanisław.wójcik@wp.pl"),
    (coercion.email, f"{'a' * 242}@example.com", f"{'a' * 242}@example.com"),
    (coercion.external_id, " C-17 ", "C-17"),
    (coercion.external_id, 17, "17"),
    (coercion.external_id, Decimal("17"), "17"),
    (coercion.external_id, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (coercion.custom, True, True),
    (coercion.custom, 17, 17),
    (coercion.custom, 1.5, 1.5),
    (coercion.custom, Decimal("39.62"), 39.62),
    (coercion.custom, Decimal("12.00"), 12),
    (coercion.custom, Decimal("3.3333333333333333333333333333"), 10 / 3),
    (coercion.custom, "gold", "gold"),
    (coercion.custom, dt.date(2026, 1, 2), "2026-01-02"),
    (coercion.custom, ["b", "a"], ["b", "a"]),
    (coercion.custom, ("b", "a"), ["b", "a"]),
    (coercion.custom, {"b", "a"}, ["a", "b"]),
    (coercion.custom, [], []),
    (coercion.custom, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
]


@pytest.mark.parametrize(("coerce", "value", "expected"), ACCEPTED)
def test_accepted(coerce: Any, value: Any, expected: Any) -> None:
    sent = coerce(value)
    assert sent == expected
    assert type(sent) is type(expected)


REFUSED: list[tuple[Any, Any, str]] = [
    (coercion.text, 7, "must be text, not an int"),
    (coercion.text, b"Ana", "must be text, not a bytes"),
    (coercion.text, "Ana\ud800", "not valid Unicode"),
    (coercion.integer, True, "not a boolean"),
    (coercion.integer, 7.5, "whole number"),
    (coercion.integer, Decimal("7.5"), "whole number"),
    (coercion.integer, "7,000", "this text is none"),
    (coercion.integer, "1_000", "this text is none"),
    (coercion.integer, "", "this text is none"),
    (coercion.integer, "nan", "this text is none"),
    (coercion.integer, math.nan, "not NaN"),
    (coercion.integer, Decimal("Infinity"), "not NaN or infinity"),
    (coercion.integer, "1e9999", "infinity"),
    (coercion.integer, 2**63, "64 bits"),
    (coercion.integer, 10**4000, "64 bits"),
    (coercion.integer, [7], "not a list"),
    (coercion.iso_date, "17/05/1990", "this text is none"),
    (coercion.iso_date, "1990", "this text is none"),
    (coercion.iso_date, "1990-02-30", "no day of the calendar"),
    (coercion.iso_date, "1990-05-17T25:00:00", "this text is none"),
    (coercion.iso_date, "", "this text is none"),
    (coercion.iso_date, 19900517, "not an int"),
    (coercion.iso_date, dt.time(8), "not a time"),
    (coercion.phone, "600123456", "+ and the country code first"),
    (coercion.phone, "0034600123456", "+ and the country code first"),
    (coercion.phone, "+34 600 ABC", "7 to 15 digits"),
    (coercion.phone, "+0034600123456", "7 to 15 digits"),
    (coercion.phone, "+346001234567890123", "7 to 15 digits"),
    (coercion.phone, "+34600123456 ext 5", "7 to 15 digits"),
    (coercion.phone, "  ", "blank"),
    (coercion.phone, 34600123456, "not an int"),
    (coercion.email, "ana", "local part, @ and domain"),
    (coercion.email, "ana maria@example.com", "local part, @ and domain"),
    (coercion.email, "ana@@example.com", "local part, @ and domain"),
    (coercion.email, "ana@example.com\x00", "local part, @ and domain"),
    (coercion.email, "ana@example.com\r\nX: y", "local part, @ and domain"),
    (coercion.email, "  ", "blank"),
    (coercion.email, f"{'a' * 243}@example.com", "at most 254"),
    (coercion.email, 7, "must be text"),
    (coercion.external_id, "..", "only dots"),
    (coercion.external_id, " ", "blank"),
    (coercion.external_id, "x" * 51, "at most 50"),
    (coercion.external_id, "a\nb", "control character"),
    (coercion.external_id, True, "boolean"),
    (coercion.external_id, 1.5, "whole number"),
    (coercion.custom, math.inf, "not NaN or infinity"),
    (coercion.custom, Decimal("sNaN"), "not NaN or infinity"),
    (coercion.custom, Decimal("1e400"), "not NaN or infinity"),
    (coercion.custom, Decimal("1e-400"), "a double can hold"),
    (coercion.custom, 10**400, "64 bits"),
    (coercion.custom, b"x", "not a bytes"),
    (coercion.custom, memoryview(b"x"), "not a memoryview"),
    (coercion.custom, {"a": 1}, "not a dict"),
    (coercion.custom, ["a", 1], "an int in it"),
    (coercion.custom, ["a", None], "a NoneType in it"),
    (coercion.custom, dt.timedelta(1), "not a timedelta"),
    (coercion.custom, object(), "not an object"),
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
    coerce = coercion.coercer(SYSTEM_FIELDS[property_id])
    assert [coerce(option) for option in options] == options
    for other in ("Active", " active", "", "deleted", True, 1, None, ["active"]):
        with pytest.raises(Unfit, match=f"must be one of {', '.join(options)}"):
            coerce(other)
