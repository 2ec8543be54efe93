"""The journal's record of the reads of a sync: the question of the reads, and the last complete read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.states import GONE
from airflow_provider_connectif.records.reads import Asker, Keyless, LastRead, Reads


class ReadRecord:
    """The record of a sync's reads.

    :param database: of the journal.
    :param sync_id: the sync.
    :param task: names the task that reads among all tasks of the sync.
    """

    def __init__(self, database: JournalDatabase, sync_id: str, task: str = "") -> None:
        self._database = database
        self._sync_id = sync_id
        self._task = task
        self._syncs, self._lines, self._claims = database.tables.syncs, database.tables.lines, database.tables.claims
        self.is_there = True
        """Whether the tables have its column: those of an older version do not."""
        self.seen: str | None = None
        """The record as written by this process, or by the one that it continues."""
        self.asker: Asker | None = None
        """This process and earlier ones with the same question, once it has begun to read."""

    @property
    def last(self) -> LastRead | None:
        """The last complete read that this process knows; ``None`` if there was none."""
        return Reads.parse(self.seen).last

    @property
    def last_of_task(self) -> LastRead | None:
        """The last complete read, with the rows of this task's own one; 0 rows: this task has not read completely."""
        reads = Reads.parse(self.seen)
        return reads.last and replace(reads.last, rows=reads.rows_by_task.get(self._task, 0))

    def load(self) -> None:
        """Load the record, for a process that does not read the source."""
        self.seen = self._text()

    def begin(self, identity: Mapping[str, Any], generation: int, *, read_only: bool) -> None:
        """Begin to read the source; if another process was the last one, begin a series.

        While it reads, it may write that a contact's row is unchanged. That must not look as if a read with another
        question had shown the contact, so the record is written before the first row is read.

        :param identity: from :func:`airflow_provider_connectif.records.reads.identity_of`.
        :param generation: of the process.
        :param read_only: nothing is written.
        :raises JournalError: the database failed.
        """
        self.load()
        known, is_shared = Reads.parse(self.seen), self._has_company()
        since, came_back = generation, False
        if known.asker is not None and not known.asker.is_shared and dict(known.asker.identity) == dict(identity):
            since, came_back = known.asker.since, known.asker.came_back
        self.asker = Asker(dict(identity), since, is_shared, came_back)
        begun = replace(known, asker=self.asker)
        if begun.text != self.seen and not read_only:
            self._save(begun)

    def note_came_back(self) -> None:
        """Record, before the line of such a contact changes, that this read shows a contact that had left.

        :raises JournalError: the database failed.
        """
        if self.asker is not None and not self.asker.came_back:
            self.asker = replace(self.asker, came_back=True)
            self._save(replace(Reads.parse(self.seen), asker=self.asker))

    def has_changed(self) -> bool:
        """Whether another task has written the record in the meantime."""
        return self._text() != self.seen

    def save(
        self, *, run_id: str, generation: int, rows: int, keyless: Keyless, seen: str | None, is_same: bool, **more: Any
    ) -> None:
        """Record a complete read.

        :param seen: the record as written by the process that read the source.
        :param is_same: whether this run has delivered nothing and found no contact that left.
        :param more: the other arguments of :class:`LastRead`.
        """
        now = self._text()
        known = Reads.parse(now)
        is_shared = now != seen or self._has_company()
        last = known.last
        # Counting takes a moment for each million lines; no other process can have written a record here.
        if last is not None and is_same and not is_shared and last.generation == generation - 1:
            # With another number of rows, a contact with an unchanged row has come back.
            is_known = (last.rows, last.keyless.count) == (rows, keyless.count)
        else:
            is_known = False
        contacts = last.contacts if is_known and last is not None else self._known()
        at = datetime.now(UTC).isoformat()
        is_first = last is None or (last.is_of_first_run and last.run_id == run_id)
        read = LastRead(run_id, generation, at, rows, contacts, keyless, is_of_first_run=is_first, **more)
        asker = known.asker and replace(known.asker, is_shared=known.asker.is_shared or is_shared, came_back=False)
        self._save(Reads(asker, read), rows)

    def _has_company(self) -> bool:
        """Whether another task of the same run is working on the sync, or is deferred."""
        if not self.is_there:
            return False
        query = sa.select(sa.func.count()).where(self._claims.c.sync_id == self._sync_id)
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one())) > 1

    def _known(self) -> int:
        lines = self._lines.c
        query = sa.select(sa.func.count()).where(
            lines.sync_id == self._sync_id, lines.delivered_at.is_not(None), lines.state.not_in(GONE)
        )
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def _text(self) -> str | None:
        if not self.is_there:
            return None
        query = sa.select(self._syncs.c.last_read).where(self._syncs.c.sync_id == self._sync_id)
        found: str | None = self._database.read(lambda connection: connection.execute(query).scalar())
        return found

    def _save(self, reads: Reads, rows: int | None = None) -> None:
        """Write the record.

        :param rows: of this task's complete read; ``None``: it has none to record.
        """
        syncs = self._syncs.c
        of_sync = syncs.sync_id == self._sync_id

        def write(connection: sa.Connection) -> str:
            # Lock the row, so that no task overwrites the rows of a parallel one.
            connection.execute(sa.update(self._syncs).where(of_sync).values(sync_id=syncs.sync_id))
            now = Reads.parse(connection.execute(sa.select(syncs.last_read).where(of_sync)).scalar())
            merged = replace(reads, rows_by_task=now.rows_by_task)
            text = (merged if rows is None else merged.with_rows_of(self._task, rows)).text
            connection.execute(sa.update(self._syncs).where(of_sync).values(last_read=text))
            return text

        self.seen = self._database.write(write)
