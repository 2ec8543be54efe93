"""The numbers that Connectif shows of an import."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_connectif.api.imports import Import


class Numbers(NamedTuple):
    """An import in numbers, which add up to the rows of its file.

    ``missing``: rows that are neither among the successes nor among the errors. ``is_trusted``: the numbers are
    there, and fit this file; otherwise all of its rows are missing.
    """

    taken: int
    refused: int
    missing: int
    is_trusted: bool

    @property
    def is_whole(self) -> bool:
        """Every row is accounted for."""
        return self.is_trusted and not self.missing


def numbers_of(one: Import, rows: int) -> Numbers:
    """The numbers of an import, whatever the response has of them.

    :param rows: of the file.
    """
    taken, refused = one.success, one.errors
    if taken is None or refused is None or one.total not in (rows, None) or taken + refused > rows:
        return Numbers(0, 0, rows, False)
    return Numbers(taken, refused, rows - taken - refused, True)
