"""Interprets the errors of a database for a task that reads from it, and decides which messages may be shown."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.databases.drivers import Driver, driver_of
from airflow_provider_connectif.databases.error_rules import is_of_a_database, is_of_the_server, sqlstate
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.reporting.concealment import Concealer
from airflow_provider_connectif.reporting.formats import describe_frame

_LITERAL = re.compile(r"\"[^\"]*'.*")  # the message of an open quotation mark quotes the rest of the line

CONVERSION_ERRORS = (ValueError, ArithmeticError)
"""Errors for a value that cannot be converted, which they quote; UnicodeError and InvalidOperation are among them."""
# A KeyError quotes the key: often a value, such as a country that a table of codes does not have.
_QUOTING_ERRORS = (*CONVERSION_ERRORS, KeyError)
_LIBRARY_FOLDERS = tuple(
    os.path.abspath(path) + os.sep
    for path in {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
# Errors of a driver that binds parameters itself.
_PARAMETER_ERRORS = (TypeError, ValueError, LookupError, ArithmeticError, AssertionError)
_UNKNOWN_ARGUMENT = re.compile(r"unexpected keyword argument '(\w{1,60})'|'(\w{1,60})' is an invalid keyword")
_PLACEHOLDERS: Mapping[str, str] = {
    "qmark": "? as placeholders",
    "numeric": ":1, :2 as placeholders",
    "named": ":name as placeholders",
    "format": "%s as placeholders, and %% for a percent sign",
    "pyformat": "%s or %(name)s as placeholders, and %% for a percent sign",
}
_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class ReadError(RunFailed):
    """The database failed while rows were read; the text contains no value of a row."""


def read_error(
    error: BaseException, conn_id: str, rows_read: int, *, is_fetching: bool = False, parameters: object = None
) -> ReadError:
    """Describe a driver's error without the values that it may quote.

    :param error: the driver's error, or SQLAlchemy's around it. Of any other exception only the class and the place
        where it was raised are shown.
    :param conn_id: the connection.
    :param rows_read: number of rows read before.
    :param is_fetching: whether the statement was accepted before, so that a row is at fault, even if the error looks
        like one of the statement. For example, a value that is not a query for ``to_tsquery`` has the SQLSTATE of a
        syntax error.
    :param parameters: the parameters of the statement. A server may quote their values while it plans the query.
    """
    error = _unwrapped(error)
    rows = "1 row" if rows_read == 1 else f"{rows_read:,} rows"
    if not _is_of_a_driver(error):
        return ReadError(f"reading from {conn_id!r} failed after {rows}: {type(error).__name__}{_raised_at(error)}")
    rules = driver_of(error).errors
    is_final = rules.is_statement_wrong(error)
    is_of_a_row = is_fetching and is_final
    kind = type(error).__name__ + rules.code(error)
    words = rules.words(error)
    may_be_of_a_row = is_fetching and (is_final or (sqlstate(error) and not is_of_the_server(words)))
    if rules.may_be_shown(error) and not may_be_of_a_row:
        kind += f": {_concealed(words, parameters)}"
    elif not is_final or is_of_a_row:
        kind += ". Its message may quote a value and is not shown"
    if is_final and not is_of_a_row:
        return ReadError(f"the database of {conn_id!r} refuses the SQL statement: {kind}", final=True)
    return ReadError(f"reading from {conn_id!r} failed after {rows}: {kind}")


def _is_of_a_driver(error: BaseException) -> bool:
    """Whether the rules of a driver apply to an error: some drivers raise errors outside PEP 249."""
    return is_of_a_database(error) or driver_of(error) != Driver()


def _raised_at(error: BaseException) -> str:
    """Return the place where an error was raised, for a message that leaves out the error's own text."""
    frames = traceback.extract_tb(error.__traceback__)
    return describe_frame(frames[-1]) if frames else ""


def connection_error(error: Exception, conn_id: str, extra: Mapping[str, Any]) -> ReadError | None:
    """Return an error for settings that the driver refuses; ``None`` if another attempt may help.

    :param error: from the hook's ``get_conn``.
    :param extra: the connection's extra.
    """
    words = broken_setting(error) or driver_of(error).broken_setting(extra)
    if not words:
        return None
    return ReadError(f"connection {conn_id!r} cannot be used, check its extra and its driver: {words}", final=True)


def broken_setting(error: BaseException) -> str | None:
    """Return the reason why a connection's settings cannot work, without their values; ``None`` if none is known.

    :param error: from a driver's ``connect``, or wrapped by SQLAlchemy.
    """
    error = _unwrapped(error)
    kind = type(error).__name__
    if isinstance(error, ImportError):
        what = "is not installed" if isinstance(error, ModuleNotFoundError) else "cannot be imported"
        return f"its driver {what} ({kind}{f': {error.name}' if error.name else ''})"
    if isinstance(error, TypeError) and (option := _UNKNOWN_ARGUMENT.search(str(error))):
        return f"its driver does not know the option {option[1] or option[2]!r}"
    rules = driver_of(error).errors
    if is_of_a_database(error) and (fault := rules.wrong_setting.search(rules.words(error))):
        return f"{kind}: {fault[0]}"
    is_refused = isinstance(error, (TypeError, ValueError)) or kind == "ProgrammingError"
    return f"its driver refuses the settings ({kind})" if is_refused and not rules.code(error) else None


