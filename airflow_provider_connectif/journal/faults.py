"""Finds the faults of a journal's tables, before the tables are used, and after a statement about them has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from operator import methodcaller
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.dialects import DIALECTS
from airflow_provider_connectif.journal.tables import VERSION
from airflow_provider_connectif.records.outcomes import JournalError


def is_about_tables(error: Exception, dialect: str) -> bool:
    """Whether an error means that a table or column is missing, or that the user has no right to it.

    Another attempt would meet such an error again.

    :param error: an error of SQLAlchemy.
    :param dialect: SQLAlchemy's name for the kind of database.
    """
    if isinstance(error, sa.exc.NoSuchTableError):
        return True
    cause = getattr(error, "orig", None)
    return cause is not None and dialect in DIALECTS and DIALECTS[dialect].is_about_tables(cause)


def check_not_newer(name: str, version: int) -> None:
    """Check that this package knows the version of a journal's tables.

    :param name: the name of the table of lines, with its schema.
    :raises JournalError: a newer version of the package made the tables.
    """
    if version > VERSION:
        raise JournalError(
            f"the journal {name!r} has version {version}, this provider knows up to {VERSION}: another "
            "worker has a newer provider, so update this one. With another journal_table, every row is sent again",
            final=True,
        )


def check_tables(connection: sa.Connection, to_read: Iterable[sa.Table], to_write: Iterable[sa.Table]) -> None:
    """Check tables with statements that read no row and change none.

    :raises SQLAlchemyError: a statement failed. If a table or column is missing or not accessible,
        :func:`is_about_tables` is true for the error.
    """
    for table in to_read:
        found = _read_no_row(connection, table).keys()
        if not set(table.columns.keys()) <= set(found):
            raise sa.exc.NoSuchTableError(table.fullname)
    for table in to_write:
        for probe in _changes_of_no_row(table):
            connection.execute(probe)


def _read_no_row(connection: sa.Connection, table: sa.Table) -> Any:
    # As text, since SQLAlchemy would store the columns with the compiled statement, and use them after a migration.
    name = connection.dialect.identifier_preparer.format_table(table)
    return connection.exec_driver_sql(f"select * from {name} where 1 = 0")  # noqa: S608 - the name is quoted


def _changes_of_no_row(table: sa.Table) -> Iterator[Any]:
    column = next(iter(table.columns))
    yield sa.update(table).where(sa.false()).values({column: column})
    needed = [column for column in table.columns if not column.nullable]
    yield sa.insert(table).from_select([column.name for column in needed], sa.select(*needed).where(sa.false()))
    yield sa.delete(table).where(sa.false())


def faults_of(engine: sa.Engine, tables: Iterable[sa.Table]) -> list[str]:
    """Return the faults of tables, each in words; empty if there are none."""
    return [fault for table in tables if (fault := _fault(engine, table))]


def _fault(engine: sa.Engine, table: sa.Table) -> str:
    inspector = sa.inspect(engine)
    if not inspector.has_table(table.name, schema=table.schema):
        return f"table {table.fullname} is missing, or this user may not see it"
    if _fails(engine, lambda connection: _read_no_row(connection, table)):
        return f"this user may not read table {table.fullname}"
    there = {column["name"] for column in inspector.get_columns(table.name, schema=table.schema)}
    missing = [column.name for column in table.columns if column.name not in there]
    if missing:
        return f"table {table.fullname} has no column {', '.join(missing)}"
    if any(_fails(engine, methodcaller("execute", probe)) for probe in _changes_of_no_row(table)):
        return f"this user may not write table {table.fullname}"
    return ""


def _fails(engine: sa.Engine, action: Callable[[sa.Connection], Any]) -> bool:
    with engine.connect() as connection:
        # An explicit transaction, since SQLAlchemy 1.4 would commit each statement by itself.
        transaction = connection.begin()
        try:
            action(connection)
        except sa.exc.DBAPIError as error:
            return is_about_tables(error, engine.dialect.name)
        finally:
            transaction.rollback()
    return False
