"""Collects changes to the lines of a sync, and writes them to the database in small batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.attempts import Attempts
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.journal.lines import GatheredLines
from airflow_provider_connectif.journal.plan import Plan
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.records.outcomes import taken_over
from airflow_provider_connectif.records.people import PersonKey

COMMIT_LINES = 50
COMMIT_EVERY_S = 2.0
_MOST_CONFIRMED = 1000  # lines that may wait longer: if they are lost, the next run finds the same


class LineWriter:
    """Writes the collected lines of one run, each batch in one transaction with its history and its plan.

    Results of responses are collected only after the response. :meth:`commit` writes all collected lines.

    :param database: the journal's database.
    :param settings: the sync, the run of this process, and the form of keys.
    :param lease: the claim of this process; without it nothing is acknowledged.
    :param attempts: records the counts of this process with each batch.
    :param plan: the pending changes of the run.
    :param suppressions: the suppression list; no line of a suppressed person is written.
    :param generation: the generation of the process that sent the rows. Default: this process.
    :param read_only: write nothing.
    :param history: the history of the run, which is written in the same transactions; ``None``: there is none.
    """

    def __init__(
        self,
        database: JournalDatabase,
        settings: JournalSettings,
        lease: Lease,
        attempts: Attempts,
        plan: Plan,
        suppressions: SuppressionList,
        *,
        generation: int | None = None,
        read_only: bool = False,
        history: History | None = None,
    ) -> None:
        self.database = database
        self.plan = plan
        self.sync_id = settings.sync_id
        self.run_id = plan.run_id
        self.written_key = key_digester(settings.key_secret)
        """Returns a contact key in the form of the tables."""
        self.suppressions = suppressions
        self.person_of: Callable[[str], PersonKey | None] = lambda _: None
        """Returns the person whom a contact key names, as :meth:`Resource.person_of` of the run's resource does."""
        self._settings = settings
        self._lease = lease
        self._attempts = attempts
        self._generation = generation
        self._read_only = read_only
        self.history = history
        self._unanswered: set[str] = set()
        self._gathered = GatheredLines(database.tables)
        self._settled: list[int] = []
        self._forgotten: set[str] = set()
        self._beside: list[Callable[[sa.Connection], None]] = []
        self._doubted: tuple[list[dict[str, Any]], str] = [], ""
        self._oldest_at: float | None = None

    @property
    def generation(self) -> int:
        """The generation of the process that sent the rows: higher than that of each earlier process of the sync."""
        return self._lease.generation if self._generation is None else self._generation

    def settle_planned(self, place: int) -> None:
        """Remove a change from the stored plan, since its outcome is known.

        :param place: the place of the change in the plan.
        """
        self._settled.append(place)
        self._gathers()

    def forget(self, keys: Collection[str]) -> None:
        """Delete the lines of suppressed contacts with the next :meth:`commit`, and drop those not written yet.

        A line with the spelling in which the key was sent stays until the person's erasure, which needs it, has a
        receipt.

        :param keys: the contact keys in the journal's form.
        """
        if keys and self._gathers():
            self._gathered.drop(keys, spelled=self._spelled(keys).values())
            self._forgotten.update(keys)

    def settle_suppressed(self, place: int) -> bool:
        """Remove the change of a suppressed person from the stored plan.

        :param place: the place of the change in the plan.
        :return: ``False`` if the erasure has removed the change already, see :meth:`Plan.take_removed`.
        """
        return self.database.write(lambda connection: self.plan.settle(connection, [place]) > 0)

    def write_beside(self, write: Callable[[sa.Connection], None]) -> None:
        """Write something else in the transaction of the collected lines.

        :param write: writes it; called within that transaction.
        """
        if self._gathers():
            self._beside.append(write)

    def commit_with(self, write: Callable[[sa.Connection], None]) -> None:
        """Write something else in one transaction with the collected lines. If that fails, it is not written later.

        :param write: writes it; called within that transaction.
        :raises JournalError: as :meth:`commit`.
        """
        self.write_beside(write)
        try:
            self.commit()
        finally:
            if write in self._beside:
                self._beside.remove(write)

    def watch_requests(self, busy_since: Callable[[], float | None]) -> None:
        """Let erasures know since when requests may be running, or about to be sent, without their knowledge.

        :param busy_since: returns this time by the monotonic clock; ``None``: there is no such request. The thread that
            renews the claim calls it, too.
        """
        self._lease.busy_since = busy_since

    @property
    def commit_lines(self) -> int:
        """Number of responses that are written in one transaction."""
        return COMMIT_LINES

    @property
    def unwritten(self) -> int:
        """Number of responses that are not written yet."""
        return self._gathered.responses

    @property
    def is_written(self) -> bool:
        """Whether no line waits to be written."""
        return self._oldest_at is None

    @property
    def has_unanswered(self) -> bool:
        """Whether there are patches without a response: see :meth:`leave_in_doubt`."""
        return bool(self._unanswered)

    def commit_if_due(self) -> None:
        """Write the collected lines if there are enough of them, or if the oldest is old enough.

        :raises JournalError: as :meth:`commit`.
        """
        age = time.monotonic() - self._oldest_at if self._oldest_at is not None else 0.0
        in_history = 0
        if self.history is not None and self.history.waits_since is not None:
            in_history = self.history.waiting
            age = max(age, time.monotonic() - self.history.waits_since)
        is_much = self._gathered.others + in_history >= _MOST_CONFIRMED
        if self._lease.is_lost or self.unwritten >= COMMIT_LINES or is_much or age >= COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Write the collected lines.

        :raises JournalError: the database failed, and the next attempt sends the contacts again. Or another process has
            taken over; then the collected acknowledgements are written as doubts.
        """
        has_history = self.history is not None and self.history.waits_since is not None
        if self._oldest_at is not None or has_history or (self._lease.is_lost and self._unanswered):
            self.database.write(self._write_gathered)
        self._gathered.clear()
        if self.history is not None:
            self.history.clear()
        self._unanswered.clear()
        self._settled.clear()
        self._forgotten.clear()
        self._beside.clear()
        self._doubted = [], ""
        self._oldest_at = None
        if self._lease.is_lost:
            raise taken_over(self.sync_id)

    def _names(self, key: str, *, is_written: bool = False) -> dict[str, Any]:
        """Return the columns that identify a line and the process that writes it.

        :param is_written: whether the key has the form of the tables already.
        """
        return {
            "sync_id": self.sync_id,
            "contact_key": key if is_written else self.written_key(key),
            "run_id": self.run_id,
            "generation": self.generation,
        }

    def _gathers(self) -> bool:
        """Return whether this object writes lines at all; if so, note that a line waits to be written."""
        if self._oldest_at is None and not self._read_only:
            self._oldest_at = time.monotonic()
        return not self._read_only

    def _write_gathered(self, connection: sa.Connection) -> None:
        if not self._lease.hold(connection):
            generation = self._lease.newest_generation(connection) + 1
            names = {"sync_id": self.sync_id, "run_id": self._settings.run_id}
            self._gathered.write_doubts(connection, self._unanswered, generation, **names)
            return
        self._drop_suppressed(connection)
        self._gathered.write(connection)
        if self.history is not None:
            self.history.write(connection)
        if self._forgotten:
            self._delete_forgotten(connection)
        for write in self._beside:
            write(connection)
        doubts, reason = self._doubted
        if doubts:  # after the responses to earlier requests of the same contacts
            self._gathered.write_properties(connection, doubts, reason)
        if self._settled:
            self.plan.settle_counted(connection, self._settled)
        # In the same transaction: a process that continues this plan needs these counts, however this process ends.
        self._attempts.note(connection)

    def _drop_suppressed(self, connection: sa.Connection) -> None:
        """Drop the collected lines of people whom an erasure has removed in the meantime."""
        if self.suppressions.is_empty_in(connection):
            return
        keys = self._gathered.keys | (set() if self.history is None else self.history.keys)
        people = {person: key for key in keys if (person := self.person_of(key)) is not None}
        if people and (suppressed := self.suppressions.among_in(connection, people)):
            forgotten = {people[person] for person in suppressed}
            self._gathered.drop(forgotten, spelled=self._not_erased(connection, forgotten))
            if self.history is not None:
                self.history.forget(forgotten)

    def _delete_forgotten(self, connection: sa.Connection) -> None:
        lines = self.database.tables.lines
        waiting = self._not_erased(connection, self._forgotten)
        for keys, which in ((self._forgotten - waiting, sa.true()), (waiting, lines.c.spelling.is_(None))):
            written = sorted(map(self.written_key, keys))
            if written:
                of_these = sa.and_(lines.c.sync_id == self.sync_id, lines.c.contact_key.in_(written))
                connection.execute(sa.delete(lines).where(of_these, which))

    def _not_erased(self, connection: sa.Connection, keys: Collection[str]) -> set[str]:
        """Return the contacts without a receipt: their erasure still needs the spelling in which they were sent."""
        people = self._spelled(keys)
        erased = self.suppressions.erased_in(connection, people) if people else set()
        return {key for person, key in people.items() if person not in erased}

    def _spelled(self, keys: Collection[str]) -> dict[PersonKey, str]:
        """Return the contacts whose keys may have several spellings, by person."""
        found = ((self.person_of(key), key) for key in keys)
        return {person: key for person, key in found if person is not None and person.has_spellings}
