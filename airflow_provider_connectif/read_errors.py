"""What a database's error means for a task that reads from it, and what of its words may be told."""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")
# SQLSTATE classes whose messages name objects and settings and not what is in a row: connection, transaction state,
# authorization, cursor, catalog, schema, rollback, syntax, resources, limits, prerequisites, intervention, system.
_TELLING_STATES = ("08", "25", "26", "28", "34", "3D", "3F", "40", "42", "53", "54", "55", "57", "58")
_TELLING_DRIVERS = ("psycopg", "psycopg2", "sqlite3")  # where an error without a state is one of the connection

# What says that the statement is wrong, or asks for what its user may not see, so that another try finds the same.
# PostgreSQL, appendix A: class 42, "Syntax Error or Access Rule Violation".
_WRONG_STATEMENT_STATES = ("42",)
# MySQL's own numbers, since it gives SQLSTATE 42000 also for limits that pass (1203, 1226). Server error reference:
# a column that is ambiguous, unknown, not grouped; syntax; two tables of one name; no such table; no right to a table
# or column; syntax; selects of different widths; no such function (twice).
_WRONG_STATEMENT_NUMBERS = (1052, 1054, 1055, 1064, 1066, 1109, 1142, 1143, 1146, 1149, 1222, 1305, 1630)
_TELLING_NUMBERS = (1052, 1054, 1109, 1146)  # whose messages have a name in them, and not a part of the statement
_MYSQL_DRIVERS = ("MySQLdb", "mysql", "pymysql")
# SQLite has one code for these and for faults of values while rows are read, so its words decide.
_WRONG_STATEMENT_WORDS = re.compile(
    r"^(no such (table|column|function|collation sequence)\b|ambiguous column name\b|unrecognized token\b|"
    r"incomplete input$|near \".*\": syntax error$|misuse of |wrong number of arguments to function )",
    re.DOTALL,
)


class ReadError(Exception):
    """The database failed while rows were read; the text has no value of a row in it.

    :param final: the statement is wrong, so another try would find the same.
    """

    def __init__(self, words: str, *, final: bool = False) -> None:
        super().__init__(words)
        self.final = final


def is_of_a_database(error: BaseException) -> bool:
    """Whether a driver, or SQLAlchemy on its behalf, has raised this.

    Every driver derives its errors from a class called ``Error`` (PEP 249); the standard library has no common one.
    """
    return any(base.__name__ in ("Error", "SQLAlchemyError") for base in type(error).__mro__)


def read_error(error: BaseException, conn_id: str, rows_read: int) -> ReadError:
    """A driver's error in words, without the values that it may quote.

    :param error: as the driver raised it, or as SQLAlchemy wraps it.
    :param conn_id: the connection.
    :param rows_read: how many rows were read before.
    """
    error = _driver_s_own(error)
    state, driver = _sqlstate(error), _driver(error)
    kind = type(error).__name__ + (f" (SQLSTATE {state})" if state else "")
    if driver in _MYSQL_DRIVERS:
        is_telling = _number(error) in _TELLING_NUMBERS
        kind += f" ({_number(error)})" if _number(error) is not None else ""
    else:
        is_telling = state.startswith(_TELLING_STATES) or (not state and driver in _TELLING_DRIVERS)
    if is_telling:
        kind += f": {_EMAIL.sub('***', _message(error))}"
    if is_statement_wrong(error):
        return ReadError(f"the SQL statement cannot work on {conn_id!r}, whatever the rows: {kind}", final=True)
    rows = "1 row" if rows_read == 1 else f"{rows_read:,} rows"
    return ReadError(f"reading from {conn_id!r} failed after {rows}: {kind}")


def is_statement_wrong(error: BaseException) -> bool:
    """Whether the statement is at fault, so that another try would find the same. What cannot be told is not."""
    error = _driver_s_own(error)
    driver = _driver(error)
    if driver in _MYSQL_DRIVERS:
        return _number(error) in _WRONG_STATEMENT_NUMBERS
    if driver == "sqlite3":
        is_unspecific = getattr(error, "sqlite_errorname", None) == "SQLITE_ERROR"
        return is_unspecific and _WRONG_STATEMENT_WORDS.search(str(error)) is not None
    return _sqlstate(error).startswith(_WRONG_STATEMENT_STATES)


def _driver_s_own(error: BaseException) -> BaseException:
    """The error that SQLAlchemy has wrapped, if it has."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error


def _driver(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _sqlstate(error: BaseException) -> str:
    """The SQLSTATE of psycopg, psycopg2, and of others that name it like one of the two."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else ""


def _number(error: BaseException) -> int | None:
    """The number that MySQL's drivers give first."""
    first = next(iter(error.args), None)
    return first if isinstance(first, int) else None


def _message(error: BaseException) -> str:
    """The first line of the database's own words."""
    words = error.args[1] if _driver(error) in _MYSQL_DRIVERS and len(error.args) > 1 else error
    return str(words).strip().partition("\n")[0]
