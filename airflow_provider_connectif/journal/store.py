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
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.attempts import Attempts, Series
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.journal.lines import (
    ACKNOWLEDGED_COLUMNS,
    NO_REFUSAL,
    NOT_BEFORE_3,
    GatheredLines,
    Line,
)
from airflow_provider_connectif.journal.plan import Plan
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID, REJECTED
from airflow_provider_connectif.journal.tables import LONGEST_REASON, VERSION, key_parameter
from airflow_provider_connectif.records.changes import Digests
from airflow_provider_connectif.records.outcomes import taken_over
from airflow_provider_connectif.reporting.verdict import Verdict

COMMIT_LINES = 50
COMMIT_EVERY_S = 2.0
_TRIES_BEFORE_TELLING = 10
_TELL_AGAIN_S = 600.0
_MOST_CONFIRMED = 1000  # there is no answer to lose, so these may gather


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
        self._is_there = True
        self._looks_closely = False
        self._attempts = Attempts(self._tables, settings.sync_id, settings.run_id, settings.task)
        self.series = Series(tries=0)
        """The attempts that this one belongs to; ``tries`` is 0 until :meth:`open` has succeeded."""
        self.counts: Callable[[], Mapping[str, Any]] = dict
        """What the series has counted so far, JSON-ready and without personal data."""
        self._unanswered: set[str] = set()
        self._gathered = GatheredLines(self._tables)
        self._settled: list[int] = []
        self._oldest_at: float | None = None
        self.waited_s = 0.0
        """Seconds that :meth:`open` has waited for another run."""
        self.plan = Plan(
            self._database,
            settings.sync_id,
            settings.run_id,
            settings.task,
            key_secret=settings.key_secret,
            keeps_rows=settings.keeps_rows,
            retention_s=settings.plan_retention_s,
        )
        dialect = self._database.dialect
        self._glance = self._tables.lines_of(dialect, ["contact_key", self._tables.digest_unless_invalid])
        self._select = self._tables.lines_of(dialect, ["contact_key", *Line._fields])

    def open(self, stopped: Callable[[], bool], tell: Callable[[str], None], *, comes_back: bool = False) -> None:
        """Create the tables at first use, and wait until no other run of this sync is under way.

        Plans that this run does not come back to are deleted.

        :param stopped: whether the run was told to stop while it waits.
        :param tell: is told that it waits, and for whom: at first, when that changes, and every ten minutes.
        :param comes_back: the task has been here before, and its plan is to be gone on with.
        :raises JournalError: the database failed, or the tables were made by a newer version.
        """
        version = self._database.create(read_only=self.read_only)
        self._is_there = version is not None
        if self.read_only:
            self._open_to_read(version)
            return
        tries, told, told_at = 0, "", 0.0
        began_at = time.monotonic()
        while not stopped() and (claim := self._database.guarded(self._lease.take)) is not None:
            tries += 1
            is_due = str(claim) != told or time.monotonic() - told_at >= _TELL_AGAIN_S
            if tries >= _TRIES_BEFORE_TELLING and is_due:
                told, told_at = str(claim), time.monotonic()
                tell(claim.describe(self._settings.sync_id))
            time.sleep(0.1 if tries < _TRIES_BEFORE_TELLING else 1.0)  # a look at one row; a run may take hours
            self.waited_s = time.monotonic() - began_at
        if not stopped():
            self.plan.sweep(keeps_mine=comes_back)
            numbers, generation = self._settings.attempt, self._lease.generation
            self.series = self._database.write(lambda connection: self._attempts.begin(connection, numbers, generation))
            self._looks_closely = bool(self.series.earlier or self.series.run_id)
        self._database.is_open = True

    def _open_to_read(self, version: int | None) -> None:
        self.series.tries = 1
        if version is not None and version < VERSION:  # only a run that writes brings the tables up to date
            columns = [name if name not in NOT_BEFORE_3 else sa.null() for name in Line._fields]
            self._select = self._tables.lines_of(self._database.dialect, ["contact_key", *columns])
        elif version is not None:
            self.series.keyless_before = self._database.read(self._attempts.keyless_before)
        self._database.is_open = True

    def differing(self, digests: Mapping[str, str], *, all_differ: bool = False) -> dict[str, Line | None]:
        """The contacts whose acknowledged row is another one, each with its line if it has one.

        A glance at keys and digests finds them, since most rows are unchanged on most nights; a second query has the
        lines. With them are contacts that an earlier attempt has delivered, and those whose last row was invalid.

        :param digests: of the rows as they are now, by contact key.
        :param all_differ: none of the digests is that of a row.
        """
        if not digests or not self._is_there:
            return dict.fromkeys(digests)
        asked: Mapping[str, str] = digests
        keys: dict[str, str] | None = None
        if self._settings.key_secret is not None:
            keys = {self._written_key(key): key for key in digests}
            asked = {written: digests[key] for written, key in keys.items()}
        lines: dict[str, Line | None]
        if self._looks_closely or all_differ:
            found = self._lines_of(asked)
            same = {
                key
                for key, line in found.items()
                if line.row_digest == asked[key] and line.state != INVALID and not self.series.delivered_earlier(line)
            }
            lines = {key: found.get(key) for key in asked if key not in same}
        else:
            seen = self._found(self._glance, asked)
            lines = dict.fromkeys(key for key, _ in asked.items() - {(row[0], row[1]) for row in seen})
            if lines:
                lines |= self._lines_of([row[0] for row in seen if row[0] in lines])
        if keys is not None:
            lines = {keys[written]: line for written, line in lines.items()}
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

    def refused_before(self, digests: Mapping[str, str], *, is_written: bool = False) -> set[str]:
        """The contacts of which an earlier run has seen this very row refused by Connectif.

        :param digests: of the rows, by contact key.
        :param is_written: the keys are as they stand in the tables.
        """
        written = {key if is_written else self._written_key(key): key for key in digests}
        found = self._lines_of(written)
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
        self._write(
            self._gathered.acknowledged,
            key,
            state=ACKNOWLEDGED,
            row_digest=digests.row or None,  # several rows in one change would look unchanged one by one
            patch_digest=digests.patch,
            mapping_digest=digests.mapping,
            delivered_at=datetime.now(UTC),
            delivered_as=delivered_as,
            delivered_generation=self._lease.generation,
            **dict.fromkeys(NO_REFUSAL),
        )
        self._gathered.rejected.pop(key, None)

    def confirm(self, key: str, digests: Digests) -> None:
        """Connectif holds just this patch, though it comes from another row or by another mapping."""
        self._write(
            self._gathered.confirmed,
            key,
            state=ACKNOWLEDGED,
            row_digest=digests.row,
            mapping_digest=digests.mapping,
            **dict.fromkeys(NO_REFUSAL),
        )

    def reject(self, key: str, row_digest: str, status: int | None, reason: str, *, is_written: bool = False) -> None:
        """Connectif has refused a row.

        :param is_written: the key is as it stands in the tables already.
        """
        self._write(
            self._gathered.rejected,
            key,
            contact_key=key if is_written else self._written_key(key),
            state=REJECTED,
            refused_digest=row_digest,
            refused_at=datetime.now(UTC),
            refused_run=self.run_id,
            status_code=status,
            reason=reason[:LONGEST_REASON],
        )

    def note_invalid(self, key: str, row_digest: str, first_run: str | None = None) -> None:
        """A row of a contact was refused here, before it was sent; what is acknowledged or rejected stays known.

        :param first_run: that has met it first, if not this one.
        """
        self._write(
            self._gathered.invalid, key, state=INVALID, invalid_digest=row_digest, invalid_run=first_run or self.run_id
        )
        self._gathered.restored.pop(key, None)

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
        self._write(self._gathered.restored, key, state=state)

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

    def settle_planned(self, number: int) -> None:
        """The outcome of a planned row is known: its patch is pending no longer."""
        self._settled.append(number)
        self._begin_gathering()

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
        self._database.write(lambda connection: self._attempts.note(connection, self._lease.generation, self.counts()))
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

    def _found(self, query: Any, keys: Collection[str]) -> Sequence[Any]:
        parameters = {"sync_id": self._settings.sync_id, "keys": key_parameter(self._database.dialect, keys)}
        return self._database.read(lambda connection: connection.execute(query, parameters).fetchall())

    def _lines_of(self, keys: Collection[str]) -> dict[str, Line]:
        """The lines of contacts whose keys are as they stand in the tables."""
        return {row[0]: Line(*row[1:]) for row in self._found(self._select, keys)} if keys else {}

    def _note_end(self, verdict: Verdict, keyless: int | None) -> None:
        values = {"verdict": verdict.value, "ended_at": datetime.now(UTC), "keyless": keyless}
        generation, counts = self._lease.generation, self.counts()
        self._database.write(lambda connection: self._attempts.note(connection, generation, counts, **values))

    def _write(self, gathered: dict[str, dict[str, Any]], key: str, **values: Any) -> None:
        if self.read_only:
            return
        gathered[key] = {
            "sync_id": self._settings.sync_id,
            "contact_key": values.get("contact_key") or self._written_key(key),
            "run_id": self.run_id,
            "generation": self.generation,
            **values,
        }
        self._begin_gathering()

    def _begin_gathering(self) -> None:
        if self._oldest_at is None:
            self._oldest_at = time.monotonic()

    def _write_gathered(self, connection: sa.Connection) -> None:
        if not self._lease.hold(connection):
            generation = self._lease.newest_generation(connection) + 1
            names = {"sync_id": self._settings.sync_id, "run_id": self._settings.run_id}
            self._gathered.write_doubts(connection, self._unanswered, generation, **names)
            return
        self._gathered.write(connection)
        if self._settled:
            self.plan.settle(connection, self._settled)
        self._attempts.note(connection, self._lease.generation, self.counts())
