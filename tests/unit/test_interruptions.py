"""A time limit or Ctrl-C at a bad moment: it ends the task itself, and nothing is left behind."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from airflow_provider_connectif.databases.read_errors import broken_setting
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.records.outcomes import JournalError


class TimeLimit(BaseException):
    """As Airflow's, whose class depends on its version."""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """It checks pooled connections before their use, as the journal's engine does."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'journal.db'}", poolclass=QueuePool, pool_pre_ping=True)
    engine.connect().close()  # a new connection is not checked
    yield engine
    engine.dispose()


def interrupt_check(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time limit interrupt the next check of a connection, whose clean-up then fails, as psycopg's does."""

    def interrupted(*_: Any) -> bool:
        monkeypatch.undo()
        try:
            raise TimeLimit
        finally:
            raise sqlite3.ProgrammingError("can't change 'autocommit' now: connection in transaction status ACTIVE")

    monkeypatch.setattr(engine.dialect, "do_ping", interrupted)


def test_a_time_limit_while_the_journal_is_opened_is_no_wrong_setting(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = JournalDatabase(engine, "journal", broken_setting=broken_setting)
    interrupt_check(engine, monkeypatch)
    with pytest.raises(TimeLimit) as ended:
        journal.create()
    assert ended.value.__context__ is None


def test_a_time_limit_while_the_tables_are_created_does_not_count_as_another_task(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = JournalDatabase(engine, "journal")
    migrate = journal._migrate

    def interrupted(version: int | None) -> None:
        interrupt_check(engine, monkeypatch)
        migrate(version)

    monkeypatch.setattr(journal, "_migrate", interrupted)
    with pytest.raises(TimeLimit):
        journal.create()


def test_a_time_limit_while_the_faults_of_tables_are_searched_ends_the_search(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = JournalDatabase(engine, "journal")

    def no_table() -> None:
        interrupt_check(engine, monkeypatch)
        raise sa.exc.NoSuchTableError("journal")

    with pytest.raises(TimeLimit):
        journal.guarded(no_table)


def test_an_error_while_a_time_limit_is_handled_is_an_error_of_the_database(engine: sa.Engine) -> None:
    journal = JournalDatabase(engine, "journal")
    try:
        raise TimeLimit
    except TimeLimit:
        with pytest.raises(JournalError):  # so the rest of the clean-up follows
            journal.execute(sa.text("delete from nowhere"))


def test_the_end_of_a_generator_is_no_interruption(engine: sa.Engine) -> None:
    def rows() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            raise sa.exc.InvalidRequestError

    def read_one() -> None:
        made = rows()
        next(made)
        made.close()

    with pytest.raises(JournalError):
        JournalDatabase(engine, "journal").guarded(read_one)


def test_a_claim_whose_thread_was_not_started_is_released(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = JournalDatabase(engine, "journal")
    journal.create()
    lease = Lease(engine, journal.tables, "nightly", "monday", "patch")

    def interrupted(_: threading.Thread) -> None:
        raise TimeLimit

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(TimeLimit):
        lease.take()
    monkeypatch.undo()
    lease.release()
    assert journal.rows(sa.select(journal.tables.claims)) == []
    journal.close()
