"""What a database's error means for a task that reads from it, and what of its words may be told."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Mapping

from airflow_provider_connectif.api.errors import RunFailed

_EMAIL = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")
# SQLSTATE classes whose messages name objects and settings and not what is in a row: connection, transaction state,
# authorization, cursor, catalog, schema, rollback, syntax, resources, limits, prerequisites, intervention, system.
_TELLING_STATES = ("08", "25", "26", "28", "34", "3D", "3F", "40", "42", "53", "54", "55", "57", "58")
_TELLING_DRIVERS = ("psycopg", "psycopg2", "sqlite3")  # where an error without a state may be one of the connection
_TELLING_KINDS = ("InterfaceError", "ProgrammingError")  # of how a driver is used; a DataError quotes its value

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


CONVERSION_ERRORS = (ValueError, ArithmeticError)
"""Raised for a value that cannot be converted, and quoting it; UnicodeError and InvalidOperation are among them."""
# A KeyError quotes what was looked up: often a value, such as a country that a table of codes does not have.
_QUOTING_ERRORS = (*CONVERSION_ERRORS, KeyError)
_LIBRARY_FOLDERS = tuple(
    os.path.abspath(path) + os.sep
    for path in {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_UNKNOWN_ARGUMENT = re.compile(r"unexpected keyword argument '(\w{1,60})'|'(\w{1,60})' is an invalid keyword")
# libpq's, psycopg's and SQLite's words for a setting that no other attempt mends, up to where they quote its value.
_WRONG_SETTING = re.compile(
    r"invalid (connection|URI query parameter|dsn)[^\n\"]*(\"\w{1,60}\")?|invalid \w{1,40} value|"
    r"invalid integer value|invalid port number|missing \"=\" after|root certificate file|could not (load|read) [\w ]*"
    r"(certificate|private key)|no such (access mode|cache mode|vfs)"
)
_PLACEHOLDERS: Mapping[str, str] = {
    "qmark": "? as placeholders",
    "numeric": ":1, :2 as placeholders",
    "named": ":name as placeholders",
    "format": "%s as placeholders, and %% for a percent sign",
    "pyformat": "%s or %(name)s as placeholders, and %% for a percent sign",
}
_PROTOCOL_VIOLATION = "08P01"
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))


class ReadError(RunFailed):
    """The database failed while rows were read; the text has no value of a row in it."""


def is_of_a_database(error: BaseException) -> bool:
    """Whether a driver, or SQLAlchemy on its behalf, has raised this.

    Every driver derives its errors from a class called ``Error`` (PEP 249); the standard library has no common one.
    """
    return any(base.__name__ in ("Error", "SQLAlchemyError") for base in type(error).__mro__)


def read_error(error: BaseException, conn_id: str, rows_read: int, *, is_fetching: bool = False) -> ReadError:
    """A driver's error in words, without the values that it may quote.

    :param error: as the driver raised it, or as SQLAlchemy wraps it.
    :param conn_id: the connection.
    :param rows_read: how many rows were read before.
    :param is_fetching: the statement was accepted before, so that what is wrong now is in a row: a text that is no
        query for ``to_tsquery`` has the SQLSTATE of a syntax error, and SQLite's full-text search says of one that
        there is no such column.
    """
    error = _driver_s_own(error)
    state, driver = _sqlstate(error), _driver(error)
    kind = type(error).__name__ + (f" (SQLSTATE {state})" if state else "")
    is_of_a_row = is_fetching and (_is_of_a_statement(state) or _is_unspecific(error))
    if driver in _MYSQL_DRIVERS:
        is_telling = _number(error) in _TELLING_NUMBERS
        kind += f" ({_number(error)})" if _number(error) is not None else ""
    else:
        is_telling = _is_telling(error, state, driver) and not is_of_a_row
    if is_telling:
        kind += f": {_EMAIL.sub('***', _message(error))}"
    if is_statement_wrong(error) and not is_of_a_row:
        return ReadError(f"the SQL statement cannot work on {conn_id!r}, whatever the rows: {kind}", final=True)
    rows = "1 row" if rows_read == 1 else f"{rows_read:,} rows"
    return ReadError(f"reading from {conn_id!r} failed after {rows}: {kind}")


def connection_error(error: Exception, conn_id: str) -> ReadError | None:
    """A connection that its driver refuses whatever the network does; ``None`` where another attempt may help.

    :param error: out of the hook's ``get_conn``.
    """
    words = broken_setting(error)
    if words is None:
        return None
    return ReadError(f"connection {conn_id!r} cannot be used, check its extra and its driver: {words}", final=True)


def broken_setting(error: BaseException) -> str | None:
    """Why settings of a connection cannot work, in words without their values; ``None`` if it is not known that so.

    :param error: out of a driver's ``connect``, or as SQLAlchemy wraps it.
    """
    error = _driver_s_own(error)
    kind = type(error).__name__
    if isinstance(error, ImportError):
        return f"its driver is not installed ({kind}: {error.name or 'no module named'})"
    if isinstance(error, TypeError) and (option := _UNKNOWN_ARGUMENT.search(str(error))):
        return f"its driver does not know the option {option[1] or option[2]!r}"
    message = _message(error)
    if is_of_a_database(error) and (fault := _WRONG_SETTING.search(message)):
        return f"{kind}: {fault[0]}"
    is_ours = isinstance(error, (TypeError, ValueError)) or type(error).__name__ == "ProgrammingError"
    return f"its driver refuses the settings ({kind})" if is_ours and not _sqlstate(error) else None


def statement_error(error: Exception, conn_id: str, connection: object) -> ReadError | None:
    """A statement that does not fit its parameters, in words; ``None`` where it is something else.

    :param error: out of the driver's ``execute``; nothing was fetched yet.
    :param connection: the driver's.
    """
    if is_of_a_database(error) and not _is_of_placeholders(error):
        return None
    if not is_of_a_database(error) and not isinstance(error, (TypeError, ValueError, LookupError, ArithmeticError)):
        return None
    kind = type(error).__name__
    words = f": {_message(error)}" if is_of_a_database(error) and _driver(error) in _TELLING_DRIVERS else ""
    driver = type(connection).__module__.partition(".")[0]
    style = _PLACEHOLDERS.get(getattr(sys.modules.get(driver), "paramstyle", ""), "its own placeholders")
    return ReadError(
        f"sql and parameters do not fit on {conn_id!r} ({kind}{words}). {driver} takes {style}", final=True
    )


def _is_of_placeholders(error: BaseException) -> bool:
    """Whether a driver itself, before its server had a say, refused to bind parameters."""
    own = _driver_s_own(error)
    if _driver(own) in _MYSQL_DRIVERS:
        return type(own).__name__ == "ProgrammingError" and _number(own) is None
    if _driver(own) == "sqlite3" and type(own).__name__ == "InterfaceError":
        return "binding parameter" in str(own)
    if _sqlstate(own) == _PROTOCOL_VIOLATION:  # too few values, by PostgreSQL's own words
        return "bind message supplies" in str(own)
    return type(own).__name__ == "ProgrammingError" and not _sqlstate(own)


def fetch_error(error: Exception, conn_id: str, rows_read: int, fetched: int, at_once: int) -> ReadError:
    """An error while rows are fetched, without the value that it may quote.

    :param rows_read: how many rows were handed on.
    :param fetched: how many rows were fetched before this fetch.
    :param at_once: how many were asked for.
    """
    is_database_s = is_of_a_database(error)
    if is_database_s and (_sqlstate(error) or type(error).__name__ != "DataError"):
        return read_error(error, conn_id, rows_read, is_fetching=True)
    if not is_database_s and not isinstance(error, CONVERSION_ERRORS):
        return ReadError(f"reading from {conn_id!r} failed after {rows_read:,} rows: {type(error).__name__}")
    return ReadError(
        f"the driver of {conn_id!r} cannot convert a value ({type(error).__name__}) in one of the rows "
        f"{fetched + 1:,} to {fetched + at_once:,}. Cast dates, numbers and texts to text in the query to find it",
        final=True,
    )


def function_error(error: Exception, rows_made: int | None = None) -> ReadError | None:
    """An error out of somebody's rows that quotes a value by its nature; ``None`` for any other.

    Its words are left out, and the place where it was raised is named instead.

    :param rows_made: how many rows came before; ``None`` where the function had not returned.
    """
    if not is_of_a_database(error) and not (isinstance(error, _QUOTING_ERRORS) and _is_of_a_library(type(error))):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OWN_FOLDER)]
    place = f", in {own[0].name}() at line {own[0].lineno} of {os.path.basename(own[0].filename)}" if own else ""
    what = "the rows" if rows_made is None else f"row {rows_made + 1:,}"
    return ReadError(
        f"making {what} failed with {type(error).__name__}{place}. Its message may quote a value and is not shown"
    )


def _is_of_a_library(kind: type) -> bool:
    """Whether a class of errors is Python's or an installed package's; an author's own words are meant to be read."""
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return path is None or os.path.abspath(path).startswith(_LIBRARY_FOLDERS)


