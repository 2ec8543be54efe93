"""The table of drivers: whose entry a connection and an error get, and what becomes of an interrupt that fails."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg.errors
import psycopg2.extensions
import pytest
import sqlalchemy as sa

from airflow_provider_connectif.databases.drivers import DRIVERS, Driver, driver_of, driver_of_engine
from airflow_provider_connectif.databases.read_errors import statement_error


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        yield connection


class OwnConnection(sqlite3.Connection):
    """As an author's hook may make one."""


class Unknown:
    """A connection of a driver that is not in the table."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.cancelled = 0

    def cursor(self, *arguments: Any, **more: Any) -> tuple[Any, ...]:
        return (*arguments, *more)

    def cancel(self) -> None:
        self.cancelled += 1
        if self.error is not None:
            raise self.error


def test_a_driver_is_known_by_its_connections_errors_and_engines(database: sqlite3.Connection) -> None:
    with contextlib.closing(sqlite3.connect(":memory:", factory=OwnConnection)) as own:
        assert driver_of(database) is driver_of(own) is DRIVERS["sqlite3"]
    assert driver_of(sqlite3.OperationalError()) is DRIVERS["sqlite3"]
    assert driver_of(psycopg.errors.UndefinedTable()) is DRIVERS["psycopg"]
    assert driver_of(psycopg2.extensions.QueryCanceledError()) is DRIVERS["psycopg2"]
    assert driver_of_engine(sa.create_engine("sqlite://")) is DRIVERS["sqlite3"]
    assert driver_of_engine(sa.create_engine("postgresql+psycopg://host/db")) is DRIVERS["psycopg"]
    assert driver_of_engine(sa.create_engine("postgresql+psycopg2://host/db")) is DRIVERS["psycopg2"]


def test_a_driver_that_is_not_in_the_table_has_the_defaults() -> None:
    unknown = Unknown()
    driver = driver_of(unknown)
    assert driver == Driver()
    assert driver.streaming_cursor(unknown) == ()
    driver.interrupt(unknown)
    assert unknown.cancelled == 1
    driver.interrupt(object())  # which has nothing to interrupt it with


def test_an_interrupt_that_the_driver_refuses_is_no_error_and_another_error_is() -> None:
    refusal = type("OperationalError", (type("Error", (Exception,), {}),), {})("connection closed")
    driver_of(Unknown()).interrupt(Unknown(refusal))
    with pytest.raises(RuntimeError):
        driver_of(Unknown()).interrupt(Unknown(RuntimeError()))


def test_a_query_of_sqlite_is_interrupted_also_after_its_connection_is_closed(database: sqlite3.Connection) -> None:
    database.close()
    driver_of(database).interrupt(database)


def test_a_journal_in_sqlite_waits_for_its_file_and_needs_its_folder(tmp_path: Any) -> None:
    options = DRIVERS["sqlite3"].journal_engine(sa.make_url(f"sqlite:///{tmp_path}/x.db?mode=ro"), {"mode": "ro"})
    assert (str(options.url), options.fault) == (f"sqlite:///{tmp_path}/x.db", "")
    assert options.connect_args["timeout"] == 30
    options = DRIVERS["sqlite3"].journal_engine(sa.make_url("sqlite:////nowhere/x.db"), {})
    assert options.fault == "its folder '/nowhere' does not exist"
    assert DRIVERS["sqlite3"].journal_engine(sa.make_url("sqlite://"), {}).fault == ""


def test_only_libpq_s_drivers_get_the_extra_of_the_journal_s_connection() -> None:
    extra, url = {"sslmode": "require"}, sa.make_url("x://host")
    engines = {name: driver.journal_engine(url, extra) for name, driver in DRIVERS.items()}
    assert {name for name, engine in engines.items() if engine.connect_args.items() >= extra.items()} == {
        "psycopg",
        "psycopg2",
    }


def test_a_value_that_cannot_be_passed_on_is_named_without_it() -> None:
    fault = statement_error(psycopg.DataError("cannot pass on 'Bartholomew\\0'"), "dwh", object())
    assert fault is not None
    assert fault.final
    assert "Bartholomew" not in str(fault)
    # With a state it is the server's, about a row.
    assert statement_error(psycopg.errors.DivisionByZero("Bartholomew"), "dwh", object()) is None


class Results:
    """A cursor of MySQL after the rows of its first result: the columns of each further one, ``None`` for a status."""

    def __init__(self, *further: Any) -> None:
        self.description: Any = ()
        self._further = iter(further)

    def nextset(self) -> int | None:
        self.description = next(self._further, "none")
        return None if self.description == "none" else 1


@pytest.mark.parametrize("package", ["MySQLdb", "pymysql", "mysql"])
def test_rows_of_a_second_statement_are_noticed_and_the_status_of_a_procedure_is_none(package: str) -> None:
    ends_alone = DRIVERS[package].ends_alone
    assert ends_alone(Results())
    assert ends_alone(Results(None))
    assert not ends_alone(Results(None, [("email",)]))


@pytest.mark.parametrize(("kinds", "alone"), [("SELECT", True), ("SET SELECT", True), ("SELECT SET SELECT", False)])
def test_a_second_query_for_duckdb_is_noticed_and_a_setting_is_none(kinds: str, alone: bool) -> None:
    statements = [SimpleNamespace(type=SimpleNamespace(name=kind)) for kind in kinds.split()]
    cursor = SimpleNamespace(extract_statements=lambda _: statements)
    assert DRIVERS["duckdb"].runs_alone(cursor, "") == alone
