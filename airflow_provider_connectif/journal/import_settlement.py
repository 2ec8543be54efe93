"""Writes the outcomes of an import's contacts to the journal."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.journal.lines import ACKNOWLEDGED_COLUMNS, IN_PART, NOTED
from airflow_provider_connectif.journal.properties import changed, entries_of, marked_kept, refused_marks, updated
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID, REJECTED, UNDELIVERED, outcome_columns
from airflow_provider_connectif.journal.tables import SPELLING
from airflow_provider_connectif.records.outcomes import Outcome

GIVEN_UP = "its import ended without reporting a result for it"
_PARTS_AT_ONCE = 500


class GroupsAlike(NamedTuple):
    """Groups whose contacts all have the same outcome, for the history.

    ``rows``: by outcome, the groups with this outcome; by the number of the group, how many rows it has. ``reasons``:
    the reason of each outcome, by outcome.
    """

    rows: Mapping[str, Mapping[int, int]]
    reasons: Mapping[str, str]


def refuse_contacts(
    lines: RunLines,
    numbers: Sequence[int],
    state: Mapping[str, Any],
    *,
    alone: Mapping[str, Sequence[int]] = MappingProxyType({}),
    ranked: Collection[str] = (),
) -> None:
    """Mark contacts that Connectif has rejected in an import, in one transaction with the collected lines.

    :param lines: the lines of the run that has uploaded the file.
    :param numbers: the row numbers of all these contacts.
    :param state: the state of that run, stored in the same transaction.
    :param alone: the row numbers of those contacts of which only a part was sent, by the outcome that the rows already
        have.
    :param ranked: the properties that such a part may have.
    :raises JournalError: as :func:`settle_files`.
    """
    of_files = lines.plan.import_lines

    def write(connection: sa.Connection) -> None:
        of_files.refuse(connection, numbers)
        for counted_as, parts in alone.items():
            for first in range(0, len(parts), _PARTS_AT_ONCE):
                _refuse_parts(connection, lines, counted_as, parts[first : first + _PARTS_AT_ONCE], ranked)
        lines.plan.save_in(connection, state)

    lines.commit_with(write)


def _refuse_parts(
    connection: sa.Connection, lines: RunLines, counted_as: str, numbers: Sequence[int], ranked: Collection[str]
) -> None:
    """Record that parts of rows were rejected. A part is not sent again until its row changes."""
    of_files, tables = lines.plan.import_lines, lines.database.tables
    pending, known, which = tables.pending.c, tables.lines.c, of_files.numbered(numbers)
    of_contact = sa.and_(known.sync_id == lines.sync_id, known.contact_key == pending.contact_key)
    query = (
        sa.select(pending.number, pending.row_digest, pending.properties, known.properties)
        .select_from(tables.pending.outerjoin(tables.lines, of_contact))
        .where(which, pending.row_digest.is_not(None), pending.properties.is_not(None))
    )
    columns = {}
    for number, row_digest, accepted, held in connection.execute(query).fetchall():
        # Properties that were sent and have no result yet have no entry in the line.
        before, after = bytes(held or b""), bytes(accepted)
        marks = refused_marks(sorted(changed(before, after, ranked)), row_digest)
        columns[number] = updated(before, [*entries_of(marked_kept(after, ranked)), *marks])
    of_files.set_properties(connection, columns)
    values = {**_names(lines), "state": _state_of(counted_as)}
    these = of_files.numbered(list(columns))
    statement = tables.acknowledge_pending(lines.database.dialect, these, list(IN_PART), values, are_whole=False)
    connection.execute(statement)


def _names(lines: RunLines) -> dict[str, Any]:
    return {"sync_id": lines.sync_id, "run_id": lines.run_id, "generation": lines.generation}


def _state_of(counted_as: str) -> str:
    """Return the state of the line of a contact whose row already has an outcome."""
    return INVALID if counted_as == Outcome.INVALID else REJECTED


def settle_files(
    lines: RunLines,
    acknowledged: Mapping[str | None, Collection[int]],
    given_up: Collection[int],
    state: Mapping[str, Any],
    *,
    in_part: Collection[int] = (),
    alike: GroupsAlike | None = None,
) -> None:
    """Write the outcomes of an import that has ended, in one transaction with the collected lines.

    :param lines: the lines of the run that has uploaded the file.
    :param acknowledged: groups whose contacts Connectif has accepted, except those that are marked as rejected. The
        groups are by the outcome that their rows already have; ``None`` if they have none.
    :param given_up: groups whose outcome is not known. None of their contacts is acknowledged; their state becomes
        ``undelivered``.
    :param state: the state of that run, stored in the same transaction.
    :param in_part: groups whose rejected contacts also have a part in another file, which was probably delivered.
    :param alike: outcomes for the history of this run; ``None`` if nothing is written to it.
    :raises JournalError: the database failed, or another process has taken over.
    """
    database, of_files = lines.database, lines.plan.import_lines
    names = _names(lines)
    delivered = {
        **outcome_columns(ACKNOWLEDGED),
        "delivered_at": datetime.now(UTC),
        "delivered_as": "imported",
        "delivered_generation": lines.generation,
    }
    statements = []
    for counted_as, groups in acknowledged.items():
        columns, values = list(ACKNOWLEDGED_COLUMNS), {**names, **delivered}
        which = [(of_files.whole_rows(groups), True), (of_files.rows_in_part(groups), False)]
        if counted_as is not None:
            columns = [*IN_PART, SPELLING, "delivered_at"]
            values = {**names, "state": _state_of(counted_as), "delivered_at": delivered["delivered_at"]}
            which = [(of_files.parts_alone(groups), False)]
        statements += [
            database.tables.acknowledge_pending(database.dialect, rows, columns, values, are_whole=are_whole)
            for rows, are_whole in which
        ]
    if given_up:
        values = {**names, **outcome_columns(UNDELIVERED, None, GIVEN_UP)}
        of_these = of_files.rows_of(given_up)
        statements.append(database.tables.acknowledge_pending(database.dialect, of_these, list(NOTED), values))
    if in_part:
        of_these = of_files.refused_rows(in_part)
        values = {**names, "state": REJECTED, "delivered_at": delivered["delivered_at"]}
        columns = ["state", SPELLING, "delivered_at", "run_id", "generation"]
        statements.append(database.tables.acknowledge_pending(database.dialect, of_these, columns, values))
    ended = [*itertools.chain.from_iterable(acknowledged.values()), *given_up]
    history = lines.history
    listed = []
    if history is not None and alike is not None:
        listed = [
            (outcome, list(rows), sum(rows.values()), alike.reasons.get(outcome, ""))
            for outcome, rows in alike.rows.items()
        ]

    def write(connection: sa.Connection) -> None:
        for statement in statements:
            connection.execute(statement)
        if history is not None:
            for outcome, groups, rows, reason in listed:
                history.write_group(connection, outcome, of_files.keys_of(groups), rows, reason)
        if ended:
            of_files.drop(connection, ended)
        lines.plan.save_in(connection, state)

    lines.commit_with(write)
    if history is not None:
        for outcome, _, rows, _ in listed:
            history.note_group(outcome, rows)
