"""The exception of all rules, and helpers for values of any driver."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from airflow_provider_connectif.records.changes import JsonValue

Coercer = Callable[[Any], JsonValue]
"""Converts a value to the JSON form that the API documents, or raises :class:`InvalidValue`."""


class InvalidValue(Exception):
    """A value is invalid. The text names the broken rule, never the value, since it is logged."""


def kind(value: Any) -> str:
    """Describe a value's type; unlike the value, it is not personal data."""
    name = type(value).__name__
    return f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"[:40]


def plain(value: Any) -> Any:
    """Convert NumPy's scalars to Python's; return anything else unchanged, also a date that Python does not have."""
    if type(value).__module__ != "numpy" or getattr(value, "shape", None) != ():
        return value
    exact = value.item()
    if value.dtype.kind in "mM" and isinstance(exact, int):  # also in an array of no dimension
        # Units finer than Python's, as in pandas, are converted. Other values are out of Python's range: converted to
        # microseconds, they could become any date.
        return value.astype(f"{value.dtype.kind}8[us]").item() if _FINER.search(value.dtype.str) else value
    return exact


_FINER = re.compile("[npfa]s]$")  # units of less than a microsecond


def is_time_of_numpy(value: Any) -> bool:
    """Whether a value is NumPy's moment or duration; the duration would otherwise count as a number."""
    return type(value).__name__ in ("datetime64", "timedelta64")


def is_missing(value: Any) -> bool:
    """Whether a value is NaN, NaT or NA, with which pandas and NumPy mark a missing value."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return True
    if is_time_of_numpy(value):
        return bool(value != value)
    return value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and value != value


_INVISIBLE_CHARACTERS = "\u00ad\u200b-\u200f\u202a-\u202c\u2060-\u2064\u2066-\u2069\ufeff"
INVISIBLE = re.compile(f"[{_INVISIBLE_CHARACTERS}\u202d\u202e]")
"""Soft hyphens, byte order marks, and marks of width and direction, which are copied along with text."""
# Without the marks that reverse the letters after them: a text with such a mark differs from its display.
_INVISIBLE_ENDS = re.compile(rf"\A[\s{_INVISIBLE_CHARACTERS}]+|[\s{_INVISIBLE_CHARACTERS}]+\Z")


def trimmed(value: str) -> str:
    """Return text without white space and invisible marks at its ends."""
    stripped = value.strip()
    return stripped if stripped.isascii() else _INVISIBLE_ENDS.sub("", stripped)


def valid_text(value: str) -> str:
    """Return text unchanged.

    :raises InvalidValue: UTF-8, a database or a CSV file cannot store it.
    """
    # A str subclass, such as an enumeration, may print another text than it contains.
    exact = value if type(value) is str else str.__str__(value)
    if "\0" in exact:
        raise InvalidValue("has a NUL character: remove it in the query")
    if not exact.isascii() and any("\ud800" <= character <= "\udfff" for character in exact):
        raise InvalidValue("has a character that is not valid Unicode (a lone surrogate): remove it in the query")
    return exact


def number_text(number: float | Decimal) -> str:
    """Format a limit of a field for the reason of an invalid value."""
    return format(Decimal(repr(number)), "f") if isinstance(number, float) else str(number)
