"""Reads and writes the lines of a sync for one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_provider_connectif.journal.attempts import Attempts
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.journal.line import Line
from airflow_provider_connectif.journal.line_writer import LineWriter
from airflow_provider_connectif.journal.plan import Plan
from airflow_provider_connectif.journal.reader import LineReader
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.spellings import spelling_of
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.records.changes import Digests

_ANOTHER = "-"  # not the digest of a row
_ON_ITS_WAY = "sent; the process ended before the response, or it has not arrived yet"


class RunLines(LineWriter):
    """Looks up the lines of a sync and writes them for one run.

    They are collected, and written by :class:`LineWriter`.

    :param database: the journal's.
    :param settings: the sync, the run of this process, and the form of keys.
    :param reader: looks up lines in the database.
    :param lease: the claim of this process; without it nothing is acknowledged.
    :param attempts: records the counts of this process with each batch.
    :param plan: the pending changes of the run.
    :param suppressions: of the journal: no line of a suppressed person is written.
    :param generation: of the process that sent the rows, if not this one.
    :param read_only: write nothing.
    :param history: its lines are written with these.
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
        super().__init__(
            database,
            settings,
            lease,
            attempts,
            plan,
            suppressions,
            generation=generation,
            read_only=read_only,
            history=history,
        )
        self._reader = reader

    def of_plan(self, plan: Plan, generation: int, *, history: History | None = None) -> RunLines:
        """Return the lines as written by an earlier run, to settle its open imports.

        Lines that newer processes have written since are not overwritten; if they differ, they become doubtful.

        :param plan: of the earlier run.
        :param generation: of the process that sent the rows.
        :param history: of the run, if an earlier attempt of it has sent them.
        """
        made = RunLines(
            self.database,
            self._settings,
            self._reader,
            self._lease,
            self._attempts,
            plan,
            self.suppressions,
            generation=generation,
            read_only=self._read_only,
            history=history,
        )
        made.person_of = self.person_of
        return made

    def differing(self, digests: Mapping[str, str], *, all_differ: bool = False) -> dict[str, Line | None]:
        """Return the contacts whose acknowledged row differs, each with its line if it has one.

        The result also has contacts that an earlier attempt has delivered, and those whose last outcome was not
        ``acknowledged``.

        :param digests: of the current rows, by contact key.
        :param all_differ: count every contact as differing, whatever its digest.
        """
        series = self._attempts.series
        lines = self._reader.differing(digests, series, looks_closely=series.has_earlier, all_differ=all_differ)
        if self._oldest_at is not None:
            # A collected line has only what has changed; the rest of an unchanged row's line is in the database.
            collected = dict.fromkeys(self._gathered.keys.intersection(digests) - lines.keys(), _ANOTHER)
            lines |= self._reader.differing(collected, series, looks_closely=True, all_differ=True)
            self._gathered.overlay(lines, digests)
        return lines

    def refused_before(self, digests: Mapping[str, str], *, is_written: bool = False) -> set[str]:
        """Return the contacts whose same row Connectif has rejected in an earlier run.

        :param digests: of the rows, by contact key.
        :param is_written: whether the keys have the form of the tables.
        """
        written = {key if is_written else self.written_key(key): key for key in digests}
        found = self._reader.lines_of(written)
        return {
            written[key]
            for key, line in found.items()
            if line.refused_digest == digests[written[key]] and self.is_known_refusal(line)
        }

    def is_known_refusal(self, line: Line) -> bool:
        """Whether an earlier run has seen the refusal in a line."""
        return line.refused_digest is not None and (line.refused_run or line.run_id) != self.run_id

    def holding(self, columns: Mapping[str, bytes | None]) -> set[str]:
        """Return the contacts whose line has exactly these digests of properties.

        :param columns: by contact key; ``None`` never matches.
        """
        written = {self.written_key(key): column for key, column in columns.items() if column is not None}
        found = self._reader.lines_of(written)
        held = {key for key, line in found.items() if line.properties == written[key]}
        return {key for key in columns if self.written_key(key) in held}

    def doubt(self, remaining: Mapping[str, bytes | None], *, are_rows: bool = True) -> None:
        """Record that patches are about to be sent: until a response arrives, their properties at Connectif are not
        known.

        They are written with the collected lines, in one transaction. Without this mark, a row that changes, whose
        response is lost, and that changes back would look unchanged.

        :param remaining: digests of the properties that are not in doubt, by contact key.
        :param are_rows: whether the state of their lines becomes ``in_doubt``; ``False`` if their rows already have an
            outcome.
        """
        if remaining and not self._read_only:
            reason = _ON_ITS_WAY if are_rows else ""
            self._doubted = [{**self._names(key), "properties": column} for key, column in remaining.items()], reason
            self._gathers()
            self.commit()

    def restore_properties(self, key: str, column: bytes | None) -> None:
        """Record that a patch was rejected as a whole: Connectif still holds the earlier properties.

        :param column: their digests.
        """
        if self._gathers():
            self._gathered.restored_properties[key] = {**self._names(key), "properties": column}

    def begin_doubts(self, digests: Mapping[str, str], reason: str) -> None:
        """Record at once that changes of these keys may have been sent, and must not be sent again.

        Until :meth:`acknowledge`, :meth:`reject` or :meth:`withdraw_doubts` their rows are held.

        :param digests: of the rows, by key.
        :param reason: for the row that is held.
        """
        for key, digest in digests.items():
            if self._gathers():
                self._gathered.begin_doubt(key, self._names(key), digest, reason)
        if digests:
            self.commit()

    def withdraw_doubts(self, keys: Iterable[str]) -> None:
        """Record that changes of these keys were not carried out: they are sent again."""
        for key in keys:
            if self._gathers():
                self._gathered.withdraw_doubt(key, self._names(key))

    def leave_in_doubt(self, keys: Iterable[str]) -> None:
        """Record that patches of these contacts had no response when sending ended.

        If another process has taken over, they may reach Connectif after its own.
        """
        self._unanswered.update(self.written_key(key) for key in keys)

    def acknowledge(
        self, key: str, digests: Digests, *, delivered_as: str | None = None, sent: str | None = None
    ) -> None:
        """Record that Connectif has accepted a patch.

        :param delivered_as: ``created``, ``updated`` or ``unchanged``.
        :param sent: the key as it was sent; ``None``: it is not known.
        """
        if self._gathers():
            spelling = None if sent is None else self._spelling(key, sent)
            self._gathered.acknowledge(key, self._names(key), digests, delivered_as, spelling)

    def acknowledge_part(
        self, key: str, digests: Digests, state: str = ACKNOWLEDGED, *, sent: str | None = None
    ) -> None:
        """Record that Connectif has accepted a part of a patch.

        :param digests: ``before``: of all properties that Connectif holds now.
        :param state: the final state of the row.
        :param sent: the key as it was sent and accepted; ``None``: nothing was.
        """
        if self._gathers():
            spelling = None if sent is None else self._spelling(key, sent)
            self._gathered.acknowledge_part(key, self._names(key), digests, state, spelling)

    def confirm(self, key: str, digests: Digests) -> None:
        """Record that Connectif holds exactly this patch, although it comes from another row or mapping."""
        if self._gathers():
            self._gathered.confirm(key, self._names(key), digests)

    def remove(self, key: str, digests: Digests, *, sent: str | None = None) -> None:
        """Record that ``on_removed`` was carried out for a contact that left the source.

        :param digests: ``properties``: of those that stay known.
        :param sent: the key as it was sent; ``None``: the contact is no longer there.
        """
        if self._gathers():
            spelling = None if sent is None else self._spelling(key, sent)
            self._gathered.remove(key, self._names(key), digests, spelling)

    def reject(self, key: str, row_digest: str, status: int | None, reason: str, *, is_written: bool = False) -> None:
        """Record that Connectif has rejected a row.

        :param is_written: whether the key already has the form of the tables.
        """
        if self._gathers():
            names = self._names(key, is_written=is_written)
            self._gathered.reject(key, names, row_digest, status, reason)

    def meets_invalid(self, key: str, row_digest: str, line: Line | None, reason: str | None = None) -> bool:
        """Record that a row was refused here, before it was sent; an unchanged one causes no write.

        Acknowledged and rejected digests stay known.

        :param line: of the contact.
        :param reason: without personal data.
        :return: whether an earlier run has met it.
        """
        is_same = line is not None and line.invalid_digest == row_digest
        first_run = line.invalid_run if is_same and line is not None else None
        is_written = is_same and line is not None and line.state == INVALID
        if not is_written and self._gathers():
            self._gathered.note_invalid(key, self._names(key), row_digest, first_run or self.run_id, reason)
        return first_run is not None and first_run != self.run_id

    def _spelling(self, key: str, sent: str) -> str | None:
        return spelling_of(key, sent, is_plain=self._settings.key_secret is None)

    def note(self, key: str, state: str, status: int | None = None, reason: str | None = None) -> None:
        """Record a contact's last outcome; everything else that is known of it stays.

        :param state: of :mod:`airflow_provider_connectif.journal.states`.
        :param status: of the response that decided, if one did.
        :param reason: without personal data.
        """
        if self._gathers():
            self._gathered.note(key, self._names(key), state, status, reason)
