"""Finds contacts that other syncs of a journal have: a contact that left one source may be in another source."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.states import GONE

_FORGOTTEN_AFTER_S = 40 * 86_400.0  # a sync that runs every month has read its source within that time
_SYNCS_AT_ONCE = 50  # every SQLite accepts so many parameters and the keys of a batch


class OtherSyncs:
    """Looks up contacts in the lines of the other syncs of a journal.

    :param database: the database of the journal.
    :param sync_id: the sync of this run, which is left out.
    """

    def __init__(self, database: JournalDatabase, sync_id: str) -> None:
        self._database = database
        self._sync_id = sync_id
        self._living: dict[str, list[str]] = {}

    def having(self, keys: Collection[str], way: str) -> dict[str, list[str]]:
        """Return the contacts that other syncs have delivered and that have not left their sources, with these syncs.

        :param keys: the keys of the contacts to look up, in the form of the tables; 900 at most.
        :param way: the result of :func:`airflow_provider_connectif.journal.digests.digest_salt` for this run. Syncs
            with another value do not count.
        :raises JournalError: the database failed.
        """
        if not keys:
            return {}
        if way not in self._living:
            self._living[way] = list(self._syncs(way))
        lines, syncs = self._database.tables.lines.c, self._living[way]
        found: dict[str, list[str]] = {}
        for first in range(0, len(syncs), _SYNCS_AT_ONCE):
            query = sa.select(lines.contact_key, lines.sync_id).where(
                lines.sync_id.in_(syncs[first : first + _SYNCS_AT_ONCE]),
                lines.contact_key.in_(sorted(keys)),
                lines.delivered_at.is_not(None),
                lines.state.not_in(GONE),
            )
            for line in self._database.rows(query):
                found.setdefault(line.contact_key, []).append(line.sync_id)
        return found

    def _syncs(self, way: str) -> Iterator[str]:
        """Yield the other syncs that may still run, and may send to the same host."""
        syncs, now = self._database.tables.syncs.c, time.time()
        query = sa.select(syncs.sync_id, syncs.owned).where(syncs.sync_id != self._sync_id)
        for line in self._database.rows(query.order_by(syncs.sync_id)):
            note = None if line.owned is None else json.loads(line.owned)  # each read writes it; NULL: not known
            if note is None or (note["way"] == way and now - note["at"] < _FORGOTTEN_AFTER_S):
                yield line.sync_id
