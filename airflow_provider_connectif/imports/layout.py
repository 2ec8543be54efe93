"""Headers and lines of the files of an import (RFC 4180: quoted where needed, CRLF)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from airflow_provider_connectif.contacts.fields import FieldTable, KeyKind
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.mapping_arguments import MappingError
from airflow_provider_connectif.contacts.rules import InvalidValue
from airflow_provider_connectif.imports.cells import Cell, cell_of
from airflow_provider_connectif.records.changes import JsonValue
from airflow_provider_connectif.records.rows import InvalidRow

KEY_PROPERTIES: Mapping[KeyKind, str] = MappingProxyType({"email": "_email", "external_id": "_externalId"})
"""The field id in the header of the key's column, by kind of contact key."""

NOT_KNOWN = "is not a known field of this account, and an import ignores unknown columns without an error"
"""The fault of a custom field that the account's definitions do not have; also if the run has no definitions."""
_MAKE_KNOWN = "Give the API key the scope Contact fields: Read, with fields='live', or define such fields in fields"

Columns = tuple[str, ...]
"""The field ids of a file's columns in their order, without the column of the contact key."""

Writers = list[tuple[str, Cell]]
"""For each column, its field id and the function that writes its cell."""


def checked_delimiter(delimiter: str) -> str:
    """Return a valid delimiter.

    :raises ValueError: it is not a single ASCII character, or it is a quote, a line end or a character of values.
    """
    fits = isinstance(delimiter, str) and len(delimiter) == 1 and delimiter.isascii()
    if not fits or delimiter.isalnum() or delimiter == '"' or not (delimiter.isprintable() or delimiter == "\t"):
        raise ValueError('delimiter must be one character, such as "," or ";" or a tab')
    return delimiter


def header_faults(fields: FieldTable, property_ids: Iterable[str]) -> list[str]:
    """Return the faults of an import's columns, each in words; empty if there are none.

    Connectif ignores unknown columns without an error (help centre, article 360020966799). So each column must be a
    known field: in the account's definitions, or a system field.

    :param property_ids: the field ids of the columns, without the column of the contact key.
    """
    return [f"{property_id} {why}" for property_id in property_ids if (why := _header_fault(fields, property_id))]


def refuse_columns(columns: Sequence[str] | None, mapping: ContactMapping) -> None:
    """Check that an import's files can have the columns of a source, or of a mapping.

    :raises MappingError: some cannot; the error names them, and says how to make an unknown column known.
    """
    used = (columns or ()) if mapping.properties is None else mapping.properties
    faults = header_faults(mapping.fields, [column for column in used if column != mapping.key_column])
    if faults:
        remedy = f". {_MAKE_KNOWN}" if any(fault.endswith(NOT_KNOWN) for fault in faults) else ""
        raise MappingError(f"the mapping does not fit an import: {'; '.join(faults)}{remedy}")


def _header_fault(fields: FieldTable, property_id: str) -> str | None:
    if property_id == "_externalId" and fields.fault("_email"):
        return "would be taken for the contact key instead of _email: Connectif gives it priority in an import"
    if why := fields.fault(property_id):
        return why
    if fields.get(property_id) is None:
        return NOT_KNOWN
    return None if property_id.isprintable() else "has characters that cannot be printed"


class Lines:
    """Makes the lines of files.

    :param mapping: has the field definitions of the run.
    :param delimiter: the character between cells.
    :param types: the field types of the columns by field id, if an earlier process has checked the columns. ``None``:
        the types are those of the mapping's definitions.
    """

    def __init__(self, mapping: ContactMapping, delimiter: str, types: Mapping[str, str] | None = None) -> None:
        self._mapping = mapping
        self._types = types
        self._key_property = KEY_PROPERTIES[mapping.key]
        self._writers: dict[Columns, Writers] = {}
        writer = csv.writer(_Encoder(), delimiter=checked_delimiter(delimiter), lineterminator="\r\n")
        self._encoded: Callable[[Sequence[str]], bytes] = writer.writerow

    @property
    def types(self) -> dict[str, str]:
        """The field types of the columns that were written so far, by field id."""
        names = {name for columns in self._writers for name in columns}
        return {name: field.type for name in names if (field := self._mapping.fields.get(name)) is not None}

    def header(self, columns: Columns) -> bytes:
        """Return the first line of a file, encoded."""
        return self._encoded([self._key_property, *columns])

    def line(self, key: str, writers: Writers, properties: Mapping[str, JsonValue]) -> bytes:
        """Return the line of a contact, encoded, with its line end.

        :param key: the contact key.
        :param writers: the functions that write the cells, by column; the values of these columns are not blank.
        :raises InvalidRow: a CSV cannot contain a value.
        """
        try:
            line = self._encoded([key, *[write(properties[property_id]) for property_id, write in writers]])
        except (InvalidValue, UnicodeEncodeError):
            raise InvalidRow(self._reasons(key, properties)) from None
        if b"\0" in line or not key:
            raise InvalidRow(self._reasons(key, properties))
        return line

    def writers(self, columns: Columns) -> Writers:
        """Return the functions that write the cells of a line, by column.

        :raises InvalidRow: a column is not a known field of the account.
        """
        if (known := self._writers.get(columns)) is not None:
            return known
        if self._types is None and (faults := header_faults(self._mapping.fields, columns)):
            raise InvalidRow([f"column {fault}" for fault in faults])
        made = [(property_id, self._cell_of(property_id)) for property_id in columns]
        self._writers[columns] = made
        return made

    def _cell_of(self, property_id: str) -> Cell:
        if self._types is not None:
            return cell_of(self._types.get(property_id))
        field = self._mapping.fields.get(property_id)
        return cell_of(None if field is None else field.type)

    def _reasons(self, key: str, properties: Mapping[str, JsonValue]) -> list[str]:
        key_place = f'column "{self._mapping.key_column}"'
        reasons = [f"{key_place} {why}" for why in [_not_text(key)] if why]
        if not key:
            reasons.append(f"{key_place} must not be blank: it is the contact key")
        for property_id, value in properties.items():
            try:
                why = _not_text(self._cell_of(property_id)(value))
            except InvalidValue as unfit:
                why = str(unfit)
            if why:
                reasons.append(f"{self._place(property_id)} {why}")
        return reasons

    def _place(self, property_id: str) -> str:
        """Name a property and its column, for a reason."""
        column = self._mapping.column_of(property_id) or property_id
        return f'column "{column}"' + ("" if column == property_id else f" ({property_id})")


class _Encoder:
    """A file for ``csv.writer`` that stores nothing: ``writerow`` returns the line that :meth:`write` has encoded."""

    @staticmethod
    def write(line: str) -> bytes:
        """Return a line, encoded."""
        return line.encode()


def _not_text(cell: str) -> str | None:
    if "\0" in cell:
        return "cannot be imported: it has a NUL character, which a CSV cannot contain"
    try:
        cell.encode()
    except UnicodeEncodeError:
        return "has a character that is not valid Unicode (a lone surrogate)"
    return None
