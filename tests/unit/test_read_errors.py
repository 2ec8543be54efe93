"""The errors of a database that are the statement's fault, and their messages."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable

import psycopg.errors
import psycopg2.errors
import pytest
import sqlalchemy.exc

from airflow_provider_connectif.databases.error_rules import is_of_a_database
from airflow_provider_connectif.databases.read_errors import broken_setting, is_statement_wrong, read_error


def of_mysql(driver: str, number: int, words: str = "somebody's value") -> Exception:
    """As MySQL's drivers raise it: number and words. None of them is installed everywhere."""
    base = type("Error", (Exception,), {})
    return type("ProgrammingError", (base,), {"__module__": driver})(number, words)


def of_sqlite(statement: str) -> sqlite3.Error:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table contacts (email text, note text)")
        database.execute("insert into contacts values ('ana@example.com', 'no json'), ('ben@example.com', null)")
        with pytest.raises(sqlite3.Error) as caught:
            database.execute(statement).fetchall()
    return caught.value


WRONG_IN_SQLITE = [
    "selekt 1",
    "select * from",
    "select * from nothing",
    "select nothing from contacts",
    "select nothing(email) from contacts",
    "select email from contacts a, contacts b",
    "select email from contacts where sum(email) > 1",
    "select lower(email, 1) from contacts",
    "select email from contacts order by email collate nothing",
    "select 'unended",
]


@pytest.mark.parametrize("statement", WRONG_IN_SQLITE)
def test_sqlite_tells_a_wrong_statement_in_words(statement: str) -> None:
    error = of_sqlite(statement)
    assert is_statement_wrong(error)
    assert str(error).replace("'unended", "***") in str(read_error(error, "warehouse", 0))


def test_a_value_that_sqlite_cannot_work_with_is_no_fault_of_the_statement() -> None:
    assert not is_statement_wrong(of_sqlite("select json_extract(note, '$.a') from contacts"))
    assert not is_statement_wrong(of_sqlite("select abs(-9223372036854775807 - 1)"))


STATES = {
    "42601": True,  # syntax
    "42703": True,  # no such column
    "42P01": True,  # no such table
    "42883": True,  # no such function
    "42501": True,  # no right to it
    "22P02": False,  # a value
    "22012": False,  # a value
    "40001": False,  # serialization
    "40P01": False,  # deadlock
    "53300": False,  # too many connections
    "57014": False,  # cancelled
    "57P01": False,  # shut down
    "08006": False,  # connection
}


@pytest.mark.parametrize("lookup", [psycopg.errors.lookup, psycopg2.errors.lookup], ids=["psycopg", "psycopg2"])
@pytest.mark.parametrize(("state", "is_wrong"), STATES.items())
def test_postgresql_tells_by_its_sqlstate(lookup: Callable[[str], type[Exception]], state: str, is_wrong: bool) -> None:
    kind = lookup(state)
    # psycopg2's errors have their state from the server's response only.
    error = kind("words") if hasattr(kind, "sqlstate") else type(kind.__name__, (kind,), {"pgcode": state})("words")
    assert is_of_a_database(error)
    assert is_statement_wrong(error) is is_wrong
    assert read_error(error, "warehouse", 0).final is is_wrong


NUMBERS = {
    1054: True,
    1064: True,
    1146: True,
    1142: True,
    1203: False,
    1226: False,
    1205: False,
    1213: False,
    2006: False,
}


@pytest.mark.parametrize("driver", ["MySQLdb", "pymysql.err", "mysql.connector.errors"])
@pytest.mark.parametrize(("number", "is_wrong"), NUMBERS.items())
def test_mysql_tells_by_its_number(driver: str, number: int, is_wrong: bool) -> None:
    error = of_mysql(driver, number)
    # Limits that pass have the state of a syntax error there.
    error.sqlstate = "42000"  # type: ignore[attr-defined]
    assert is_statement_wrong(error) is is_wrong


@pytest.mark.parametrize("driver", ["MySQLdb", "pymysql.err", "mysql.connector.errors"])
def test_what_mysql_s_server_has_numbered_is_no_setting_that_its_driver_refuses(driver: str) -> None:
    assert broken_setting(of_mysql(driver, 1146, "Table 'x.connectif_journal' doesn't exist")) is None
    unnumbered = of_mysql(driver, 1146)
    unnumbered.args = ("no such option",)
    assert broken_setting(unnumbered) == "its driver refuses the settings (ProgrammingError)"


