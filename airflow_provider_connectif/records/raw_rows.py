"""Batches of rows as texts of a database, which become values only when somebody looks at a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, overload

from airflow_provider_connectif.records.rows import Batch, Row

Texts = Sequence[bytes | None]
"""A row: one text a column, ``None`` for NULL. No text has a NUL byte."""


class RawValues(Protocol):
    """Converts texts to values."""

    types: Sequence[int] | None
    """The type of each column. ``None``: an author's code converts, so that the same text may become another value."""
    settings: tuple[str, ...]
    """What else decides which value a text becomes."""

    def row(self, raw: Texts) -> Sequence[Any]:
        """The values of a row; an :class:`UnreadableValue` for each that cannot be converted."""

    def column(self, rows: Iterable[Texts], position: int) -> list[Any]:
        """The values of one column."""


class RawBatch(Batch):
    """Rows of one result as texts. A row becomes a mapping of values each time that it is asked for.

    :param columns: their names; where one stands twice, the last one counts, as in a mapping.
    :param texts: of the rows.
    :param converted: makes values of them.
    """

    __slots__ = ("converted", "texts")

    def __init__(self, columns: Sequence[str], texts: Sequence[Texts], converted: RawValues) -> None:
        super().__init__(columns)
        self.texts = texts
        self.converted = converted

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> RawBatch: ...

    def __getitem__(self, index: int | slice) -> Row | RawBatch:
        if isinstance(index, slice):
            return RawBatch(self.columns, self.texts[index], self.converted)
        return dict(zip(self.columns, self.converted.row(self.texts[index]), strict=True))

    def renamed(self, names: Mapping[str, str]) -> RawBatch:
        """The same rows, with other names for some columns."""
        return RawBatch([names.get(column, column) for column in self.columns], self.texts, self.converted)

    def values_at(self, position: int) -> list[Any]:
        """The values of one column."""
        return self.converted.column(self.texts, position)
