"""The journal's record of the last complete read of a sync."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.states import LEFT, REMOVED, SUPPRESSED
from airflow_provider_connectif.records.reads import LastRead

_GONE = (LEFT, REMOVED, SUPPRESSED)


class ReadRecord:
    """The record of a sync's last complete read.

    :param database: of the journal.
    :param sync_id: which sync.
    """

    def __init__(self, database: JournalDatabase, sync_id: str) -> None:
        self._database = database
        self._sync_id = sync_id
        self._syncs, self._lines, self._claims = database.tables.syncs, database.tables.lines, database.tables.claims
        self.is_there = True
        """Whether the tables have a place for it: those of an older version do not."""
        self._seen: str | None = None

    def load(self) -> LastRead | None:
        """The last complete read; ``None``: there was none."""
        self._seen = self._text()
        return LastRead.parse(self._seen)

    def has_changed(self) -> bool:
        """Whether another task has written the record since :meth:`load`."""
        return self._text() != self._seen

    def note_sender(self, identity: Mapping[str, Any]) -> None:
        """A task is about to send; where the last complete read was not its own, that is noted for the next one.

        Whoever is killed after that has delivered contacts that no complete read of this question has shown.
        """
        last = LastRead.parse(self._seen)
        if last is None or (dict(last.identity) == dict(identity) and not last.is_mixed):
            return
        noted = LastRead(**{**last.__dict__, "is_mixed": True})
        # A new text each time: a task beside this one must see that there was one more.
        self._save(json.dumps({**noted.__dict__, "noted": datetime.now(UTC).isoformat()}, sort_keys=True))

    def save(
        self,
        *,
        run_id: str,
        generation: int,
        rows: int,
        keyless: int,
        identity: Mapping[str, Any],
        left_since: int,
        is_same: bool,
    ) -> None:
        """Write down a complete read; its arguments are those of :class:`LastRead`.

        :param is_same: this run has delivered nothing, and found nobody who left.
        """
        last = LastRead.parse(self._seen)
        is_mixed = self.has_changed() or self._has_company()
        # To count takes a moment for each million lines; no other process can have written one here.
        is_known = is_same and last is not None and last.generation == generation - 1 and not last.is_mixed
        contacts = last.contacts if is_known and last is not None else self._known()
        now = datetime.now(UTC).isoformat()
        self._save(
            LastRead(run_id, generation, now, rows, contacts, keyless, dict(identity), left_since, is_mixed).text
        )

    def _has_company(self) -> bool:
        """Whether another task of the same run is at work on the sync, or means to come back to it."""
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
        self._seen = text
