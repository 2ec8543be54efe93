"""Finds other syncs that write the same properties, for properties that only one sync should write."""

from __future__ import annotations

import json
import time
from collections.abc import Collection

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase

_FORGOTTEN_AFTER_S = 30 * 86_400.0  # a sync that has not run for so long does not count any more


def other_owners(
    database: JournalDatabase, sync_id: str, way: str, owned: Collection[str], *, read_only: bool = False
) -> dict[str, list[str]]:
    """Record which properties this sync writes, and return the other syncs that write some of them.

    :param way: the result of :func:`airflow_provider_connectif.journal.digests.digest_salt` for this run. Syncs with
        another value do not count.
    :param owned: the ids of the properties.
    :param read_only: record nothing.
    :return: for each of these syncs, the ids of the properties that both syncs write.
    :raises JournalError: the database failed.
    """
    syncs, now = database.tables.syncs, time.time()
    if not read_only:
        note = json.dumps({"way": way, "at": now, "properties": sorted(owned)})
        database.execute(sa.update(syncs).where(syncs.c.sync_id == sync_id).values(owned=note))
    if not owned:
        return {}
    query = sa.select(syncs.c.sync_id, syncs.c.owned).where(syncs.c.sync_id != sync_id, syncs.c.owned.is_not(None))
    found = {}
    for line in database.rows(query.order_by(syncs.c.sync_id)):
        note = json.loads(line.owned)
        if note["way"] == way and now - note["at"] < _FORGOTTEN_AFTER_S:
            found[line.sync_id] = [name for name in note["properties"] if name in owned]
    return {sync: names for sync, names in found.items() if names}
