"""Databases that close the connection of an idle or slow reader, and a delivery that takes longer than they wait.

The source is read to its end and its connection is closed before the first contact is sent: the strict server holds its
first responses back while the database is asked for it. ``CONNECTIF_FULL_SIZE=1``: 6,000 rows and limits of two
seconds, as databases may have them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.databases.drivers import driver_of
from airflow_provider_connectif.databases.sql_source import SqlSource
from tests.support import http_cursor
from tests.support.journals import Process, deliver
from tests.support.mariadb import mariadb_server, what_is_missing
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run

ROWS, PATIENCE_S, WINDOW_S = (6000, 2.0, 15.0) if os.environ.get("CONNECTIF_FULL_SIZE") else (240, 1.0, 0.8)
"""How many rows, after how many seconds a database loses patience, and how long a window of Connectif is."""
WINDOWS = 4  # from the first request to the last one the windows alone take longer than a database waits
FILLER = 36_000_000 // ROWS  # bytes a row: the result does not fit into the buffers between MariaDB and its reader


@dataclass(frozen=True)
class SlowDatabase:
    """A database that loses patience with a reader.

    :param hook: makes its connections, as Airflow's does.
    :param sql: gives :data:`ROWS` contacts.
    :param has_reader: whether somebody is connected to read, by the database's own account.
    :param errors: of its driver.
    """

    hook: Any
    sql: str
    has_reader: Callable[[], bool]
    errors: type[Exception]


@contextlib.contextmanager
def postgres_that_closes(request: pytest.FixtureRequest) -> Iterator[SlowDatabase]:
    import psycopg
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    postgres = request.getfixturevalue("postgres")
    limits = f"-c idle_in_transaction_session_timeout={PATIENCE_S * 1000:.0f}"
    where = {"host": postgres.info.host, "login": postgres.info.user, "schema": postgres.info.dbname}
    extra = {"options": limits, "application_name": "reader"}
    request.getfixturevalue("connection")("slow", conn_type="postgres", **where, extra=extra)
    readers = "select count(*) from pg_stat_activity where application_name = 'reader'"
    yield SlowDatabase(
        PostgresHook("slow"),
        f"select 'user' || n || '@example.com' as email, n as visits, repeat('x', {FILLER}) as filler "
        f"from generate_series(1, {ROWS}) n",
        lambda: postgres.execute(readers).fetchone()[0] > 0,
        psycopg.Error,
    )


@pytest.fixture(scope="module")
def mariadb() -> Iterator[dict[str, Any]]:
    if missing := what_is_missing():
        pytest.skip(missing)
    # Not in pytest's folder, whose path is too long for a socket.
    with (
        tempfile.TemporaryDirectory(prefix="connectif-") as folder,
        mariadb_server(Path(folder), f"--net-write-timeout={PATIENCE_S:.0f}") as fields,
    ):
        yield fields


@contextlib.contextmanager
def mariadb_that_closes(request: pytest.FixtureRequest) -> Iterator[SlowDatabase]:
    fields = request.getfixturevalue("mariadb")
    import MySQLdb
    from airflow.providers.mysql.hooks.mysql import MySqlHook

    request.getfixturevalue("connection")("slow", **fields)
    with contextlib.closing(MySQLdb.connect(**fields["extra"], user=fields["login"], autocommit=True)) as observer:

        def has_reader() -> bool:
            cursor = observer.cursor()
            cursor.execute("select count(*) from information_schema.processlist where id <> connection_id()")
            return bool(cursor.fetchone()[0])

        yield SlowDatabase(
            MySqlHook("slow"),
            f"select concat('user', seq, '@example.com') as email, seq as visits, repeat('x', {FILLER}) as filler "
            f"from seq_1_to_{ROWS}",
            has_reader,
            MySQLdb.Error,
        )


@contextlib.contextmanager
def http_cursor_that_expires(request: pytest.FixtureRequest) -> Iterator[SlowDatabase]:
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    rows = [(f"user{n}@example.com", n, "x" * FILLER) for n in range(1, ROWS + 1)]
    database = http_cursor.HttpDatabase(("email", "visits", "filler"), rows, PATIENCE_S)
    # Airflow has to know a type of connection; this one's driver is another.
    request.getfixturevalue("connection")("slow", conn_type="sqlite", host="/unused")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setattr(SqliteHook, "get_conn", lambda _: http_cursor.Connection(database.server_address[1]))
    with database.serving():
        yield SlowDatabase(SqliteHook("slow"), "select", lambda: database.has_cursor, http_cursor.Error)


DATABASES = (postgres_that_closes, mariadb_that_closes, http_cursor_that_expires)


@pytest.fixture(params=DATABASES, ids=lambda database: database.__name__)
def database(request: pytest.FixtureRequest, airflow_db: None) -> Iterator[SlowDatabase]:
    with request.param(request) as slow:
        yield slow


# A reader that keeps its cursor while it waits; otherwise the tests below would show nothing.
def test_a_reader_that_waits_is_thrown_out(database: SlowDatabase) -> None:
    connection = database.hook.get_conn()
    cursor = driver_of(connection).streaming_cursor(connection)
    cursor.execute(database.sql)
    assert len(cursor.fetchmany(50)) == 50
    assert database.has_reader()
    until(lambda: not database.has_reader())
    with pytest.raises(database.errors):
        read_on(cursor)
    with contextlib.suppress(database.errors):  # there is nothing left to close
        connection.close()


def read_on(cursor: Any) -> None:
    while cursor.fetchmany(250):
        pass


def test_a_reader_whose_task_works_long_at_a_batch_keeps_its_cursor(database: SlowDatabase) -> None:
    batches = iter(SqlSource(database.hook, "slow", database.sql))
    assert next(batches) == []
    began = time.monotonic()
    until(lambda: time.monotonic() > began + 2 * PATIENCE_S)
    assert database.has_reader()
    assert sum(len(batch) for batch in batches) == ROWS
    until(lambda: not database.has_reader())


MODES: dict[str, dict[str, Any]] = {
    "without a journal": {"journal_conn_id": None},
    "with a journal": {},
    "deferrable": {"deferrable": True, "defer_after": timedelta(seconds=0.1)},
}


@pytest.mark.parametrize("mode", MODES)
def test_all_rows_are_delivered_in_one_attempt(
    mode: str, database: SlowDatabase, strict: StrictServer, connection: Callable[..., None], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    strict.reset(limit=ROWS // WINDOWS, window_s=WINDOW_S, headers="fraction", gate=str(gate))
    connection("connectif_default", **strict.connection(timeout=60))
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    source: dict[str, Any] = {"sql": database.sql, "sql_conn_id": "slow", "properties": {"visits": "visits"}}
    arguments = source | MODES[mode]

    process = Process(tmp_path, "night", **arguments)
    try:
        until(lambda: strict.received or process.has_ended(), within_s=60)
        assert strict.received, process.output()
        assert not database.has_reader()
        gate.unlink()
        end, deferrals = process.end(within_s=600), 0
    finally:
        process.kill()
    while end.state == "deferred":
        deferrals += 1
        until(lambda: time.time() > strict.windows[-1]["ends"])
        end = deliver("night", method="execute_complete", **arguments)
    assert (end.state, end.summary["created"]) == ("success", ROWS)
    assert strict.contacts == {f"user{n}@example.com": {"visits": n} for n in range(1, ROWS + 1)}
    assert len(strict.log) - sum(window["refused"] for window in strict.windows) == ROWS  # each contact once
    assert strict.windows[-1]["starts"] - strict.windows[0]["starts"] > PATIENCE_S
    assert bool(deferrals) is (mode == "deferrable")
    assert tries(end) == (None if mode == "without a journal" else 1)


def tries(end: Run) -> int | None:
    """How many attempts the delivery took, as the journal has it."""
    return end.summary.get("tries")