def test_what_sqlalchemy_has_wrapped_is_looked_at_itself() -> None:
    for original, is_wrong in ((psycopg.errors.lookup("42P01")("words"), True), (of_mysql("pymysql", 2013), False)):
        wrapped = sqlalchemy.exc.DBAPIError.instance("select secret", None, original, type(original).__mro__[1])
        assert is_of_a_database(wrapped)
        assert is_statement_wrong(wrapped) is is_wrong
        assert "secret" not in str(read_error(wrapped, "warehouse", 0))


def test_an_error_of_nobody_known_is_worth_another_try() -> None:
    unknown = type("Error", (Exception,), {"__module__": "somedb"})("no such table: contacts of ana@example.com")
    assert is_of_a_database(unknown)
    told = read_error(unknown, "warehouse", 1)
    assert not told.final
    assert str(told) == (
        "reading from 'warehouse' failed after 1 row: Error. Its message may quote a value and is not shown"
    )
    assert not is_of_a_database(ValueError("ours"))


def test_the_words_name_the_statement_and_no_address() -> None:
    told = read_error(psycopg.errors.lookup("42703")('column "ana@example.com" does not exist\nLINE 1'), "dwh", 0)
    assert str(told) == (
        "the database of 'dwh' refuses the SQL statement: UndefinedColumn (SQLSTATE 42703): "
        'column "***" does not exist'
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            'unterminated quoted string at or near "\'Ana María 612345678"',
            'unterminated quoted string at or near "***"',
        ),
        ('column "612345678" does not exist', 'column "***" does not exist'),
        ('syntax error at or near "from"', 'syntax error at or near "from"'),
    ],
)
def test_a_literal_of_the_statement_is_not_quoted(said: str, told: str) -> None:
    assert str(read_error(psycopg.errors.lookup("42601")(said), "dwh", 0)).endswith(f" (SQLSTATE 42601): {told}")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("57P01", "terminating connection due to administrator command"),
        ("25P03", "terminating connection due to idle-in-transaction timeout"),
        ("57014", "canceling statement due to statement timeout"),
        ("40P01", "deadlock detected"),
        ("40001", "could not serialize access due to concurrent update"),
        ("53100", 'could not write to file "base/pgsql_tmp/pgsql_tmp12.0": No space left on device'),
        ("53200", "out of memory"),
        ("34000", 'cursor "connectif_0f" does not exist'),
    ],
)
def test_while_rows_are_fetched_only_what_the_server_says_of_itself_is_told(state: str, said: str) -> None:
    error = psycopg.errors.lookup(state)
    assert str(read_error(error(said), "dwh", 1, is_fetching=True)).endswith(f": {said}")
    told = str(read_error(error(f"{said} of Ana María"), "dwh", 1, is_fetching=True))
    assert told.endswith(f"(SQLSTATE {state}). Its message may quote a value and is not shown")


@pytest.mark.parametrize("state", ["22P02", "22007", "23505", "P0001", "XX000"])
def test_what_postgresql_says_of_a_value_is_not_told(state: str) -> None:
    told = str(read_error(psycopg.errors.lookup(state)('invalid input syntax: "Ana María"'), "dwh", 1))
    assert told.endswith(f"(SQLSTATE {state}). Its message may quote a value and is not shown")


@pytest.mark.parametrize("parameters", [["Ana María"], {"who": "ana maría"}, ("x", "Ana"), ["María"]])
def test_the_values_of_parameters_are_not_quoted(parameters: object) -> None:
    error = psycopg.errors.lookup("42601")('syntax error in tsquery: "Ana María"')
    told = str(read_error(error, "dwh", 0, parameters=parameters))
    assert told.endswith(': syntax error in tsquery: "***"')


def test_mysql_s_words_are_told_where_they_are_a_name() -> None:
    assert "Unknown column 'tier'" in str(read_error(of_mysql("pymysql", 1054, "Unknown column 'tier'"), "dwh", 0))
    assert "value" not in str(read_error(of_mysql("pymysql", 1064), "dwh", 0))