def _is_telling(error: BaseException, state: str, driver: str) -> bool:
    """Whether a message speaks of objects and settings, and cannot quote a row."""
    if driver == "sqlite3":
        # An error without a name is the module's own, as of bytes that it cannot decode.
        name = getattr(error, "sqlite_errorname", None)
        is_known = name is not None and (
            name != "SQLITE_ERROR" or _WRONG_STATEMENT_WORDS.search(str(error)) is not None
        )
        return is_known or type(error).__name__ in _TELLING_KINDS
    if state:
        return state.startswith(_TELLING_STATES)
    return driver in _TELLING_DRIVERS and type(error).__name__ in ("OperationalError", *_TELLING_KINDS)


def _is_of_a_statement(state: str) -> bool:
    return state.startswith(_WRONG_STATEMENT_STATES)


def is_statement_wrong(error: BaseException) -> bool:
    """Whether the statement is at fault, so that another try would find the same. What cannot be told is not."""
    error = _driver_s_own(error)
    driver = _driver(error)
    if driver in _MYSQL_DRIVERS:
        return _number(error) in _WRONG_STATEMENT_NUMBERS
    if driver == "sqlite3":
        return _is_unspecific(error) and _WRONG_STATEMENT_WORDS.search(str(error)) is not None
    return _sqlstate(error).startswith(_WRONG_STATEMENT_STATES)


def _is_unspecific(error: BaseException) -> bool:
    """Whether an error has SQLite's one code for faults of statements and of rows."""
    return getattr(error, "sqlite_errorname", None) == "SQLITE_ERROR"


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
