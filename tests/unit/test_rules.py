"""The rules of the nine field types: values of drivers in the form the API documents."""

from __future__ import annotations

import datetime as dt
import enum
import math
import numbers
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pendulum
import pytest

from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.contacts.fields import SYSTEM_FIELDS, Field
from airflow_provider_connectif.contacts.rules import RULES, InvalidValue, addresses, coercer
from airflow_provider_connectif.contacts.rules.numbers import single
from airflow_provider_connectif.contacts.rules.texts import by_value

MADRID = ZoneInfo("Europe/Madrid")
SAO_PAULO = ZoneInfo("America/Sao_Paulo")

TIERS = (("gold", "Gold"), ("silver", "Silver"), ("1", "First"), ("a|b", "Both"), ("x", "Same"), ("y", "same"))


def rule(kind: str, region: str | None = None, field_id: str = "field", **limits: Any) -> Any:
    return coercer(Field(field_id, kind, **limits), region)


TEXT, INTEGER, DECIMAL, BOOLEAN, DATE, PHONE = map(rule, ("text", "integer", "decimal", "boolean", "date", "phone"))
BIRTHDATE = rule("date", field_id="_birthdate")
SPANISH = rule("phone", "ES")
GERMAN = rule("phone", "DE")
LANDLINE = rule("phone", calling_code="34")
GERMAN_SHOP = rule("phone", "ES", calling_code="49")
RADIO = rule("radio", options=TIERS)
CHECKBOX = rule("checkbox", options=TIERS)
SHORT = rule("text", max_length=5, required=True)
GRADE = rule("integer", min_value=0, max_value=10)
PRICE = rule("decimal", min_value=-0.5, max_value=99.5)
RECENT = rule("date", min_date="2020-01-01T00:00:00.000Z", max_date="2026-12-31T23:59:59Z")


class Colour(str, enum.Enum):
    RED = "red"


class Precise(dt.datetime):
    """Prints more digits than ISO 8601 has for a microsecond, as pandas' Timestamp does."""

    def isoformat(self, *given: Any, **named: Any) -> str:
        return super().isoformat(*given, **named) + ".000000001"


class Far(dt.datetime):
    """A moment beyond the years of Python's datetime, as pandas' Timestamp may be."""

    year = property(lambda self: 20_200)  # type: ignore[assignment]

    def time(self) -> dt.time:
        raise NotImplementedError


class NoOffset(dt.tzinfo):
    """A time zone that gives no offset, with which Python takes a datetime for naive."""

    def utcoffset(self, _: Any) -> None:
        return None


class TooFar(dt.tzinfo):
    """A time zone that no place on earth has."""

    def utcoffset(self, _: Any) -> dt.timedelta:
        return dt.timedelta(days=1)


class Scalar:
    """A number as NumPy hands it over."""

    __module__ = "numpy"
    shape = ()
    dtype = SimpleNamespace(kind="i")

    def item(self) -> int:
        return 7


class OutOfRange:
    """A date or a duration of NumPy's that Python does not have, or one that is finer than Python's."""

    shape = ()

    def __init__(self, unit: str) -> None:
        self.dtype = SimpleNamespace(kind="M", str=f"<M8[{unit}]")

    def item(self) -> int:
        return 575_283_254_400

    def astype(self, _: str) -> Any:
        return SimpleNamespace(item=lambda: dt.datetime(1988, 3, 24))


Moment = type("datetime64", (OutOfRange,), {"__module__": "numpy"})
Array = type("ndarray", (OutOfRange,), {"__module__": "numpy"})
Duration = type("timedelta64", (OutOfRange,), {"__module__": "numpy", "__int__": OutOfRange.item})
numbers.Integral.register(Duration)  # as NumPy does


