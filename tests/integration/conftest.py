"""Fixtures of the tests against the strict server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.delivery import backoff
from tests.support.commands import Shown, run_command
from tests.support.journal_records import RecordedJournal
from tests.support.page_clients import page_client
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

FAST = 1_000_000
"""``requests_per_minute`` for a server that sends no headers to pace by."""
USUAL_DELAY_S = backoff.FIRST_DELAY_S


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come after a tenth of the usual delay; how delays grow is for ``tests/unit/test_backoff.py``."""
    monkeypatch.setattr(backoff, "FIRST_DELAY_S", USUAL_DELAY_S / 10)


@pytest.fixture
def usual_delays(_short_delays: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come after the usual delay: for tests of what happens between two of them."""
    monkeypatch.setattr(backoff, "FIRST_DELAY_S", USUAL_DELAY_S)


@pytest.fixture(scope="session")
def _strict_process() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


@pytest.fixture
def strict(_strict_process: StrictServer, connection: Callable[..., None]) -> Iterator[StrictServer]:
    """An empty strict server, fresh for each test, and the connection ``connectif_default`` to it, without pace.

    The test fails at its end if the server saw anything that the API's documents do not allow.
    """
    _strict_process.reset()
    connection("connectif_default", **_strict_process.connection(requests_per_minute=FAST, timeout=5))
    yield _strict_process
    _strict_process.check()


@pytest.fixture
def run(airflow_db: None) -> Callable[..., Run]:
    """Run a ContactPatchOperator in a task context that only has an XCom: quick, for many variants."""

    def _run(**arguments: Any) -> Run:
        return run_operator(**arguments)

    return _run


@pytest.fixture
def page_journal(tmp_path: Path, connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> RecordedJournal:
    """The journal that the Connectif page shows; its records are made up."""
    path = tmp_path / "page_journal.db"
    connection("page_journal", conn_type="sqlite", host=str(path), extra={"connectif_journal_secret": "pepper"})
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "page_journal")
    return RecordedJournal(sa.create_engine(f"sqlite:///{path}"))


@pytest.fixture
def client(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make a client of the Connectif page for a user who may read some DAGs; see ``page_client``."""
    return partial(page_client, monkeypatch)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], airflow_db: None) -> Callable[..., Shown]:
    """Run a command of the command line in this process."""
    return partial(run_command, capsys)


@pytest.fixture
def query(tmp_path: Path, connection: Callable[..., None]) -> Callable[..., list[str]]:
    """Makes a table of rows, and gives the arguments of a query of it."""
    path = tmp_path / "source.db"
    connection("source", conn_type="sqlite", host=str(path))

    def make(*rows: dict[str, Any]) -> list[str]:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("drop table if exists people")
            database.execute(f"create table people ({', '.join(columns)})")
            marks = ", ".join("?" * len(columns))
            database.executemany(
                f"insert into people values ({marks})", [[row.get(name) for name in columns] for row in rows]
            )
        return ["--sql", "select * from people", "--sql-conn-id", "source"]

    return make
