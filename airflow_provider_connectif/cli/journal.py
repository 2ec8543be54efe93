"""The commands ``journal runs``, ``journal purge`` and ``journal unsuppress``."""

from __future__ import annotations

import json
import logging
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from airflow_provider_connectif.cli.check import require_sync
from airflow_provider_connectif.cli.journals import OpenJournal, opened_journal
from airflow_provider_connectif.cli.output import pairs, show
from airflow_provider_connectif.cli.running import CommandFailed, WrongUse, typed_line
from airflow_provider_connectif.contacts.named_people import people_named
from airflow_provider_connectif.databases.journals import key_secret
from airflow_provider_connectif.journal.past_runs import past_runs
from airflow_provider_connectif.journal.purging import Purge
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.journal.tables import VERSION
from airflow_provider_connectif.reporting.verdict import verdict_in_words

_LOG = logging.getLogger(__name__)

_IN_TABLE = (
    *("started_at", "sync_id", "run_id", "task", "tries", "verdict", "duration_s"),
    *("read", "delivered", "refused", "undelivered", "requests"),
)


def show_runs(arguments: Namespace) -> None:
    """List the last runs, the newest first."""
    with opened_journal(arguments.journal_conn_id) as journal:
        _require_history(journal)
        if arguments.sync_id is not None:
            require_sync(journal.database, arguments.sync_id)
        runs = past_runs(journal.database, arguments.sync_id, arguments.last, not_green=arguments.not_green)
    rows = [run.as_dict() for run in runs]
    table = [{name: row[name] for name in _IN_TABLE} | {"verdict": verdict_in_words(row["verdict"])} for row in rows]
    causes = [{name: row[name] for name in ("run_id", "task", "cause")} for row in rows if row["cause"]]
    show(arguments.output, rows, [("", table), *([("Causes of failures", causes)] if causes else [])])


def purge(arguments: Namespace) -> None:
    """Delete old history; or, with ``--everything``, all data of a sync."""
    if arguments.everything and arguments.sync_id is None:
        raise WrongUse("--everything needs --sync-id: the sync whose lines are deleted")
    before = datetime.now(UTC) - timedelta(days=arguments.older_than)
    with opened_journal(arguments.journal_conn_id, writes=not arguments.dry_run) as journal:
        _require_history(journal)
        if arguments.sync_id is not None:
            require_sync(journal.database, arguments.sync_id)
        action = Purge(journal.database, arguments.sync_id, before, everything=arguments.everything)
        counts = action.counts()
        action.check_not_held()
        is_done = not arguments.dry_run and any(counts.values())
        if is_done:
            _confirm(arguments, counts)
            counts = action.carry_out()
    data = {"deleted" if is_done else "to_delete": counts}
    title = (
        "Deleted" if is_done else "Nothing was deleted; these would be" if any(counts.values()) else "Nothing to delete"
    )
    show(arguments.output, data, [(title, pairs(counts))])


def unsuppress(arguments: Namespace) -> None:
    """Remove a person from the suppression list. After that, a run may send the person again."""
    key = typed_line() if arguments.contact == "-" else arguments.contact
    with opened_journal(arguments.journal_conn_id, writes=True) as journal:
        _require_history(journal)
        conn_id = journal.place.conn_id
        listed = SuppressionList(journal.database, key_secret(conn_id), conn_id=conn_id)
        removed = listed.unsuppress(people_named(key))
    if not removed:
        raise CommandFailed("no person with this key is on the suppression list")
    _LOG.info("Removed a person from the suppression list of the journal on %r", conn_id)
    show(arguments.output, {"removed": removed}, [("Removed from the suppression list", pairs({"removed": removed}))])


def _require_history(journal: OpenJournal) -> None:
    if journal.version < VERSION:
        raise CommandFailed(
            f"the journal has version {journal.version}, and this command needs version {VERSION}: "
            "the next run of a sync of this journal updates it; repeat the command after that"
        )


def _confirm(arguments: Namespace, counts: dict[str, int], ask: Callable[[], str] = typed_line) -> None:
    """Ask the user before something is deleted. With ``--yes``, do not ask.

    :param counts: the numbers of lines that would be deleted.
    :param ask: returns the line that the user typed.
    :raises CommandFailed: the user did not type yes.
    """
    if arguments.yes:
        return
    sys.stderr.write(f"Delete {json.dumps(counts)}? Type yes: ")
    sys.stderr.flush()
    if ask().strip().lower() not in ("y", "yes"):
        raise CommandFailed("nothing was deleted")