def _concealed(words: str, parameters: object) -> str:
    """Return a database's message without literals, e-mail addresses, long numbers, and the values of parameters."""
    values = parameters.values() if isinstance(parameters, Mapping) else parameters
    some = list(values) if isinstance(values, Iterable) else []
    row = {f"parameter {place}": value for place, value in enumerate(some)}
    return Concealer(Patch(0, "", {}, row))(_LITERAL.sub('"***"', words))


def statement_error(error: Exception, conn_id: str, connection: object, parameters: object = None) -> ReadError | None:
    """Return an error for a statement that does not match its parameters; ``None`` for other errors.

    :param error: from the driver's ``execute``; nothing was fetched yet.
    :param connection: the driver's connection.
    :param parameters: as in :func:`read_error`.
    """
    own = _unwrapped(error)
    rules = driver_of(own).errors
    if _is_of_a_driver(own):
        if not rules.is_about_parameters(own):
            return None
    elif not isinstance(error, _PARAMETER_ERRORS) or isinstance(error, OSError):  # such as a response that is not JSON
        return None
    kind = type(error).__name__
    words = ": a value cannot be passed on, such as a text with NUL" if kind == "DataError" else ""
    if _is_of_a_driver(own) and rules.may_be_shown(own):
        words = f": {_concealed(rules.words(own), parameters)}"
    package = driver_of(connection).package or type(connection).__module__.partition(".")[0]
    style = _PLACEHOLDERS.get(_paramstyle(connection), "its own placeholders")
    return ReadError(
        f"sql and parameters do not match each other on {conn_id!r} ({kind}{words}). {package} takes {style}",
        final=True,
    )


def _paramstyle(connection: object) -> str:
    """Return the ``paramstyle`` of a driver's package or of a module in it (PEP 249); empty if there is none.

    Base classes are searched too, since the connection's class may be one of this package.
    """
    for kind in type(connection).__mro__:
        parts = kind.__module__.lstrip("_").split(".")
        modules = (sys.modules.get(".".join(parts[:count])) for count in range(1, len(parts) + 1))
        named = (getattr(module, "paramstyle", None) for module in modules)
        if style := next((style for style in named if isinstance(style, str)), ""):
            return style
    return ""


def fetch_error(error: Exception, conn_id: str, rows_read: int, fetched: int, at_once: int) -> ReadError:
    """Describe an error while rows are fetched, without the value that it may quote.

    :param rows_read: number of rows passed on.
    :param fetched: number of rows fetched before this fetch.
    :param at_once: number of rows requested by this fetch.
    """
    is_of_driver = _is_of_a_driver(error)
    if is_of_driver and (sqlstate(error) or type(error).__name__ != "DataError"):
        return read_error(error, conn_id, rows_read, is_fetching=True)
    if not is_of_driver and (not isinstance(error, CONVERSION_ERRORS) or isinstance(error, OSError)):
        return read_error(error, conn_id, rows_read, is_fetching=True)
    return ReadError(
        f"the driver of {conn_id!r} cannot convert a value ({type(error).__name__}) in one of the rows "
        f"{fetched + 1:,} to {fetched + at_once:,}. Cast one column after the other to text in the query: when reading "
        "works, the last one has the value",
        final=True,
    )


def function_error(error: Exception, rows_made: int | None = None) -> ReadError | None:
    """Describe an error in a function's rows whose own text may quote a value; ``None`` for any other error.

    The text is left out, and the place where the error was raised is named instead.

    :param rows_made: number of rows before the error; ``None`` if the function had not returned.
    """
    if not is_of_a_database(error) and not (isinstance(error, _QUOTING_ERRORS) and _is_of_a_library(type(error))):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OWN_FOLDER)]
    place = describe_frame(own[0]) if own else ""
    what = "the rows" if rows_made is None else f"row {rows_made + 1:,}"
    return ReadError(
        f"making {what} failed with {type(error).__name__}{place}. Its message may quote a value and is not shown"
    )


def _is_of_a_library(kind: type) -> bool:
    """Whether a class of errors belongs to Python or an installed package, so that its messages may quote a value.

    The messages of a DAG author's own classes may be shown.
    """
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return path is None or os.path.abspath(path).startswith(_LIBRARY_FOLDERS)


def is_statement_wrong(error: BaseException) -> bool:
    """Whether the statement is at fault, so that another attempt would fail too; ``False`` if that is not known."""
    error = _unwrapped(error)
    return driver_of(error).errors.is_statement_wrong(error)


def _unwrapped(error: BaseException) -> BaseException:
    """Return the error that SQLAlchemy has wrapped, if there is one."""
    original = getattr(error, "orig", None)
    return original if isinstance(original, BaseException) else error
