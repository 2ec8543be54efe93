"""Rules for the errors of drivers, by family: which errors are final, and which messages may be shown.

Drivers quote values of rows in their errors, so their messages are shown only if they are about objects and settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# PostgreSQL, appendix A: class 42, "Syntax Error or Access Rule Violation".
# Class 0A, "Feature Not Supported": for example a table in another database, or several statements in one.
WRONG_STATEMENT_STATES = ("42", "0A")
# SQLSTATE classes whose messages name objects and settings and not what is in a row: connection, transaction state,
# authorization, cursor, catalog, schema, rollback, syntax, resources, limits, prerequisites, intervention, system.
_HARMLESS_STATES = ("08", "0A", "25", "26", "28", "34", "3D", "3F", "40", "42", "53", "54", "55", "57", "58")
# While rows are fetched, the text may come from a row in every class: a function of the database raises what it wants,
# and a row may name a schema or a file. So only these sentences of PostgreSQL itself are shown then.
_OF_THE_SERVER = re.compile(
    r"(?:FATAL: +|ERROR: +)?(?:(?:terminating connection|canceling statement) due to [a-z -]{1,40}|deadlock detected|"
    r"could not serialize access [a-z /-]{1,60}|current transaction is aborted[a-z ,]*|out of (?:shared )?memory|"
    r"the database system is [a-z ]{1,30}|cursor \"connectif_\w+\" does not exist|"
    r"could not (?:write|extend) [^:]{1,20}\"?base/[\w/.]+\"?: No space left on device)"
)
_PROTOCOL_VIOLATION = "08P01"
# Errors in the use of a driver; a DataError quotes its value.
_HARMLESS_KINDS = ("InterfaceError", "ProgrammingError")

# MySQL's own numbers, since it uses SQLSTATE 42000 also for temporary limits (1203, 1226). Server error reference:
# a column that is ambiguous, unknown, not grouped; syntax; two tables of one name; no such table; no right to a table
# or column; syntax; selects of different widths; no such function (twice).
_WRONG_STATEMENT_NUMBERS = (1052, 1054, 1055, 1064, 1066, 1109, 1142, 1143, 1146, 1149, 1222, 1305, 1630)
_HARMLESS_NUMBERS = (1052, 1054, 1109, 1146)  # their messages quote a name, but no part of the statement
_NO_NUMBER = -1  # of an error without a number, in MySQL's own connector

# SQLite has one code for wrong statements and for faulty values while rows are read, so the message decides.
_SQLITE_UNSPECIFIC = "SQLITE_ERROR"
_WRONG_STATEMENT_WORDS = re.compile(
    r"^(no such (table|column|function|collation sequence)\b|ambiguous column name\b|unrecognized token\b|"
    r"incomplete input$|near \".*\": syntax error$|misuse of |wrong number of arguments to function )",
    re.DOTALL,
)

# The beginning of a driver's message about a wrong setting, without the quoted value.
LIBPQ_SETTING = re.compile(
    r"invalid (connection|URI query parameter|dsn)[^\n\"]*(\"\w{1,60}\")?|invalid \w{1,40} value|"
    r"invalid integer value|invalid port number|missing \"=\" after|root certificate file|could not (load|read) [\w ]*"
    r"(certificate|private key)"
)
_MYSQL_SETTING = re.compile(r"impossible to write to binary log since BINLOG_FORMAT = STATEMENT")
_SQLITE_SETTING = re.compile(r"no such (access mode|cache mode|vfs)")
NO_SETTING = re.compile(r"(?!)")


@dataclass(frozen=True)
class ErrorRules:
    """The rules for the errors of a driver.

    :param code: returns an error's number or state for the message, with a blank before it; empty if it has none.
    :param words: returns the first line of the database's message.
    :param is_statement_wrong: returns whether another attempt would end the same way.
    :param is_about_parameters: returns whether the driver itself refused to bind parameters, before the server was
        involved.
    :param may_be_shown: returns whether an error's message is about objects and settings, and cannot quote a row.
    :param wrong_setting: matches messages about a setting of the connection that no retry can fix.
    """

    code: Callable[[BaseException], str]
    words: Callable[[BaseException], str]
    is_statement_wrong: Callable[[BaseException], bool]
    is_about_parameters: Callable[[BaseException], bool]
    may_be_shown: Callable[[BaseException], bool]
    wrong_setting: re.Pattern[str]


def is_of_a_database(error: BaseException) -> bool:
    """Whether a driver, or SQLAlchemy for it, has raised the error.

    Every driver derives its errors from a class called ``Error`` (PEP 249); the standard library has no common one.
    """
    return any(base.__name__ in ("Error", "SQLAlchemyError") for base in type(error).__mro__)


def sqlstate(error: BaseException) -> str:
    """Return an error's SQLSTATE, from the attribute of psycopg or of psycopg2; empty if it has none."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else ""


def _number(error: BaseException) -> int | None:
    """Return the error number of MySQL's drivers, their first argument."""
    first = next(iter(error.args), None)
    return first if isinstance(first, int) else None


