"""Batches of rows as a database hands them over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, overload

Row = Mapping[str, Any]


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
