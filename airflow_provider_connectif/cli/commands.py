"""The commands with their options: one table for both command lines. It does not import Airflow."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

DEFAULT_CONN_ID = "connectif_default"
_JOURNAL = "CONN_ID[:[SCHEMA.]TABLE]"
_RUNS_SHOWN = 20
_HISTORY_SHOWN = 20
_KEPT_DAYS = 30
_JINJA = re.compile(r"\{\{[^{}]*\}\}|\{%.*?%\}", re.DOTALL)  # not '{{1,2},{3,4}}', an array of PostgreSQL


class Option(NamedTuple):
    """An argument for argparse: its flags or its name, and its settings."""

    flags: tuple[str, ...]
    settings: Mapping[str, Any]


class Command(NamedTuple):
    """One command.

    ``run``: the command's function, as ``module:function`` in the package ``cli``. It receives the parsed arguments.
    """

    name: str
    help: str
    run: str
    options: tuple[Option, ...]


class Group(NamedTuple):
    """A group of commands. Its name is typed before the name of the command."""

    name: str
    help: str
    commands: tuple[Command | Group, ...]


def _option(*flags: str, **settings: Any) -> Option:
    return Option(flags, settings)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('must be a JSON object, such as {"_name": "first_name"}')
    return value


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise argparse.ArgumentTypeError(f"has the JSON key {', '.join(map(repr, repeated))} more than once: keep one")
    return dict(pairs)


def _query(text: str) -> str:
    """Return the text of ``--sql`` unchanged.

    :raises argparse.ArgumentTypeError: the text has Jinja, or is the name of a file. Only a DAG renders templates and
        reads files.
    """
    if _JINJA.search(text):
        raise argparse.ArgumentTypeError("has Jinja, which only a DAG renders: write the value in its place")
    if text.endswith(".sql") and len(text.split()) == 1:
        raise argparse.ArgumentTypeError('must be the query, not the name of a file: write "$(cat FILE)"')
    return text


def _count(text: str) -> int:
    return _whole_number(text, most=1_000_000)


def _days(text: str) -> int:
    return _whole_number(text, most=36_500)


def _whole_number(text: str, *, most: int) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= most):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}")
    return int(text)


def _budget(text: str) -> int | float:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a number of rows, or a share such as 0.01") from None


_OUTPUT = _option(
    "-o", "--output", choices=("table", "json", "yaml", "plain"), default="table", help="the form of the output (table)"
)
_VERBOSE = _option("-v", "--verbose", action="store_true", help="show the log of the command on stderr")
_CONNECTIF = _option(
    "--connectif-conn-id",
    default=DEFAULT_CONN_ID,
    help=f"the connection to Connectif ({DEFAULT_CONN_ID})",
)
_JOURNAL_CONN = _option(
    "--journal-conn-id",
    metavar=_JOURNAL,
    type=str,
    help="the connection to the journal's database (the only one in [connectif] journals)",
)
_SHOW_VALUES = _option("--show-values", action="store_true", help="show the values of the contact, too")
_SQL = (
    _option("--sql", type=_query, help="the query of the sync"),
    _option("--sql-conn-id", help="the connection that the query runs on"),
)
_KEY_OPTIONS = (
    _option("--key", choices=("email", "external_id"), default="email", help="the kind of contact key (email)"),
    _option("--key-column", help="the column with the key (email or external_id, like --key)"),
)
_MAPPING = (
    *_KEY_OPTIONS,
    _option(
        "--properties", type=_json_object, metavar="JSON", help="column by property id, like the operator's argument"
    ),
    _option("--fields", choices=("live", "builtin"), default="live", help="what properties are checked against (live)"),
    _option("--default-region", help="two letters, for phone numbers without a country code"),
    _option("--region-column", help="the column with the country of a row's phone numbers"),
    _option("--nulls", choices=("omit", "clear"), default="omit", help="how empty values are treated (omit)"),
    _option(
        "--resubscribe",
        choices=("on_change", "never", "always"),
        default="on_change",
        help="when to raise consents (on_change)",
    ),
    _option(
        "--write-modes",
        type=_json_object,
        metavar="JSON",
        help="write mode by property id, like the operator's argument",
    ),
)
_ON_EXISTING = _option(
    "--on-existing",
    choices=("update", "keep", "fill_empty"),
    default="update",
    help="what the sync's imports do to contacts that exist (update)",
)
_COMMON = (_OUTPUT, _VERBOSE)

COMMANDS = Group(
    "connectif",
    "Contacts that are delivered to Connectif: fields, plans, journals",
    (
        Command(
            "fields",
            "List the fields of the account, and propose a mapping for the columns of a query",
            "fields:show_fields",
            (_CONNECTIF, *_SQL, *_KEY_OPTIONS, *_COMMON),
        ),
        Command(
            "check",
            "Check a query against fields and journal: the plan and its cost. Sends no contact",
            "check:check",
            (
                _CONNECTIF,
                _JOURNAL_CONN,
                _option("--sql", type=_query, required=True, help="the query of the sync"),
                _option("--sql-conn-id", required=True, help="the connection that the query runs on"),
                _option("--sync-id", help="the sync in the journal; without it, all rows count as new"),
                _option("--way", choices=("patch", "import"), default="patch", help="the way of delivery (patch)"),
                _ON_EXISTING,
                _option(
                    "--failure-budget",
                    type=_budget,
                    default=0,
                    help="the most refused rows with which the check succeeds (0)",
                ),
                *_MAPPING,
                *_COMMON,
            ),
        ),
        Command(
            "explain",
            "Explain one contact: its state, its history, and what the next run does about it",
            "explain:explain",
            (
                _option("contact", metavar="KEY", type=str, help="the contact's key; - reads it from standard input"),
                _option("--sync-id", help="the sync in the journal (the only one)"),
                _JOURNAL_CONN,
                _CONNECTIF,
                _option("--live", action="store_true", help="read the contact from Connectif, and compare it"),
                _option("--history", type=_count, default=_HISTORY_SHOWN, help=f"outcomes shown ({_HISTORY_SHOWN})"),
                *_SQL,
                *_MAPPING,
                _ON_EXISTING,
                _SHOW_VALUES,
                *_COMMON,
            ),
        ),
        Group(
            "journal",
            "The journal: its runs, and what it may forget",
            (
                Command(
                    "runs",
                    "List the last runs",
                    "journal:show_runs",
                    (
                        _JOURNAL_CONN,
                        _option("--sync-id", help="list only runs of this sync"),
                        _option("--last", type=_count, default=_RUNS_SHOWN, help=f"number of runs ({_RUNS_SHOWN})"),
                        _option("--not-green", action="store_true", help="list only runs that did not succeed"),
                        *_COMMON,
                    ),
                ),
                Command(
                    "unsuppress",
                    "Remove a person from the suppression list, so that runs may send the person again",
                    "journal:unsuppress",
                    (
                        _option(
                            "contact", metavar="KEY", type=str, help="the person's key; - reads it from standard input"
                        ),
                        _JOURNAL_CONN,
                        *_COMMON,
                    ),
                ),
                Command(
                    "purge",
                    "Delete old history; with --everything, delete all data of a sync",
                    "journal:purge",
                    (
                        _JOURNAL_CONN,
                        _option("--sync-id", help="delete only data of this sync"),
                        _option(
                            "--older-than",
                            type=_days,
                            default=_KEPT_DAYS,
                            metavar="DAYS",
                            help=f"days after which history is deleted ({_KEPT_DAYS})",
                        ),
                        _option(
                            "--everything",
                            action="store_true",
                            help="delete the sync's lines, too; its next run sends every row",
                        ),
                        _option("-n", "--dry-run", action="store_true", help="delete nothing, only count"),
                        _option("-y", "--yes", action="store_true", help="do not ask before deleting"),
                        *_COMMON,
                    ),
                ),
            ),
        ),
    ),
)
