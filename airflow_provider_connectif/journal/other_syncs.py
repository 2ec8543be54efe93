"""Finds contacts that other syncs of a journal have: what one sync does not show may be in the source of another."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.states import GONE

_FORGOTTEN_AFTER_S = 40 * 86_400.0  # a sync of every month has read within that time
_SYNCS_AT_ONCE = 50  # with the keys of a batch, every SQLite accepts so many parameters


class OtherSyncs:
    """Looks up contacts in the lines of the other syncs of a journal.

    :param database: of the journal.
    :param sync_id: of the run.
    """

    def __init__(self, database: JournalDatabase, sync_id: str) -> None:
        self._database = database
        self._sync_id = sync_id
        self._living: dict[str, list[str]] = {}

    def having(self, keys: Collection[str], way: str) -> dict[str, str]:
        """Return which of these contacts another sync has delivered and not seen leave, each with one such sync.

        :param keys: in the form of the tables, at most 900.
        :param way: of delivery: as in :func:`airflow_provider_connectif.journal.digests.digest_salt`.
        :raises JournalError: the database failed.
        """
        if not keys:
            return {}
        if way not in self._living:
            self._living[way] = list(self._syncs(way))
        lines, syncs = self._database.tables.lines.c, self._living[way]
        found: dict[str, str] = {}
        for first in range(0, len(syncs), _SYNCS_AT_ONCE):
            query = sa.select(lines.contact_key, lines.sync_id).where(
                lines.sync_id.in_(syncs[first : first + _SYNCS_AT_ONCE]),
                lines.contact_key.in_(sorted(keys)),
                lines.delivered_at.is_not(None),
                lines.state.not_in(GONE),
            )
            found |= {line.contact_key: line.sync_id for line in self._database.rows(query)}
        return found

    def _syncs(self, way: str) -> Iterator[str]:
        """Yield the other syncs that may still read their sources, and that may send to the same host."""
        syncs, now = self._database.tables.syncs.c, time.time()
        query = sa.select(syncs.sync_id, syncs.owned).where(syncs.sync_id != self._sync_id)
        for line in self._database.rows(query.order_by(syncs.sync_id)):
            note = None if line.owned is None else json.loads(line.owned)  # each read writes it; NULL: not known
            if note is None or (note["way"] == way and now - note["at"] < _FORGOTTEN_AFTER_S):
                yield line.sync_id
