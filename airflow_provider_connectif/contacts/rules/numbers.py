"""Integers, decimals and booleans."""

from __future__ import annotations

import math
import numbers
import re
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from airflow_provider_connectif.contacts.rules.base import Coercer, Unfit, kind, number_text, plain

_LARGEST_INTEGER = 2**63 - 1  # beyond that, readers of JSON disagree on what they read
_NUMERIC = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_LONGEST_NUMERIC = 400
_MOST_BITS = 1024
_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})


def exact_number(value: Any) -> int | Decimal | None:
    """A number without loss: one of Python's integers as int, any other as Decimal; ``None`` if it is none.

    :raises Unfit: NaN or infinity.
    """
    value = plain(value)
    if isinstance(value, bool):
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
            raise Unfit("must be a number, not NaN or infinity")
        return Decimal(repr(double))
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise Unfit("must be a number, not NaN or infinity")
        return value
    return None


def shortest_text(value: Any) -> str | None:
    """A number's shortest exact text without an exponent, a UUID's text; ``None`` for anything else.

    Postal codes often come as numbers: 28001.0 is ``28001``.
    """
    if isinstance(value, UUID):
        return str(value)
    number = exact_number(value)
    if number is None:
        return None
    if isinstance(number, int):
        if number.bit_length() > _MOST_BITS:
            raise Unfit("must be text, and this number has hundreds of digits")
        return str(number)
    if abs(number.adjusted()) > _LONGEST_NUMERIC:  # beyond any double
        raise Unfit("must be text, and this number has hundreds of digits")
    if not number:
        return "0"
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def numeric_text(value: str, what: str) -> Decimal:
    """The number that a text spells, with a dot and no thousands separators."""
    stripped = value.strip()
    if len(stripped) > _LONGEST_NUMERIC or not _NUMERIC.fullmatch(stripped):
        raise Unfit(f"must be {what}, and this text is not one")
    return Decimal(stripped)


def json_number(number: int | Decimal) -> int | float:
    """A number as JSON readers hold it: whole ones as integers, others as doubles, nothing rounded in silence."""
    whole = _whole(number)
    if whole is not None:
        return whole
    if isinstance(number, int):
        raise Unfit("must be a number within 64 bits")
    double = float(number)
    if not math.isfinite(double):
        raise Unfit("must be a number that a double can hold (up to 1.8e308)")
    if Decimal(repr(double)) != number:
        raise Unfit("must be a number that a double holds exactly (15 to 17 digits): round it in the query")
    return double


def integer(minimum: float | None = None, maximum: float | None = None) -> Coercer:
    """Whole numbers within bounds, from any number or numeric text that is one."""
    rule = "a whole number"

    def coerce(value: Any) -> int:
        is_plain = type(value) is int and -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER
        whole: int = value if is_plain else _whole_from(value, rule)
        _check_bounds(whole, minimum, maximum)
        return whole

    return coerce


def decimal(minimum: float | None = None, maximum: float | None = None) -> Coercer:
    """Numbers within bounds, from any number or numeric text; bool is none."""
    rule = "a number"

    def coerce(value: Any) -> int | float:
        is_plain = type(value) is float and math.isfinite(value)
        double: int | float = value if is_plain else json_number(_number_from(value, rule))
        _check_bounds(double, minimum, maximum)
        return double

    return coerce


def boolean(value: Any) -> bool:
    """bool, 0 and 1, and the words true, false, t, f, yes, no, y, n in any case."""
    if value is True or value is False:
        return bool(value)
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
        raise Unfit("must be a boolean: true, false, t, f, yes, no, y, n, 1 or 0, and this text is not one")
    value = plain(value)
    if isinstance(value, bool):
        return value
    number = exact_number(value)
    if number is not None and number in (0, 1):
        return number == 1
    raise Unfit(f"must be a boolean, or 0 or 1, not {kind(value) if number is None else 'another number'}")


def _number_from(value: Any, rule: str) -> int | Decimal:
    number = numeric_text(value, rule) if isinstance(value, str) else exact_number(value)
    if number is None:
        raise Unfit(f"must be {rule}, not {kind(value)}")
    return number


def _whole_from(value: Any, rule: str) -> int:
    whole = _whole(_number_from(value, rule))
    if whole is None:
        raise Unfit(f"must be {rule} within 64 bits, without decimals")
    return whole


def _whole(number: int | Decimal) -> int | None:
    """A number as an integer of 64 bits, if it is one; huge exponents are not written out first."""
    if isinstance(number, int):
        return number if abs(number) <= _LARGEST_INTEGER else None
    if number.adjusted() > 19 or number != number.to_integral_value():
        return None
    whole = int(number)
    return whole if abs(whole) <= _LARGEST_INTEGER else None


def _check_bounds(number: int | float, minimum: float | None, maximum: float | None) -> None:
    if minimum is not None and number < minimum:
        raise Unfit(f"must be at least {number_text(minimum)}")
    if maximum is not None and number > maximum:
        raise Unfit(f"must be at most {number_text(maximum)}")
