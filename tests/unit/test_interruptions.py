"""A time limit or Ctrl-C at a bad moment: it ends the task itself, and nothing is left behind."""

from __future__ import annotations

import itertools
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from airflow_provider_connectif.databases.read_errors import broken_setting
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.journal.pending_file import PendingFile
from airflow_provider_connectif.records.outcomes import JournalError

PREFIX = "connectif-test-"


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


def interrupt_everywhere(action: Callable[[], None]) -> Iterator[int]:
    """Run an action again and again, and interrupt it at its first call, its second one, and so on.

    Python handles a signal where a function of Python begins, and where one of C returns.
    """
    for place in itertools.count(1):
        left = iter(range(1, place))

        def interrupt(_: Any, event: str, __: Any, left: Iterator[int] = left) -> None:
            if event in ("call", "c_return") and next(left, None) is None:
                sys.setprofile(None)
                raise TimeLimit

        try:
            sys.setprofile(interrupt)
            action()
            sys.setprofile(None)
            return
        except TimeLimit:
            pass
        yield place


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_leaves_no_file_of_pending_changes(tmp_path: Path) -> None:
    places = 0
    for places in interrupt_everywhere(lambda: PendingFile(tmp_path, 1_000_000).close()):
        assert list(tmp_path.iterdir()) == [], places
    assert places > 5


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_leaves_no_folder_that_the_next_process_does_not_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def use() -> None:
        with work_folder(PREFIX) as folder:
            (folder / "1.csv").touch()

    places = 0
    for places in interrupt_everywhere(use):
        with work_folder(PREFIX) as folder:
            assert list(tmp_path.iterdir()) == [folder], places
    assert places > 20
