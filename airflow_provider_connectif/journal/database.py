"""The journal's database: its connections, the creation and migration of its tables, and the descriptions of its
errors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.journal.dialects import dialect_named, sqlstate
from airflow_provider_connectif.journal.faults import check_not_newer, check_tables, faults_of, is_about_tables
from airflow_provider_connectif.journal.interruptions import reveal_interruption
from airflow_provider_connectif.journal.migrations import MIGRATIONS
from airflow_provider_connectif.journal.tables import RECORDS_SINCE, SPELLING, VERSION, columns_of, journal_tables
from airflow_provider_connectif.records.outcomes import JournalError

T = TypeVar("T")

_TRIES_TO_CREATE = 5
_TRIES_AT_DEADLOCKS = 5
_FAULTS_OF_FILES = ("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_FULL", "SQLITE_IOERR")
_FINAL = (sa.exc.ProgrammingError, sa.exc.IdentifierError)  # no such schema, no right to it, a name that is too long


class JournalDatabase:
    """The database of a journal.

    Every error of the database becomes a :class:`JournalError` without the values that drivers quote: these are contact
    keys.

    :param engine: a SQLAlchemy engine of PostgreSQL, SQLite, MySQL or MariaDB.
    :param table: the name of the table of lines; the names of the other tables begin with it.
    :param schema: the schema of the tables, if not the connection's default.
    :param conn_id: the id of the connection, for messages.
    :param broken_setting: returns the setting of the connection that the driver refused with an error; ``None`` if the
        error is not about a setting.
    :param clock: measures the waits before a repetition.
    """

    def __init__(
        self,
        engine: sa.Engine,
        table: str,
        schema: str | None = None,
        conn_id: str = "",
        broken_setting: Callable[[BaseException], str | None] = lambda _: None,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.engine = engine
        self._clock = clock
        if engine.dialect.name == "sqlite" and not sa.event.contains(engine, "connect", _delete_securely):
            sa.event.listen(engine, "connect", _delete_securely)
        self._broken_setting = broken_setting
        self.is_open = False
        """Whether the journal is open. Before that, nothing was sent."""
        self._conn_id = conn_id
        self.tables = journal_tables(table, schema)
        self._name = f"{schema}.{table}" if schema else table
        self._reader: sa.Connection | None = None

    def note_open(self) -> None:
        """Note that the tables could be read, so later failures have another cause than the settings."""
        self.is_open = True

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name for the kind of database, such as ``postgresql``."""
        return self.engine.dialect.name

    def create(self, *, read_only: bool = False) -> int | None:
        """Create the tables at first use, and migrate those of an older version.

        :param read_only: change nothing.
        :return: the version of the tables; ``None`` if there are none.
        :raises JournalError: the database failed, a table is missing or out of reach, or the tables were made by a
            newer version.
        """
        return self.guarded(lambda: self._create(read_only), final_kinds=_FINAL)

    def read(self, action: Callable[[sa.Connection], T]) -> T:
        """Run a query on a connection that stays open. A transaction for each query would cost more than the query."""
        return self.guarded(lambda: self._read(action))

    def rows(self, query: sa.Select[Any]) -> Sequence[Any]:
        """Return all rows of a query, with the columns as attributes."""
        return self.read(lambda connection: connection.execute(query).fetchall())

    def now(self) -> float:
        """Return the seconds since the epoch by the database's clock. The ends of claims are times of this clock."""
        return float(self.read(lambda connection: connection.execute(dialect_named(self.dialect).clock).scalar_one()))

    def write(self, action: Callable[[sa.Connection], T]) -> T:
        """Run an action in one transaction."""

        def transaction() -> T:
            with self.engine.begin() as connection:
                return action(connection)

        return self.guarded(transaction)

    def execute(self, statement: sa.Executable) -> None:
        """Run one statement in a transaction."""
        self.write(lambda connection: connection.execute(statement))

    def guarded(self, action: Callable[[], T], final_kinds: tuple[type[Exception], ...] = ()) -> T:
        """Run an action on the database, and describe an error without quoting the statement.

        If the database has rolled the action back to end a deadlock, it is repeated. On MySQL no order of statements
        avoids deadlocks, since it locks gaps between rows.

        :param final_kinds: kinds of errors that another attempt would meet again.
        :raises JournalError: the action failed. An interruption of the task, such as its time limit, is raised itself.
        """
        setting: str | None = None
        words, is_final = "", False
        try:
            return reveal_interruption(lambda: self._despite_deadlocks(action))
        except sa.exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None)
            state = "" if cause is None else sqlstate(cause)
            words = type(cause or error).__name__ + (f", SQLSTATE {state}" if state else _fault_of_file(cause))
            is_final = isinstance(error, final_kinds)
            setting = None if self.is_open else self._broken_setting(cause or error)
            faults = self._faults() if setting is None and is_about_tables(error, self.dialect) else []
        except TypeError as error:  # from a driver's ``connect``, which SQLAlchemy does not wrap
            setting, faults = None if self.is_open else self._broken_setting(error), []
            if setting is None:
                raise
        except ValueError as fault:
            words, is_final, setting, faults = str(fault), True, None, []
        # Raised outside the handler. Otherwise the driver's error, with its values, would be the context of this error.
        if setting is not None:
            raise JournalError(f"the journal's connection {self._conn_id!r} cannot be used: {setting}", final=True)
        if faults:
            raise JournalError(
                f"the journal {self._name!r}, connection {self._conn_id!r}, cannot be used: {'; '.join(faults)}",
                final=True,
            )
        if is_final:
            raise JournalError(f"the journal {self._name!r} cannot be used or created ({words})", final=True)
        if not self.is_open:
            raise JournalError(
                f"the journal's database, connection {self._conn_id!r}, cannot be reached or opened ({words}), "
                "so nothing is sent"
            )
        raise JournalError(f"the journal's database failed ({words}): changes that it did not record are sent again")

    def overwrite_deleted(self) -> bool:
        """On SQLite, remove all traces of deleted data from the file; return whether that was possible.

        ``secure_delete`` overwrites deleted data, but not their copies in pages that were split or merged before. On
        other databases, nothing is done, and the result is ``True``: their means need rights and time that a task does
        not have.
        """
        if self.dialect != "sqlite":
            return True
        self.close()
        try:
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("vacuum")
                is_busy, *_ = connection.exec_driver_sql("pragma wal_checkpoint(truncate)").fetchone() or (0,)
        except sa.exc.OperationalError:  # another process uses the file, or the disk has no room for a second file
            return False
        return not is_busy

    def close(self) -> None:
        """Close the connection that stays open."""
        reader, self._reader = self._reader, None
        if reader is not None:
            self.guarded(reader.close)

    def _despite_deadlocks(self, action: Callable[[], T]) -> T:
        for _ in range(_TRIES_AT_DEADLOCKS - 1):
            try:
                return action()
            except sa.exc.DBAPIError as error:  # MySQL's own connector raises an InternalError
                if error.orig is None or not dialect_named(self.dialect).is_deadlock(error.orig):
                    raise
                self._clock.sleep(random.uniform(0.0, 0.2))
        return action()

    def _read(self, action: Callable[[sa.Connection], T]) -> T:
        was_there = self._reader is not None
        try:
            return action(self._connected())
        except sa.exc.DBAPIError as error:
            self._reader = None
            if not (was_there and error.connection_invalidated):
                raise
        # The database closed the connection, perhaps long ago. The query itself is repeated on a new one.
        return action(self._connected())

    def _connected(self) -> sa.Connection:
        if self._reader is None:
            self._reader = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        return self._reader

    def _faults(self) -> list[str]:
        try:
            return reveal_interruption(lambda: faults_of(self.engine, self.tables.metadata.sorted_tables))
        except sa.exc.SQLAlchemyError:
            return []  # the first error is sufficient

    def _create(self, read_only: bool) -> int | None:
        version = self._version(read_only)
        for attempt in range(_TRIES_TO_CREATE):
            if read_only or (version is not None and version >= VERSION):
                break
            try:
                reveal_interruption(partial(self._migrate, version))
            except (sa.exc.IntegrityError, sa.exc.OperationalError, sa.exc.ProgrammingError):
                # Another task may create the tables at the same moment. An error that stays is raised.
                if attempt == _TRIES_TO_CREATE - 1:
                    raise
                self._clock.sleep(0.2 * (attempt + 1))
            version = self._version(read_only)
        if version is not None:
            check_not_newer(self._name, version)
            self._check(version, read_only)
        return version

    def _check(self, version: int, read_only: bool) -> None:
        """Check every table and column, and the right to change them, before anything is sent."""
        tables, every = self.tables, self.tables.metadata.sorted_tables
        if read_only:  # nothing is migrated, and tables of older versions have fewer columns
            of_lines = [tables.lines] if tables.has_spellings else []
            every = [tables.meta, *of_lines, tables.runs] if version >= VERSION else []
        with self.engine.begin() as connection:
            check_tables(connection, every, () if read_only else every)

    def _migrate(self, version: int | None) -> None:
        meta = self.tables.meta
        if version is None:
            # This table first: if the table of lines exists without it, somebody has dropped it.
            meta.create(self.engine, checkfirst=True)
            self.tables.metadata.create_all(self.engine)
            with self.engine.begin() as connection:
                connection.execute(meta.insert().values(name="version", value=VERSION))
            return
        for to_version in range(version + 1, VERSION + 1):
            with self.engine.begin() as connection:
                of_version = meta.c.name == "version"
                # This locks the row: if several tasks start at once, one migrates and the others wait.
                connection.execute(sa.update(meta).where(of_version).values(value=meta.c.value))
                is_done = int(connection.execute(sa.select(meta.c.value).where(of_version)).scalar_one()) >= to_version
                if is_done and not self._is_unfinished_version(connection):
                    continue
                MIGRATIONS[to_version](self.tables, connection)
                connection.execute(sa.update(meta).where(meta.c.name == "version").values(value=to_version))

    def _version(self, read_only: bool) -> int | None:
        """Return the version of the tables; ``None`` if there are none yet.

        :param read_only: whether tables without the column ``spelling`` count as complete, since they are not migrated.
        """
        self._check_server()
        meta = self.tables.meta
        lines, inspector = self.tables.lines, sa.inspect(self.engine)
        has_lines = inspector.has_table(lines.name, schema=lines.schema)
        if not sa.inspect(self.engine).has_table(meta.name, schema=meta.schema):
            if has_lines:
                raise sa.exc.NoSuchTableError(meta.fullname)
            self.tables.has_spellings = False
            return None
        with self.engine.connect() as connection:
            found: Any = connection.execute(sa.select(meta.c.value).where(meta.c.name == "version")).scalar()
            self.tables.has_spellings = has_lines and SPELLING in columns_of(lines, connection)
            may_be_unfinished = found == RECORDS_SINCE and has_lines
            if may_be_unfinished and self._is_unfinished_version(connection, with_spellings=not read_only):
                return RECORDS_SINCE - 1
        return None if found is None else int(found)

    def _check_server(self) -> None:
        """Check the kind of the server, since some servers use the protocol of another database.

        :raises ValueError: the server is not suitable for a journal.
        """
        dialect = dialect_named(self.dialect)  # raises an error for an unknown one
        if self.dialect == "sqlite":
            return
        with self.engine.connect() as connection:
            fault = dialect.fault_of(str(connection.execute(sa.text("select version()")).scalar()))
        if fault:
            raise ValueError(f"no journal on this server: {fault}")

    def _is_unfinished_version(self, connection: sa.Connection, *, with_spellings: bool = True) -> bool:
        """Whether columns are missing: a development version made the tables, before the release with their version."""
        there = columns_of(self.tables.lines, connection)
        if "invalid_run" not in there:
            return False
        if not {"properties", "outcome_at", "refused_reason"} <= there:
            return True
        if "last_read" not in columns_of(self.tables.syncs, connection):
            return True
        if with_spellings and not (SPELLING in there and SPELLING in columns_of(self.tables.pending, connection)):
            return True
        return "removed" not in columns_of(self.tables.plans, connection)


def _fault_of_file(cause: BaseException | None) -> str:
    """Return SQLite's words for a fault of the file, such as a lock, after a comma; these have no values of rows."""
    name = getattr(cause, "sqlite_errorname", "")
    return f", {cause}" if name.startswith(_FAULTS_OF_FILES) else ""


def _delete_securely(connection: Any, _: object) -> None:
    """Let SQLite overwrite deleted data. Otherwise these data would stay in its file."""
    connection.execute("pragma secure_delete = on")
