"""The waits of the journal's database: short ones, and not for ever."""

from __future__ import annotations

from collections.abc import Callable

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
