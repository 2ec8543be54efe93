"""One set of filled columns: its header, and how rows become lines (RFC 4180: quoted where needed, CRLF)."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from airflow_provider_connectif.contacts.fields import FieldTable, KeyKind
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.rules import Unfit
from airflow_provider_connectif.imports.cells import Cell, cell_of
from airflow_provider_connectif.records.changes import JsonValue
from airflow_provider_connectif.records.rows import InvalidRow

KEY_PROPERTIES: Mapping[KeyKind, str] = MappingProxyType({"email": "_email", "external_id": "_externalId"})
"""The field id that heads the key's column, by kind of contact key."""

NOT_KNOWN = "is not known to be a field of this account, and an import leaves unknown columns out in silence"
"""What is wrong with a custom field where the account's own definitions are not there, or have it not."""
_MAKE_KNOWN = "Give the API key the scope Contact fields: Read, with fields='live', or define such fields in fields"

LINE_END = "\r\n"
QUOTING: Final = csv.QUOTE_MINIMAL


def checked_delimiter(delimiter: str) -> str:
    """The delimiter, if it can be one.

    :raises ValueError: it is not a single ASCII character, or one that quoting, line ends or values need.
    """
    fits = isinstance(delimiter, str) and len(delimiter) == 1 and delimiter.isascii()
    if not fits or delimiter.isalnum() or delimiter == '"' or not (delimiter.isprintable() or delimiter == "\t"):
        raise ValueError('delimiter must be one character, such as "," or ";" or a tab')
    return delimiter


def header_faults(fields: FieldTable, property_ids: Iterable[str]) -> list[str]:
    """What is wrong with the columns of an import, in words; empty if nothing is.

    Connectif leaves columns out that it does not know, and says nothing (help centre, article 360020966799). So a
    custom field that is not known to exist is a fault here, although a patch with it would be refused in the open.

    :param fields: with the account's definitions, where there are columns of custom fields.
    :param property_ids: the header without the key.
    """
    return [f"{property_id} {why}" for property_id in property_ids if (why := _header_fault(fields, property_id))]


def describe_faults(faults: Sequence[str]) -> str:
    """The faults of a header in one text, with what to do about fields that are not known."""
    remedy = f". {_MAKE_KNOWN}" if any(fault.endswith(NOT_KNOWN) for fault in faults) else ""
    return "; ".join(faults) + remedy


def _header_fault(fields: FieldTable, property_id: str) -> str | None:
    if property_id == "_externalId" and fields.fault("_email"):
        return "would be taken for the contact key instead of _email: Connectif gives it priority in an import"
    if why := fields.fault(property_id):
        return why
    if fields.get(property_id) is None:
        return NOT_KNOWN
    return None if property_id.isprintable() else "has characters that cannot be printed"


class Layouts:
    """What all layouts of a run share.

    :param mapping: with the definitions that the run checks against.
    :param delimiter: between cells.
    """

    def __init__(self, mapping: ContactMapping, delimiter: str) -> None:
        self.mapping = mapping
        self.delimiter = checked_delimiter(delimiter)
        self.key_property = KEY_PROPERTIES[mapping.key]
        self._steps: dict[str, tuple[str, Cell]] = {}
        writer = csv.writer(_Encoder(), delimiter=delimiter, quoting=QUOTING, lineterminator=LINE_END)
        self.encoded: Callable[[Sequence[str]], bytes] = writer.writerow
        """One line, encoded, with its line end."""

    def layout(self, property_ids: tuple[str, ...]) -> Layout:
        """The layout of a set of columns.

        :raises InvalidRow: the account has no such columns, or they are read-only.
        """
        if faults := header_faults(self.mapping.fields, property_ids):
            raise InvalidRow([f"column {fault}" for fault in faults])
        for property_id in property_ids:
            if property_id not in self._steps:
                self._steps[property_id] = (property_id, cell_of(self.mapping.fields.get(property_id)))
        return Layout(self, [self._steps[property_id] for property_id in property_ids])

    def place(self, property_id: str) -> str:
        """A property and its column in words, for a reason."""
        column = self.mapping.column_of(property_id) or property_id
        return f'column "{column}"' + ("" if column == property_id else f" ({property_id})")


class _Encoder:
    """What csv.writer writes to: it returns what this returns, so that a line needs no file of its own."""

    @staticmethod
    def write(line: str) -> bytes:
        """The line, encoded."""
        return line.encode()


class Layout:
    """The lines of one set of filled columns.

    ``property_ids``: the columns after the key's. ``header``: the first line, encoded.
    """

    __slots__ = ("_shared", "_steps", "header", "part")

    def __init__(self, shared: Layouts, steps: Sequence[tuple[str, Cell]]) -> None:
        self._shared = shared
        self._steps = steps
        self.header = shared.encoded([shared.key_property, *self.property_ids])
        self.part: int | None = None
        """The file that is being filled, by number; kept here since each row needs it."""

    @property
    def property_ids(self) -> tuple[str, ...]:
        """The header without the key."""
        return tuple([property_id for property_id, _ in self._steps])

    def cells(self, properties: Mapping[str, JsonValue]) -> list[str]:
        """The cells after the key's; blank values are empty texts, which must not be written.

        :raises InvalidRow: a value that a cell cannot carry.
        """
        try:
            return [write(properties[property_id]) for property_id, write in self._steps]
        except Unfit:
            raise InvalidRow(self._unfit(properties)) from None

    def line(self, key: str, cells: Sequence[str]) -> bytes:
        """A row, encoded, with its line end.

        :raises InvalidRow: text that no CSV reader gives back as it was.
        """
        try:
            line = self._shared.encoded([key, *cells])
        except UnicodeEncodeError:
            raise InvalidRow(self._reasons(key, cells)) from None
        if b"\0" in line or not key or "\t" in key or "\n" in key:
            raise InvalidRow(self._reasons(key, cells))
        return line

    def _unfit(self, properties: Mapping[str, JsonValue]) -> list[str]:
        reasons = []
        for property_id, write in self._steps:
            try:
                write(properties[property_id])
            except Unfit as unfit:
                reasons.append(f"{self._shared.place(property_id)} {unfit}")
        return reasons

    def _reasons(self, key: str, cells: Sequence[str]) -> list[str]:
        key_place = f'column "{self._shared.mapping.key_column}"'
        places = [key_place, *(self._shared.place(property_id) for property_id in self.property_ids)]
        reasons = [
            f"{place} {why}" for place, cell in zip(places, [key, *cells], strict=True) if (why := _not_text(cell))
        ]
        if not key or "\t" in key or "\n" in key:
            reasons.append(f"{key_place} must not be blank or have tabs or line breaks: it is the contact key")
        return reasons


def _not_text(cell: str) -> str | None:
    if "\0" in cell:
        return "cannot be imported: it has a NUL character, which a CSV does not carry"
    try:
        cell.encode()
    except UnicodeEncodeError:
        return "has a character that is not valid Unicode (a lone surrogate)"
    return None


def cells_of(line: bytes, delimiter: str) -> list[str]:
    """The cells of a line that a layout wrote."""
    (cells,) = csv.reader([line.decode()], delimiter=delimiter)
    return cells
