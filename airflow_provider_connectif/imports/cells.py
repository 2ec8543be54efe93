"""Writes a patch's values into CSV cells of an import.

Source of the forms: help centre, articles 360020966799 and 360014217640 (dates ``yyyy-mm-dd``, checkbox options joined
by ``|``, option ids, integers without leading zeros, phones without spaces). Decimals and booleans of contacts are not
documented; products are documented with a dot and with ``true`` and ``false``, so contacts use these forms, too.

A cell that begins with ``=``, ``+``, ``-`` or ``@`` is written unchanged, although a spreadsheet would read it as a
formula: Connectif reads the file as data, and an apostrophe in front would become part of the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, get_args

from airflow_provider_connectif.contacts.fields import FieldType
from airflow_provider_connectif.contacts.rules.base import InvalidValue, kind

Cell = Callable[[Any], str]
"""Returns the text of a cell for one JSON-ready value; empty text for a blank value. Raises :class:`InvalidValue`."""

OPTION_SEPARATOR = "|"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?=T|\Z)")


def _decimal(value: float) -> str:
    """Return the shortest exact text of a double, without an exponent."""
    text = repr(value)
    if not text[-1].isdigit():
        raise InvalidValue("must be a number, not NaN or infinity")
    if not value:
        return "0"  # also for minus zero
    return format(Decimal(text), "f") if "e" in text else text


def _options(value: list[str]) -> str:
    """Join option ids. An id with the separator in it is refused: Connectif would read two ids."""
    for option in value:
        if not isinstance(option, str) or not option:
            raise InvalidValue("must be a list of option ids, but one of them is blank or not text")
        if OPTION_SEPARATOR in option:
            raise InvalidValue(
                f'cannot be imported: an option id has a "{OPTION_SEPARATOR}", which separates the options in a file; '
                "a PATCH can send this value"
            )
    return OPTION_SEPARATOR.join(value)


BY_VALUE: Mapping[type, Cell] = MappingProxyType(
    {
        str: str,
        bool: lambda value: "true" if value else "false",
        int: str,
        float: _decimal,
        list: _options,
        type(None): lambda value: "",
    }
)
"""The function that writes a value, by the type of the value. The mapping's rules have made all values JSON-ready."""


def by_value(value: Any) -> str:
    """Return the text of a cell for a value, by the type of the value.

    :raises InvalidValue: the type is not JSON-ready, or a cell cannot contain the value.
    """
    if type(value) is str:  # nearly always
        return value
    write = BY_VALUE.get(type(value))
    if write is None:
        raise InvalidValue(f"must be text, a number, a boolean or a list of text, not {kind(value)}")
    return write(value)


def _day(value: Any) -> str:
    """Return the day of a date or a moment as its text has it: an import knows only days.

    No time zone is converted. A PATCH sends the same day.
    """
    if value is None:
        return ""
    day = _DAY.match(value) if type(value) is str else None
    if day is None:
        raise InvalidValue("must be a date such as 1990-05-17")
    return day.group()


def _phone(value: Any) -> str:
    text = by_value(value)
    return text if text.isascii() and " " not in text else "".join(text.split())


FORMS: Mapping[str, Cell] = MappingProxyType(
    {**dict.fromkeys(get_args(FieldType), by_value), "phone": _phone, "date": _day},
)
"""The function that writes the cells of a field, by the type of the field."""


def cell_of(field_type: str | None) -> Cell:
    """Return the function that writes a field's cells.

    :param field_type: the type of the field. With ``None`` or an unknown type, the type of each value decides.
    """
    return FORMS.get(field_type or "", by_value)
