"""The error for a fault of a resource at a row: it names the row and the line of code, and quotes no value."""

from __future__ import annotations

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.reporting.formats import one
from airflow_provider_connectif.reporting.places import place_of


class RowFailed(RunFailed):
    """A method of the resource raised an error that says nothing about the row; nothing was sent.

    :param noun: the noun of the resource.
    :param rows: the number of the row, or the numbers of the rows of which one failed.
    :param error: the error. Its text may quote a value, and is left out. Raise this error ``from`` it.
    """

    def __init__(self, noun: str, rows: range, error: Exception) -> None:
        which = f"row {rows[0]:,}" if len(rows) == 1 else f"one of rows {rows[0]:,} to {rows[-1]:,}"
        super().__init__(
            f"preparing {which} as {one(noun)} failed with {type(error).__name__}{place_of(error.__traceback__)}. "
            "Its message may quote a value and is not shown; nothing was sent"
        )
