"""What Connectif has acknowledged, contact by contact, in a SQL database.

A line a sync and contact. Its digest of the row moves only when Connectif has acknowledged the patch. So rows
that did not change cost no request, a killed task goes on where it stopped, what failed is sent again by itself,
and what was rejected waits until it changes. No value is kept, only digests.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from airflow_provider_connectif.journal.attempts import Attempts, Series
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.lease import Claim, Lease, wait_for_claim
from airflow_provider_connectif.journal.lines import ACKNOWLEDGED_COLUMNS, GatheredLines, Line
from airflow_provider_connectif.journal.plan import Plan
from airflow_provider_connectif.journal.reader import LineReader
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID
from airflow_provider_connectif.journal.tables import VERSION
from airflow_provider_connectif.records.changes import Digests
from airflow_provider_connectif.records.outcomes import taken_over
from airflow_provider_connectif.reporting.verdict import Verdict

COMMIT_LINES = 50
COMMIT_EVERY_S = 2.0
_MOST_CONFIRMED = 1000  # there is no answer to lose, so these may gather


class Counted(Protocol):
    """What a run has counted: :class:`airflow_provider_connectif.reporting.report.Report`."""

    def as_counts(self) -> Mapping[str, Any]:
        """JSON-ready and without personal data."""


class Journal:
    """The lines of one sync.

    Lines are written in small batches, after the answer and never before; :meth:`close` writes the rest.

    :param engine: a SQLAlchemy engine of PostgreSQL, SQLite, MySQL or MariaDB.
    :param settings: where and how.
    :param read_only: look, but write nothing and hold up nobody.
    """

    def __init__(self, engine: sa.Engine, settings: JournalSettings, *, read_only: bool = False) -> None:
        self._database = JournalDatabase(
            engine, settings.table, settings.schema, settings.conn_id, settings.broken_setting
        )
        self._settings = settings
        self.read_only = read_only
        self.run_id = settings.run_id
        self._generation: int | None = None  # of another process than this one
        self._tables = self._database.tables
        self._written_key = key_digester(settings.key_secret)
        self._lease = Lease(engine, self._tables, settings.sync_id, settings.run_id, settings.task)
        self._looks_closely = False
        self._attempts = Attempts(self._tables, settings.sync_id, settings.run_id, settings.task)
        self.series = Series(tries=0)
        """The attempts that this one belongs to; ``tries`` is 0 until :meth:`open` has succeeded."""
        self._counted: Counted | None = None
        self._unanswered: set[str] = set()
        self._gathered = GatheredLines(self._tables)
        self._settled: list[int] = []
        self._oldest_at: float | None = None
        self.waited_s = 0.0
        """Seconds that :meth:`open` has waited for another run."""
        self.held_by: Claim | None = None
        """Another run's claim that is to be waited for without a worker; the journal is not open then."""
        self.plan = Plan(
            self._database,
            settings.sync_id,
            settings.run_id,
            settings.task,
            key_secret=settings.key_secret,
            keeps_rows=settings.keeps_rows,
            retention_s=settings.plan_retention_s,
        )
        self._reader = LineReader(self._database, settings.sync_id, settings.key_secret)

    def open(
        self,
        stopped: Callable[[], bool],
        tell: Callable[[str], None],
        *,
        comes_back: bool = False,
        counted: Counted | None = None,
    ) -> None:
        """Create the tables at first use, and wait until no other run of this sync is under way.

        Where the task can defer, it does not wait for long here: then ``held_by`` says for whom it has to wait.

        Plans that this run does not come back to are deleted.

        :param stopped: whether the run was told to stop while it waits.
        :param tell: is told that it waits, and for whom: at first, when that changes, and every ten minutes.
        :param comes_back: the task has been here before, and its plan is to be gone on with.
        :param counted: what the attempts of the run have counted; recorded with what is written.
        :raises JournalError: the database failed, or the tables were made by a newer version.
        """
        self._counted = counted
        version = self._database.create(read_only=self.read_only)
        self._reader.open(version)
        if self.read_only:
            self._open_to_read(version)
            return
        held_since: float | None = None  # to make the tables takes its time, too, and is no wait

        def take() -> Claim | None:
            nonlocal held_since
            claim = self._database.guarded(self._lease.take)
            if claim is not None and held_since is None:
                held_since = time.monotonic()
            return claim

        self.held_by = wait_for_claim(take, stopped, tell, may_defer=self._settings.may_defer)
        self.waited_s = 0.0 if held_since is None else time.monotonic() - held_since
        if not (self.held_by or stopped()):
            if self._lease.generation == 1:
                tell(f"The journal is new to sync {self._settings.sync_id!r}: it knows no row, so all are sent")
            self.plan.sweep(keeps_mine=comes_back)
            numbers, generation = self._settings.attempt, self._lease.generation
            self.series = self._database.write(lambda connection: self._attempts.begin(connection, numbers, generation))
            self._looks_closely = bool(self.series.earlier or self.series.run_id)
        self._database.note_open()

    def _open_to_read(self, version: int | None) -> None:
        self.series.tries = 1
        if version is not None and version >= VERSION:
            self.series.keyless_before = self._database.read(self._attempts.keyless_before)
        self._database.note_open()

    def differing(self, digests: Mapping[str, str], *, all_differ: bool = False) -> dict[str, Line | None]:
        """The contacts whose acknowledged row is another one, each with its line if it has one.

        With them are contacts that an earlier attempt has delivered, and those whose last row was invalid.

        :param digests: of the rows as they are now, by contact key.
        :param all_differ: none of the digests is that of a row.
        """
        lines = self._reader.differing(digests, self.series, looks_closely=self._looks_closely, all_differ=all_differ)
        if self._oldest_at is not None:
            self._gathered.overlay(lines, digests)
        return lines

    def doubt(self, keys: Iterable[str]) -> None:
        """Patches of these contacts are about to be sent: until the answer is here, what Connectif holds is not known.

        Without this mark a row that changes, whose answer is lost, and that changes back would be taken for unchanged.
        """
        lines = self._tables.lines
        written = [self._written_key(key) for key in keys]
        if not written or self.read_only:
            return
        of_these = sa.and_(lines.c.sync_id == self._settings.sync_id, lines.c.contact_key.in_(written))
        clear = (
            sa.update(lines)
            .where(of_these, lines.c.generation <= self._lease.generation)
            .values(row_digest=None, patch_digest=None)
        )
        self.commit()
        self._database.write(lambda connection: connection.execute(clear))

    def begin_doubts(self, digests: Mapping[str, str], reason: str) -> None:
        """Changes of these keys may have been sent, and must not be sent again; written at once.

        Until :meth:`acknowledge`, :meth:`reject` or :meth:`withdraw_doubts` their rows are held as they are.

        :param digests: of the rows, by key.
        :param reason: for the row that is held.
        """
        for key, digest in digests.items():
            if self._gathers():
                self._gathered.begin_doubt(key, self._names(key), digest, reason)
        if digests:
            self.commit()

    def withdraw_doubts(self, keys: Iterable[str]) -> None:
        """Changes of these keys were not carried out: they are sent again."""
        for key in keys:
            if self._gathers():
                self._gathered.withdraw_doubt(key, self._names(key))

    def refused_before(self, digests: Mapping[str, str], *, is_written: bool = False) -> set[str]:
        """The contacts of which an earlier run has seen this very row refused by Connectif.

        :param digests: of the rows, by contact key.
        :param is_written: the keys are as they stand in the tables.
        """
        written = {key if is_written else self._written_key(key): key for key in digests}
        found = self._reader.lines_of(written)
        return {
            written[key]
            for key, line in found.items()
            if line.refused_digest == digests[written[key]] and self.is_known_refusal(line)
        }

    def is_known_refusal(self, line: Line) -> bool:
        """Whether a run before this one has seen the refusal that a line holds."""
        return line.refused_digest is not None and (line.refused_run or line.run_id) != self.run_id

    def leave_in_doubt(self, keys: Iterable[str]) -> None:
        """Patches of these contacts were sent and not answered when sending was given up.

        If another process has taken over meanwhile, they may reach Connectif after its own.
        """
        self._unanswered.update(self._written_key(key) for key in keys)

    def acknowledge(self, key: str, digests: Digests, *, delivered_as: str | None = None) -> None:
        """Connectif has accepted a patch.

        :param delivered_as: ``created`` or ``updated``.
        """
        if self._gathers():
            self._gathered.acknowledge(key, self._names(key), digests, delivered_as)

    def confirm(self, key: str, digests: Digests) -> None:
        """Connectif holds just this patch, though it comes from another row or by another mapping."""
        if self._gathers():
            self._gathered.confirm(key, self._names(key), digests)

    def reject(self, key: str, row_digest: str, status: int | None, reason: str, *, is_written: bool = False) -> None:
        """Connectif has refused a row.

        :param is_written: the key is as it stands in the tables already.
        """
        if self._gathers():
            names = self._names(key, is_written=is_written)
            self._gathered.reject(key, names, row_digest, status, reason)

    def note_invalid(self, key: str, row_digest: str, first_run: str | None = None) -> None:
        """A row of a contact was refused here, before it was sent; what is acknowledged or rejected stays known.

        :param first_run: that has met it first, if not this one.
        """
        if self._gathers():
            self._gathered.note_invalid(key, self._names(key), row_digest, first_run or self.run_id)

    def meets_invalid(self, key: str, row_digest: str, line: Line | None) -> bool:
        """A row was refused here, before it was sent; an unchanged one costs no write.

        :param line: of the contact.
        :return: whether a run before this one has met it.
        """
        is_same = line is not None and line.invalid_digest == row_digest
        first_run = line.invalid_run if is_same and line is not None else None
        if not (is_same and line is not None and line.state == INVALID):
            self.note_invalid(key, row_digest, first_run)
        return first_run is not None and first_run != self.run_id

    def restore(self, key: str, state: str) -> None:
        """The row of a contact that was invalid is again the one that is acknowledged, or rejected.

        :param state: which of the two.
        """
        if self._gathers():
            self._gathered.restore(key, self._names(key), state)

    def settle_files(
        self,
        acknowledged: Collection[int],
        given_up: Collection[int],
        refused: Iterable[Sequence[int]],
        state: Mapping[str, Any],
    ) -> None:
        """An import has ended: write what is known of its contacts, in one transaction.

        :param acknowledged: groups of contacts that Connectif has taken in, but for those that it has rejected.
        :param given_up: groups of which that is not known: nothing of them is acknowledged.
        :param refused: the numbers of rows that it has rejected, in batches.
        :param state: of the run, saved with it.
        """
        self.commit()
        lines = self.plan.import_lines
        values = {
            "sync_id": self._settings.sync_id,
            "state": ACKNOWLEDGED,
            "delivered_at": datetime.now(UTC),
            "delivered_as": "imported",
            "delivered_generation": self.generation,
            "run_id": self.run_id,
            "generation": self.generation,
        }
        statement = self._tables.acknowledge_pending(
            self._database.dialect, lines.acknowledged(acknowledged), list(ACKNOWLEDGED_COLUMNS), values
        )
        numbers = list(refused)  # a transaction may be done again

        def write(connection: sa.Connection) -> None:
            for batch in numbers:
                lines.refuse(connection, batch)
            if acknowledged:
                connection.execute(statement)
            if acknowledged or given_up:
                lines.drop(connection, [*acknowledged, *given_up])
            self.plan.save_in(connection, state)

        self._database.write(write)

    def of_plan(self, plan: Plan, generation: int) -> Journal:
        """The same journal as an earlier run writes it, to settle what that run has left open.

        What has been written since by newer processes is not overwritten; where it differs, it becomes doubtful.

        :param plan: of the earlier run.
        :param generation: of the process that sent the rows.
        """
        journal = copy.copy(self)
        journal.plan, journal.run_id, journal._generation = plan, plan.run_id, generation
        journal._gathered, journal._settled, journal._unanswered = GatheredLines(self._tables), [], set()
        journal._oldest_at = None
        return journal

    @property
    def generation(self) -> int:
        """Tells the processes of a sync apart: a newer one has a higher number."""
        return self._lease.generation if self._generation is None else self._generation

    def written_key(self, key: str) -> str:
        """A contact key as it stands in the tables."""
        return self._written_key(key)

    def settle_planned(self, place: int) -> None:
        """The outcome of a planned change is known: it is pending no longer.

        :param place: in the plan.
        """
        self._settled.append(place)
        self._gathers()

    @property
    def commit_lines(self) -> int:
        """Answers that are written at once."""
        return COMMIT_LINES

    @property
    def unwritten(self) -> int:
        """Answers that are not written yet."""
        return self._gathered.responses

    def commit_if_due(self) -> None:
        """Write what has gathered, when it is enough or old enough; or stop where another process has taken over."""
        age = time.monotonic() - self._oldest_at if self._oldest_at is not None else 0.0
        is_much = self._gathered.others >= _MOST_CONFIRMED
        if self._lease.is_lost or self.unwritten >= COMMIT_LINES or is_much or age >= COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Write what has gathered.

        :raises JournalError: the database failed; the contacts are sent again by the next attempt. Or another process
            has taken over: what has gathered is written all the same, as a doubt.
        """
        if self._oldest_at is not None or (self._lease.is_lost and self._unanswered):
            self._database.write(self._write_gathered)
        self._gathered.clear()
        self._unanswered.clear()
        self._settled.clear()
        self._oldest_at = None
        if self._lease.is_lost:
            raise taken_over(self._settings.sync_id)

    def park(self, state: Mapping[str, Any], until: float) -> None:
        """Write what has gathered and how far the run is, and leave with the claim to the sync.

        :param until: when the task means to come back, in seconds since the epoch.
        :raises JournalError: the database failed, or another try has taken over; then :meth:`close` is the end.
        """
        self.commit()
        self._database.write(lambda connection: self._attempts.note(connection, self._lease.generation, self._counts()))
        self.plan.save(state)
        self._database.guarded(lambda: self._lease.park(until))
        if self._lease.is_lost:
            raise taken_over(self._settings.sync_id)
        self._database.close()

    def close(self, verdict: Verdict | None = None, *, keyless: int | None = None, keeps_plan: bool = False) -> None:
        """Write what has gathered and how the attempt ended, and let the next run begin.

        :param verdict: how it ended; ``None`` where nobody is to know.
        :param keyless: rows without a valid key, where the source was read to its end.
        :param keeps_plan: the next attempt of the task needs it.
        """
        try:
            if self._unanswered:
                self._database.write(self._lease.hold)
            self.commit()
            if not self.read_only and not keeps_plan:
                self.plan.drop()
            if verdict is not None and self.series.tries and not self.read_only:
                self._note_end(verdict, keyless)
        finally:
            try:
                self._database.guarded(self._lease.release)
            finally:
                self._database.close()

    def _counts(self) -> Mapping[str, Any]:
        return {} if self._counted is None else self._counted.as_counts()

    def _note_end(self, verdict: Verdict, keyless: int | None) -> None:
        values = {"verdict": verdict.value, "ended_at": datetime.now(UTC), "keyless": keyless}
        generation, counts = self._lease.generation, self._counts()
        self._database.write(lambda connection: self._attempts.note(connection, generation, counts, **values))

    def _names(self, key: str, *, is_written: bool = False) -> dict[str, Any]:
        """What names a line and who writes it, by column."""
        return {
            "sync_id": self._settings.sync_id,
            "contact_key": key if is_written else self._written_key(key),
            "run_id": self.run_id,
            "generation": self.generation,
        }

    def _gathers(self) -> bool:
        """Whether anything is written; from now on something waits for that."""
        if self._oldest_at is None and not self.read_only:
            self._oldest_at = time.monotonic()
        return not self.read_only

    def _write_gathered(self, connection: sa.Connection) -> None:
        if not self._lease.hold(connection):
            generation = self._lease.newest_generation(connection) + 1
            names = {"sync_id": self._settings.sync_id, "run_id": self._settings.run_id}
            self._gathered.write_doubts(connection, self._unanswered, generation, **names)
            return
        self._gathered.write(connection)
        if self._settled:
            self.plan.settle(connection, self._settled)
        self._attempts.note(connection, self._lease.generation, self._counts())
