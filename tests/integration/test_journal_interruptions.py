"""A time limit while PostgreSQL is asked: the driver's clean-up fails, and the time limit still ends the task."""

from __future__ import annotations

import signal

import pytest

from airflow_provider_connectif.databases.journals import engine_of_existing
from airflow_provider_connectif.databases.read_errors import broken_setting
from airflow_provider_connectif.journal.database import JournalDatabase
from tests.support.journals import journal_database

pytestmark = [pytest.mark.versions, pytest.mark.slow]


class TimeLimit(BaseException):
    """As Airflow's, whose class depends on its version."""


def interrupt(*_: object) -> None:
    raise TimeLimit


def test_a_time_limit_while_a_connection_is_checked_ends_the_task_itself(
    request: pytest.FixtureRequest, airflow_db: None
) -> None:
    journal_database("postgres", request)
    engine = engine_of_existing("journal")
    engine.connect().close()  # a new connection is not checked
    # psycopg cannot change the mode of a connection whose statement is still running.
    engine.dialect._dialect_specific_select_one = "select pg_sleep(0.3)"
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeLimit):
            JournalDatabase(engine, "connectif_journal", broken_setting=broken_setting).create()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        engine.dispose()
