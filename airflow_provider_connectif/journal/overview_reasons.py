"""Counts the rows of a run that were not delivered, by reason.

The history lists at most ``history_lines`` rows of each outcome, and is deleted before the record of the run. The
record of the run counts all rows, but has only the commonest reasons, and not the outcomes that belong to them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.journal.overview import NOT_DELIVERED, of_run
from airflow_provider_connectif.journal.overview_records import RunRecord
from airflow_provider_connectif.journal.tables import JournalTables

_SKIPPED = "skipped"


class ReasonCount(NamedTuple):
    """The number of rows with one reason.

    ``outcome``: the outcome of these rows; empty if it is not known. ``is_listed``: whether the history has rows with
    exactly this reason.
    """

    outcome: str
    reason: str
    rows: int
    is_listed: bool = True


@dataclass(frozen=True)
class Reasons:
    """The reasons why rows of a run were not delivered.

    :param counts: the number of rows for each reason, the commonest reason first.
    :param more: number of further reasons in the history.
    :param rows_without: number of rows that are not in ``counts``, as far as that is known.
    """

    counts: Sequence[ReasonCount]
    more: int = 0
    rows_without: int = 0


def reasons_of(connection: sa.Connection, tables: JournalTables, run: RunRecord, most: int = 50) -> Reasons:
    """Return the reasons why rows of a run were not delivered.

    :param most: largest number of reasons to read from the history.
    """
    outcomes = tables.outcomes.c
    number = sa.func.count().label("number")
    query = (
        sa.select(
            outcomes.outcome,
            outcomes.reason,
            number,
            sa.func.sum(sa.func.count()).over(partition_by=outcomes.outcome).label("of_outcome"),
            sa.func.count().over().label("reasons"),
        )
        .where(*of_run(tables, run), outcomes.outcome.in_(NOT_DELIVERED))
        .group_by(outcomes.outcome, outcomes.reason)
        .order_by(number.desc(), outcomes.outcome, outcomes.reason)
        .limit(most)
    )
    return _reasons(run, connection.execute(query).fetchall())


def _reasons(run: RunRecord, found: Sequence[Any]) -> Reasons:
    listed = [ReasonCount(row.outcome, row.reason or "", int(row.number)) for row in found]
    more = int(found[0].reasons) - len(found) if found else 0
    lines = {row.outcome: int(row.of_outcome) for row in found}
    # If the history has more reasons than were read, an outcome may be missing completely.
    unlisted = {
        outcome
        for outcome in NOT_DELIVERED
        if lines.get(outcome, run.counts[outcome] if more else 0) < run.counts[outcome]
    }
    whole = [entry for entry in listed if entry.outcome not in unlisted]
    of_record = _of_record(run, listed, unlisted)
    if unlisted:
        # A row may have several reasons, and the record of the run counts each of them.
        rest = [entry for entry in listed if entry.outcome in unlisted and not _is_counted(run, entry)]
        without = sum(run.counts[outcome] for outcome in unlisted)
        without -= sum(entry.rows for entry in (*rest, *of_record) if entry.outcome != _SKIPPED)
    else:
        rest, without = [], 0
    counts = sorted([*whole, *rest, *of_record], key=lambda entry: -entry.rows)
    return Reasons(counts, more, max(0, without))


def _of_record(run: RunRecord, listed: Sequence[ReasonCount], unlisted: set[str]) -> list[ReasonCount]:
    """Return the counts of the run's record, without rows of outcomes that the history lists completely."""
    known: Counter[str] = Counter()
    outcome_of: dict[str, str] = {}
    for entry in listed:
        for reason in _parts(entry):
            if entry.outcome in unlisted:
                outcome_of[reason] = entry.outcome
            else:
                known[reason] += entry.rows
    only = next(iter(unlisted)) if len(unlisted) == 1 else ""
    as_listed = {entry.reason for entry in listed}
    found = []
    for reason, rows in run.reasons.items():
        if reason.startswith(f"{_SKIPPED}:"):
            found.append(ReasonCount(_SKIPPED, reason, rows, is_listed=False))
        elif unlisted and rows > known[reason]:
            outcome = outcome_of.get(reason, only)
            found.append(ReasonCount(outcome, reason, rows - known[reason], reason in as_listed))
    return found


def _is_counted(run: RunRecord, entry: ReasonCount) -> bool:
    return all(reason in run.reasons for reason in _parts(entry))


def _parts(entry: ReasonCount) -> set[str]:
    return set(entry.reason.split("; "))
