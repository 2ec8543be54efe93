"""What Connectif has acknowledged, contact by contact, in a SQL database.

A line a sync and contact. Its digest of the row moves only when Connectif has acknowledged the patch. So rows
that did not change cost no request, a killed task goes on where it stopped, what failed is sent again by itself,
and what was rejected waits until it changes. No value is kept, only digests.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.contacts.digests import key_digester
from airflow_provider_connectif.contacts.journal_database import JournalDatabase
from airflow_provider_connectif.contacts.journal_settings import JournalSettings
from airflow_provider_connectif.contacts.journal_tables import LONGEST_REASON, key_parameter
from airflow_provider_connectif.contacts.lease import Lease
from airflow_provider_connectif.contacts.mapping import Digests
from airflow_provider_connectif.contacts.outcomes import taken_over
from airflow_provider_connectif.contacts.plan import Plan

COMMIT_LINES = 50
COMMIT_EVERY_S = 2.0
_TRIES_BEFORE_TELLING = 10
_TELL_AGAIN_S = 600.0
_MOST_CONFIRMED = 1000  # there is no answer to lose, so these may gather

_ACKNOWLEDGED = (
    *("state", "row_digest", "patch_digest", "mapping_digest", "delivered_at", "refused_digest", "refused_at"),
    *("status_code", "reason", "run_id", "generation"),
)
_CONFIRMED = (
    *("state", "row_digest", "mapping_digest", "refused_digest", "refused_at"),
    *("status_code", "reason", "run_id", "generation"),
)
_REJECTED = ("state", "refused_digest", "refused_at", "status_code", "reason", "run_id", "generation")


class Line(NamedTuple):
    """What the journal knows of one contact."""

    row_digest: str | None
    patch_digest: str | None
    mapping_digest: str | None
    refused_digest: str | None
    run_id: str | None
    status_code: int | None = None
    reason: str | None = None


class Journal:
    """The lines of one sync.

    Lines are written in small batches, after the answer and never before; :meth:`close` writes the rest.

    :param engine: a SQLAlchemy engine of PostgreSQL, SQLite, MySQL or MariaDB.
    :param settings: where and how.
    :param read_only: look, but write nothing and hold up nobody.
    """

    def __init__(self, engine: sa.Engine, settings: JournalSettings, *, read_only: bool = False) -> None:
        self._database = JournalDatabase(engine, settings.table, settings.schema, settings.conn_id)
        self._settings = settings
        self.read_only = read_only
        self.run_id = settings.run_id
        self._generation: int | None = None  # of another process than this one
        self._tables = self._database.tables
        self._written_key = key_digester(settings.key_secret)
        self._lease = Lease(engine, self._tables, settings.sync_id, settings.run_id, settings.task)
        self._is_there = True
        self._acknowledged: dict[str, dict[str, Any]] = {}
        self._confirmed: dict[str, dict[str, Any]] = {}
        self._rejected: dict[str, dict[str, Any]] = {}
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
        self._select = self._tables.lines_of(self._database.dialect, ["contact_key", *Line._fields])

    def open(self, stopped: Callable[[], bool], tell: Callable[[str], None], *, comes_back: bool = False) -> None:
        """Create the tables at first use, and wait until no other run of this sync is under way.

        Plans that this run does not come back to are deleted.

        :param stopped: whether the run was told to stop while it waits.
        :param tell: is told that it waits, and for whom: at first, when that changes, and every ten minutes.
        :param comes_back: the task has been here before, and its plan is to be gone on with.
        :raises JournalError: the database failed, or the tables were made by a newer version.
        """
        self._is_there = self._database.create(read_only=self.read_only)
        if self.read_only:
            self._database.is_open = True
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
        self._database.is_open = True

    def differing(self, digests: Mapping[str, str]) -> dict[str, Line | None]:
        """The contacts whose acknowledged row is another one, by one query, each with its line if it has one.

        :param digests: of the rows as they are now, by contact key.
        """
        if not digests or not self._is_there:
            return dict.fromkeys(digests)
        asked: Mapping[str, str] = digests
        keys: dict[str, str] | None = None
        if self._settings.key_secret is not None:
            keys = {self._written_key(key): key for key in digests}
            asked = {written: digests[key] for written, key in keys.items()}
        parameters = {"sync_id": self._settings.sync_id, "keys": key_parameter(self._database.dialect, asked)}
        found = self._database.read(lambda connection: connection.execute(self._select, parameters).fetchall())
        differing = {key for key, _ in asked.items() - {(row[0], row[1]) for row in found}}
        lines: dict[str, Line | None] = dict.fromkeys(differing)
        if differing:
            lines |= {row[0]: Line(*row[1:]) for row in found if row[0] in differing}
        if keys is not None:
            lines = {keys[written]: line for written, line in lines.items()}
        if self._oldest_at is not None:
            self._overlay_gathered(lines, digests)
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

    def acknowledge(self, key: str, digests: Digests, *, is_last: bool = True) -> None:
        """Connectif has accepted a patch.

        :param is_last: no later patch of the contact is on its way, so this is what Connectif holds.
        """
        self._write(
            self._acknowledged,
            key,
            state="acknowledged",
            row_digest=digests.row if is_last else None,
            patch_digest=digests.patch if is_last else None,
            mapping_digest=digests.mapping,
            delivered_at=datetime.now(UTC),
            refused_digest=None,
            refused_at=None,
            status_code=None,
            reason=None,
        )
        self._rejected.pop(key, None)

    def confirm(self, key: str, digests: Digests) -> None:
        """Connectif holds just this patch, though it comes from another row or by another mapping."""
        self._write(
            self._confirmed,
            key,
            state="acknowledged",
            row_digest=digests.row,
            mapping_digest=digests.mapping,
            refused_digest=None,
            refused_at=None,
            status_code=None,
            reason=None,
        )

    def reject(self, key: str, row_digest: str, status: int | None, reason: str, *, is_written: bool = False) -> None:
        """Connectif has refused a row.

        :param is_written: the key is as it stands in the tables already.
        """
        self._write(
            self._rejected,
            key,
            contact_key=key if is_written else self._written_key(key),
            state="rejected",
            refused_digest=row_digest,
            refused_at=datetime.now(UTC),
            status_code=status,
            reason=reason[:LONGEST_REASON],
        )

    def acknowledge_file(self, file: int, state: Mapping[str, Any]) -> None:
        """Connectif has taken a file in, but for the rows that :meth:`Plan.refuse` has named; by one statement.

        :param state: of the run, saved with it.
        """
        self.commit()
        values = {
            "sync_id": self._settings.sync_id,
            "state": "acknowledged",
            "delivered_at": datetime.now(UTC),
            "run_id": self.run_id,
            "generation": self.generation,
        }
        statement = self._tables.acknowledge_pending(
            self._database.dialect, self.plan.acknowledged_rows(file), list(_ACKNOWLEDGED), values
        )

        def write(connection: sa.Connection) -> None:
            connection.execute(statement)
            self.plan.settle_file(connection, file, state)

        self._database.write(write)

    def give_up_file(self, file: int, state: Mapping[str, Any]) -> None:
        """A file is over of which it is not known what Connectif has taken in: nothing of it is acknowledged."""
        self.commit()
        self._database.write(lambda connection: self.plan.settle_file(connection, file, state))

    def of_plan(self, plan: Plan, generation: int) -> Journal:
        """The same journal as an earlier run writes it, to settle what that run has left open.

        What has been written since by newer processes is not overwritten; where it differs, it becomes doubtful.

        :param plan: of the earlier run.
        :param generation: of the process that sent the rows.
        """
        journal = copy.copy(self)
        journal.plan, journal.run_id, journal._generation = plan, plan.run_id, generation
        journal._acknowledged, journal._confirmed, journal._rejected, journal._settled = {}, {}, {}, []
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
        return len(self._acknowledged) + len(self._rejected)

    def commit_if_due(self) -> None:
        """Write what has gathered, when it is enough or old enough."""
        age = time.monotonic() - self._oldest_at if self._oldest_at is not None else 0.0
        if self.unwritten >= COMMIT_LINES or len(self._confirmed) >= _MOST_CONFIRMED or age >= COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Write what has gathered.

        :raises JournalError: the database failed; the contacts are sent again by the next try.
        """
        if self._lease.is_lost:
            raise taken_over(self._settings.sync_id)
        if self._oldest_at is not None:
            self._database.write(self._write_gathered)
        for gathered in (self._acknowledged, self._confirmed, self._rejected, self._settled):
            gathered.clear()
        self._oldest_at = None

    def park(self, state: Mapping[str, Any], until: float) -> None:
        """Write what has gathered and how far the run is, and leave with the claim to the sync.

        :param until: when the task means to come back, in seconds since the epoch.
        :raises JournalError: the database failed, or another try has taken over; then :meth:`close` is the end.
        """
        self.commit()
        self.plan.save(state)
        self._database.guarded(lambda: self._lease.park(until))
        if self._lease.is_lost:
            raise taken_over(self._settings.sync_id)
        self._database.close()

    def close(self, *, keeps_plan: bool = False) -> None:
        """Write what has gathered and let the next run begin.

        :param keeps_plan: the next try of the task needs it.
        """
        try:
            self.commit()
            if not self.read_only and not keeps_plan:
                self.plan.drop()
        finally:
            try:
                self._database.guarded(self._lease.release)
            finally:
                self._database.close()

    def _overlay_gathered(self, lines: dict[str, Line | None], keys: Collection[str]) -> None:
        """What is not written yet is newer than what the database has."""
        for gathered in (self._confirmed, self._acknowledged, self._rejected):
            for key in gathered.keys() & keys:
                known = {name: value for name, value in gathered[key].items() if name in Line._fields}
                lines[key] = (lines.get(key) or Line(None, None, None, None, None))._replace(**known)

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
        for gathered, columns in (
            (self._confirmed, _CONFIRMED),
            (self._acknowledged, _ACKNOWLEDGED),
            (self._rejected, _REJECTED),
        ):
            if gathered:
                # In one order everywhere, so that two tasks never lock each other out.
                ordered = sorted(gathered.values(), key=lambda line: str(line["contact_key"]))
                connection.execute(self._tables.upsert(self._database.dialect, list(columns)), ordered)
        if self._settled:
            self.plan.settle(connection, self._settled)
