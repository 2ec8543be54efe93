"""Rows of a source: batches, their size in memory, names with a byte order mark, and the error of an invalid row."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from sys import getsizeof
from typing import Any, Self, overload
from uuid import UUID

from airflow_provider_connectif.records.values import VALUE_ERRORS, UnreadableValue, printable

Row = Mapping[str, Any]

BATCH_BYTES = 8 * 1024 * 1024
"""Bytes of rows that one stage holds before it waits for the next stage; a single larger row is accepted."""
_SMALL = 32  # bytes of a number, a date or a boolean, approximately
_SMALL_KINDS = frozenset((int, float, bool, type(None), Decimal, date, datetime, time, timedelta, UUID))
_DEEPEST = 30  # containers in containers; documents of a database have a dozen


def weight_of(values: Iterable[Any], depth: int = 0) -> int:
    """Return about how many bytes values take in memory; exact for texts, which make most large rows large.

    Above :data:`BATCH_BYTES`, further containers may not be counted, so it also ends for a structure that contains
    itself.

    :param depth: number of containers around the values.
    """
    weight = 0
    for value in values:
        kind = type(value)
        if kind is str:
            weight += getsizeof(value)
        elif kind in _SMALL_KINDS:
            weight += _SMALL
        else:
            try:
                weight += _weight_of_large(value, depth)
            except VALUE_ERRORS:  # of a class that does not keep to its protocol
                weight += _SMALL
            if weight > BATCH_BYTES:
                break
    return weight


def _weight_of_large(value: Any, depth: int) -> int:
    if isinstance(value, (str, bytes, bytearray)):
        return getsizeof(value)
    if isinstance(value, UnreadableValue):
        return _SMALL + len(str(value))
    if isinstance(size := getattr(value, "nbytes", None), int):  # of memoryview, and of NumPy's arrays
        return _SMALL + size
    if depth == _DEEPEST or isinstance(value, type):
        return _SMALL
    if isinstance(value, Mapping):
        return _SMALL + weight_of(value.keys(), depth + 1) + weight_of(value.values(), depth + 1)
    if isinstance(value, (list, tuple, Set, deque)):
        return _SMALL + weight_of(value, depth + 1)
    attributes = getattr(value, "__dict__", None)
    return _SMALL + (weight_of(attributes.values(), depth + 1) if isinstance(attributes, dict) else 0)


def weight_of_rows(rows: Sequence[Iterable[Any]]) -> int:
    """Return about how many bytes rows take: sequences of values, all of one length, and not mappings.

    They are counted column by column, which is fast, since the values of a column usually have one type.
    """
    weight = 0
    for column in zip(*rows, strict=True):
        kinds = set(map(type, column))
        if kinds == {str}:
            weight += sum(map(str.__sizeof__, column))
        elif kinds <= _SMALL_KINDS:
            weight += _SMALL * len(column)
        else:
            weight += weight_of(column)
    return weight


def weight_of_row(row: object) -> int:
    """Return about how many bytes a row of any type takes."""
    return weight_of(row.values() if isinstance(row, Mapping) else (row,))


# U+FEFF, and its three bytes read as Latin-1 or Windows-1252.
_BYTE_ORDER_MARKS = ("\ufeff", "\u00ef\u00bb\u00bf")


def without_mark(column: str) -> str:
    """Return a column's name without the byte order mark with which some programs begin files."""
    while column.startswith(_BYTE_ORDER_MARKS):
        for mark in _BYTE_ORDER_MARKS:
            column = column.removeprefix(mark)
    return column


def without_marks(rows: Sequence[Any]) -> Sequence[Any]:
    """Return rows without a byte order mark in the first column's name; the same list if there is none."""
    return [_without_mark(row) for row in rows] if any(map(_has_mark, rows)) else rows


def _has_mark(row: Any) -> bool:
    first = next(iter(row), None) if isinstance(row, Mapping) else None
    return isinstance(first, str) and first.startswith(_BYTE_ORDER_MARKS)


def _without_mark(row: Any) -> Any:
    if not _has_mark(row):
        return row
    first, *others = row
    name = without_mark(first)
    return row if name in others else {name: row[first], **{column: row[column] for column in others}}


class InvalidRow(Exception):
    """A row that cannot be sent; its ``reasons`` name column and rule, never a value.

    The reasons may quote names and options of the account, so characters that cannot be printed are replaced.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(map(printable, reasons))
        super().__init__("; ".join(self.reasons))


class Batch(Sequence[Row]):
    """Rows of one result, which have the same columns.

    :param columns: their names; if a name occurs twice, the last one counts, as in a mapping.
    """

    __slots__ = ("columns",)

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)

    def position(self, column: str) -> int | None:
        """Return the position of a column's value in a row's values; ``None`` if there is no such column."""
        return len(self.columns) - 1 - self.columns[::-1].index(column) if column in self.columns else None

    @abstractmethod
    def renamed(self, names: Mapping[str, str]) -> Self:
        """Return the same rows, with other names for some columns.

        :param names: new names by old name; other columns keep their name.
        """

    @abstractmethod
    def values_at(self, position: int) -> list[Any]:
        """Return the values of one column."""


def renamed(rows: Sequence[Row], names: Mapping[str, str]) -> Sequence[Row]:
    """Return rows with other names for some columns.

    :param rows: a batch, or mappings of text to value.
    :param names: new names by old name; other columns keep their name.
    """
    if isinstance(rows, Batch):
        return rows.renamed(names)
    return [{names.get(column, column): value for column, value in row.items()} for row in rows]


class RowBatch(Batch):
    """Rows of one result: the column names once, and a tuple of values for each row.

    A row is turned into a mapping only when it is read: a million unchanged rows never are.

    :param columns: as in :class:`Batch`.
    :param values: from the driver, one sequence for each row.
    """

    __slots__ = ("values",)

    def __init__(self, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
        super().__init__(columns)
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> RowBatch: ...

    def __getitem__(self, index: int | slice) -> Row | RowBatch:
        if isinstance(index, slice):
            return RowBatch(self.columns, self.values[index])
        return dict(zip(self.columns, self.values[index], strict=True))

    def renamed(self, names: Mapping[str, str]) -> RowBatch:
        """Return the same rows, with other names for some columns."""
        return RowBatch([names.get(column, column) for column in self.columns], self.values)

    def values_at(self, position: int) -> list[Any]:
        """Return the values of one column."""
        return [row[position] for row in self.values]
