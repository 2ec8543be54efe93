"""The journal's record of the reads of a sync: who asks, and the last complete read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.states import LEFT, REMOVED, SUPPRESSED
from airflow_provider_connectif.records.reads import Asker, Keyless, LastRead, Reads

_GONE = (LEFT, REMOVED, SUPPRESSED)


class ReadRecord:
    """The record of a sync's reads.

    :param database: of the journal.
    :param sync_id: which sync.
    """

    def __init__(self, database: JournalDatabase, sync_id: str) -> None:
        self._database = database
        self._sync_id = sync_id
        self._syncs, self._lines, self._claims = database.tables.syncs, database.tables.lines, database.tables.claims
        self.is_there = True
        """Whether the tables have a place for it: those of an older version do not."""
        self.seen: str | None = None
        """The record as this process, or the one that it continues, has left it."""
        self.asker: Asker | None = None
        """This process and those before it that asked the same, once it has begun to read."""

    @property
    def last(self) -> LastRead | None:
        """The last complete read as this process knows it; ``None``: there was none."""
        return Reads.parse(self.seen).last

    def load(self) -> None:
        """Look the record up, for a process that asks nothing."""
        self.seen = self._text()

    def begin(self, identity: Mapping[str, Any], generation: int, *, read_only: bool) -> None:
        """A process is about to read the source; where somebody else was the last one, it begins a series.

        While it reads, it may write that a contact's row is unchanged. That must not look as if another question had
        shown the contact, so the record is written before the first row is read.

        :param identity: of :func:`airflow_provider_connectif.records.reads.identity_of`.
        :param generation: of the process.
        :param read_only: nothing is written.
        :raises JournalError: the database failed.
        """
        self.load()
        known, is_shared = Reads.parse(self.seen), self._has_company()
        since = generation
        if known.asker is not None and not known.asker.is_shared and dict(known.asker.identity) == dict(identity):
            since = known.asker.since
        self.asker = Asker(dict(identity), since, is_shared)
        text = replace(known, asker=self.asker).text
        if text != self.seen and not read_only:
            self._save(text)

    def has_changed(self) -> bool:
        """Whether another task has written the record meanwhile."""
        return self._text() != self.seen

    def save(
        self, *, run_id: str, generation: int, rows: int, keyless: Keyless, seen: str | None, is_same: bool, **more: Any
    ) -> None:
        """Write down a complete read.

        :param seen: the record as the process has left it that has read the source.
        :param is_same: this run has delivered nothing, and found nobody who left.
        :param more: the other arguments of :class:`LastRead`.
        """
        now = self._text()
        known = Reads.parse(now)
        is_shared = now != seen or self._has_company()
        last = known.last
        # To count takes a moment for each million lines; no other process can have written one here.
        if last is not None and is_same and not is_shared and last.generation == generation - 1:
            # With another number of rows somebody has come back whose row is unchanged.
            is_known = (last.rows, last.keyless.count) == (rows, keyless.count)
        else:
            is_known = False
        contacts = last.contacts if is_known and last is not None else self._known()
        at = datetime.now(UTC).isoformat()
        read = LastRead(run_id, generation, at, rows, contacts, keyless, **more)
        asker = known.asker and replace(known.asker, is_shared=known.asker.is_shared or is_shared)
        self._save(Reads(asker, read).text)

    def _has_company(self) -> bool:
        """Whether another task of the same run is at work on the sync, or means to come back to it."""
        if not self.is_there:
            return False
        query = sa.select(sa.func.count()).where(self._claims.c.sync_id == self._sync_id)
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one())) > 1

    def _known(self) -> int:
        lines = self._lines.c
        query = sa.select(sa.func.count()).where(
            lines.sync_id == self._sync_id, lines.delivered_at.is_not(None), lines.state.not_in(_GONE)
        )
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def _text(self) -> str | None:
        if not self.is_there:
            return None
        query = sa.select(self._syncs.c.last_read).where(self._syncs.c.sync_id == self._sync_id)
        found: str | None = self._database.read(lambda connection: connection.execute(query).scalar())
        return found

    def _save(self, text: str) -> None:
        syncs = self._syncs
        self._database.execute(sa.update(syncs).where(syncs.c.sync_id == self._sync_id).values(last_read=text))
        self.seen = text
