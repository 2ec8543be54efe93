"""The forms of fetched rows: their size in bytes, and their conversion to a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from airflow_provider_connectif.records.rows import Row, RowBatch, weight_of_row, weight_of_rows, without_marks


class RowForm(Protocol):
    """The form in which a cursor returns rows."""

    def weight_of(self, rows: Sequence[Any]) -> int:
        """Return about how many bytes fetched rows take."""

    def batch_of(self, columns: Sequence[str], rows: Sequence[Any]) -> Sequence[Row]:
        """Convert fetched rows to a batch.

        :param columns: the column names, in the order of the values; not used if the rows are mappings.
        :param rows: one row or more, as the cursor has returned them.
        """


class ValueForm:
    """Rows of values that a driver has converted; or mappings, which some connections request from their driver."""

    def weight_of(self, rows: Sequence[Any]) -> int:
        """Return about how many bytes fetched rows take."""
        if rows and isinstance(rows[0], Mapping):
            return sum(map(weight_of_row, rows))
        return weight_of_rows(rows)

    def batch_of(self, columns: Sequence[str], rows: Sequence[Any]) -> Sequence[Row]:
        """Convert fetched rows to a batch.

        :param columns: the column names, in the order of the values; not used if the rows are mappings.
        :param rows: one row or more, as the cursor has returned them.
        """
        return without_marks(rows) if isinstance(rows[0], Mapping) else RowBatch(columns, rows)


VALUES = ValueForm()


def form_of_values(_cursor: Any) -> RowForm:
    """Return the form of rows whose values the driver has converted: that of most drivers, for every cursor."""
    return VALUES
