"""Values of a database driver, in the JSON form that the API documents.

One function a type. Each takes what drivers, XCom and pandas hand over for such a value and returns the
JSON value, or raises :class:`Unfit` with the rule that was broken. A rule never quotes the value: reasons are
logged, and values are personal data.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import pendulum
from pendulum.parsing.exceptions import ParserError

from airflow_provider_connectif.contacts.fields import Field, FieldType

JsonValue = bool | int | float | str | list[str] | None
Coercer = Callable[[Any], JsonValue]

_LARGEST_INTEGER = 2**63 - 1  # beyond that, readers of JSON disagree on what they read
# White space, dots, brackets, hyphens and dashes, also the invisible ones that spreadsheets leave behind.
_PHONE_SEPARATORS = re.compile(r"[\s.()\[\]{}\-\u00ad\u200b\u2010-\u2015\u2212]+")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].+)?")
_EMAIL = re.compile(r'(?:"(?:[^"\\]|\\.)+"|[^\s@]+)@[^\s@]+')
_LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
_LONGEST_EXTERNAL_ID = 50  # API reference, resource "ContactPatchByEmail"


class Unfit(Exception):
    """A value does not fit; the text is the rule, without the value."""


def coercer(field: Field) -> Coercer:
    """The function that brings values into the form of a field."""
    if field.type == "radio":
        return _one_of(field.options)
    return _COERCERS[field.type]


def text(value: Any) -> str:
    """Text as it is; anything but text is refused, and so is what no UTF-8 can hold."""
    if not isinstance(value, str):
        raise Unfit(f"must be text, not {kind(value)}")
    # A str subclass, such as an enumeration, may print as something else than it holds.
    plain = value if type(value) is str else str.__str__(value)
    if not plain.isascii() and any("\ud800" <= character <= "\udfff" for character in plain):
        raise Unfit("has a character that is not valid Unicode (a lone surrogate)")
    return plain


def integer(value: Any) -> int:
    """A whole number, from any number or numeric text that is one."""
    if isinstance(value, bool) or _is_numpy_bool(value):
        raise Unfit("must be a whole number, not a boolean")
    if isinstance(value, str):
        stripped = value.strip()
        if not _NUMERIC.fullmatch(stripped):
            raise Unfit("must be a whole number, and this text is none")
        value = Decimal(stripped)
    if not isinstance(value, (numbers.Real, Decimal)):
        raise Unfit(f"must be a whole number, not {kind(value)}")
    number = _finite(value)
    if isinstance(number, int):
        return number
    if abs(number) <= _LARGEST_INTEGER and number == int(number):
        return int(number)
    raise Unfit("must be a whole number, within 64 bits")


def iso_date(value: Any) -> str:
    """ISO 8601: a date as ``YYYY-MM-DD``; a moment with its offset, ``Z`` for UTC, naive ones as UTC.

    The offset is kept rather than converted, so that a moment at midnight stays on its calendar day.
    """
    value = _plain(value)
    if isinstance(value, str):
        stripped = value.strip()
        if not _ISO_DATE.fullmatch(stripped):
            raise Unfit("must be an ISO 8601 date such as 1990-05-17, and this text is none")
        if len(stripped) == len("YYYY-MM-DD"):
            return _parsed_date(stripped)
        value = _parsed_moment(stripped)
    if isinstance(value, datetime):
        return _iso_moment(value)
    if isinstance(value, date):
        return value.isoformat()
    raise Unfit(f"must be a date or an ISO 8601 text, not {kind(value)}")


def phone(value: Any) -> str:
    """E.164, ``+`` and 7 to 15 digits, once spaces, dots, dashes and brackets are gone.

    Source: help centre, article 360014589899 (stored as E.164, always with a leading ``+``).
    """
    if not isinstance(value, str):
        raise Unfit(f"must be text with + and the country code, not {kind(value)}")
    digits = _PHONE_SEPARATORS.sub("", value)
    if _E164.fullmatch(digits):
        return digits
    if not digits:
        raise Unfit("must be an international phone number, and this text is blank")
    if not digits.startswith("+"):
        raise Unfit("must be an international phone number: + and the country code first")
    raise Unfit("must be an international phone number: + and 7 to 15 digits (E.164)")


def email(value: Any) -> str:
    """An e-mail address, trimmed; only its shape is checked."""
    address = text(value).strip()
    if not address:
        raise Unfit("must be an e-mail address, and this text is blank")
    if len(address) > _LONGEST_EMAIL:
        raise Unfit(f"must be an e-mail address: at most {_LONGEST_EMAIL} characters")
    if not _EMAIL.fullmatch(address) or not address.isprintable():
        raise Unfit("must be an e-mail address: local part, @ and domain, without spaces")
    return address


def external_id(value: Any) -> str:
    """A contact's external id, trimmed; whole numbers and UUIDs become their text."""
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        value = str(integer(value))
    identifier = text(value).strip()
    if not identifier or identifier in (".", ".."):
        raise Unfit("must be an external id, and this text is blank or only dots")
    if len(identifier) > _LONGEST_EXTERNAL_ID:
        raise Unfit(f"must be an external id: at most {_LONGEST_EXTERNAL_ID} characters")
    if not identifier.isprintable():
        raise Unfit("must be an external id, and has a control character")
    return identifier


