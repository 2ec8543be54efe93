"""Reads a file of contacts to import: its header, and the properties that each row sets."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_connectif.sandbox.catalogue import ContactField
from airflow_provider_connectif.sandbox.validation import CHECKS, KEY_PROPERTIES, is_email, is_external_id

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# Assumption: numbers of more digits are rejected. No limit is documented.
_INTEGER = re.compile(r"-?[1-9][0-9]{0,18}|0")
_DECIMAL = re.compile(r"-?[0-9]{1,100}(?:\.[0-9]{1,100})?")
_NATIONAL_PHONE = re.compile(r"[0-9]+")


class ImportFileError(ValueError):
    """The whole file cannot be imported. The message says why."""


class RowError(ValueError):
    """One row is rejected. The message says why; it contains no value of the row."""


@dataclass(frozen=True, slots=True)
class ImportRow:
    """A row: it sets ``properties`` of the contact whose property ``key_property`` has the value ``key``."""

    key_property: str
    key: str
    properties: Mapping[str, object]


def read_records(file: BinaryIO, delimiter: str) -> Iterator[list[str]]:
    """Yield the cells of each record, the header first. The file is read bit by bit.

    Raises ImportFileError. Assumption: a byte order mark is part of the first column's name, because its removal is not
    documented.
    """
    file.seek(0)
    lines = (line.decode("utf-8") for line in file)
    try:
        yield from csv.reader(lines, delimiter=delimiter, strict=True)
    except UnicodeDecodeError:
        raise ImportFileError("the file is not UTF-8") from None
    except csv.Error:
        raise ImportFileError("the file is not CSV") from None


class RowReader:
    """Reads rows by the header of their file. Raises ImportFileError if no column can be the key.

    As documented, columns that the account does not have are ignored. Assumption: read-only columns are ignored, too.
    If the file has both keys, the external id is the key.
    """

    def __init__(self, header: list[str], fields: Mapping[str, ContactField]) -> None:
        self.width = len(header)
        self.key_property = next((name for name in ("_externalId", "_email") if name in header), "")
        if not self.key_property:
            raise ImportFileError("the file has neither a column _email nor a column _externalId")
        self.key_column = header.index(self.key_property)
        self._columns = [
            (at, name, fields[name])
            for at, name in enumerate(header)
            if name in fields and name != self.key_property and (name in KEY_PROPERTIES or not fields[name].read_only)
        ]

    def read(self, cells: list[str]) -> ImportRow:
        """Return the properties that a row sets. Raises RowError.

        Assumption: one invalid cell causes the whole row to be rejected.
        """
        if len(cells) != self.width:
            raise RowError(f"the row has {len(cells)} cells, the header {self.width}")
        key = cells[self.key_column]
        if not (is_email(key) if self.key_property == "_email" else is_external_id(key)):
            raise RowError(f"{self.key_property}: cannot be the key of a contact")
        properties: dict[str, object] = {}
        for at, name, contact_field in self._columns:
            value = CELLS[contact_field.type](contact_field, cells[at])
            refusal = CHECKS[contact_field.type](contact_field, value)
            if refusal is not None:
                raise RowError(f"{name}: {refusal}")
            properties[name] = value
        return ImportRow(self.key_property, key, properties)


def _text(contact_field: ContactField, cell: str) -> object:
    # Assumption: an empty cell empties a text, as an empty string in a PATCH does.
    return cell


def _number(pattern: re.Pattern[str], convert: Callable[[str], float]) -> Callable[[ContactField, str], object]:
    def read(contact_field: ContactField, cell: str) -> object:
        if not pattern.fullmatch(cell):
            raise RowError(f"{contact_field.id}: {_blank_or(cell, 'must be a number, without leading zeros')}")
        return convert(cell)

    return read


def _boolean(contact_field: ContactField, cell: str) -> object:
    if cell not in ("true", "false"):
        raise RowError(f"{contact_field.id}: {_blank_or(cell, 'must be true or false')}")
    return cell == "true"


def _date(contact_field: ContactField, cell: str) -> object:
    if not _DATE.fullmatch(cell):
        raise RowError(f"{contact_field.id}: {_blank_or(cell, 'must be a date, yyyy-mm-dd')}")
    return cell


def _phone(contact_field: ContactField, cell: str) -> object:
    # A number without a prefix gets the field's own one: documented for imports, not for a PATCH.
    prefix = contact_field.definition.get("defaultCountryCode")
    if prefix and _NATIONAL_PHONE.fullmatch(cell):
        return f"+{prefix}{cell}"
    return cell


def _checkbox(contact_field: ContactField, cell: str) -> object:
    # Assumption: an empty cell chooses no option. A PATCH may choose no option, too.
    return cell.split("|") if cell else []


def _blank_or(cell: str, reason: str) -> str:
    return reason if cell else "must not be blank"


CELLS: Mapping[str, Callable[[ContactField, str], object]] = {
    "text": _text,
    "email": _text,
    "phone": _phone,
    "integer": _number(_INTEGER, int),
    "decimal": _number(_DECIMAL, float),
    "boolean": _boolean,
    "date": _date,
    "radio": _text,
    "checkbox": _checkbox,
}
"""The functions that convert a cell to the value of a PATCH, by the field's type. The value is then checked as in a
PATCH.

Blank phone, date, integer, decimal and radio cells are rejected: help centre 360014217640, an older text, still valid
by its examples. Assumption: blank boolean and e-mail cells are rejected, too.
"""
