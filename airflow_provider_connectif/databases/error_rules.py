"""Which errors of a driver are final, and which of its words may be shown: a rule set for each family of drivers.

A driver quotes values of rows in its errors, so its words are shown only where they speak of objects and settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

# PostgreSQL, appendix A: class 42, "Syntax Error or Access Rule Violation".
# Class 0A, "Feature Not Supported": of a table in another database, or several statements in one.
WRONG_STATEMENT_STATES = ("42", "0A")
# SQLSTATE classes whose messages name objects and settings and not what is in a row: connection, transaction state,
# authorization, cursor, catalog, schema, rollback, syntax, resources, limits, prerequisites, intervention, system.
_HARMLESS_STATES = ("08", "0A", "25", "26", "28", "34", "3D", "3F", "40", "42", "53", "54", "55", "57", "58")
_PROTOCOL_VIOLATION = "08P01"
# Errors of how a driver is used; a DataError quotes its value.
_HARMLESS_KINDS = ("InterfaceError", "ProgrammingError")

# MySQL's own numbers, since it gives SQLSTATE 42000 also for limits that pass (1203, 1226). Server error reference:
# a column that is ambiguous, unknown, not grouped; syntax; two tables of one name; no such table; no right to a table
# or column; syntax; selects of different widths; no such function (twice).
_WRONG_STATEMENT_NUMBERS = (1052, 1054, 1055, 1064, 1066, 1109, 1142, 1143, 1146, 1149, 1222, 1305, 1630)
_HARMLESS_NUMBERS = (1052, 1054, 1109, 1146)  # whose messages have a name in them, and not a part of the statement
_NO_NUMBER = -1  # of MySQL's own connector

# SQLite has one code for wrong statements and for faults of values while rows are read, so its words decide.
_SQLITE_UNSPECIFIC = "SQLITE_ERROR"
_WRONG_STATEMENT_WORDS = re.compile(
    r"^(no such (table|column|function|collation sequence)\b|ambiguous column name\b|unrecognized token\b|"
    r"incomplete input$|near \".*\": syntax error$|misuse of |wrong number of arguments to function )",
    re.DOTALL,
)

# A driver's words for a setting that no other attempt mends, up to where they quote its value.
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
    """What the errors of a driver mean.

    :param code: its number or state for the message, with a blank before it; empty where it has none.
    :param words: the first line of the database's own words.
    :param is_statement_wrong: whether another attempt would find the same.
    :param is_about_parameters: whether the driver itself refused to bind parameters, before its server had a say.
    :param may_be_shown: whether its words speak of objects and settings, and cannot quote a row.
    :param wrong_setting: words for a setting of the connection that no other attempt mends.
    """

    code: Callable[[BaseException], str]
    words: Callable[[BaseException], str]
    is_statement_wrong: Callable[[BaseException], bool]
    is_about_parameters: Callable[[BaseException], bool]
    may_be_shown: Callable[[BaseException], bool]
    wrong_setting: re.Pattern[str]


def is_of_a_database(error: BaseException) -> bool:
    """Whether a driver, or SQLAlchemy on its behalf, has raised this.

    Every driver derives its errors from a class called ``Error`` (PEP 249); the standard library has no common one.
    """
    return any(base.__name__ in ("Error", "SQLAlchemyError") for base in type(error).__mro__)


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of psycopg, psycopg2, and of others that name it like one of the two; empty without one."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else ""


def _number(error: BaseException) -> int | None:
    """The number that MySQL's drivers give first."""
    first = next(iter(error.args), None)
    return first if isinstance(first, int) else None


def kind_of(error: BaseException) -> str:
    """The name of its class."""
    return type(error).__name__


def first_line(error: object) -> str:
    """The first line of its words."""
    return str(error).strip().partition("\n")[0]


def _words_of_mysql(error: BaseException) -> str:
    return first_line(error.args[1] if len(error.args) > 1 else error)


def state_in_words(error: BaseException) -> str:
    """The SQLSTATE for the message, with a blank before it; empty where there is none."""
    state = sqlstate(error)
    return f" (SQLSTATE {state})" if state else ""


def _state_and_number(error: BaseException) -> str:
    number = _number(error)
    return state_in_words(error) + ("" if number is None else f" ({number})")


def has_wrong_statement_state(error: BaseException) -> bool:
    """Whether its SQLSTATE is that of a syntax error or an access rule violation."""
    return sqlstate(error).startswith(WRONG_STATEMENT_STATES)


def _has_wrong_statement_number(error: BaseException) -> bool:
    return _number(error) in _WRONG_STATEMENT_NUMBERS


def _has_wrong_statement_words(error: BaseException) -> bool:
    return _sqlite_code(error) == _SQLITE_UNSPECIFIC and _WRONG_STATEMENT_WORDS.search(str(error)) is not None


def _sqlite_code(error: BaseException) -> str | None:
    """SQLite's code by name; an error without one is the module's own, as of bytes that it cannot decode."""
    name: str | None = getattr(error, "sqlite_errorname", None)
    return name


def _is_about_parameters(error: BaseException) -> bool:
    if sqlstate(error) == _PROTOCOL_VIOLATION:  # too few values, by PostgreSQL's own words
        return "bind message supplies" in str(error)
    return kind_of(error) == "ProgrammingError" and not sqlstate(error)


def _is_about_parameters_of_libpq(error: BaseException) -> bool:
    # A DataError without a state is the driver's own, of a value that it cannot pass on: NUL in a text. No row has been
    # converted yet, since their cursors leave the result on the server.
    return _is_about_parameters(error) or (kind_of(error) == "DataError" and not sqlstate(error))


def _is_about_parameters_of_mysql(error: BaseException) -> bool:
    return kind_of(error) == "ProgrammingError" and _number(error) in (None, _NO_NUMBER)


def _is_about_parameters_of_sqlite(error: BaseException) -> bool:
    if kind_of(error) == "InterfaceError":
        return "binding parameter" in str(error)
    return kind_of(error) == "ProgrammingError"


def has_harmless_state(state: str) -> bool:
    """Whether the messages of an SQLSTATE name objects and settings, and not what is in a row."""
    return state.startswith(_HARMLESS_STATES)


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
# Of a driver that is not in the table: it may have an SQLSTATE, and its words are not shown without one.
OTHER_ERRORS = ErrorRules(
    code=state_in_words,
    words=first_line,
    is_statement_wrong=has_wrong_statement_state,
    is_about_parameters=_is_about_parameters,
    may_be_shown=_has_harmless_state,
    wrong_setting=LIBPQ_SETTING,
)
