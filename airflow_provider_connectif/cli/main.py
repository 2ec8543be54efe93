"""The package's own command line, without Airflow's."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from airflow_provider_connectif.cli.commands import COMMANDS, Command, Group
from airflow_provider_connectif.cli.running import runner


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    :param arguments: the arguments, without the program's name. Default: those of the process.
    :raises SystemExit: with code 1 if the command failed, and 2 if the arguments are wrong.
    """
    parsed = parser().parse_args(arguments)
    _keep_logs_off_stdout()
    parsed.run(parsed)


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    made = argparse.ArgumentParser(prog="python -m airflow_provider_connectif", description=COMMANDS.help)
    _add(made, COMMANDS)
    return made


def _add(to: argparse.ArgumentParser, group: Group) -> None:
    below = to.add_subparsers(metavar="COMMAND", required=True)
    for entry in group.commands:
        added = below.add_parser(entry.name, help=entry.help, description=entry.help)
        if isinstance(entry, Command):
            for option in entry.options:
                added.add_argument(*option.flags, **option.settings)
            added.set_defaults(run=runner(entry.run))
        else:
            _add(added, entry)


def _keep_logs_off_stdout() -> None:
    """Write Airflow's logs to stderr instead of stdout, so that a program can read a command's output.

    Airflow's own command line does the same from 3.3 on.
    """
    import_module("airflow.settings")  # configures the log
    for handler in logging.getLogger().handlers + logging.getLogger("airflow").handlers:
        _turn_to_stderr(handler)


def _turn_to_stderr(handler: Any) -> None:
    if hasattr(handler, "_use_stderr"):  # RedirectStdHandler of Airflow 2.11, which looks up its stream each time
        handler._use_stderr = True
    elif isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
        handler.setStream(sys.stderr)
