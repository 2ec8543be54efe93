"""The waits of the journal's database: short ones, and not for ever."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.records.outcomes import JournalError
from tests.support.clock import FakeClock


class Deadlock(Exception):
    sqlstate = "40P01"


def database(clock: FakeClock) -> JournalDatabase:
    return JournalDatabase(sa.create_engine("postgresql+psycopg2://"), "journal", clock=clock)


def failing(times: int) -> Callable[[], str]:
    """An action that a deadlock ends so many times."""
    left = iter(range(times))

    def action() -> str:
        if next(left, None) is None:
            return "written"
        raise sa.exc.OperationalError("update", {}, Deadlock())

    return action


def test_a_transaction_that_a_deadlock_has_ended_is_repeated_after_a_moment() -> None:
    clock = FakeClock()
    assert database(clock).guarded(failing(3)) == "written"
    assert len(clock.slept) == 3
    assert max(clock.slept) <= 0.2


def test_deadlocks_without_an_end_end_the_task() -> None:
    with pytest.raises(JournalError, match="40P01") as ended:
        database(FakeClock()).guarded(failing(100))
    assert not ended.value.final


def test_a_full_disk_under_a_journal_of_sqlite_is_named_when_the_run_writes(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'journal.db'}")
    journal = JournalDatabase(engine, "journal")
    journal.create()
    journal.note_open()
    engine.dispose()
    sa.event.listen(engine, "connect", lambda made, _: made.execute("pragma max_page_count = 1"))  # the present size
    add = sa.text("insert into journal_meta (name, value) values (:name, 1)").bindparams(name="ana" * 50_000)
    with pytest.raises(JournalError, match=r"failed \(OperationalError, database or disk is full\): changes ") as error:
        journal.execute(add)
    assert "ana" not in str(error.value)
    assert not error.value.final
    engine.dispose()
