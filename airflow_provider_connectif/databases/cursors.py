"""Cursors that leave a result on the server, and ways to end the query that a connection runs."""

from __future__ import annotations

import uuid
from importlib import import_module
from typing import Any

from airflow_provider_connectif.databases.error_rules import is_of_a_database


def plain_cursor(connection: Any) -> Any:
    """Return the driver's usual cursor."""
    return connection.cursor()


def named_cursor(connection: Any) -> Any:
    """Return a server-side cursor of psycopg2."""
    return connection.cursor(name=_new_name())


def is_declared(cursor: Any, _: str) -> bool:
    """Whether the text that a server-side cursor of psycopg2 has run had no second statement after its query."""
    # The status is that of the last statement: DECLARE if there is only the query. Servers that only speak PostgreSQL's
    # protocol may have no status, or one of their own.
    return str(cursor.statusmessage or "DECLARE").upper().startswith("DECLARE")


def is_one_query_of_duckdb(cursor: Any, sql: str) -> bool:
    """Whether a text for DuckDB has at most one query; it may also have settings."""
    return [statement.type.name for statement in cursor.extract_statements(sql)].count("SELECT") <= 1


def always(*_: Any) -> bool:
    """Return ``True``: the driver refuses several statements, or it is not known how to find them."""
    return True


def has_no_further_rows(cursor: Any) -> bool:
    """Whether no other result with rows follows the one that a cursor of MySQL's drivers has read to its end."""
    while cursor.nextset():  # the status of a procedure is a result without columns
        if cursor.description:
            return False
    return True


def unbuffered_cursor(module: str, connection: Any) -> Any:
    """Return a cursor of MySQL's drivers that reads rows as the server sends them.

    :param module: the driver's module that has the class ``SSCursor``.
    """
    return connection.cursor(import_module(module).SSCursor)


class DeclaredCursor:
    """A cursor declared in SQL, for Redshift's driver, which otherwise reads a result completely.

    :param connection: a connection of the driver; the cursor lives in one of its transactions.
    """

    def __init__(self, connection: Any) -> None:
        connection.autocommit = False  # the cursor lives as long as its transaction
        self._cursor = connection.cursor()
        self._name = _new_name()
        self.description: Any = None

    def execute(self, sql: str, *parameters: Any) -> None:
        """Declare the cursor; its columns are known after the first fetch."""
        self._cursor.execute(f"declare {self._name} cursor for {sql}", *parameters)

    def fetchmany(self, size: int) -> Any:
        """Return the next rows; none at the end."""
        self._cursor.execute(f"fetch forward {size:d} from {self._name}")
        rows = self._cursor.fetchall()
        self.description = self._cursor.description
        return rows

    def close(self) -> None:
        """Release the result."""
        self._cursor.close()


def _new_name() -> str:
    return f"connectif_{uuid.uuid4().hex}"


def no_interrupt(_: Any) -> None:
    """Do nothing: the driver cannot interrupt a query, which continues until the connection is closed."""


def interrupt(method: str, connection: Any) -> None:
    """End the query by a method of the connection."""
    try:
        getattr(connection, method)()
    except Exception as error:  # errors that are not the driver's are raised again
        # The query has ended in the meantime, or the server cannot be reached. The task ends anyway, a little later.
        if not is_of_a_database(error):
            raise


def interrupt_if_possible(connection: Any) -> None:
    """End the query if the connection has a method for that with a usual name."""
    for method in ("cancel", "interrupt"):
        if callable(getattr(connection, method, None)):
            interrupt(method, connection)
            return
