"""Runs one command: writes its messages to stderr, and sets its exit code.

An error that the user can correct is shown without a traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

from airflow_provider_connectif.api.errors import (
    ConnectifError,
    ForbiddenError,
    NoResponseError,
    RunFailed,
    TooManyRequestsError,
    UnauthorizedError,
)

OK, FAILED, WRONG_USE = 0, 1, 2
"""The exit codes. argparse, too, ends with the code for wrong use."""

PACKAGE_LOG = "airflow_provider_connectif"
_PROCESS_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"
_LOG_OF_CONNECTIONS = "airflow.hooks.base"


class CommandFailed(Exception):
    """The command failed, or its check has found an error. The text contains neither a secret nor a value."""


class WrongUse(Exception):
    """Arguments contradict each other, or a setting is missing."""


def runner(run: str) -> Callable[[Namespace], None]:
    """Return a function that runs a command, and ends the process if the command fails.

    :param run: the command's function, as ``module:function`` in this package. It is imported when the command runs.
    """

    def run_and_exit(arguments: Namespace) -> None:
        code = run_command(run, arguments)
        if code != OK:
            raise SystemExit(code)

    run_and_exit.__name__ = run.rpartition(":")[2]
    return run_and_exit


def run_command(run: str, arguments: Namespace) -> int:
    """Run a command, and return its exit code."""
    module, _, name = run.partition(":")
    try:
        with _log_on_stderr(arguments.verbose), _connections_of_database():
            getattr(import_module(f"{__package__}.{module}"), name)(arguments)
    except WrongUse as fault:
        return _said(str(fault), WRONG_USE)
    except CommandFailed as failure:
        return _said(str(failure), FAILED)
    except ConnectifError as failure:
        conn_id = getattr(arguments, "connectif_conn_id", None)
        return _said(f"{describe(failure)} (connection {conn_id!r})" if conn_id else describe(failure), FAILED)
    except RunFailed as failure:
        return _said(str(failure), FAILED)
    except BrokenPipeError:  # the reader of the output has closed it
        sys.stderr.close()
        return FAILED
    return OK


def typed_line() -> str:
    """Return the next line of stdin without its line end; empty: there is no line, or it cannot be decoded."""
    try:
        return "" if sys.stdin is None else sys.stdin.readline().rstrip("\n")
    except ValueError:  # stdin is closed, or has other bytes than its encoding allows
        return ""


def describe(error: ConnectifError) -> str:
    """Describe a failed request, and what to do about it, without key, address and value."""
    if isinstance(error, UnauthorizedError):
        return "Connectif refused the API key (401): copy keyId:keySecret again into the connection's password"
    if isinstance(error, ForbiddenError):
        return "Connectif responded with 403: a scope is missing from the API key, or the account is blocked"
    if isinstance(error, TooManyRequestsError):
        return "Connectif responded with 429: the account's requests of this minute are used up; try again in a minute"
    if isinstance(error, NoResponseError):
        return f"Connectif did not respond: {error.what}"
    return str(error)


def _said(words: str, code: int) -> int:
    sys.stderr.write(f"{words}\n")
    return code


@contextmanager
def _connections_of_database() -> Iterator[None]:
    """Let Airflow 3.1 and later find connections in its database, too, like Airflow's own commands for connections."""
    before = os.environ.get(_PROCESS_CONTEXT)
    os.environ.setdefault(_PROCESS_CONTEXT, "server")
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PROCESS_CONTEXT]


@contextmanager
def _log_on_stderr(is_verbose: bool) -> Iterator[None]:
    """Write the package's log to stderr, so that the output on stdout can be piped. Without ``--verbose``, write only
    warnings.

    Airflow 2.11 logs a line about each connection that it retrieves. Without ``--verbose``, this line is left out, too.
    """
    log, connections = logging.getLogger(PACKAGE_LOG), logging.getLogger(_LOG_OF_CONNECTIONS)
    before = log.handlers[:], log.propagate, log.level
    level_of_connections = connections.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO if is_verbose else logging.WARNING)
    if not is_verbose:
        connections.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.handlers, log.propagate, log.level = before
        connections.setLevel(level_of_connections)
