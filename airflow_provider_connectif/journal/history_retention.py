"""Deletes old lines of the history, in pieces, so that no transaction takes long."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase

LINES_AT_ONCE = 5000
PIECES_AT_MOST = 100
"""Largest number of transactions at the start of a run; the next run deletes the rest."""


def delete_older(database: JournalDatabase, sync_id: str, retention_s: float, now: float) -> int:
    """Delete lines of a sync's history that are older than its retention, half a million at most; return their number.

    :param retention_s: the retention in seconds.
    :param now: the time in seconds since the epoch.
    """
    outcomes = database.tables.outcomes.c
    before = datetime.fromtimestamp(now - retention_s, UTC)
    return delete_in_pieces(database, sa.and_(outcomes.sync_id == sync_id, outcomes.at < before), PIECES_AT_MOST)


def delete_in_pieces(database: JournalDatabase, which: Any, most_pieces: int | None = None) -> int:
    """Delete lines of the history, 5,000 in a transaction; return their number.

    :param which: the condition for the lines.
    :param most_pieces: largest number of transactions. Default: as many as needed.
    """
    table, deleted, pieces = database.tables.outcomes, 0, 0
    query = sa.select(table.c.id).where(which).limit(LINES_AT_ONCE)
    while most_pieces is None or pieces < most_pieces:
        ids = [line.id for line in database.rows(query)]
        if ids:
            database.execute(sa.delete(table).where(table.c.id.in_(ids)))
        deleted += len(ids)
        pieces += 1
        if len(ids) < LINES_AT_ONCE:
            break
    return deleted
