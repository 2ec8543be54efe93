"""The command ``check``: checks a query against fields and journal, with the operator's own ``check_only``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from airflow_provider_connectif.cli.checking import (
    ImportCheck,
    PatchCheck,
    check_rows,
    make_operator,
    operator_arguments,
)
from airflow_provider_connectif.cli.journals import opened_journal
from airflow_provider_connectif.cli.output import Section, pairs, show
from airflow_provider_connectif.cli.running import CommandFailed, WrongUse
from airflow_provider_connectif.journal.contact_question import are_keys_digests, known_syncs
from airflow_provider_connectif.journal.overview_records import REFUSED
from airflow_provider_connectif.reporting.formats import describe_seconds, plural
from airflow_provider_connectif.reporting.requests import Requests

_NOT_SHOWN = frozenset({"reasons", "rejects_path", "duplicates", "check_only", "run_requests", "tries"})


def check(arguments: Namespace) -> None:
    """Check a query. Show the number of rows that a run would send, the cost of the run, and why rows are refused."""
    place, are_digests = None, False
    if arguments.sync_id is not None:
        with opened_journal(arguments.journal_conn_id) as journal:
            require_sync(journal.database, arguments.sync_id)
            are_digests = are_keys_digests(journal.database, arguments.sync_id, journal.version)
            place = journal.place
    elif arguments.journal_conn_id is not None:
        raise WrongUse("--journal-conn-id needs --sync-id: the sync in the journal")
    is_import = arguments.way == "import"
    if is_import and arguments.nulls != "omit":
        raise WrongUse("--nulls is for --way patch: an import leaves out empty values")
    if not is_import and arguments.on_existing != "update":
        raise WrongUse("--on-existing is for --way import: a PATCH updates the contacts that exist")
    given = operator_arguments(arguments, place, are_keys_digests=are_digests, takes_nulls=not is_import)
    if is_import:
        given["on_existing"] = arguments.on_existing
    kind = ImportCheck if is_import else PatchCheck
    operator = make_operator(kind, **given, failure_budget=arguments.failure_budget)
    failure: CommandFailed | None = None
    try:
        check_rows(operator)
    except CommandFailed as error:
        failure = error
    summary = operator.summary
    if failure is None or summary["read"]:  # otherwise there is no plan
        show(arguments.output, summary, _sections(summary, failure, has_journal=place is not None))
    if failure is not None:
        raise failure


def require_sync(database: Any, sync_id: str) -> None:
    """Fail if the journal does not have a sync.

    :raises CommandFailed: the journal does not have the sync; the message names the syncs that it has.
    """
    known = known_syncs(database)
    if sync_id not in known:
        listed = f"it has {', '.join(map(repr, known))}" if known else "it has none"
        raise CommandFailed(f"the journal has no sync {sync_id!r}: {listed}")


def chosen_sync(database: Any, sync_id: str | None) -> str:
    """Return the sync that a command is about.

    :param sync_id: the option ``--sync-id``; ``None``: the only sync of the journal.
    :raises WrongUse: the option is not given, and the journal has several syncs; the message lists them.
    :raises CommandFailed: the journal does not have the sync, or has no sync at all.
    """
    if sync_id is not None:
        require_sync(database, sync_id)
        return sync_id
    known = known_syncs(database)
    if not known:
        raise CommandFailed("the journal has no sync yet: the first run of a sync adds it")
    if len(known) > 1:
        raise WrongUse(f"the journal has several syncs ({', '.join(map(repr, known))}): choose one with --sync-id")
    return known[0]


def _sections(summary: Mapping[str, Any], failure: CommandFailed | None, *, has_journal: bool) -> list[Section]:
    counts = {name: value for name, value in summary.items() if name not in _NOT_SHOWN and value}
    verdict = "The query could be delivered" if failure is None else f"The check failed: {failure}".splitlines()[0]
    sections: list[Section] = [(verdict, _answer(summary, has_journal=has_journal)), ("Counts", pairs(counts))]
    if summary["reasons"]:
        rows = [{"rows": count, "reason": reason} for reason, count in summary["reasons"].items()]
        sections.append(("Refused rows", rows))
    return sections


def _answer(summary: Mapping[str, Any], *, has_journal: bool) -> str:
    """Describe what a run would send and refuse."""
    read, refused = plural(summary["read"], "row"), sum(summary.get(outcome, 0) for outcome in REFUSED)
    lines = [f"{summary['valid']:,} of {read} would be sent, {refused:,} refused."]
    requests = Requests(summary.get("requests_least", 0), summary.get("requests_most", 0))
    if requests.most:
        seconds = summary.get("run_duration_s")
        time = f"at least {describe_seconds(seconds)}" if seconds else "less than a minute"
        lines.append(f"A run would take {requests.describe()}, {time}.")
    if not has_journal:
        lines.append("Without a journal every valid row counts as new.")
    return "\n".join(lines)
