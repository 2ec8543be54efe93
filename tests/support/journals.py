"""Journals in real databases, runs of a DAG that keep one, and processes that can be killed.

With ``CONNECTIF_DATABASES=all`` every test runs on every database that there is on this machine, and not only those of
what differs between them; with names of databases, such as ``mysql`` or ``sqlite,postgres``, on these. ``mysql`` is a
MariaDB that the tests start. Or it is the server whose Airflow connection ``CONNECTIF_MYSQL`` holds as JSON, its
``schema`` a database that may be dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import mariadb
from tests.support.strict_server import until
from tests.support.task_logs import unfolded
from tests.support.task_runs import Run, run_operator

_ASKED_FOR = os.environ.get("CONNECTIF_DATABASES", "")
_ALL = ("sqlite", "postgres", *([] if mariadb.what_is_missing() else ["mysql"]))
DATABASES = {"": ("sqlite", "postgres"), "all": _ALL}.get(_ASKED_FOR) or tuple(_ASKED_FOR.split(","))
"""For tests of what differs between databases: statements, locks, errors, clocks."""
TABLES = (
    "connectif_journal",
    *(f"connectif_journal_{name}" for name in ("syncs", "claims", "runs", "plans", "pending", "meta")),
    *(f"connectif_journal_{name}" for name in ("outcomes", "suppressed", "receipts", "rejects_files")),
)


def usually(kind: str) -> tuple[str, ...]:
    """The databases for tests of what is the same in all: one of them, and those that were asked for."""
    return DATABASES if _ASKED_FOR else (kind,)


class JournalDatabase:
    """An empty database and the connection to it, looked at from outside.

    :param kind: one of :data:`DATABASES`.
    :param conn_id: the Airflow connection.
    :param query: runs SQL and returns its rows.
    """

    def __init__(self, kind: str, conn_id: str, query: Callable[[str], list[tuple[Any, ...]]]) -> None:
        self.kind = kind
        self.conn_id = conn_id
        self.query = query

    def acknowledged(self) -> set[str]:
        """The contact keys that the journal calls acknowledged."""
        return {key for (key,) in self.query("select contact_key from connectif_journal where state = 'acknowledged'")}

    def text(self) -> str:
        """Everything that the journal's tables hold, as text."""
        rows = (row for table in TABLES for row in self.query(f"select * from {table}"))
        return "\n".join(repr([value.hex() if isinstance(value, bytes) else value for value in row]) for row in rows)

    def pending(self) -> int:
        """How many patches the journal's database holds for somebody to send."""
        ((count,),) = self.query("select count(*) from connectif_journal_pending")
        return count


def journal_database(kind: str, request: pytest.FixtureRequest, **extra: Any) -> JournalDatabase:
    """A journal's database of one of :data:`DATABASES`; ``extra`` goes into its connection."""
    if kind == "postgres":
        postgres = request.getfixturevalue("postgres")
        fields = json.loads(os.environ["AIRFLOW_CONN_POSTGRES"])
        request.getfixturevalue("connection")("journal", **fields, extra=extra)
        return JournalDatabase(kind, "journal", lambda sql: _rows_of_postgres(postgres, sql))
    if kind == "mysql":
        server = request.getfixturevalue("mariadb")
        fields = server | {"schema": "journal", "extra": server["extra"] | extra}
        request.getfixturevalue("connection")("journal", **fields)
        _rows_of_mysql(server, "drop database if exists journal")
        # Latin letters by default, as an old server has them: the journal's own columns must not depend on it.
        _rows_of_mysql(server, "create database journal character set latin1")
        return JournalDatabase(kind, "journal", partial(_rows_of_mysql, fields))
    path = request.getfixturevalue("tmp_path") / "journal.db"
    request.getfixturevalue("connection")("journal", conn_type="sqlite", host=str(path), extra=extra)
    return JournalDatabase(kind, "journal", lambda sql: _rows_of_sqlite(path, sql))


def _rows_of_postgres(postgres: Any, sql: str) -> list[tuple[Any, ...]]:
    cursor = postgres.execute(sql)
    return cursor.fetchall() if cursor.description else []


