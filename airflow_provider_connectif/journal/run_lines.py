"""Reads and writes the lines of a sync for one run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_provider_connectif.journal.attempts import Attempts
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.invalid_rows import InvalidRows
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
_ON_ITS_WAY = "sent, or about to be sent; no response was recorded"


class RunLines(LineWriter):
    """Looks up the lines of a sync and writes them for one run.

    The methods collect changes, and :class:`LineWriter` writes these to the database. All keys are in the journal's
    form, except those with ``is_written``.

    :param database: the journal's database.
    :param settings: the sync, the run of this process, and the form of keys.
    :param reader: looks up lines in the database.
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
        """Return an object that writes lines as an earlier run would, to settle the open imports of that run.

        Lines that newer processes have written since are not overwritten. If such a line has another patch, it becomes
        doubtful.

        :param plan: the plan of the earlier run.
        :param generation: the generation of the process that sent the rows.
        :param history: the history of this run, if an earlier attempt of the same run has sent the rows.
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
        """Return the contacts whose row differs from the acknowledged one, each with its line; ``None`` without a line.

        The result also has contacts that an earlier attempt has delivered, and contacts whose last outcome was not
        ``acknowledged``.

        :param digests: the digests of the current rows, by contact key.
        :param all_differ: return every contact, whatever its digest.
        """
        series = self._attempts.series
        lines = self._reader.differing(digests, series, looks_closely=series.has_earlier, all_differ=all_differ)
        if self._oldest_at is not None:
            # A collected line has only the columns that change. The rest of the line must be read from the database.
            collected = dict.fromkeys(self._gathered.keys.intersection(digests) - lines.keys(), _ANOTHER)
            lines |= self._reader.differing(collected, series, looks_closely=True, all_differ=True)
            self._gathered.overlay(lines, digests)
        return lines

    def refused_before(self, digests: Mapping[str, str], *, is_written: bool = False) -> set[str]:
        """Return the contacts whose row was rejected in an earlier run, and has not changed since.

        :param digests: the digests of the current rows, by contact key.
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
        """Whether an earlier run has met the rejection in a line."""
        return line.refused_digest is not None and (line.refused_run or line.run_id) != self.run_id

    def holding(self, columns: Mapping[str, bytes | None]) -> set[str]:
        """Return the contacts whose lines have given digests of properties.

        :param columns: for each contact key, the digests as the column ``properties`` stores them. A contact with
            ``None`` is never returned.
        """
        written = {self.written_key(key): column for key, column in columns.items() if column is not None}
        found = self._reader.lines_of(written)
        held = {key for key, line in found.items() if line.properties == written[key]}
        return {key for key in columns if self.written_key(key) in held}

    def doubt(self, remaining: Mapping[str, bytes | None], *, are_rows: bool = True) -> None:
        """Record at once that patches are about to be sent. Their properties are in doubt until a response arrives.

        Without this record, a row could look unchanged that has changed, whose response was lost, and that has changed
        back since. All collected lines are written in the same transaction.

        :param remaining: by contact key, the digests of the properties that are not in doubt.
        :param are_rows: whether the states of the lines become ``in_doubt``; ``False`` if the rows already have an
            outcome.
        """
        if remaining and not self._read_only:
            reason = _ON_ITS_WAY if are_rows else ""
            self._doubted = [{**self._names(key), "properties": column} for key, column in remaining.items()], reason
            self._gathers()
            self.commit()

    def restore_properties(self, key: str, column: bytes | None) -> None:
        """Record that Connectif has not accepted a patch, and still has the earlier properties.

        :param column: the digests of these properties.
        """
        if self._gathers():
            self._gathered.restored_properties[key] = {**self._names(key), "properties": column}

    def begin_doubts(self, digests: Mapping[str, str], reason: str) -> None:
        """Record at once that changes are in doubt: they may have been sent, and sending them twice is not harmless.

        Their rows are held until :meth:`acknowledge`, :meth:`reject` or :meth:`withdraw_doubts`.

        :param digests: the digests of the rows, by contact key.
        :param reason: the reason in the lines.
        """
        for key, digest in digests.items():
            if self._gathers():
                self._gathered.begin_doubt(key, self._names(key), digest, reason)
        if digests:
            self.commit()

    def withdraw_doubts(self, keys: Iterable[str]) -> None:
        """Record that Connectif did not carry out changes that were in doubt. They are sent again."""
        for key in keys:
            if self._gathers():
                self._gathered.withdraw_doubt(key, self._names(key))

    def leave_in_doubt(self, keys: Iterable[str]) -> None:
        """Note that patches of some contacts had no response when sending ended.

        If another process has taken over, these patches may reach Connectif after the patches of that process.
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

        :param digests: ``before`` has the digests of all properties that Connectif has now.
        :param state: the state of the line.
        :param sent: the key as it was sent and accepted; ``None`` if nothing was accepted.
        """
        if self._gathers():
            spelling = None if sent is None else self._spelling(key, sent)
            self._gathered.acknowledge_part(key, self._names(key), digests, state, spelling)

    def confirm(self, key: str, digests: Digests) -> None:
        """Record that Connectif already has exactly the properties of a patch, although the row has changed."""
        if self._gathers():
            self._gathered.confirm(key, self._names(key), digests)

    def remove(
        self,
        key: str,
        digests: Digests,
        *,
        sent: str | None = None,
        status: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Record that ``on_removed`` was carried out for a contact that left the source.

        :param digests: ``properties`` has the digests that stay known.
        :param sent: the key as it was sent; ``None``: the contact is no longer at Connectif.
        :param status: the HTTP status of a response that ``on_response`` skips.
        :param reason: the reason in that response, without personal data.
        """
        if self._gathers():
            spelling = None if sent is None else self._spelling(key, sent)
            self._gathered.remove(key, self._names(key), digests, spelling, status, reason)

    def reject(self, key: str, row_digest: str, status: int | None, reason: str, *, is_written: bool = False) -> None:
        """Record that Connectif has rejected a row.

        :param row_digest: the digest by which the row is held.
        :param status: the HTTP status of the response; ``None`` if there is none.
        :param reason: the reason, without personal data.
        :param is_written: whether the key already has the form of the tables.
        """
        if self._gathers():
            names = self._names(key, is_written=is_written)
            self._gathered.reject(key, names, row_digest, status, reason)

    def meets_invalid(self, key: str, row_digest: str, line: Line | None, reason: str | None = None) -> bool:
        """Record that a row is invalid, unless the line says so already.

        The digests of accepted and rejected rows in the line stay, and those of other invalid rows of the contact.

        :param line: the contact's line as it was before this row's batch; ``None`` if it has none.
        :param reason: the reason, without personal data.
        :return: whether an earlier run has met the same row.
        """
        # An earlier row of the batch may have changed the line since.
        collected = self._gathered.invalid.get(key)
        if collected is not None:
            column, run = collected["invalid_digest"], collected["invalid_run"]
        else:
            column, run = (None, None) if line is None else (line.invalid_digest, line.invalid_run)
        rows, is_same_run = InvalidRows.of(column), run in (None, self.run_id)
        after = rows.plus(row_digest, is_same_run=is_same_run)
        is_invalid = collected is not None or (line is not None and line.state == INVALID)
        if (after != rows or not is_invalid) and self._gathers():
            last_run = run if after == rows and run is not None else self.run_id
            self._gathered.note_invalid(key, self._names(key), after.column, last_run, reason)
        return rows.is_known(row_digest, is_same_run=is_same_run)

    def _spelling(self, key: str, sent: str) -> str | None:
        return spelling_of(key, sent, is_plain=self._settings.key_secret is None)

    def note(self, key: str, state: str, status: int | None = None, reason: str | None = None) -> None:
        """Record a contact's last outcome. Everything else in its line stays.

        :param state: a state of :mod:`airflow_provider_connectif.journal.states`.
        :param status: the HTTP status of the response; ``None`` if no response decided.
        :param reason: the reason, without personal data.
        """
        if self._gathers():
            self._gathered.note(key, self._names(key), state, status, reason)