def custom(value: Any) -> JsonValue:
    """A custom field's value by the type that the value has.

    bool → boolean · int → integer · float, Decimal → number · str, UUID → string · date, datetime → ISO 8601
    string · list, tuple, set of str → array. Source: API reference, resource "ContactPatch", ``<key>``.
    """
    value = _plain(value)
    if isinstance(value, (bool, str)):
        return value if isinstance(value, bool) else text(value)
    if isinstance(value, (numbers.Real, Decimal)):
        return _finite(value)
    if isinstance(value, date):  # and datetime, its subclass
        return iso_date(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_option(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_option(item) for item in value)
    raise Unfit(f"must be text, a number, a boolean, a date or a list of text, not {kind(value)}")


_COERCERS: dict[FieldType, Coercer] = {
    "text": text,
    "email": email,
    "phone": phone,
    "integer": integer,
    "date": iso_date,
}


def _one_of(options: tuple[str, ...]) -> Coercer:
    rule = f"must be one of {', '.join(options)}"
    allowed = frozenset(options)

    def radio(value: Any) -> str:
        if isinstance(value, str) and value in allowed:
            return text(value)
        raise Unfit(rule)

    return radio


def _option(item: Any) -> str:
    if not isinstance(item, str):
        raise Unfit(f"must be a list of text, and has {kind(item)} in it")
    return text(item)


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's own."""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    return value


def _is_numpy_bool(value: Any) -> bool:
    return type(value).__module__ == "numpy" and isinstance(_plain(value), bool)


def _finite(value: numbers.Real | Decimal) -> int | float:
    """A number as JSON can hold it: exact where whole, else the nearest double."""
    if isinstance(value, numbers.Integral):
        whole = int(value)
        if abs(whole) > _LARGEST_INTEGER:
            raise Unfit("must be a number within 64 bits")
        return whole
    try:
        double = float(value)
    except (OverflowError, ValueError, InvalidOperation):
        raise Unfit("must be a number, not NaN or infinity") from None
    if not math.isfinite(double):
        raise Unfit("must be a number, not NaN or infinity")
    if isinstance(value, Decimal):
        if abs(value) <= _LARGEST_INTEGER and value == value.to_integral_value():
            return int(value)
        if double == 0.0:
            raise Unfit("must be a number that a double can hold")
    return double


def _parsed_date(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise Unfit("must be an ISO 8601 date such as 1990-05-17, and this is no day of the calendar") from None


def _parsed_moment(value: str) -> datetime:
    try:
        moment = pendulum.parse(value, exact=True, tz=None)
    except (ParserError, ValueError, OverflowError):
        moment = None
    if not isinstance(moment, datetime):
        raise Unfit("must be an ISO 8601 date such as 1990-05-17T08:30:00Z, and this text is none")
    return moment


def _iso_moment(value: datetime) -> str:
    if value != value:  # pandas' NaT calls itself a datetime
        raise Unfit("must be a date, not NaT: make missing values None")
    offset = value.utcoffset()
    # Rebuilt from its parts: subclasses (pandas, pendulum) print more digits, or an offset with seconds.
    plain = datetime(value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    if not offset:
        return f"{plain.isoformat()}Z"
    if offset % timedelta(minutes=1):  # local mean time, of before 1900: ISO 8601 has no such offset
        offset -= offset % timedelta(minutes=1)
    return plain.replace(tzinfo=timezone(offset)).isoformat()


def kind(value: Any) -> str:
    """A value's type in words; unlike the value it says nothing about a person."""
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"[:40]
