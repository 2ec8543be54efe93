"""The lines of a sync, as one run sees them and writes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.attempts import Attempts
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.journal.lines import GatheredLines, Line
from airflow_provider_connectif.journal.plan import Plan
from airflow_provider_connectif.journal.reader import LineReader
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.records.changes import Digests
from airflow_provider_connectif.records.outcomes import taken_over
from airflow_provider_connectif.records.people import PersonKey

COMMIT_LINES = 50
COMMIT_EVERY_S = 2.0
_ON_ITS_WAY = "sent; the process ended before the response, or it has not arrived yet"
_MOST_CONFIRMED = 1000  # there is no response to lose, so these may gather


class RunLines:
    """Looks up the lines of a sync and writes them for one run.

    Lines are written in small batches, after the response and never before; :meth:`commit` writes the rest.

    :param database: the journal's.
    :param settings: the sync, the run of this process, and how keys are written.
    :param reader: looks up lines in the database.
    :param lease: the claim of this process; without it nothing is acknowledged.
    :param attempts: where the counts of this process are recorded with each batch.
    :param plan: the pending changes of the run whose lines these are.
    :param suppressions: of the journal: no line is written of a person who is on it.
    :param generation: of the process that sent the rows, if not this one.
    :param read_only: look, but write nothing.
    :param history: whose lines are written with these.
    """

    def __init__(
        self,
        database: JournalDatabase,
        settings: JournalSettings,
        reader: LineReader,
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
        """Gives a contact key as it stands in the tables."""
        self.suppressions = suppressions
        self.person_of: Callable[[str], PersonKey | None] = lambda _: None
        """The person whom a contact key names: :meth:`Resource.person_of` of what the run writes."""
        self._settings = settings
        self._reader = reader
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

    def of_plan(self, plan: Plan, generation: int) -> RunLines:
        """The same lines as an earlier run writes them, to settle what that run has left open.

        What has been written since by newer processes is not overwritten; where it differs, it becomes doubtful.

        :param plan: of the earlier run.
        :param generation: of the process that sent the rows.
        """
        return RunLines(
            self.database,
            self._settings,
            self._reader,
            self._lease,
            self._attempts,
            plan,
            self.suppressions,
            generation=generation,
            read_only=self._read_only,
        )

    @property
    def generation(self) -> int:
        """Tells the processes of a sync apart: a newer one has a higher number."""
        return self._lease.generation if self._generation is None else self._generation

    def differing(self, digests: Mapping[str, str], *, all_differ: bool = False) -> dict[str, Line | None]:
        """The contacts whose acknowledged row is another one, each with its line if it has one.

        With them are contacts that an earlier attempt has delivered, and those whose last outcome
        was another than ``acknowledged``.

        :param digests: of the rows as they are now, by contact key.
        :param all_differ: none of the digests is that of a row.
        """
        series = self._attempts.series
        lines = self._reader.differing(digests, series, looks_closely=series.has_earlier, all_differ=all_differ)
        if self._oldest_at is not None:
            self._gathered.overlay(lines, digests)
        return lines

    def refused_before(self, digests: Mapping[str, str], *, is_written: bool = False) -> set[str]:
        """The contacts of which an earlier run has seen this very row refused by Connectif.

        :param digests: of the rows, by contact key.
        :param is_written: the keys are as they stand in the tables.
        """
        written = {key if is_written else self.written_key(key): key for key in digests}
        found = self._reader.lines_of(written)
        return {
            written[key]
            for key, line in found.items()
            if line.refused_digest == digests[written[key]] and self.is_known_refusal(line)
        }

    def is_known_refusal(self, line: Line) -> bool:
        """Whether a run before this one has seen the refusal that a line holds."""
        return line.refused_digest is not None and (line.refused_run or line.run_id) != self.run_id

    def holding(self, columns: Mapping[str, bytes | None]) -> set[str]:
        """The contacts whose line has just these digests of properties.

        :param columns: by contact key; ``None`` is never held.
        """
        written = {self.written_key(key): column for key, column in columns.items() if column is not None}
        found = self._reader.lines_of(written)
        held = {key for key, line in found.items() if line.properties == written[key]}
        return {key for key in columns if self.written_key(key) in held}

    def doubt(self, remaining: Mapping[str, bytes | None], *, are_rows: bool = True) -> None:
        """Patches are about to be sent: until a response is here, what Connectif holds of their properties is unknown.

        They are written with what has gathered, in one transaction. Without this mark a row that changes, whose
        response is lost, and that changes back would be taken for unchanged.

        :param remaining: digests of the properties that are in no doubt, by contact key.
        :param are_rows: the state of their lines becomes ``in_doubt``; ``False``: their rows have an outcome already.
        """
        if remaining and not self._read_only:
            reason = _ON_ITS_WAY if are_rows else ""
            self._doubted = [{**self._names(key), "properties": column} for key, column in remaining.items()], reason
            self._gathers()
            self.commit()

    def restore_properties(self, key: str, column: bytes | None) -> None:
        """A patch was rejected as a whole: Connectif still holds the properties that it held before.

        :param column: their digests.
        """
        if self._gathers():
            self._gathered.restored_properties[key] = {**self._names(key), "properties": column}

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

    def leave_in_doubt(self, keys: Iterable[str]) -> None:
        """Patches of these contacts were sent, and had no response when sending was given up.

        If another process has taken over meanwhile, they may reach Connectif after its own.
        """
        self._unanswered.update(self.written_key(key) for key in keys)

    def acknowledge(self, key: str, digests: Digests, *, delivered_as: str | None = None) -> None:
        """Connectif has accepted a patch.

        :param delivered_as: ``created`` or ``updated``.
        """
        if self._gathers():
            self._gathered.acknowledge(key, self._names(key), digests, delivered_as)

    def acknowledge_part(self, key: str, digests: Digests, state: str = ACKNOWLEDGED) -> None:
        """Connectif has accepted a part of a patch.

        :param digests: ``before``: of all properties that Connectif holds now.
        :param state: how the row has ended.
        """
        if self._gathers():
            self._gathered.acknowledge_part(key, self._names(key), digests, state)

    def confirm(self, key: str, digests: Digests) -> None:
        """Connectif holds just this patch, though it comes from another row or by another mapping."""
        if self._gathers():
            self._gathered.confirm(key, self._names(key), digests)

    def remove(self, key: str, digests: Digests) -> None:
        """What the author wants was done about a contact that left the source.

        :param digests: ``properties``: of what stays known of it.
        """
        if self._gathers():
            self._gathered.remove(key, self._names(key), digests)

    def reject(self, key: str, row_digest: str, status: int | None, reason: str, *, is_written: bool = False) -> None:
        """Connectif has refused a row.

        :param is_written: the key is as it stands in the tables already.
        """
        if self._gathers():
            names = self._names(key, is_written=is_written)
            self._gathered.reject(key, names, row_digest, status, reason)

    def meets_invalid(self, key: str, row_digest: str, line: Line | None, reason: str | None = None) -> bool:
        """A row was refused here, before it was sent; an unchanged one costs no write.

        What is acknowledged or rejected stays known.

        :param line: of the contact.
        :param reason: without personal data.
        :return: whether a run before this one has met it.
        """
        is_same = line is not None and line.invalid_digest == row_digest
        first_run = line.invalid_run if is_same and line is not None else None
        is_written = is_same and line is not None and line.state == INVALID
        if not is_written and self._gathers():
            self._gathered.note_invalid(key, self._names(key), row_digest, first_run or self.run_id, reason)
        return first_run is not None and first_run != self.run_id

    def note(self, key: str, state: str, status: int | None = None, reason: str | None = None) -> None:
        """A contact's last outcome is this one; all else that is known of it stays.

        :param state: of :mod:`airflow_provider_connectif.journal.states`.
        :param status: of the response that decided, if one did.
        :param reason: without personal data.
        """
        if self._gathers():
            self._gathered.note(key, self._names(key), state, status, reason)

    def settle_planned(self, place: int) -> None:
        """The outcome of a planned change is known: it is pending no longer.

        :param place: in the plan.
        """
        self._settled.append(place)
        self._gathers()

    def forget(self, keys: Collection[str]) -> None:
        """Delete the lines of contacts who must not be sent again.

        :param keys: in the journal's form.
        """
        if keys and self._gathers():
            self._gathered.drop(keys)
            self._forgotten.update(self.written_key(key) for key in keys)

    def settle_suppressed(self, place: int) -> bool:
        """Take a change out of the plan whose person must not be sent again.

        :return: whether it was there; otherwise the erasure has taken it out, see :meth:`Plan.take_removed`.
        """
        return self.database.write(lambda connection: self.plan.settle(connection, [place]) > 0)

    def write_beside(self, write: Callable[[sa.Connection], None]) -> None:
        """Write something else in the transaction that writes what has gathered."""
        if self._gathers():
            self._beside.append(write)

    def watch_requests(self, busy_since: Callable[[], float | None]) -> None:
        """Let erasures know which requests may be under way.

        :param busy_since: gives the moment at which the oldest one began, by the monotonic clock.
        """
        self._lease.busy_since = busy_since

    @property
    def commit_lines(self) -> int:
        """Responses that are written at once."""
        return COMMIT_LINES

    @property
    def unwritten(self) -> int:
        """Responses that are not written yet."""
        return self._gathered.responses

    @property
    def is_written(self) -> bool:
        """Whether nothing waits to be written."""
        return self._oldest_at is None

    @property
    def has_unanswered(self) -> bool:
        """Whether patches were sent without a response, see :meth:`leave_in_doubt`."""
        return bool(self._unanswered)

    def commit_if_due(self) -> None:
        """Write what has gathered, when it is enough or old enough; or stop where another process has taken over."""
        age = time.monotonic() - self._oldest_at if self._oldest_at is not None else 0.0
        in_history = 0
        if self.history is not None and self.history.waits_since is not None:
            in_history = self.history.waiting
            age = max(age, time.monotonic() - self.history.waits_since)
        is_much = self._gathered.others + in_history >= _MOST_CONFIRMED
        if self._lease.is_lost or self.unwritten >= COMMIT_LINES or is_much or age >= COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Write what has gathered.

        :raises JournalError: the database failed; the contacts are sent again by the next attempt. Or another process
            has taken over: what has gathered is written all the same, as a doubt.
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
        """What names a line and who writes it, by column."""
        return {
            "sync_id": self.sync_id,
            "contact_key": key if is_written else self.written_key(key),
            "run_id": self.run_id,
            "generation": self.generation,
        }

    def _gathers(self) -> bool:
        """Whether anything is written; from now on something waits for that."""
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
            lines = self.database.tables.lines
            of_these = sa.and_(lines.c.sync_id == self.sync_id, lines.c.contact_key.in_(sorted(self._forgotten)))
            connection.execute(sa.delete(lines).where(of_these))
        for write in self._beside:
            write(connection)
        doubts, reason = self._doubted
        if doubts:  # after the responses to earlier requests of the same contacts
            self._gathered.write_properties(connection, doubts, reason)
        if self._settled:
            self.plan.settle(connection, self._settled)
        self._attempts.note(connection)

    def _drop_suppressed(self, connection: sa.Connection) -> None:
        """An erasure has deleted the lines of people while what became of their rows was gathered: none comes back."""
        if self.suppressions.is_empty_in(connection):
            return
        keys = self._gathered.keys | (set() if self.history is None else self.history.keys)
        people = {person: key for key in keys if (person := self.person_of(key)) is not None}
        if people and (suppressed := self.suppressions.among_in(connection, people)):
            forgotten = {people[person] for person in suppressed}
            self._gathered.drop(forgotten)
            if self.history is not None:
                self.history.forget(forgotten)
