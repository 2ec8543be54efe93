"""The journal of what Connectif has acknowledged, contact by contact, in a SQL database.

The journal has one line for each sync and contact. The line's row digest changes only when Connectif has acknowledged
the patch. So unchanged rows cost no request, a killed task continues where it stopped, failed rows are sent again, and
rejected rows wait until they change. The journal stores no values, only digests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.attempts import Attempts, Counted, Series, run_key
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.history_retention import delete_in_pieces, delete_older
from airflow_provider_connectif.journal.import_state import has_open_files
from airflow_provider_connectif.journal.last_read import ReadRecord
from airflow_provider_connectif.journal.lease import Claim, Lease, wait_for_claim
from airflow_provider_connectif.journal.left_behind import LeftBehind
from airflow_provider_connectif.journal.left_lines import LeftLines
from airflow_provider_connectif.journal.other_syncs import OtherSyncs
from airflow_provider_connectif.journal.owners import other_owners
from airflow_provider_connectif.journal.past_imports import PastImports
from airflow_provider_connectif.journal.plan import Plan
from airflow_provider_connectif.journal.reader import LineReader
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.journal.tables import RECORDS_SINCE
from airflow_provider_connectif.records.outcomes import taken_over
from airflow_provider_connectif.reporting.verdict import Verdict


class Journal:
    """The journal of one sync, for one process: its claim to the sync, its attempt, its plan, and the lines.

    :param engine: a SQLAlchemy engine of PostgreSQL, SQLite, MySQL or MariaDB.
    :param settings: the settings of the journal.
    :param read_only: write nothing, and take no claim to the sync.
    """

    def __init__(self, engine: sa.Engine, settings: JournalSettings, *, read_only: bool = False) -> None:
        self._database = JournalDatabase(
            engine, settings.table, settings.schema, settings.conn_id, settings.broken_setting
        )
        self._settings = settings
        self.read_only = read_only
        tables = self._database.tables
        self._lease = Lease(engine, tables, settings.sync_id, settings.run_id, settings.task)
        of_airflow = {"dag_id": settings.dag_id, "task_id": settings.task_id, "map_index": settings.map_index}
        self.history: History | None = None
        """The history of the run: the outcomes of rows that were not unchanged; ``None`` if nothing is written."""
        if not read_only:
            names = (settings.sync_id, settings.run_id, run_key(settings.run_id, settings.task))
            self.history = History(tables, *names, key_digester(settings.key_secret), settings.history_lines)
        self._attempts = Attempts(tables, settings.sync_id, settings.run_id, settings.task, of_airflow, self.history)
        self._reader = LineReader(self._database, settings.sync_id, settings.key_secret)
        self.waited_s = 0.0
        """Seconds for which :meth:`open` has waited for another run of the sync."""
        self.held_by: Claim | None = None
        """Another run's claim, for which the task must wait without a worker. Then the journal is not open."""
        self.plan = Plan(
            self._database,
            settings.sync_id,
            settings.run_id,
            settings.task,
            key_secret=settings.key_secret,
            keeps_rows=settings.keeps_rows,
            retention_s=settings.plan_retention_s,
        )
        self.reads = ReadRecord(self._database, settings.sync_id, f"{settings.dag_id}.{settings.task}")
        """The record of the sync's reads, with the last complete one."""
        self.left = LeftLines(self._database, settings.sync_id, self._lease, settings.run_id)
        """The lines of contacts that are no longer in the source."""
        self.other_syncs = OtherSyncs(self._database, settings.sync_id)
        """Looks up contacts in the lines of other syncs."""
        self.past_imports = PastImports(self._database, settings.sync_id)
        """The imports of earlier runs of the sync, their speed, and the rate limit that these runs met."""
        self._has_owners = False
        self.suppressions = SuppressionList(self._database, settings.list_secret, conn_id=settings.conn_id)
        """The suppression list."""
        self.lines = RunLines(
            self._database,
            settings,
            self._reader,
            self._lease,
            self._attempts,
            self.plan,
            self.suppressions,
            read_only=read_only,
            history=self.history,
        )
        """Reads and writes the lines of the sync."""
        self.left_behind: LeftBehind | None = None
        """Records changes without an outcome if the run ends early; ``None`` if there are none."""
        self._is_parked = self._is_empty = False
        self.ended_early = ""
        """The reason why the run ended early and changes have no outcome; empty if all have one."""

    @property
    def key_secret(self) -> bytes | None:
        """The secret with which contact keys are stored; ``None``: they are stored unchanged."""
        return self._settings.key_secret

    @property
    def run_id(self) -> str:
        """The DAG id and Airflow's run id, joined by a slash; ``by hand`` outside a DAG run."""
        return self._settings.run_id

    @property
    def database(self) -> JournalDatabase:
        """The journal's database."""
        return self._database

    @property
    def settings(self) -> JournalSettings:
        """The journal's settings."""
        return self._settings

    @property
    def series(self) -> Series:
        """The series of this attempt: the attempts since the run began, or since the task was last cleared.

        Its ``tries`` is 0 until :meth:`open` has succeeded.
        """
        return self._attempts.series

    @property
    def generation(self) -> int:
        """The number of this process among all processes of the sync. A newer process has a higher number."""
        return self._lease.generation

    @property
    def is_new(self) -> bool:
        """Whether this process is the first one that writes to the sync; if it only reads: whether nobody has."""
        return self._is_empty if self.read_only else self._lease.generation == 1

    def open(
        self,
        stopped: Callable[[], bool],
        tell: Callable[[str], None],
        *,
        comes_back: bool = False,
        counted: Counted | None = None,
    ) -> None:
        """Create the tables at first use, and wait until no other run of this sync is running.

        If the task can be deferred, it does not wait for long here. Then :attr:`held_by` is the claim to wait for.
        Plans that this run does not continue are deleted.

        :param stopped: returns whether the run must stop.
        :param tell: called with a log message about the wait: at the beginning, when the holder changes, and every ten
            minutes.
        :param comes_back: whether the task continues its plan after a deferral.
        :param counted: returns the counts of the run, which are recorded with the lines.
        :raises JournalError: the database failed, or a newer version of the package made the tables.
        """
        self._attempts.counted = counted
        version = self._database.create(read_only=self.read_only)
        self._reader.open(version)
        is_there = version is not None and version >= RECORDS_SINCE
        self._has_owners = self.reads.is_there = self.left.are_there = self.suppressions.is_there = is_there
        self.past_imports.is_there = is_there
        if self.read_only:
            self._open_to_read(version)
            return
        held_since: float | None = None  # creating the tables takes time, but does not count as waiting

        def take() -> Claim | None:
            nonlocal held_since
            claim = self._database.guarded(self._lease.take)
            if claim is not None and held_since is None:
                held_since = time.monotonic()
            return claim

        self.held_by = wait_for_claim(take, stopped, tell, may_defer=self._settings.may_defer)
        self.waited_s = 0.0 if held_since is None else time.monotonic() - held_since
        if not (self.held_by or stopped()):
            self.plan.sweep(keeps_mine=comes_back)
            numbers, generation = self._settings.attempt, self._lease.generation
            series = self._database.write(lambda connection: self._attempts.begin(connection, numbers, generation))
            self._attempts.series = series
            self._continue_history(series)
        self._database.note_open()

    def begin_reading(self, identity: Mapping[str, Any] | None = None) -> None:
        """Begin to read the source from its first row. New outcomes replace those of earlier attempts of the run.

        :param identity: as in :meth:`ReadRecord.begin`; ``None``, the default: this read is not recorded.
        :raises JournalError: the database failed.
        """
        if identity is not None:
            self.reads.begin(identity, self.generation, read_only=self.read_only)
        if self.history is not None:
            self.history.begin_attempt(self.generation, is_first=self._attempt_before(self.series) is None)

    def _continue_history(self, series: Series) -> None:
        if self.history is None:
            return
        if (attempt := self._attempt_before(series)) is None:
            self.history.begin_attempt(self.generation, is_first=True)
        else:
            self._database.write(partial(self.history.continue_attempt, attempt=attempt))
        delete_older(self._database, self._settings.sync_id, self._settings.history_retention_s, time.time())

    @staticmethod
    def _attempt_before(series: Series) -> int | None:
        """Return the generation of the attempt that this one continues or replaces; ``None`` if there is none.

        That attempt may have been killed before it wrote a line.
        """
        return series.attempt if series.attempt is not None else max(series.earlier, default=None)

    def other_owners(self, way: str, owned: Collection[str]) -> dict[str, list[str]]:
        """Return the other syncs that write some of these properties.

        See :func:`airflow_provider_connectif.journal.owners.other_owners`.
        """
        if not self._has_owners:
            return {}
        return other_owners(self._database, self._settings.sync_id, way, owned, read_only=self.read_only)

    def _open_to_read(self, version: int | None) -> None:
        self.series.tries = 1
        if version is not None and version >= RECORDS_SINCE:
            self.series.keyless_before = self._database.read(self._attempts.keyless_before)
        self._is_empty = self._database.read(self._reader.is_empty)
        self._database.note_open()

    def park(self, state: Mapping[str, Any], until: float) -> None:
        """Write the collected lines and the state of the run, and keep the claim to the sync during a deferral.

        :param until: the planned end of the deferral, in seconds since the epoch.
        :raises JournalError: the database failed, or another attempt has taken over. The caller must then call
            :meth:`close`.
        """
        self.lines.commit()
        self._database.write(self._attempts.note)
        self.plan.save(state)
        self._is_parked = True
        self._database.guarded(lambda: self._lease.park(until))
        if self._lease.is_lost:
            raise taken_over(self._settings.sync_id)
        self._database.close()

    def end_parked(self, verdict: Verdict) -> None:
        """End the attempt if the task is not deferred after all, although :meth:`park` was called.

        Without this, other runs would wait for the claim until ten minutes after the planned end of the deferral.

        :param verdict: the verdict on the attempt.
        :raises JournalError: the database failed.
        """
        if self._is_parked:
            self.ended_early = ""  # the changes that were not sent can no longer be listed
            self.close(verdict, keeps_plan=has_open_files(self.plan.load() or {}))

    def close(self, verdict: Verdict | None = None, *, keyless: int | None = None, keeps_plan: bool = False) -> None:
        """Write the collected lines and the end of the attempt, and release the claim.

        :param verdict: the verdict on the attempt; ``None``: no end is recorded.
        :param keyless: number of rows without a valid key; ``None`` if the source was not read to its end.
        :param keeps_plan: keep the plan for the next attempt of the task.
        """
        self._is_parked = False
        try:
            if self.lines.has_unanswered:
                self._database.write(self._lease.hold)
            self.lines.commit()
            if verdict is not None and self.series.tries and self.history is not None:
                if keyless is not None:
                    delete_in_pieces(self._database, self.history.of_earlier_attempts)
                if self.ended_early and self.left_behind is not None:
                    self.left_behind.note(self.lines, self.history, self.ended_early)
            if not self.read_only and not keeps_plan:
                self.plan.drop()
            if verdict is not None and self.series.tries and not self.read_only:
                self._note_end(verdict, keyless)
        finally:
            try:
                self._database.guarded(self._lease.release)
            finally:
                self._database.close()

    def _note_end(self, verdict: Verdict, keyless: int | None) -> None:
        values = {"verdict": verdict.value, "ended_at": datetime.now(UTC), "keyless": keyless}
        self._database.write(lambda connection: self._attempts.note(connection, **values))