def _rows_of_sqlite(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as database:
        return database.execute(sql).fetchall()


def _rows_of_mysql(fields: Mapping[str, Any], sql: str) -> list[tuple[Any, ...]]:
    import MySQLdb

    where = {"unix_socket": fields["extra"]["unix_socket"], "user": fields["login"], "database": fields["schema"]}
    # A backslash in a string is a backslash, as in standard SQL: tests write JSON.
    like_others = {"charset": "utf8mb4", "sql_mode": "NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES", "autocommit": True}
    with contextlib.closing(MySQLdb.connect(**where, **like_others)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall())


def unreachable(journal: JournalDatabase) -> dict[str, Any]:
    """A connection to a database of the same kind where none can be reached."""
    fields = json.loads(os.environ["AIRFLOW_CONN_JOURNAL"])
    if journal.kind == "sqlite":
        return fields | {"host": "/"}
    return fields | {"host": "127.0.0.1", "port": 1, "extra": {}}


def deliver(
    run_id: str,
    before: Callable[[Any], None] | None = None,
    more_context: dict[str, Any] | None = None,
    **arguments: Any,
) -> Run:
    """Run the operator as a task of one DAG run, with the journal in the connection ``journal``."""

    journal = {"journal_conn_id": "journal", "sync_id": "nightly", "fields": "builtin"}
    context = {"run_id": run_id, "dag": SimpleNamespace(dag_id="dag"), **(more_context or {})}
    return run_operator(before=before, context=context, **(journal | arguments))


class Process:
    """A task in a process of its own; forked, since to import Airflow again would take longer than the test.

    :param directory: where it writes its output and its end; it must be there.
    :param run: what runs the task, given the run's id and arguments.
    """

    def __init__(self, directory: Path, run_id: str, run: Callable[..., Run] = deliver, **arguments: Any) -> None:
        self._run = run
        self._end = directory / f"{run_id}-{os.urandom(4).hex()}"
        self._ended = False
        self.pid = os.fork()
        if self.pid == 0:
            self._deliver(run_id, arguments)

    def _deliver(self, run_id: str, arguments: dict[str, Any]) -> None:
        code = 1
        try:
            output = os.open(self._end.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
            # Also what pytest has put in the place of the standard streams, which loggers hold on to.
            for number in {1, 2, sys.stdout.fileno(), sys.stderr.fileno()}:
                os.dup2(output, number)
            _forget_threads()
            run = self._run(run_id, before=_end_at_sigterm, **arguments)
            self._end.write_text(json.dumps([run.state, run.summary, str(run.error or "")]))
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, it must end here and be reported
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def has_ended(self) -> bool:
        self._ended = self._ended or os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        return self._ended

    def output(self) -> str:
        """What it has written so far."""
        log = self._end.with_suffix(".log")
        return log.read_text(errors="replace") if log.exists() else ""

    def says(self, words: str) -> bool:
        """Whether its log has these words, unfolded."""
        return words in unfolded(self.output())

    def wait_until_it_says(self, words: str) -> None:
        """Wait for words in its log, while it lives."""
        until(lambda: self.says(words) or self.has_ended(), within_s=30)
        assert self.says(words), self._end.with_suffix(".log").read_text(errors="replace")

    def kill(self, signal_number: int = signal.SIGKILL) -> None:
        """Send a signal and wait for the end; one that has ended already is no error."""
        if not self.has_ended():
            os.kill(self.pid, signal_number)
            until(self.has_ended)

    def end(self, within_s: float = 30.0) -> Run:
        """Wait until it has ended by itself; how it ended."""
        until(self.has_ended, within_s)
        assert self._end.exists(), self._end.with_suffix(".log").read_text(errors="replace")
        state, summary, error = json.loads(self._end.read_text())
        return Run(state, summary, RuntimeError(error) if error else None)


def _forget_threads() -> None:
    """No thread lives on in a forked process; a trigger that runs here would wait for that of a trigger before it."""
    from asgiref.sync import SyncToAsync

    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)


def _end_at_sigterm(operator: Any) -> None:
    """What Airflow's task runner does with the signal."""
    signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
