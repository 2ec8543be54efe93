"""Batches of rows as a database hands them over."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

Row = Mapping[str, Any]

BATCH_BYTES = 8 * 1024 * 1024
"""Bytes of rows that one stage holds before it waits for the next one; a single larger row is taken all the same."""
_SMALL = 32  # bytes of a number, a date, a boolean, near enough
_DEEPEST = 4


def weight_of(values: Iterable[Any], depth: int = 0) -> int:
    """About how many bytes values take in memory; exact for texts, which are what makes rows large."""
    weight = 0
    for value in values:
        kind = type(value)
        if kind is str or kind is bytes or kind is bytearray:
            weight += sys.getsizeof(value)
        elif kind is dict and depth < _DEEPEST:
            weight += weight_of(value.values(), depth + 1)
        elif (kind is list or kind is tuple) and depth < _DEEPEST:
            weight += weight_of(value, depth + 1)
        elif kind is memoryview:
            weight += value.nbytes
        else:
            weight += _SMALL
    return weight


def weight_of_row(row: object) -> int:
    """About how many bytes a row takes, whatever it is."""
    if isinstance(row, Mapping):
        return weight_of(row.values())
    return weight_of((row,))


# U+FEFF, and its three bytes where they were read as Latin-1 or Windows-1252.
_BYTE_ORDER_MARKS = ("\ufeff", "\u00ef\u00bb\u00bf")


def without_mark(column: str) -> str:
    """A column's name without the byte order mark that files of other programs begin with."""
    for mark in _BYTE_ORDER_MARKS:
        column = column.removeprefix(mark)
    return column


def without_marks(rows: Sequence[Any]) -> Sequence[Any]:
    """Rows whose first column's name has no byte order mark; the same list where none has one."""
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


class RowBatch(Sequence[Row]):
    """Rows of one result: the columns once, and a tuple of values a row.

    A row becomes a mapping only when somebody looks at it: of a million rows that did not change, nobody does.

    :param columns: their names; where one stands twice, the last one counts, as in a mapping.
    :param values: as the driver gave them, one sequence a row.
    """

    __slots__ = ("columns", "values")

    def __init__(self, columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
        self.columns = tuple(columns)
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

    def position(self, column: str) -> int | None:
        """Where a column's value stands in each row, ``None`` where there is no such column."""
        return len(self.columns) - 1 - self.columns[::-1].index(column) if column in self.columns else None
