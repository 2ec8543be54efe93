"""What differs between database drivers: one table, :data:`DRIVERS`. Nothing else asks for the name of a driver.

A driver that is not in the table gets the defaults of :class:`Driver`. Whether a semicolon at the end of a statement
has to go is no matter of the driver: Airflow's hook says it (``strip_semicolon``). Names of columns stay as they are.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.databases.conversion import keep_unreadable_of_psycopg2, keep_unreadable_of_sqlite
from airflow_provider_connectif.databases.error_rules import (
    LIBPQ_ERRORS,
    MYSQL_ERRORS,
    OTHER_ERRORS,
    SQLITE_ERRORS,
    ErrorRules,
    is_of_a_database,
)
from airflow_provider_connectif.databases.fetched_rows import RowForm, form_of_values
from airflow_provider_connectif.databases.raw_rows import form_of_rows, raw_cursor

if TYPE_CHECKING:
    import sqlalchemy as sa

_SQLITE_WAITS_S = 30


@dataclass(frozen=True)
class EngineOptions:
    """How the journal's engine is made.

    :param url: of the database.
    :param connect_args: for the driver's ``connect``.
    :param on_connect: a statement for each new connection.
    :param fault: why the database cannot be used, if that is known before.
    """

    url: sa.URL
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    on_connect: str | None = None
    fault: str = ""


def _plain_cursor(connection: Any) -> Any:
    return connection.cursor()


def _named_cursor(connection: Any) -> Any:
    return connection.cursor(name=f"connectif_{uuid.uuid4().hex}")


def _unbuffered_cursor(module: str, connection: Any) -> Any:
    return connection.cursor(import_module(module).SSCursor)


def _no_interrupt(_: Any) -> None:
    """The driver has none; its query goes on until the connection is closed."""


def _interrupt(method: str, connection: Any) -> None:
    try:
        getattr(connection, method)()
    except Exception as error:  # what is not the driver's own is raised again
        # The query has ended meanwhile, or its server cannot be reached: the task ends anyway, if a little later.
        if not is_of_a_database(error):
            raise


def _interrupt_if_possible(connection: Any) -> None:
    for method in ("cancel", "interrupt"):
        if callable(getattr(connection, method, None)):
            _interrupt(method, connection)
            return


def _values_as_they_are(_: Any) -> None:
    """The driver cannot be told how to convert: where it fails it raises, and the run ends there."""


def _never_read_early(_connection: Any, _sql: str, _parameters: Any) -> bool:
    return False


def _is_accepted_by_sqlite(connection: Any, sql: str, parameters: Any) -> bool:
    explain = f"explain {sql}"
    try:
        connection.execute(*((explain,) if parameters is None else (explain, parameters))).close()
    except connection.Error:
        return False
    return True


def _url_only(url: sa.URL, _: Mapping[str, Any]) -> EngineOptions:
    return EngineOptions(url)


def _nothing_is_broken(_: Mapping[str, Any]) -> str:
    return ""


def _missing_root_certificate(extra: Mapping[str, Any]) -> str:
    # libpq looks for it once the server has agreed to encrypt, so that a server that is down hides it.
    path = str(extra.get("sslrootcert") or "")
    is_needed = str(extra.get("sslmode")).startswith("verify-") and path not in ("", "system")
    return "its sslrootcert names a file that does not exist" if is_needed and not os.path.exists(path) else ""


def _libpq_engine(url: sa.URL, extra: Mapping[str, Any]) -> EngineOptions:
    return EngineOptions(url, connect_args=extra, fault=_missing_root_certificate(extra))


def _sqlite_engine(url: sa.URL, _: Mapping[str, Any]) -> EngineOptions:
    folder = os.path.dirname(url.database or "")
    return EngineOptions(
        url.set(query={}),  # where the hook puts the extra
        connect_args={"check_same_thread": False, "timeout": _SQLITE_WAITS_S},
        # So that a source that is being read from the same file does not lock the journal out.
        on_connect="pragma journal_mode=wal",
        fault="" if not folder or os.path.isdir(folder) else f"its folder {folder!r} does not exist",
    )


@dataclass(frozen=True)
class Driver:
    """What is particular to one driver.

    :param package: as it stands in the names of the modules of its connections and errors.
    :param streaming_cursor: opens a cursor that leaves the result on the server; plain ones may fetch it whole.
    :param row_form: the form of the rows that such a cursor fetches.
    :param interrupt: ends the query that a connection runs; from another thread, or in a signal handler.
    :param keep_unreadable_values: tells a connection to hand over :class:`UnreadableValue` where it cannot convert.
    :param errors: which errors are final, and which words may be shown.
    :param is_accepted: whether a statement that failed is right, so that its first row failed. ``False`` where that
        is not known.
    :param broken_setting: what of a connection's extra no other attempt mends; empty if nothing is known.
    :param journal_engine: how an engine for the journal is made, of the hook's URL and the connection's extra.
    """

    package: str = ""
    streaming_cursor: Callable[[Any], Any] = _plain_cursor
    row_form: Callable[[Any], RowForm] = form_of_values
    interrupt: Callable[[Any], None] = _interrupt_if_possible
    keep_unreadable_values: Callable[[Any], None] = _values_as_they_are
    errors: ErrorRules = OTHER_ERRORS
    is_accepted: Callable[[Any, str, Any], bool] = _never_read_early
    broken_setting: Callable[[Mapping[str, Any]], str] = _nothing_is_broken
    journal_engine: Callable[[sa.URL, Mapping[str, Any]], EngineOptions] = _url_only


_OTHER = Driver()
DRIVERS: Mapping[str, Driver] = MappingProxyType(
    {
        driver.package: driver
        for driver in (
            Driver(
                "psycopg",
                streaming_cursor=raw_cursor,
                row_form=form_of_rows,
                interrupt=partial(_interrupt, "cancel"),
                errors=LIBPQ_ERRORS,
                broken_setting=_missing_root_certificate,
                journal_engine=_libpq_engine,
            ),
            Driver(
                "psycopg2",
                streaming_cursor=_named_cursor,
                interrupt=partial(_interrupt, "cancel"),
                keep_unreadable_values=keep_unreadable_of_psycopg2,
                errors=LIBPQ_ERRORS,
                broken_setting=_missing_root_certificate,
                journal_engine=_libpq_engine,
            ),
            Driver(
                "sqlite3",
                interrupt=partial(_interrupt, "interrupt"),
                keep_unreadable_values=keep_unreadable_of_sqlite,
                errors=SQLITE_ERRORS,
                is_accepted=_is_accepted_by_sqlite,  # it reads the first row while it executes
                journal_engine=_sqlite_engine,
            ),
            Driver(
                "MySQLdb",
                streaming_cursor=partial(_unbuffered_cursor, "MySQLdb.cursors"),
                interrupt=_no_interrupt,
                errors=MYSQL_ERRORS,
            ),
            Driver(
                "pymysql",
                streaming_cursor=partial(_unbuffered_cursor, "pymysql.cursors"),
                interrupt=_no_interrupt,
                errors=MYSQL_ERRORS,
            ),
            # MySQL's own connector, whose plain cursor streams.
            Driver("mysql", interrupt=_no_interrupt, errors=MYSQL_ERRORS),
        )
    }
)


def driver_of(thing: object) -> Driver:
    """The driver of a connection or of an error, by the module of its class or of a class that this one extends."""
    for kind in type(thing).__mro__:
        driver = DRIVERS.get(kind.__module__.partition(".")[0])
        if driver is not None:
            return driver
    return _OTHER


def driver_of_engine(engine: sa.Engine) -> Driver:
    """The driver that a SQLAlchemy engine uses."""
    module = getattr(engine.dialect.dbapi, "__name__", "")
    return DRIVERS.get(module.partition(".")[0], _OTHER)
