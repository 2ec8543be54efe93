"""The differences between database drivers, in one table, :data:`DRIVERS`. Nothing else depends on the name of a
driver.

A driver that is not in the table gets the defaults of :class:`Driver`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.databases.bigquery import connect_to_bigquery, paged_cursor
from airflow_provider_connectif.databases.conversion import keep_unreadable_of_psycopg2, keep_unreadable_of_sqlite
from airflow_provider_connectif.databases.cursors import (
    DeclaredCursor,
    always,
    has_no_further_rows,
    interrupt,
    interrupt_if_possible,
    is_declared,
    is_one_query_of_duckdb,
    named_cursor,
    no_interrupt,
    plain_cursor,
    unbuffered_cursor,
)
from airflow_provider_connectif.databases.engines import (
    Access,
    EngineOptions,
    as_it_is,
    existing_sqlite,
    libpq_engine,
    missing_root_certificate,
    mysql_engine,
    nothing_is_broken,
    psycopg_engine,
    sqlite_engine,
    url_only,
)
from airflow_provider_connectif.databases.error_rules import (
    LIBPQ_ERRORS,
    MYSQL_ERRORS,
    OTHER_ERRORS,
    SQLITE_ERRORS,
    ErrorRules,
)
from airflow_provider_connectif.databases.fetched_rows import RowForm, form_of_values
from airflow_provider_connectif.databases.mysql_values import (
    form_of_mysql_rows,
    keep_unreadable_of_mysql,
    keep_unreadable_of_mysql_connector,
)
from airflow_provider_connectif.databases.raw_rows import form_of_rows, raw_cursor
from airflow_provider_connectif.databases.warehouse_errors import (
    BIGQUERY_ERRORS,
    DUCKDB_ERRORS,
    REDSHIFT_ERRORS,
    SNOWFLAKE_ERRORS,
    TRINO_ERRORS,
)

if TYPE_CHECKING:
    import sqlalchemy as sa


def _values_as_they_are(_: Any) -> None:
    """Do nothing: the driver's conversion cannot be changed; if it fails, it raises an error, and the run ends."""


def _never_read_early(_connection: Any, _sql: str, _parameters: Any) -> bool:
    return False


def _is_accepted_by_sqlite(connection: Any, sql: str, parameters: Any) -> bool:
    explain = f"explain {sql}"
    try:
        connection.execute(*((explain,) if parameters is None else (explain, parameters))).close()
    except connection.Error:
        return False
    return True


def _by_the_hook(hook: Any) -> Any:
    return hook.get_conn()