def kind_of(error: BaseException) -> str:
    """Return the name of an error's class."""
    return type(error).__name__


def first_line(error: object) -> str:
    """Return the first line of an error's message."""
    return str(error).strip().partition("\n")[0]


def _words_of_mysql(error: BaseException) -> str:
    return first_line(error.args[1] if len(error.args) > 1 else error)


def state_in_words(error: BaseException) -> str:
    """Return an error's SQLSTATE for the message, with a blank before it; empty if it has none."""
    state = sqlstate(error)
    return f" (SQLSTATE {state})" if state else ""


def _state_and_number(error: BaseException) -> str:
    number = _number(error)
    return state_in_words(error) + ("" if number is None else f" ({number})")


def has_wrong_statement_state(error: BaseException) -> bool:
    """Whether an error's SQLSTATE is about the statement: syntax, access rights, or a feature that is not supported."""
    return sqlstate(error).startswith(WRONG_STATEMENT_STATES)


def _has_wrong_statement_number(error: BaseException) -> bool:
    return _number(error) in _WRONG_STATEMENT_NUMBERS


def _has_wrong_statement_words(error: BaseException) -> bool:
    return _sqlite_code(error) == _SQLITE_UNSPECIFIC and _WRONG_STATEMENT_WORDS.search(str(error)) is not None


def _sqlite_code(error: BaseException) -> str | None:
    """Return the name of SQLite's code. An error of Python itself has none, such as for bytes that are not UTF-8."""
    name: str | None = getattr(error, "sqlite_errorname", None)
    return name


def _is_about_parameters(error: BaseException) -> bool:
    if sqlstate(error) == _PROTOCOL_VIOLATION:  # too few values, by PostgreSQL's own message
        return "bind message supplies" in str(error)
    return kind_of(error) == "ProgrammingError" and not sqlstate(error)


def _is_about_parameters_of_libpq(error: BaseException) -> bool:
    # A DataError without a state comes from the driver: it cannot send a value, such as a text with NUL. It cannot be
    # about a row, since no row was converted yet: these cursors leave the result on the server.
    return _is_about_parameters(error) or (kind_of(error) == "DataError" and not sqlstate(error))


def _is_about_parameters_of_mysql(error: BaseException) -> bool:
    return kind_of(error) == "ProgrammingError" and _number(error) in (None, _NO_NUMBER)


def _is_about_parameters_of_sqlite(error: BaseException) -> bool:
    if kind_of(error) == "InterfaceError":
        return "binding parameter" in str(error)
    return kind_of(error) == "ProgrammingError"


def has_harmless_state(state: str) -> bool:
    """Whether messages with an SQLSTATE name only objects and settings, and no value of a row."""
    return state.startswith(_HARMLESS_STATES)


def is_of_the_server(words: str) -> bool:
    """Whether a message with an SQLSTATE is a sentence of PostgreSQL itself, which no row can cause or contain."""
    return _OF_THE_SERVER.fullmatch(words) is not None


def _has_harmless_state(error: BaseException) -> bool:
    return has_harmless_state(sqlstate(error))


def _has_harmless_state_or_kind(error: BaseException) -> bool:
    # Without a state it may be an error of the connection.
    return _has_harmless_state(error) or (
        not sqlstate(error) and kind_of(error) in ("OperationalError", *_HARMLESS_KINDS)
    )


def _has_harmless_number(error: BaseException) -> bool:
    return _number(error) in _HARMLESS_NUMBERS


def _has_harmless_code_or_kind(error: BaseException) -> bool:
    code = _sqlite_code(error)
    is_specific = code is not None and code != _SQLITE_UNSPECIFIC
    return is_specific or _has_wrong_statement_words(error) or kind_of(error) in _HARMLESS_KINDS


LIBPQ_ERRORS = ErrorRules(
    code=state_in_words,
    words=first_line,
    is_statement_wrong=has_wrong_statement_state,
    is_about_parameters=_is_about_parameters_of_libpq,
    may_be_shown=_has_harmless_state_or_kind,
    wrong_setting=LIBPQ_SETTING,
)
MYSQL_ERRORS = ErrorRules(
    code=_state_and_number,
    words=_words_of_mysql,
    is_statement_wrong=_has_wrong_statement_number,
    is_about_parameters=_is_about_parameters_of_mysql,
    may_be_shown=_has_harmless_number,
    wrong_setting=_MYSQL_SETTING,
)
SQLITE_ERRORS = ErrorRules(
    code=state_in_words,
    words=first_line,
    is_statement_wrong=_has_wrong_statement_words,
    is_about_parameters=_is_about_parameters_of_sqlite,
    may_be_shown=_has_harmless_code_or_kind,
    wrong_setting=_SQLITE_SETTING,
)
# For drivers that are not in the table. The message of an error without an SQLSTATE is not shown.
OTHER_ERRORS = ErrorRules(
    code=state_in_words,
    words=first_line,
    is_statement_wrong=has_wrong_statement_state,
    is_about_parameters=_is_about_parameters,
    may_be_shown=_has_harmless_state,
    wrong_setting=LIBPQ_SETTING,
)
