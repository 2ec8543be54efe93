"""The rules of integers, decimals and booleans."""

from __future__ import annotations

import ipaddress
import math
import numbers
import re
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from uuid import UUID

from airflow_provider_connectif.contacts.rules.base import (
    Coercer,
    InvalidValue,
    is_time_of_numpy,
    kind,
    number_text,
    plain,
)

_EXACT_BELOW = MappingProxyType({"float16": 2**11, "float32": 2**24, "six digits": 10**6})
"""The whole number from which values of a NumPy type, or values rounded to six digits, are no longer exact."""
_EXACT_DOUBLES_BELOW = 2**53
_LEAST_ROUNDED = 100_000_000_000  # spreadsheets write whole numbers of 12 digits and more as 1.23457E+11
_LARGEST_INTEGER = 2**63 - 1  # readers of JSON disagree on larger numbers
_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_LONGEST_NUMERIC = 400
_MOST_BITS = 1024
# The classes of ``uuid`` and ``ipaddress``, and psycopg2's own for ``inet``.
_WRITTEN_AS_TEXT: tuple[type, ...] = (
    *(UUID, ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
    *(ipaddress.IPv4Interface, ipaddress.IPv6Interface),
)
_NO_NUMBERS = frozenset((bool, str, date, datetime))
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
_BIT = MappingProxyType({0: False, 1: True, ord("0"): False, ord("1"): True})
"""The one byte that MySQL drivers return for ``BIT(1)`` and ``BINARY(1)``."""


class SinglePrecision(float):
    """A number of a single-precision column that a driver returned as a double, marked by a ``dtype`` like NumPy's."""

    dtype = "float32"


class SixDigits(float):
    """A number that a database has rounded to six digits, as MySQL does with a FLOAT, marked by its ``dtype``."""

    dtype = "six digits"


def six_digits(value: float) -> float:
    """Return a number that was rounded to six digits: unchanged if whole numbers of its size are exact, otherwise
    marked.
    """
    return SixDigits(value) if abs(value) >= _EXACT_BELOW["six digits"] else value


def single(value: float) -> float:
    """Return a single-precision number: unchanged if all such numbers are exact, otherwise marked."""
    return SinglePrecision(value) if abs(value) >= _EXACT_BELOW["float32"] else value


def exact_number(value: Any) -> int | Decimal | None:
    """Return a number without loss: an integer of Python as int, any other as Decimal; ``None`` if it is not a number.

    :raises InvalidValue: it is NaN or infinity.
    """
    exact_type = type(value)  # checked before the abstract classes, which take ten times as long
    if exact_type is int:
        return int(value)
    if exact_type is Decimal:
        return _finite(value)
    if exact_type in _NO_NUMBERS:
        return None
    value = plain(value)
    if isinstance(value, bool) or is_time_of_numpy(value):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else None
    if isinstance(value, numbers.Real) and not isinstance(value, Decimal):
        try:
            double = float(value)
        except OverflowError:
            double = math.inf
        if not math.isfinite(double):
            raise InvalidValue("must be a number, not NaN or infinity")
        return Decimal(repr(double))
    return _finite(value) if isinstance(value, Decimal) else None


def _finite(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise InvalidValue("must be a number, not NaN or infinity")
    return value


def certain_number(value: Any) -> int | Decimal | None:
    """Return a number as :func:`exact_number` does, unless it is a float that may have lost a digit.

    For values that identify something. Doubles are exact only for whole numbers below 2**53: 9007199254740993 is
    already rounded.

    :raises InvalidValue: it is NaN, infinity, or a whole float too large to be exact.
    """
    number = exact_number(value)
    if number is None or isinstance(value, (int, Decimal)) or isinstance(number, int):
        return number
    limit = _EXACT_BELOW.get(str(getattr(value, "dtype", "")), _EXACT_DOUBLES_BELOW)
    if abs(number) >= limit and number == number.to_integral_value():
        raise InvalidValue(
            "must be exact, but this float is not: cast it to text (or to a whole-number type) in the query"
        )
    return number


def shortest_text(value: Any) -> str | None:
    """Return a number's shortest exact text without an exponent, or the text of a UUID or an IP address; ``None`` for
    others.

    Postal codes are often numbers: 28001.0 is ``28001``.

    :raises InvalidValue: it is a whole float too large to be exact.
    """
    if isinstance(value, _WRITTEN_AS_TEXT):
        return str(value)
    if type(value).__name__ == "Inet" and isinstance(getattr(value, "addr", None), str):  # psycopg2.extras
        return str(value.addr)
    number = certain_number(value)
    if number is None:
        return None
    if isinstance(number, int):
        if number.bit_length() > _MOST_BITS:
            raise InvalidValue("must be text, but this number has hundreds of digits")
        return str(number)
    if abs(number.adjusted()) > _LONGEST_NUMERIC:  # beyond any double
        raise InvalidValue("must be text, but this number has hundreds of digits")
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def numeric_text(value: str, what: str) -> Decimal:
    """Return the number in a text, with a dot and without thousands separators.

    :param what: what the text must be, for the reason: ``a number`` or ``a whole number``.
    :raises InvalidValue: the text is not such a number.
    """
    stripped = value.strip()
    if len(stripped) > _LONGEST_NUMERIC or not _NUMERIC.fullmatch(stripped):
        raise InvalidValue(f"must be {what} without commas, blanks or units, but this text is not one")
    return Decimal(stripped)


def json_number(number: int | Decimal, *, nearest: bool = False) -> int | float:
    """Return a number in the form of JSON readers: whole ones as integers, others as doubles.

    :param nearest: whether whole numbers beyond 64 bits may become the nearest double. Fractions always may: an average
        has more digits than a double, which does not matter.
    """
    if type(number) is int:
        if -_LARGEST_INTEGER <= number <= _LARGEST_INTEGER:
            return number
    elif type(number) is Decimal:
        double = float(number)
        if abs(double) < _EXACT_DOUBLES_BELOW and not double.is_integer():  # the usual case
            return double
    whole = _whole(number)
    if whole is not None:
        return whole
    if isinstance(number, int):
        if not nearest:
            raise InvalidValue("must be a whole number within 64 bits: cast larger ones to text in the query")
        number = Decimal(number)  # as a database's NUMERIC of the same size
    double = float(number)
    if not math.isfinite(double):
        raise InvalidValue("must be a number that a double can hold (up to 1.8e308)")
    if not double and number:
        raise InvalidValue("must be a number that a double can hold (from 4.9e-324)")
    is_whole = number == number.to_integral_value()
    if is_whole and not nearest and Decimal(repr(double)) != number:
        raise InvalidValue(
            "must be a number that a double holds exactly (15 to 17 digits): cast it to text in the query"
        )
    return double + 0.0  # no minus zero


def integer(minimum: float | None = None, maximum: float | None = None) -> Coercer:
    """Return a rule for whole numbers within bounds, from any such number or numeric text."""
    rule = "a whole number"

    def coerce(value: Any) -> int:
        is_plain = type(value) is int and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER
        whole: int = value if is_plain else _whole_from(value, rule)
        _check_bounds(whole, minimum, maximum)
        return whole

    return coerce


def decimal(minimum: float | None = None, maximum: float | None = None) -> Coercer:
    """Return a rule for numbers within bounds, from any number or numeric text; bool is not a number."""
    rule = "a number"

    def coerce(value: Any) -> int | float:
        is_plain = type(value) is float and math.isfinite(value)
        is_plain = is_plain and not (value.is_integer() and abs(value) < _EXACT_DOUBLES_BELOW)  # 7.0 is sent as 7
        double: int | float = value if is_plain else json_number(_number_from(value, rule), nearest=True)
        _check_bounds(double, minimum, maximum)
        return double

    return coerce


def boolean(value: Any) -> bool:
    """Accept bool, 0 and 1 (also as MySQL's one byte), and the words true, false, t, f, yes, no, y, n in any case."""
    if value is True or value is False:
        return bool(value)
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise InvalidValue("must be a boolean: true, false, t, f, yes, no, y, n, 1 or 0, but this text is not one")
    value = plain(value)
    if isinstance(value, bool):
        return value
    if (
        isinstance(value, (bytes, bytearray, memoryview))
        and len(value) == 1
        and (bit := _BIT.get(bytes(value)[0])) is not None
    ):
        return bit
    number = exact_number(value)
    if number is not None and number in (0, 1):
        return number == 1
    raise InvalidValue(f"must be a boolean, or 0 or 1, not {kind(value) if number is None else 'another number'}")


def _number_from(value: Any, rule: str) -> int | Decimal:
    number = numeric_text(value, rule) if isinstance(value, str) else exact_number(value)
    if number is None:
        raise InvalidValue(f"must be {rule}, not {kind(value)}")
    return number


def _whole_from(value: Any, rule: str) -> int:
    number = numeric_text(value, rule) if isinstance(value, str) else certain_number(value)
    if number is None:
        raise InvalidValue(f"must be {rule}, not {kind(value)}")
    whole = _whole(number)
    if whole is None:
        raise InvalidValue(f"must be {rule} within 64 bits, without decimals")
    if isinstance(value, str) and _was_rounded(value, whole):
        raise InvalidValue(f"must be {rule}, but this text is from a float: cast it to a whole number in the query")
    return whole


def _was_rounded(text: str, whole: int) -> bool:
    """Whether a whole number's text was printed by a float or a spreadsheet: "9007199254740992.0"."""
    if "e" in text or "E" in text:
        return abs(whole) >= _LEAST_ROUNDED
    return text.strip().partition(".")[2] == "0" and abs(whole) >= _EXACT_DOUBLES_BELOW


def bit(value: Any) -> bool | None:
    """Return the value of MySQL's ``BIT(1)`` if a driver returned it as one byte; ``None`` for anything else."""
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) == 1 and bytes(value)[0] in (0, 1):
        return bytes(value) == b"\x01"
    return None


def _whole(number: int | Decimal) -> int | None:
    """Return a number as an integer of 64 bits, if it is one; huge exponents are not expanded first."""
    if isinstance(number, int):
        return number if abs(number) <= _LARGEST_INTEGER else None
    if number.adjusted() > 19 or number != number.to_integral_value():
        return None
    whole = int(number)
    return whole if abs(whole) <= _LARGEST_INTEGER else None


def _check_bounds(number: int | float, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and number < minimum:
        raise InvalidValue(f"must be at least {number_text(minimum)}")
    if maximum is not None and number > maximum:
        raise InvalidValue(f"must be at most {number_text(maximum)}")
