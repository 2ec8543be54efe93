"""Records the reads of a sync's source: what the reads ask for, and the last complete read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.states import GONE, LEFT
from airflow_provider_connectif.records.reads import Asker, Keyless, LastRead, Reads


class ReadRecord:
    """Loads and writes the record of a sync's reads.

    :param database: the database of the journal.
    :param sync_id: the id of the sync.
    :param task: identifies this task among all tasks of the sync.
    """

    def __init__(self, database: JournalDatabase, sync_id: str, task: str = "") -> None:
        self._database = database
        self._sync_id = sync_id
        self._task = task
        self._syncs, self._lines, self._claims = database.tables.syncs, database.tables.lines, database.tables.claims
        self.is_there = True
        """Whether the tables have the column of the record. Tables of an older version do not."""
        self.seen: str | None = None
        """The record as this process wrote it, or the process that it continues."""
        self.asker: Asker | None = None
        """The series of processes that read with the same question, up to this one; ``None`` before :meth:`begin`."""

    @property
    def last(self) -> LastRead | None:
        """The last complete read in ``seen``; ``None`` if there was none."""
        return Reads.parse(self.seen).last

    @property
    def last_of_task(self) -> LastRead | None:
        """The last complete read, but with the number of rows that this task itself read in its last complete read.

        0 rows: this task has never read its source completely. ``None``: there was no complete read.
        """
        reads = Reads.parse(self.seen)
        return reads.last and replace(reads.last, rows=reads.rows_by_task.get(self._task, 0))

    def load(self) -> None:
        """Load the record, for a process that does not read the source."""
        self.seen = self._text()

    def begin(self, identity: Mapping[str, Any], generation: int, *, read_only: bool) -> None:
        """Record that this process begins to read the source, in the series of the last read or in a new one.

        A new series begins if the question has changed, or if another task worked on the sync at the same time. The
        record is written before the first row is read. While the process reads, it may record that a contact's row is
        unchanged. That must not look as if a read with another question had found the contact.

        :param identity: the question, from :func:`airflow_provider_connectif.records.reads.identity_of`.
        :param generation: the generation of this process.
        :param read_only: write nothing.
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
        """Record that this read has found a contact that had left the source. Called before its line changes.

        :raises JournalError: the database failed.
        """
        if self.asker is not None and not self.asker.came_back:
            self.asker = replace(self.asker, came_back=True)
            self._save(replace(Reads.parse(self.seen), asker=self.asker))

    def has_changed(self) -> bool:
        """Return whether another task has written the record since this process last loaded or wrote it."""
        return self._text() != self.seen

    def save(
        self, *, run_id: str, generation: int, rows: int, keyless: Keyless, seen: str | None, is_same: bool, **more: Any
    ) -> None:
        """Record a complete read.

        :param run_id: the run that has read.
        :param generation: the generation of the process that has read.
        :param rows: number of rows.
        :param keyless: the rows without a valid key.
        :param seen: the record as the process wrote it that read the source.
        :param is_same: whether this run has delivered nothing and found no contact that left.
        :param more: the other arguments of :class:`LastRead`.
        """
        now = self._text()
        known = Reads.parse(now)
        is_shared = now != seen or self._has_company()
        last = known.last
        # Counting takes a moment for each million lines, so the last count is used if nothing can have changed it.
        if last is not None and is_same and not is_shared and last.generation == generation - 1:
            # If the number of rows is another one, a contact with an unchanged row has come back.
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
        """Return the number of contacts that shares are shares of: those that have not left the source.

        A contact whose ``on_removed`` was rejected counts, too: the next run counts it among those that left.
        """
        lines = self._lines.c
        is_rejected = sa.and_(lines.state == LEFT, lines.reason.is_not(None))
        query = sa.select(sa.func.count()).where(
            lines.sync_id == self._sync_id,
            lines.delivered_at.is_not(None),
            sa.or_(lines.state.not_in(GONE), is_rejected),
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

        :param rows: number of rows in a complete read of this task; ``None``: there is no complete read to record.
        """
        syncs = self._syncs.c
        of_sync = syncs.sync_id == self._sync_id

        def write(connection: sa.Connection) -> str:
            # Lock the line, so that no task overwrites the number of rows of a parallel task.
            connection.execute(sa.update(self._syncs).where(of_sync).values(sync_id=syncs.sync_id))
            now = Reads.parse(connection.execute(sa.select(syncs.last_read).where(of_sync)).scalar())
            merged = replace(reads, rows_by_task=now.rows_by_task)
            text = (merged if rows is None else merged.with_rows_of(self._task, rows)).text
            connection.execute(sa.update(self._syncs).where(of_sync).values(last_read=text))
            return text

        self.seen = self._database.write(write)
