"""Databases that close the connection of an idle or slow reader, and a delivery that takes longer than they wait.

The source is read to its end and its connection is closed before the first contact is sent: the strict server holds its
first responses back while the database is asked for it. The ordinary run takes a few hundred rows and short limits;
``make test-all`` also takes 6,000 rows and limits of two seconds, as databases may have them.
"""

from __future__ import annotations

import contextlib
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
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run

WINDOWS = 4  # from the first request to the last one the windows alone take longer than a database waits
RESULT_BYTES = 36_000_000  # more than fits into the buffers between MariaDB and its reader


@dataclass(frozen=True)
class Size:
    """How much is read, and how little patience there is.

    :param rows: of the source.
    :param patience_s: seconds after which the database closes the connection of a reader.
    :param window_s: of Connectif's rate limit; a quarter of the rows is sent in each window.
    """

    rows: int
    patience_s: float
    window_s: float

    @property
    def filler(self) -> int:
        """Bytes of a row that are not sent."""
        return RESULT_BYTES // self.rows


SIZES = (
    pytest.param(Size(240, 1.0, 0.8), id="240 rows"),
    pytest.param(Size(6000, 2.0, 10.0), id="6000 rows", marks=pytest.mark.full_size),
)


@dataclass(frozen=True)
class SlowDatabase:
    """A database that loses patience with a reader.

    :param hook: makes its connections, as Airflow's does.
    :param sql: gives the contacts.
    :param has_reader: whether somebody is connected to read, by the database's own account.
    :param errors: of its driver.
    """

    hook: Any
    sql: str
    has_reader: Callable[[], bool]
    errors: type[Exception]


@contextlib.contextmanager
def postgres_that_closes(request: pytest.FixtureRequest, size: Size) -> Iterator[SlowDatabase]:
    import psycopg
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    postgres = request.getfixturevalue("postgres")
    limits = f"-c idle_in_transaction_session_timeout={size.patience_s * 1000:.0f}"
    where = {"host": postgres.info.host, "login": postgres.info.user, "schema": postgres.info.dbname}
    extra = {"options": limits, "application_name": "reader"}
    request.getfixturevalue("connection")("slow", conn_type="postgres", **where, extra=extra)
    readers = "select count(*) from pg_stat_activity where application_name = 'reader'"
    yield SlowDatabase(
        PostgresHook("slow"),
        f"select 'user' || n || '@example.com' as email, n as visits, repeat('x', {size.filler}) as filler "
        f"from generate_series(1, {size.rows}) n",
        lambda: postgres.execute(readers).fetchone()[0] > 0,
        psycopg.Error,
    )


@contextlib.contextmanager
def mariadb_that_closes(request: pytest.FixtureRequest, size: Size) -> Iterator[SlowDatabase]:
    fields = request.getfixturevalue("mariadb")
    import MySQLdb
    from airflow.providers.mysql.hooks.mysql import MySqlHook

    request.getfixturevalue("connection")("slow", **fields)
    with contextlib.closing(MySQLdb.connect(**fields["extra"], user=fields["login"], autocommit=True)) as observer:
        observer.cursor().execute(f"set global net_write_timeout = {size.patience_s:.0f}")  # of connections from now on

        def has_reader() -> bool:
            cursor = observer.cursor()
            cursor.execute("select count(*) from information_schema.processlist where id <> connection_id()")
            return bool(cursor.fetchone()[0])

        yield SlowDatabase(
            MySqlHook("slow"),
            f"select concat('user', seq, '@example.com') as email, seq as visits, repeat('x', {size.filler}) as filler "
            f"from seq_1_to_{size.rows}",
            has_reader,
            MySQLdb.Error,
        )


@contextlib.contextmanager
def http_cursor_that_expires(request: pytest.FixtureRequest, size: Size) -> Iterator[SlowDatabase]:
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    rows = [(f"user{n}@example.com", n, "x" * size.filler) for n in range(1, size.rows + 1)]
    database = http_cursor.HttpDatabase(("email", "visits", "filler"), rows, size.patience_s)
    # Airflow has to know a type of connection; this one's driver is another.
    request.getfixturevalue("connection")("slow", conn_type="sqlite", host="/unused")
    patch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    patch.setattr(SqliteHook, "get_conn", lambda _: http_cursor.Connection(database.server_address[1]))
    with database.serving():
        yield SlowDatabase(SqliteHook("slow"), "select", lambda: database.has_cursor, http_cursor.Error)


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> Size:
    return request.param


DATABASES = (postgres_that_closes, mariadb_that_closes, http_cursor_that_expires)


@pytest.fixture(params=DATABASES, ids=lambda database: database.__name__)
def database(request: pytest.FixtureRequest, size: Size, airflow_db: None) -> Iterator[SlowDatabase]:
    with request.param(request, size) as slow:
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


@pytest.mark.sampled(1)
def test_a_reader_whose_task_works_long_at_a_batch_keeps_its_cursor(database: SlowDatabase, size: Size) -> None:
    batches = iter(SqlSource(database.hook, "slow", database.sql))
    assert next(batches) == []
    began = time.monotonic()
    until(lambda: time.monotonic() > began + 2 * size.patience_s)
    assert database.has_reader()
    assert sum(len(batch) for batch in batches) == size.rows
    until(lambda: not database.has_reader())


DEFERRABLE: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.1)}
MODES: dict[str, dict[str, Any]] = {
    "without a journal": {"journal_conn_id": None},
    # As Airflow's default_deferrable makes every task; with deferrable=True the operator asks for a journal.
    "deferrable, without a journal": {"journal_conn_id": None, "deferrable": None},
    "with a journal": {},
    "deferrable": DEFERRABLE,
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_all_rows_are_delivered_in_one_attempt(
    mode: str,
    database: SlowDatabase,
    size: Size,
    strict: StrictServer,
    connection: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "deferrable" in mode:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    gate = tmp_path / "gate"
    gate.touch()
    strict.reset(limit=size.rows // WINDOWS, window_s=size.window_s, headers="fraction", gate=str(gate))
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
    assert (end.state, end.summary["created"]) == ("success", size.rows)
    assert strict.contacts == {f"user{n}@example.com": {"visits": n} for n in range(1, size.rows + 1)}
    assert len(strict.log) - sum(window["refused"] for window in strict.windows) == size.rows  # each contact once
    assert strict.windows[-1]["starts"] - strict.windows[0]["starts"] > size.patience_s
    assert bool(deferrals) is (mode == "deferrable")
    assert tries(end) == (None if "without a journal" in mode else 1)


def tries(end: Run) -> int | None:
    """How many attempts the delivery took, as the journal has it."""
    return end.summary.get("tries")
