"""Rows as a cursor fetches them: how many bytes they take, and how they become a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from airflow_provider_connectif.records.rows import Row, RowBatch, weight_of_row, weight_of_rows, without_marks


class RowForm(Protocol):
    """The form in which a cursor hands over rows."""

    def weight_of(self, rows: Sequence[Any]) -> int:
        """About how many bytes fetched rows take."""

    def batch_of(self, columns: Sequence[str], rows: Sequence[Any]) -> Sequence[Row]:
        """A batch of fetched rows, one at least."""


class ValueForm:
    """Rows of values, as drivers convert them; or mappings, for which some connections ask their driver."""

    def weight_of(self, rows: Sequence[Any]) -> int:
        """About how many bytes fetched rows take."""
        if rows and isinstance(rows[0], Mapping):
            return sum(map(weight_of_row, rows))
        return weight_of_rows(rows)

    def batch_of(self, columns: Sequence[str], rows: Sequence[Any]) -> Sequence[Row]:
        """A batch of fetched rows, one at least."""
        return without_marks(rows) if isinstance(rows[0], Mapping) else RowBatch(columns, rows)


VALUES = ValueForm()


def form_of_values(_cursor: Any) -> RowForm:
    """The form of rows of most drivers."""
    return VALUES