@dataclass(frozen=True)
class SqlHook:
    """A hook for SQL, for types of connections whose own hook in Airflow is not suitable.

    :param path: module and class, with a dot between.
    :param conn_id: the name of the hook's parameter for the connection's id.
    :param conn_types: the types of connections that use this hook.
    :param params: further parameters; ``hook_params`` of an operator take precedence.
    :param connect: returns a connection of the driver, for hooks of this class.
    """

    path: str
    conn_id: str
    conn_types: tuple[str, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    connect: Callable[[Any], Any] = _by_the_hook


@dataclass(frozen=True)
class Driver:
    """The properties of one driver.

    :param package: the first part of the module names of its connections and errors.
    :param sql_hook: the hook to use, if it differs from Airflow's hook for the connection.
    :param streaming_cursor: opens a cursor that leaves the result on the server; plain cursors may fetch all of it.
    :param row_form: returns the form of the rows of a streaming cursor.
    :param runs_alone: returns whether the text that a cursor has executed is one statement: the rows of a second one
        would be lost.
    :param ends_alone: returns whether no rows of a second statement follow the last row of the first.
    :param interrupt: ends the running query of a connection. It is called from another thread or in a signal handler.
    :param keep_unreadable_values: lets a connection return :class:`UnreadableValue` for values that it cannot convert.
    :param errors: rules for which errors are final, and which messages may be shown.
    :param is_accepted: returns whether the database accepts a statement that has failed. The fault is then in
        its first row. ``False`` if that is not known.
    :param broken_setting: returns the fault in a connection's extra that no retry can fix; empty if none is known.
    :param refuses_semicolon: whether a semicolon at the end of a statement is an error. The hook's ``strip_semicolon``
        has the same effect.
    :param journal_engine: returns the options of an engine for the journal, from the hook's URL and the connection's
        extra.
    :param existing_journal: changes these options so that a missing database is not created.
    """

    package: str = ""
    sql_hook: SqlHook | None = None
    streaming_cursor: Callable[[Any], Any] = plain_cursor
    row_form: Callable[[Any], RowForm] = form_of_values
    runs_alone: Callable[[Any, str], bool] = always
    ends_alone: Callable[[Any], bool] = always
    interrupt: Callable[[Any], None] = interrupt_if_possible
    keep_unreadable_values: Callable[[Any], None] = _values_as_they_are
    errors: ErrorRules = OTHER_ERRORS
    is_accepted: Callable[[Any, str, Any], bool] = _never_read_early
    broken_setting: Callable[[Mapping[str, Any]], str] = nothing_is_broken
    refuses_semicolon: bool = False
    journal_engine: Callable[[sa.URL, Mapping[str, Any]], EngineOptions] = url_only
    existing_journal: Callable[[EngineOptions, Access], EngineOptions] = as_it_is


_OTHER = Driver()
DRIVERS: Mapping[str, Driver] = MappingProxyType(
    {
        driver.package: driver
        for driver in (
            Driver(
                "psycopg",
                streaming_cursor=raw_cursor,
                row_form=form_of_rows,
                interrupt=partial(interrupt, "cancel"),
                errors=LIBPQ_ERRORS,
                broken_setting=missing_root_certificate,
                journal_engine=psycopg_engine,
            ),
            Driver(
                "psycopg2",
                streaming_cursor=named_cursor,
                runs_alone=is_declared,
                interrupt=partial(interrupt, "cancel"),
                keep_unreadable_values=keep_unreadable_of_psycopg2,
                errors=LIBPQ_ERRORS,
                broken_setting=missing_root_certificate,
                journal_engine=libpq_engine,
            ),
            Driver(
                "sqlite3",
                interrupt=partial(interrupt, "interrupt"),
                keep_unreadable_values=keep_unreadable_of_sqlite,
                errors=SQLITE_ERRORS,
                is_accepted=_is_accepted_by_sqlite,  # it reads the first row while it executes
                journal_engine=sqlite_engine,
                existing_journal=existing_sqlite,
            ),
            Driver(
                "MySQLdb",
                streaming_cursor=partial(unbuffered_cursor, "MySQLdb.cursors"),
                row_form=form_of_mysql_rows,
                ends_alone=has_no_further_rows,
                interrupt=no_interrupt,
                keep_unreadable_values=keep_unreadable_of_mysql,
                errors=MYSQL_ERRORS,
                journal_engine=mysql_engine,
            ),
            Driver(
                "pymysql",
                streaming_cursor=partial(unbuffered_cursor, "pymysql.cursors"),
                row_form=form_of_mysql_rows,
                ends_alone=has_no_further_rows,
                interrupt=no_interrupt,
                keep_unreadable_values=keep_unreadable_of_mysql,
                errors=MYSQL_ERRORS,
                journal_engine=mysql_engine,
            ),
            # MySQL's own connector, whose plain cursor streams.
            Driver(
                "mysql",
                row_form=form_of_mysql_rows,
                ends_alone=has_no_further_rows,
                interrupt=no_interrupt,
                keep_unreadable_values=keep_unreadable_of_mysql_connector,
                errors=MYSQL_ERRORS,
                journal_engine=mysql_engine,
            ),
            # The plain cursor returns rows while the query makes them.
            Driver(
                "duckdb",
                runs_alone=is_one_query_of_duckdb,
                interrupt=partial(interrupt, "interrupt"),
                errors=DUCKDB_ERRORS,
            ),
            Driver("trino", errors=TRINO_ERRORS, refuses_semicolon=True),
            # The plain cursor downloads a result in parts.
            Driver("snowflake", interrupt=no_interrupt, errors=SNOWFLAKE_ERRORS),
            Driver(
                "redshift_connector",
                streaming_cursor=DeclaredCursor,
                interrupt=no_interrupt,
                errors=REDSHIFT_ERRORS,
            ),
            Driver(
                "google",
                sql_hook=SqlHook(
                    "airflow.providers.google.cloud.hooks.bigquery.BigQueryHook",
                    "gcp_conn_id",
                    ("google_cloud_platform", "gcpbigquery"),
                    {"use_legacy_sql": False},
                    connect_to_bigquery,
                ),
                streaming_cursor=paged_cursor,
                interrupt=no_interrupt,
                errors=BIGQUERY_ERRORS,
            ),
            Driver(
                "databricks",
                sql_hook=SqlHook(
                    "airflow.providers.databricks.hooks.databricks_sql.DatabricksSqlHook",
                    "databricks_conn_id",
                    ("databricks",),
                ),
            ),
        )
    }
)


def driver_of(thing: object) -> Driver:
    """Return the driver of a connection or of an error, by the module of its class or of a base class.

    A driver that is not in the table has the defaults of :class:`Driver`.
    """
    for kind in type(thing).__mro__:
        driver = DRIVERS.get(kind.__module__.partition(".")[0].lstrip("_"))
        if driver is not None:
            return driver
    return _OTHER


def driver_of_engine(engine: sa.Engine) -> Driver:
    """Return the driver that a SQLAlchemy engine uses."""
    module = getattr(engine.dialect.dbapi, "__name__", "")
    return DRIVERS.get(module.partition(".")[0], _OTHER)


def sql_hook_of_type(conn_type: str) -> SqlHook | None:
    """Return the hook that replaces Airflow's hook for a type of connections; ``None``: Airflow's hook is used."""
    hooks = (driver.sql_hook for driver in DRIVERS.values() if driver.sql_hook is not None)
    return next((hook for hook in hooks if conn_type in hook.conn_types), None)


def sql_hook_of_class(kind: type) -> SqlHook | None:
    """Return the entry in :data:`DRIVERS` for a hook's class, or for a base class; ``None``: there is none."""
    paths = {f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__}
    hooks = (driver.sql_hook for driver in DRIVERS.values() if driver.sql_hook is not None)
    return next((hook for hook in hooks if hook.path in paths), None)