ACCEPTED: list[tuple[Any, Any, Any]] = [
    (TEXT, "Ana", "Ana"),
    (TEXT, " Ana   ", " Ana"),
    (TEXT, "   ", ""),
    (TEXT, "Ana\n", "Ana\n"),
    (TEXT, "", ""),
    (TEXT, "Łukasz 🎉", "Łukasz 🎉"),
    (TEXT, Colour.RED, "red"),
    (TEXT, {"a": {"c", "b"}, "d": dt.date(1990, 5, 17)}, '{"a": ["b", "c"], "d": "1990-05-17"}'),
    (TEXT, {"a": [1.5, 12345678901234567890, 2.0**52]}, '{"a": [1.5, 12345678901234567890, 4503599627370496.0]}'),
    (INTEGER, 7, 7),
    (INTEGER, Scalar(), 7),
    (INTEGER, -7, -7),
    (INTEGER, 7.0, 7),
    (INTEGER, Decimal("7.00"), 7),
    (INTEGER, "7", 7),
    (INTEGER, " 7.0 ", 7),
    (INTEGER, "1e3", 1000),
    (INTEGER, "9007199254740993", 9007199254740993),
    (DATE, dt.date(1990, 5, 17), "1990-05-17"),
    (DATE, Moment("ns"), "1988-03-24T00:00:00Z"),
    (by_value, Array("ns"), "1988-03-24T00:00:00Z"),
    (by_value, Moment("25ns"), "1988-03-24T00:00:00Z"),
    (DATE, dt.datetime(1990, 5, 17), "1990-05-17T00:00:00Z"),
    (DATE, dt.datetime(1990, 5, 17, tzinfo=MADRID), "1990-05-17T00:00:00Z"),
    (DATE, dt.datetime(1880, 5, 17, tzinfo=MADRID), "1880-05-17T00:00:00Z"),
    (DATE, dt.datetime(999, 5, 17, tzinfo=dt.UTC), "0999-05-17T00:00:00Z"),
    (DATE, pendulum.datetime(1990, 5, 17), "1990-05-17T00:00:00Z"),
    (DATE, pendulum.datetime(1990, 5, 17, tz="Asia/Tokyo"), "1990-05-17T00:00:00Z"),
    (DATE, dt.datetime(2018, 11, 4, 1, tzinfo=SAO_PAULO), "2018-11-04T00:00:00Z"),  # the clocks skip midnight
    (DATE, "1990-05-17", "1990-05-17"),
    (DATE, "1990-05-17 00:00:00", "1990-05-17T00:00:00Z"),
    (DATE, "1990-05-17 08:30:00", "1990-05-17T08:30:00Z"),
    (DATE, dt.datetime(1990, 5, 17, 8, 30), "1990-05-17T08:30:00Z"),
    (DATE, Precise(1990, 5, 17, 8, 30), "1990-05-17T08:30:00Z"),
    (DATE, dt.datetime(1990, 5, 17, tzinfo=NoOffset()), "1990-05-17T00:00:00Z"),
    (DATE, dt.datetime(1990, 5, 17, 1, tzinfo=NoOffset()), "1990-05-17T01:00:00Z"),
    (DATE, "1990-05-17T00:00:00+23:59", "1990-05-17T00:00:00Z"),
    (DATE, dt.datetime.max, "9999-12-31T23:59:59.999999Z"),
    (DATE, "1990-05-17T00:00:00.000+02:00", "1990-05-17T00:00:00Z"),
    (DATE, dt.date.min, "0001-01-01"),
    (DATE, dt.datetime(9999, 12, 31), "9999-12-31T00:00:00Z"),
    (DATE, dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))), "0001-01-01T00:00:00Z"),
    (PHONE, "+34600123456", "+34600123456"),
    (PHONE, " +34 (600) 12-34.56 ", "+34600123456"),
    (PHONE, "+34\u00a0600\u2011123\u2013456", "+34600123456"),
    (addresses.email, " ana+news@example.com ", "ana+news@example.com"),
    (addresses.email, '"ana maria"@example.com', '"ana maria"@example.com'),
    (addresses.email, "stanisław.wójcik@wp.pl", "stanisław.wójcik@wp.pl"),
    (addresses.email, "wo\u0301jcik@wp.pl", "w\u00f3jcik@wp.pl"),
    (addresses.email, "\ufeffana@example.com", "ana@example.com"),
    (addresses.email, " \u200bana@example.com\u00ad \u2060", "ana@example.com"),
    (addresses.external_id, "\ufeff C-17\u200b ", "C-17"),
    (addresses.external_id, "1.5.2", "1.5.2"),
    (addresses.external_id, "1E5", "1E5"),
    (addresses.external_id, 2.0**53 - 1, "9007199254740991"),
    (addresses.external_id, Decimal("12345678901234567890"), "12345678901234567890"),
    (addresses.external_id, IPv4Address("10.0.0.1"), "10.0.0.1"),
    (addresses.email, f"{'a' * 242}@example.com", f"{'a' * 242}@example.com"),
    (addresses.external_id, " C-17 ", "C-17"),
    (addresses.external_id, 17, "17"),
    (addresses.external_id, Decimal("17"), "17"),
    (addresses.external_id, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (by_value, True, True),
    (by_value, 17, 17),
    (by_value, b"\x01", True),
    (by_value, "gold   ", "gold"),
    (by_value, Decimal("3.3333333333333333333333333333"), 3.3333333333333335),
    (by_value, IPv6Address("::1"), "::1"),
    (by_value, dt.datetime(2026, 1, 2, tzinfo=MADRID), "2026-01-02T00:00:00Z"),
    (by_value, 1.5, 1.5),
    (by_value, single(2.0**24 - 1), 2**24 - 1),
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
    (TEXT, Decimal("1e22"), "10000000000000000000000"),
    (TEXT, 2.0**53 - 1, "9007199254740991"),
    (TEXT, IPv4Interface("10.0.0.1/8"), "10.0.0.1/8"),
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
    (DECIMAL, 1e22, 1e22),
    (DECIMAL, 2.0**53, 2.0**53),
    (DECIMAL, Decimal("3.3333333333333333333333333333"), 3.3333333333333335),
    (DECIMAL, "0.1234567890123456789", 0.12345678901234568),
    (DECIMAL, Decimal("9" * 40), 1e40),
    (DECIMAL, 2**64 - 1, 2.0**64),  # of MySQL's BIGINT UNSIGNED
    (DECIMAL, 10**40, 1e40),  # of DuckDB's HUGEINT
    (PRICE, -0.5, -0.5),
    (BOOLEAN, True, True),
    (BOOLEAN, 0, False),
    (BOOLEAN, 1.0, True),
    (BOOLEAN, b"\x00", False),
    (BOOLEAN, bytearray(b"\x01"), True),
    (BOOLEAN, b"1", True),
    (BOOLEAN, Decimal("1"), True),
    (BOOLEAN, " Yes ", True),
    (BOOLEAN, "F", False),
    (BOOLEAN, "0", False),
    (RECENT, dt.date(2020, 1, 1), "2020-01-01"),
    (RECENT, dt.datetime(2026, 12, 31, 23, 59, 59), "2026-12-31T23:59:59Z"),
    (BIRTHDATE, dt.date(1990, 5, 17), "1990-05-17"),
    (BIRTHDATE, dt.datetime(1990, 5, 17, tzinfo=MADRID), "1990-05-17T00:00:00Z"),
    (PHONE, "+44 020 7707 0707", "+442077070707"),
    (PHONE, "+4402077070707", "+442077070707"),
    (PHONE, "+54 (0)11 4311 4333", "+541143114333"),
    (PHONE, "+39 06 1234 5678", "+390612345678"),
    (PHONE, "+34\u200b600123456", "+34600123456"),
    (SPANISH, " 600 123 456 ", "+34600123456"),
    (SPANISH, "00 34 600/123-456", "+34600123456"),
    (SPANISH, "+44 20 7707 0707", "+442077070707"),
    (LANDLINE, "914 454 454", "+34914454454"),
    (GERMAN_SHOP, "030 123456", "+4930123456"),
    (rule("phone", "ES", "_mobilePhone", calling_code="49"), "600 123 456", "+34600123456"),
    (GERMAN, "030.123.4", "+49301234"),
    (PHONE, "+491701234567.0", "+491701234567"),
    (PHONE, "+491701234567.00", "+491701234567"),
    (SPANISH, "600123456.0", "+34600123456"),
    (SPANISH, "34600123456.0", "+34600123456"),
    (GERMAN, "030/123456", "+4930123456"),
    (GERMAN, "04101/12345", "+49410112345"),
    (GERMAN, "(030) 123456-0", "+49301234560"),
    (GERMAN, "+49 (0)30 / 123 456", "+4930123456"),
    (rule("phone", "FR"), "01.23.45.67.00", "+33123456700"),
    (rule("phone", "FR"), "01/23/45/67/89", "+33123456789"),
    (rule("phone", "US"), "212/555/0123", "+12125550123"),
    (GERMAN, "\u0660\u0663\u0660 123456", "+4930123456"),
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
    (rule("radio", options=(("caf\u00e9", None),)), "cafe\u0301 ", "caf\u00e9"),
    (rule("radio", options=(("cafe\u0301", None),)), "caf\u00e9", "cafe\u0301"),
]


