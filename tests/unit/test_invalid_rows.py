"""The invalid rows of a contact in one column of its line: which ones it has, and which are known in a run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest

from airflow_provider_connectif.journal.invalid_rows import InvalidRows
from airflow_provider_connectif.journal.record_tables import LONGEST_DIGEST

A, B, C, D, E, F, G = (hashlib.blake2b(name.encode(), digest_size=16).hexdigest() for name in "ABCDEFG")


class Column:
    """The columns of a line over several runs: ``invalid_digest``, and the run that added the last row."""

    def __init__(self, value: str | None = None, run: str | None = None) -> None:
        self.value, self.run = value, run

    def known(self, run: str, rows: Sequence[str]) -> list[bool]:
        """Meet rows in a run; whether each of them is known."""
        known = []
        for digest in rows:
            rows_here, is_same_run = InvalidRows.of(self.value), self.run == run
            known.append(rows_here.is_known(digest, is_same_run=is_same_run))
            after = rows_here.plus(digest, is_same_run=is_same_run)
            assert InvalidRows.of(after.column) == after
            assert len(after.column) <= LONGEST_DIGEST
            if after != rows_here:
                self.value, self.run = after.column, run
        return known


def test_one_row_is_its_digest_as_in_lines_of_earlier_versions() -> None:
    column = Column()
    assert column.known("monday", [A, A]) == [False, False]
    assert (column.value, column.run) == (A, "monday")
    assert column.known("tuesday", [A]) == [True]
    assert (column.value, column.run) == (A, "monday")
    assert InvalidRows.of(None).column == InvalidRows.of("").column == ""


def test_a_single_digest_is_compared_as_a_whole() -> None:
    column = Column(A, "monday")
    assert column.known("tuesday", [A[:6] + B[6:]]) == [False]


def test_a_row_beside_the_one_of_an_earlier_version_is_added() -> None:
    column = Column(A, "monday")
    assert column.known("tuesday", [B, A]) == [False, True]
    assert column.value == f"~1{A[:6]}{B[:6]}"
    assert column.known("wednesday", [A, B, C]) == [True, True, False]


@pytest.mark.parametrize("rows", [[A, B], [A, B, C], [A, B, C, D, E], [A, B, A, B]])
def test_different_rows_are_new_once_and_the_column_stays(rows: list[str]) -> None:
    column = Column()
    assert not any(column.known("monday", rows))
    assert not any(column.known("monday", rows))  # a retry counts what the attempt before it has counted
    before = column.value, column.run
    for run in ("tuesday", "wednesday"):
        assert all(column.known(run, rows[::-1]))
    assert (column.value, column.run) == before


def test_rows_of_earlier_runs_stay_known_in_the_run_that_adds_one_and_in_its_retry() -> None:
    column = Column()
    column.known("monday", [A, B])
    for _ in range(2):
        assert column.known("tuesday", [A, C, B, D]) == [True, False, True, False]
    assert column.known("wednesday", [D, C, B, A]) == [True] * 4


def test_a_sixth_row_takes_the_place_of_the_oldest_one() -> None:
    column = Column()
    for number, digest in enumerate((A, B, C, D, E, F, G)):
        for _ in range(2):  # a row that changes each night is new each night, and in the retry of that night
            assert column.known(f"night {number}", [digest]) == [False]
    assert column.known("the next night", [G, F, E, D, C]) == [True] * 5
    assert column.known("the next night", [A]) == [False]


def test_if_one_run_meets_more_than_five_each_further_row_is_known_from_the_next_run_on() -> None:
    column = Column()
    for _ in range(2):
        assert not any(column.known("monday", [A, B, C, D, E, F, G]))
    before = column.value, column.run
    assert column.known("tuesday", [A, B, C, D, E, F, G]) == [True] * 7
    assert (column.value, column.run) == before


def test_rows_that_come_one_by_one_until_they_are_too_many_are_known_in_the_end() -> None:
    column = Column()
    column.known("monday", [A, B, C])
    column.known("tuesday", [A, B, C, D, E, F])
    column.known("wednesday", [A, B, C, D, E, F])
    for run in ("thursday", "friday"):
        assert all(column.known(run, [A, B, C, D, E, F]))
