"""Batches of rows as the database's texts, which are converted to values only when a row is used."""

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
    """The type of each column; ``None`` if code of the DAG's author converts, so that the same text may become another
    value."""
    settings: tuple[str, ...]
    """Other settings that decide which value a text becomes."""

    def row(self, raw: Texts) -> Sequence[Any]:
        """Return the values of a row; an :class:`UnreadableValue` for each that cannot be converted."""

    def column(self, rows: Iterable[Texts], position: int) -> list[Any]:
        """Return the values of one column."""

    def loader(self, position: int) -> Callable[[bytes], Any]:
        """Return a function that converts the texts of one column; it returns an :class:`UnreadableValue` for
        a text that cannot be converted.
        """


class RowForm(NamedTuple):
    """The form of the rows of one result: the column names, and the conversion of their texts."""

    columns: Sequence[str]
    converted: RawValues

    def place_of(self, column: str) -> int:
        """Return the position of a column's text in a row.

        :raises KeyError: there is no such column.
        """
        if column not in self.columns:
            raise KeyError(column)
        return len(self.columns) - 1 - self.columns[::-1].index(column)


class RawRow(Mapping[str, Any]):
    """A row as texts. All of them are converted when a value is read for the first time.

    :param form: the column names, and the conversion of the texts.
    :param texts: one for each column.
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
    """Rows of one result as texts. A row is converted to a mapping of values each time it is read.

    :param columns: their names; if a name occurs twice, the last one counts, as in a mapping.
    :param texts: the texts of each row.
    :param converted: converts texts to values.
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
        """Return the same rows, with other names for some columns."""
        return RawBatch([names.get(column, column) for column in self.columns], self.texts, self.converted)

    def values_at(self, position: int) -> list[Any]:
        """Return the values of one column."""
        return self.converted.column(self.texts, position)


def packed(texts: Texts) -> bytes:
    """Pack the texts of a row into one, with a NUL byte between two texts; :func:`unpacked` unpacks it.

    No text has a NUL byte, so each row has a result of its own. If a column is NULL, two NUL bytes and the positions of
    all such columns follow.
    """
    if all(texts):
        return b"\0".join(texts)  # type: ignore[arg-type]  # none of them is None
    whole = b"\0".join([text or b"" for text in texts])
    nulls = [place for place, text in enumerate(texts) if text is None]
    return whole + f"\0\0{nulls}".encode() if nulls else whole


def unpacked(whole: bytes, columns: int) -> Texts:
    """Return the texts of a row that :func:`packed` has packed: bytes for each column, ``None`` for NULL.

    :param columns: the number of columns.
    """
    texts: list[bytes | None] = [*whole.split(b"\0")]
    if len(texts) == columns:
        return texts
    places: list[int] = json.loads(texts[-1] or b"")
    del texts[columns:]
    for place in places:
        texts[place] = None
    return texts