@pytest.mark.parametrize(("coerce", "value", "expected"), ACCEPTED)
def test_accepted(coerce: Any, value: Any, expected: Any) -> None:
    sent = coerce(value)
    assert sent == expected
    assert type(sent) is type(expected)


def test_a_limit_that_cannot_be_read_is_none() -> None:
    assert rule("date", min_date="2000-01-01T00:00:00+24:00")(dt.date(1990, 5, 17)) == "1990-05-17"


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
    (INTEGER, 2.0**53, "cast it to text"),
    (INTEGER, -(2.0**60), "cast it to text"),
    (INTEGER, "9007199254740992.0", "from a float"),
    (INTEGER, "1.23457E+15", "from a float"),
    (DATE, dt.datetime(1990, 5, 16, 22, tzinfo=dt.UTC), "cast it to a date in the query"),
    (DATE, dt.datetime(1990, 5, 17, 1, tzinfo=MADRID), "cast it to a date in the query"),
    (DATE, dt.datetime(1, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))), "cast it to a date in the query"),
    (DATE, pendulum.datetime(1990, 5, 17, 8), "cast it to a date in the query"),
    (BIRTHDATE, "1990-05-17 08:30:00", "cast it to a date in the query"),
    (BIRTHDATE, dt.datetime(1990, 5, 17, 8, 30), "cast it to a date in the query"),
    (BIRTHDATE, dt.datetime.max, "cast it to a date in the query"),
    (DATE, "1990-05-16T22:00:00Z", "cast it to a date in the query"),
    *[
        (DATE, f"1990-05-17{rest}", "the offset of its time zone is 24 hours or more")
        for rest in ("T01:00:00+24:00", " 00:30:00-24:00", "T01:59-9923", "T00:00:00+24:00")
    ],
    (DATE, dt.datetime(1990, 5, 17, 1, tzinfo=TooFar()), "24 hours or more"),
    *[(coerce, Moment("D"), "in the years 1 to 9999") for coerce in (DATE, by_value)],
    *[(coerce, Moment("D"), "not a datetime64") for coerce in (TEXT, INTEGER, DECIMAL, addresses.external_id)],
    *[(coerce, Array("D"), "not a ndarray") for coerce in (TEXT, INTEGER, DATE, by_value)],
    *[(coerce, Duration("Y"), "not a timedelta64") for coerce in (TEXT, INTEGER, DECIMAL, by_value)],
    (addresses.external_id, Duration("Y"), "not a timedelta64"),
    (BIRTHDATE, Far(1990, 5, 17), "in the years 1 to 9999"),
    (by_value, Far(1990, 5, 17, tzinfo=dt.UTC), "in the years 1 to 9999"),
    (DATE, "1990-05-17T24:00:00", "this text is not one"),
    (BIRTHDATE, dt.datetime(1990, 5, 16, 22, tzinfo=dt.UTC), "cast it to a date in the query"),
    (BIRTHDATE, "1990-05-17T23:00:00Z", "cast it to a date in the query"),
    (by_value, dt.datetime(1990, 5, 16, 22, tzinfo=dt.UTC), "cast it to a date in the query"),
    (INTEGER, 2**63, "64 bits"),
    (INTEGER, 10**4000, "64 bits"),
    (INTEGER, [7], "not a list"),
    (DATE, "17/05/1990", "this text is not one"),
    (DATE, "1990", "this text is not one"),
    (DATE, "1990-02-30", "this day is not in the calendar"),
    (DATE, "1990-05-17T25:00:00", "this text is not one"),
    (DATE, "", "this text is not one"),
    (DATE, 19900517, "not an int"),
    (DATE, dt.time(8), "not a time"),
    (PHONE, "600123456", "+ and the country code first"),
    (PHONE, "0034600123456", "+ and the country code first"),
    (PHONE, "+34 600 ABC", "digits, and +"),
    (PHONE, "+0034600123456", "no country uses"),
    (PHONE, "+346001234567890123", "too long for its country"),
    (PHONE, "+34600123456 ext 5", "digits, and +"),
    (PHONE, "  ", "blank"),
    (PHONE, 34600123456, "not an int"),
    (PHONE, 34600123456.0, "not a float"),
    (PHONE, "+491701234567.000", "with decimals"),
    (PHONE, "491701234567.0", "+ and the country code first"),
    (GERMAN, "491701234567.0", "with or without a +"),
    (PHONE, "+491701234567.5", "with decimals"),
    (PHONE, "+49.1701234567.0", "remove dots or decimals"),
    (PHONE, "+4.91701E+11", "digits, and +"),
    (rule("phone", "HU"), "06 1234567/8", "one phone number"),
    (GERMAN, "030 123456 / 0170 1234567", "one phone number"),
    (GERMAN, "030 12345 030 54321", "one phone number"),
    (GERMAN, "030 12345 - 030 54321", "one phone number"),
    (GERMAN, "030 123456 (0170 12345)", "one phone number"),
    (GERMAN, "030 123456/78", "one phone number"),
    (GERMAN, "030 123456/789", "one phone number"),
    (GERMAN, "030123\n456789", "one phone number"),
    (GERMAN, "030 123456, 0170 1234567", "digits, and +"),
    (GERMAN, "030 123456; 0170 1234567", "digits, and +"),
    (GERMAN, "030 123456 DW 12", "digits, and +"),
    (GERMAN, "030 123456 x12", "digits, and +"),
    (GERMAN, "030 123456#12", "digits, and +"),
    (addresses.email, "ana", "must have an @-sign"),
    (addresses.email, "ana maria@example.com", "must be an e-mail address: "),
    (addresses.email, "ana@@example.com", "must be an e-mail address: "),
    (addresses.email, "ana@example.com\x00", "must be an e-mail address: "),
    (addresses.email, "an\u200ba@example.com", "must be an e-mail address: "),
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
    (addresses.external_id, Decimal("1.5"), "whole number"),
    (addresses.external_id, 2.0**53, "cast it to text"),
    (addresses.external_id, "17.0", "looks like a float"),
    (addresses.external_id, "1.23457E+15", "looks like a float"),
    (addresses.external_id, "1e+21", "looks like a float"),
    (addresses.external_id, "C\x0017", "NUL"),
    (addresses.external_id, "C\u200b17", "control character"),
    (by_value, 2.0**53, "cast it to text"),
    (by_value, single(2.0**24), "cast it to text"),
    (by_value, b"\x02", "not a bytes"),
    (TEXT, 2.0**53, "cast it to text"),
    *[(TEXT, {"a": [value]}, "cannot be written as JSON") for value in (object(), memoryview(b"a"), math.nan)],
    (TEXT, 1e22, "cast it to text"),
    (TEXT, {"a": [{"b": 12345678901234567890.123}]}, "must be exact, but this float is not: cast it to text"),
    (TEXT, {"a": (single(2.0**24),)}, "cast it to text"),
    (TEXT, "A\x00na", "NUL"),
    (TEXT, "Á\x00na", "NUL"),
    (RADIO, 2.0**53, "cast it to text"),
    (rule("radio"), "a\x00", "NUL"),
    (CHECKBOX, [2.0**53], "cast it to text"),
    (by_value, ["a\x00"], "NUL"),
    (BOOLEAN, b"\x02", "not a bytes"),
    (BOOLEAN, b"\x01\x00", "not a bytes"),
    (by_value, math.inf, "not NaN or infinity"),
    (by_value, Decimal("sNaN"), "not NaN or infinity"),
    (by_value, Decimal("1e400"), "a double can hold"),
    (by_value, Decimal("1e-400"), "a double can hold"),
    (by_value, Decimal("9" * 40), "holds exactly"),
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
    (DECIMAL, "1e400", "a double can hold"),
    (DECIMAL, 10**400, "a double can hold"),
    (PRICE, 99.51, "at most 99.5"),
    (PRICE, Decimal("-0.51"), "at least -0.5"),
    (BOOLEAN, 2, "or 0 or 1, not another number"),
    (BOOLEAN, "maybe", "this text is not one"),
    (BOOLEAN, [], "not a list"),
    (RECENT, dt.date(2019, 12, 31), "not be before 2020-01-01"),
    (RECENT, dt.datetime(2019, 12, 31, tzinfo=MADRID), "not be before 2020-01-01"),
    (RECENT, "2027-01-01", "not be after 2026-12-31"),
    (rule("date", max_date="2026-12-31T12:00:00Z"), dt.datetime(2026, 12, 31, 13), "not be after 2026-12-31T12:00:00Z"),
    (rule("date", min_date="2020-01-01T00:00:00+02:00"), "2019-12-31", "not be before 2019-12-31T22:00:00Z"),
    (PHONE, "+34600", "too short for its country"),
    (PHONE, "+4400301234567", "too many zeros after its country code"),
    (GERMAN, "0170 1234567-8", "one phone number"),
    (PHONE, "+999600123456", "no country uses"),
    (PHONE, "914 454 454", "or set default_region"),
    (SPANISH, "454 454", "too short for its country"),
    (SPANISH, "tel 914454454", "digits, and +"),
    (PHONE, "+" + "1" * 10_000_000, "digits, and +"),
    (addresses.email, "a(b@example.com", "invalid characters before the @-sign: ***"),
    (addresses.email, "ana@localhost", "must be an e-mail address: "),
    (addresses.email, ".ana@example.com", "must be an e-mail address: "),
    (addresses.email, "ana@exa_mple.com", "must be an e-mail address: "),
    (addresses.email, "x" * 10_000_000, "at most 254"),
    (RADIO, "Gold ?", "must be one of gold, silver, 1, a|b, x, ... (6 options)"),
    (RADIO, "same", "must be one of"),
    (RADIO, True, "not a bool"),
    (RADIO, ["gold"], "not a list"),
    (CHECKBOX, "gold|bronze", "must be a list of options from"),
    (CHECKBOX, ["gold", None], "not a NoneType"),
    (CHECKBOX, " ", "blank"),
    (CHECKBOX, "[1", "not a JSON array"),
    (CHECKBOX, "{gold,NULL}", "not a PostgreSQL array, or has NULL in it"),
    (CHECKBOX, "{gold", "must be a list of options from"),
    (CHECKBOX, 7, "not an int"),
]


@pytest.mark.parametrize(("coerce", "value", "rule"), REFUSED)
def test_refused_with_the_rule(coerce: Any, value: Any, rule: str) -> None:
    with pytest.raises(InvalidValue) as unfit:
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
        with pytest.raises(InvalidValue, match=f"must be one of {', '.join(options)}"):
            coerce(other)


def test_the_order_of_a_consent_has_exactly_its_options() -> None:
    assert all({option for option, _ in SYSTEM_FIELDS[name].options} == {*RANKS[name]} for name in RANKS)


def test_every_type_of_the_documentation_has_a_rule() -> None:
    """API document, 4.2."""
    documented = {"text", "email", "phone", "integer", "decimal", "boolean", "date", "radio", "checkbox"}
    assert set(RULES) == documented


def test_a_type_that_is_not_known_leaves_the_value_to_connectif() -> None:
    assert rule("url")("https://example.com") == "https://example.com"


def test_options_that_are_not_known_leave_the_value_to_connectif() -> None:
    assert rule("radio")("anything") == "anything"
    assert rule("checkbox")("a|b") == ["a|b"]
