"""Opens the journals in ``[connectif] journals`` for reading."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.databases.journal_places import JournalPlace
from airflow_provider_connectif.databases.journals import engine_of_existing
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.tables import JournalTables, journal_tables

CONNECT_S, STATEMENT_S = 5, 10
"""Time limits in seconds: for a new connection, unless Airflow's connection has its own limit, and for a statement on
PostgreSQL."""

_CONNECT_OPTIONS = {
    **dict.fromkeys(("psycopg2", "psycopg", "mysqldb", "pymysql"), "connect_timeout"),
    "mysqlconnector": "connection_timeout",
}


class Unreachable(Exception):
    """A journal cannot be read. The text says why; it contains neither a value nor a secret."""

    def of(self, place: JournalPlace) -> str:
        """Return the text with the journal's name, for a page about several journals."""
        return f"Journal {place.name} cannot be read: {self}"


class Places:
    """Keeps one engine for each connection. Threads may share one object of this class."""

    def __init__(self) -> None:
        self._engines: dict[str, sa.Engine] = {}
        self._lock = threading.Lock()

    @contextmanager
    def reading(self, place: JournalPlace) -> Iterator[tuple[sa.Connection, JournalTables]]:
        """Yield a connection to a journal's database, and its tables.

        :raises Unreachable: the connection does not exist, the database failed, or the block found that the journal
            cannot be used.
        """
        try:
            with self._engine(place.conn_id).connect() as connection:
                _limit_statements(connection)
                yield connection, journal_tables(place.table, place.schema)
        except sa.exc.SQLAlchemyError as error:
            self._forget(place.conn_id)
            # The driver's message may quote a contact key or the address of the database.
            raise Unreachable(f"its database failed ({type(error).__name__})") from None
        except RunFailed as fault:
            raise Unreachable(str(fault)) from None

    @contextmanager
    def asking(self, place: JournalPlace) -> Iterator[JournalDatabase]:
        """Yield a journal's database, for questions about one contact.

        :raises Unreachable: as :meth:`reading`.
        """
        database = JournalDatabase(self._engine(place.conn_id), place.table, place.schema, place.conn_id)
        database.note_open()
        try:
            yield database
        except RunFailed as fault:
            self._forget(place.conn_id)
            raise Unreachable(str(fault)) from None
        finally:
            database.close()

    def _engine(self, conn_id: str) -> sa.Engine:
        with self._lock:
            if conn_id not in self._engines:
                try:
                    self._engines[conn_id] = _impatient(engine_of_existing(conn_id))
                except RunFailed as fault:
                    raise Unreachable(str(fault)) from None
                except AirflowException as fault:
                    raise Unreachable(f"its connection cannot be read ({type(fault).__name__})") from None
            return self._engines[conn_id]

    def _forget(self, conn_id: str) -> None:
        """Remove the engine. The next request reads the connection again, because it may have changed."""
        with self._lock:
            engine = self._engines.pop(conn_id, None)
        if engine is not None:
            engine.dispose()


def _impatient(engine: sa.Engine) -> sa.Engine:
    """Let new connections of an engine fail within seconds, unless the connection in Airflow has a limit of its own.

    Without a limit, the page would wait for minutes for a host that does not respond.
    """

    @sa.event.listens_for(engine, "do_connect")
    def limit(dialect: sa.Dialect, _record: object, _arguments: object, options: dict[str, object]) -> None:
        if name := _CONNECT_OPTIONS.get(dialect.driver):
            options.setdefault(name, CONNECT_S)

    return engine


def _limit_statements(connection: sa.Connection) -> None:
    """Let a statement on PostgreSQL fail within seconds, for example while maintenance has locked the tables."""
    if connection.dialect.name == "postgresql":
        limit = sa.func.set_config("statement_timeout", str(1000 * STATEMENT_S), sa.true())
        connection.execute(sa.select(limit))
