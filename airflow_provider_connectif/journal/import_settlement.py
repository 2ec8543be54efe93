"""Writes into the journal what became of the contacts of an import."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.lines import ACKNOWLEDGED_COLUMNS, IN_PART
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID, REJECTED
from airflow_provider_connectif.records.outcomes import Outcome


def settle_files(
    lines: RunLines,
    acknowledged: Mapping[str | None, Collection[int]],
    given_up: Collection[int],
    rejected: Iterable[Sequence[int]],
    state: Mapping[str, Any],
) -> None:
    """An import has ended: write what is known of its contacts, in one transaction.

    :param lines: of the run that has imported.
    :param acknowledged: groups of contacts that Connectif has taken in, but for those that it has rejected; by the
        outcome that their rows have already, if they have one.
    :param given_up: groups of which that is not known: nothing of them is acknowledged.
    :param rejected: the numbers of rows that it has rejected, in batches.
    :param state: of the run, saved with it.
    :raises JournalError: the database failed, or another process has taken over.
    """
    lines.commit()
    database, of_files = lines.database, lines.plan.import_lines
    names = {"sync_id": lines.sync_id, "run_id": lines.run_id, "generation": lines.generation}
    delivered = {
        "state": ACKNOWLEDGED,
        "delivered_at": datetime.now(UTC),
        "delivered_as": "imported",
        "delivered_generation": lines.generation,
    }
    statements = []
    for counted_as, groups in acknowledged.items():
        columns, values = list(ACKNOWLEDGED_COLUMNS), {**names, **delivered}
        if counted_as is not None:
            row_state = INVALID if counted_as == Outcome.INVALID else REJECTED
            columns, values = list(IN_PART), {**names, "state": row_state}
        which = of_files.acknowledged(groups, is_whole=counted_as is None)
        statements.append(database.tables.acknowledge_pending(database.dialect, which, columns, values))
    ended = [*itertools.chain.from_iterable(acknowledged.values()), *given_up]
    numbers = list(rejected)  # a transaction may be done again

    def write(connection: sa.Connection) -> None:
        for batch in numbers:
            of_files.refuse(connection, batch)
        for statement in statements:
            connection.execute(statement)
        if ended:
            of_files.drop(connection, ended)
        lines.plan.save_in(connection, state)

    database.write(write)
