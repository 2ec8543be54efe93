"""The reasons of a run: of the history where it is complete, otherwise of the run's record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal.overview import run_of
from airflow_provider_connectif.journal.overview_reasons import Reasons, reasons_of
from tests.support.journal_records import RecordedJournal

NIGHTLY = "nightly.contacts"
Lines = Sequence[tuple[str | None, str, str | None]]


@pytest.fixture
def journal() -> Iterator[RecordedJournal]:
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    yield RecordedJournal(engine)
    engine.dispose()


def reasons(journal: RecordedJournal, lines: Lines, of_run: Mapping[str, int], **counts: int) -> Reasons:
    key = journal.add_run(reasons=of_run, **counts)
    if lines:
        journal.add_outcomes(key, NIGHTLY, lines)
    with journal.engine.connect() as database:
        run = run_of(database, journal.tables, "nightly", "scheduled__1", "contacts", -1)
        assert run is not None
        return reasons_of(database, journal.tables, run)


def test_a_complete_history_counts(journal: RecordedJournal) -> None:
    lines = [("a", "invalid", "x; y"), ("b", "invalid", "x"), ("c", "invalid", "x"), ("d", "undelivered", None)]
    found = reasons(journal, lines, {"x": 3, "y": 1}, invalid=3, undelivered=1)
    assert [entry[:3] for entry in found.counts] == [
        ("invalid", "x", 2),
        ("invalid", "x; y", 1),
        ("undelivered", "", 1),
    ]
    assert (found.more, found.rows_without) == (0, 0)


def test_the_record_counts_for_an_outcome_that_is_not_listed_completely(journal: RecordedJournal) -> None:
    lines = [("a", "invalid", "x; y"), ("b", "invalid", "x"), ("c", "rejected", "x"), ("d", "rejected", "z")]
    found = reasons(journal, lines, {"x": 21, "y": 8, "z": 1, "w": 2}, invalid=20, rejected=2)
    assert list(found.counts) == [
        ("invalid", "x", 20, True),
        ("invalid", "y", 8, False),
        ("invalid", "w", 2, False),
        ("rejected", "x", 1, True),
        ("rejected", "z", 1, True),
    ]
    assert found.rows_without == 0


def test_after_the_history_the_record_counts(journal: RecordedJournal) -> None:
    found = reasons(journal, [], {"x": 5, "skipped: HTTP 409": 4}, invalid=3, rejected=4, skipped=4)
    assert list(found.counts) == [("", "x", 5, False), ("skipped", "skipped: HTTP 409", 4, False)]
    assert found.rows_without == 2


def test_further_reasons_are_counted(journal: RecordedJournal) -> None:
    lines = [(f"{number}", "rejected", f"reason {number}") for number in range(59)]
    found = reasons(journal, [*lines, ("held", "held", "reason")], {"reason 1": 1}, rejected=59, held=1)
    assert (len(found.counts), found.more, found.rows_without) == (50, 10, 0)
