"""Batches of rows as texts of a database, which become values only when somebody looks at a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, overload

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

    def loader(self, position: int) -> Callable[[bytes], Any]:
        """Makes a value of a text of one column; an :class:`UnreadableValue` where that cannot be."""


class RowForm(NamedTuple):
    """What makes rows of the texts of one result: the names of the columns, and their conversion."""

    columns: Sequence[str]
    converted: RawValues

    def place_of(self, column: str) -> int:
        """Where a column's text stands in a row.

        :raises KeyError: there is no such column.
        """
        if column not in self.columns:
            raise KeyError(column)
        return len(self.columns) - 1 - self.columns[::-1].index(column)


class RawRow(Mapping[str, Any]):
    """A row as texts, which become values when somebody asks for one.

    :param form: makes values of the texts.
    :param texts: one a column.
    """

    __slots__ = ("_values", "form", "texts")

    def __init__(self, form: RowForm, texts: Texts) -> None:
        self.form = form
        self.texts = texts
        self._values: dict[str, Any] | None = None

    def __getitem__(self, column: str) -> Any:
        return self._all()[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Any]:
        if self._values is None:
            self._values = dict(zip(self.form.columns, self.form.converted.row(self.texts), strict=True))
        return self._values


class RawBatch(Batch):
    """Rows of one result as texts. A row becomes a mapping of values each time that it is asked for.

    :param columns: their names; where one stands twice, the last one counts, as in a mapping.
    :param texts: of the rows.
    :param converted: makes values of them.
    """

    __slots__ = ("_form", "converted", "texts")

    def __init__(self, columns: Sequence[str], texts: Sequence[Texts], converted: RawValues) -> None:
        super().__init__(columns)
        self.texts = texts
        self.converted = converted
        self._form = RowForm(self.columns, converted)

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> RawBatch: ...

    def __getitem__(self, index: int | slice) -> Row | RawBatch:
        if isinstance(index, slice):
            return RawBatch(self.columns, self.texts[index], self.converted)
        return RawRow(self._form, self.texts[index])

    def renamed(self, names: Mapping[str, str]) -> RawBatch:
        """The same rows, with other names for some columns."""
        return RawBatch([names.get(column, column) for column in self.columns], self.texts, self.converted)

    def values_at(self, position: int) -> list[Any]:
        """The values of one column."""
        return self.converted.column(self.texts, position)


def joined(texts: Texts) -> bytes:
    """Texts in one, which is another one for all others; behind two separators follow the places of NULLs, if any.

    No text has a NUL byte, so that the separators say how many texts there are.
    """
    if all(texts):
        return b"\0".join(texts)  # type: ignore[arg-type]  # none of them is None
    whole = b"\0".join([text or b"" for text in texts])
    nulls = [place for place, text in enumerate(texts) if text is None]
    return whole + f"\0\0{nulls}".encode() if nulls else whole


def parted(whole: bytes, columns: int) -> Texts:
    """The texts that :func:`joined` has made one.

    :param columns: how many there are.
    """
    texts: list[bytes | None] = [*whole.split(b"\0")]
    if len(texts) == columns:
        return texts
    places: list[int] = json.loads(texts[-1] or b"")
    del texts[columns:]
    for place in places:
        texts[place] = None
    return texts
