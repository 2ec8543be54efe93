"""Writes into the journal what became of the contacts of an import."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.lines import ACKNOWLEDGED_COLUMNS
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.journal.states import ACKNOWLEDGED


def settle_files(
    lines: RunLines,
    acknowledged: Collection[int],
    given_up: Collection[int],
    refused: Iterable[Sequence[int]],
    state: Mapping[str, Any],
) -> None:
    """An import has ended: write what is known of its contacts, in one transaction.

    :param lines: of the run that has imported.
    :param acknowledged: groups of contacts that Connectif has taken in, but for those that it has rejected.
    :param given_up: groups of which that is not known: nothing of them is acknowledged.
    :param refused: the numbers of rows that it has rejected, in batches.
    :param state: of the run, saved with it.
    :raises JournalError: the database failed, or another process has taken over.
    """
    lines.commit()
    database, of_files = lines.database, lines.plan.import_lines
    values = {
        "sync_id": lines.sync_id,
        "state": ACKNOWLEDGED,
        "delivered_at": datetime.now(UTC),
        "delivered_as": "imported",
        "delivered_generation": lines.generation,
        "run_id": lines.run_id,
        "generation": lines.generation,
    }
    statement = database.tables.acknowledge_pending(
        database.dialect, of_files.acknowledged(acknowledged), list(ACKNOWLEDGED_COLUMNS), values
    )
    numbers = list(refused)  # a transaction may be done again

    def write(connection: sa.Connection) -> None:
        for batch in numbers:
            of_files.refuse(connection, batch)
        if acknowledged:
            connection.execute(statement)
        if acknowledged or given_up:
            of_files.drop(connection, [*acknowledged, *given_up])
        lines.plan.save_in(connection, state)

    database.write(write)
