"""Prepares rows: maps them, checks them and compares them with the journal. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.journal.record_tables import LONGEST_KEY
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import InvalidRow, Row
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.runs.comparison import Comparison, rank_of
from airflow_provider_connectif.runs.row_errors import RowFailed
from airflow_provider_connectif.runs.seen_rows import Seen

_CONTACTS_AT_ONCE = 1000
_ROWS_AT_ONCE = 500
_NO_KEY = f"the row has no key that the journal can hold: printable, with at most {LONGEST_KEY} characters"


class Preparer:
    """Turns each row that must be sent into a pending change, and settles the others.

    :param resource: the resource, with the field definitions of the run.
    :param comparison: compares rows with the journal; ``None``: every valid row is sent.
    :param pending: receives the changes.
    :param report: receives the other rows: unchanged, held, invalid and merged.
    :param passed_on: classes of errors that an author raises to end the task; they are passed on unchanged.
    """

    def __init__(
        self,
        resource: Resource,
        comparison: Comparison | None,
        pending: PendingChanges,
        report: Report,
        passed_on: Collection[type[BaseException]] = (),
    ) -> None:
        self._resource = resource
        self._comparison = comparison
        self._pending = pending
        self._report = report
        self._tally = report.tally
        self._passed_on: tuple[type[BaseException], ...] = (RunFailed, MemoryError, *passed_on)
        self._at = 0  # the row that is being processed; 0: one of its batch

    def prepare(self, batch: Sequence[Row]) -> None:
        """Settle the rows of a batch, or turn them into changes.

        :raises PendingError: the changes cannot be stored.
        :raises RowFailed: the resource raised an error that says nothing about the row.
        """
        first = self._tally.read + 1
        self._tally.read += len(batch)
        comparison = self._comparison
        changes = self._all(first, batch) if comparison is None else self._differing(first, batch, comparison)
        merged = self._pending.merged
        self._at = 0
        try:
            self._pending.add(changes)
        except self._passed_on:
            raise
        except Exception as error:
            raise RowFailed(self._resource.noun, self._rows_at(first, len(batch)), error) from error
        self._tally.outcomes[Outcome.MERGED] += self._pending.merged - merged
        if self._report.history is not None:
            for contact in self._pending.merged_contacts:
                self._report.history.add(Outcome.MERGED.value, contact)
        self._pending.merged_contacts.clear()

    def finish(self) -> None:
        """Finish after the last row: remove merged changes that Connectif already holds or has rejected before."""
        if self._comparison is None:
            return
        self._comparison.joined.withdraw_raises(self._pending)
        held = chain(self._comparison.joined.take_single(self._pending), self._pending.take_acknowledged())
        while some := list(islice(held, _CONTACTS_AT_ONCE)):
            delivered = self._comparison.outcomes_without_change(some)
            self._tally.outcomes[Outcome.UNCHANGED] += len(some) - len(delivered)
            for contact, outcome in delivered.items():
                self._tally.outcomes[outcome] += 1
                self._keep_in_history(outcome, contact)
        for change in self._pending.take_refused():
            self._refuse_again(
                change.patch.number, change.patch.row, Outcome.HELD, self._comparison.refusal(change.contact)
            )

    def _rows_at(self, first: int, count: int) -> range:
        """Return the number of the row that is being processed, or the numbers of its batch."""
        place = None if self._comparison is None else self._comparison.reads_key_at
        number = self._at if place is None else first + place
        return range(number, number + 1) if number else range(first, first + count)

    def _all(self, first: int, batch: Sequence[Row]) -> Iterator[PendingChange]:
        for number, row in enumerate(batch, first):
            self._at = number
            try:
                patch = self._resource.prepare(number, row)
            except InvalidRow as invalid:
                self._report.refuse(number, row, Outcome.INVALID, None, invalid.reasons)
                if (part := self._resource.urgent_part_of_row(number, row)) is not None:
                    part = part._replace(counted_as=Outcome.INVALID.value)
                    yield PendingChange(part, self._resource.same_key(part.key), Rank.BESIDE)
            else:
                patch = self._resource.arrange(patch, patch.properties.keys())
                yield PendingChange(patch, self._resource.same_key(patch.key), rank_of(self._resource, patch))

    def _differing(self, first: int, batch: Sequence[Row], comparison: Comparison) -> Iterator[PendingChange]:
        seen_rows = comparison.look_up(batch, self._pending)
        suppressed = comparison.suppressed.among(batch, seen_rows)
        unseen = suppressed.difference(seen.place for seen in seen_rows)
        for place in unseen:
            self._tally.count(Outcome.SUPPRESSED, first + place)
        self._tally.outcomes[Outcome.UNCHANGED] += len(batch) - len(seen_rows) - len(unseen)
        in_this_batch: set[str] = set()
        for some in _groups(seen_rows):
            # Each step is done for a group of rows, then the next step: a fifth less time than all steps row by row.
            patches: list[tuple[Seen, Patch]] = []
            for seen in some:
                self._at = first + seen.place
                if seen.place in suppressed:
                    # Before all other checks, so that the person is not in the file of refused rows, either.
                    self._tally.count(Outcome.SUPPRESSED, first + seen.place)
                    continue
                if seen.key in in_this_batch:
                    seen = seen._replace(is_pending=True)
                found = self._patch(first + seen.place, batch[seen.place], seen, comparison)
                if isinstance(found, Patch):
                    patches.append((seen, found))
                elif found is not None:
                    in_this_batch.add(found.contact)
                    yield found
            changes = [self._change(seen, patch, comparison) for seen, patch in patches]
            for change in changes:
                if change is not None:
                    self._at = change.patch.number
                    in_this_batch.add(change.contact)
                    yield change

    def _patch(self, number: int, row: Row, seen: Seen, comparison: Comparison) -> Patch | PendingChange | None:
        """Return the patch of a row; if the row itself is not sent, its urgent part, or ``None`` if it has none."""
        outcome = comparison.outcome(seen)
        if outcome is not None:
            if outcome in (Outcome.REJECTED, Outcome.HELD):
                self._refuse_again(number, row, outcome, seen)
                return self._beside(number, row, seen, outcome, comparison)
            self._tally.count(outcome, number)
            self._keep_in_history(outcome, seen.key)
            return None
        try:
            patch = self._resource.prepare(number, row)
            if seen.key is None:
                raise InvalidRow([_NO_KEY])
            return patch
        except InvalidRow as invalid:
            self._tally.keyless += seen.key is None
            is_known = comparison.is_known_invalid(row, seen, self._tally.keyless, invalid.reasons)
            self._report.refuse(
                number, row, Outcome.INVALID, None, invalid.reasons, contact=seen.key, is_known=is_known
            )
            return self._beside(number, row, seen, Outcome.INVALID, comparison)

    def _change(self, seen: Seen, patch: Patch, comparison: Comparison) -> PendingChange | None:
        """Return the change of a row; ``None``: Connectif holds all of it."""
        self._at = patch.number
        change = comparison.change(seen, patch)
        if change is None:
            outcome = comparison.outcome_without_change(seen)
            self._tally.count(outcome, patch.number)
            self._keep_in_history(outcome, seen.key)
        return change

    def _keep_in_history(self, outcome: Outcome, contact: str | None) -> None:
        """Keep the line of the history for a contact that an earlier attempt of the run has delivered."""
        if outcome is not Outcome.UNCHANGED and contact is not None and self._report.history is not None:
            self._report.history.keep(outcome.value, contact)

    def _beside(
        self, number: int, row: Row, seen: Seen, outcome: Outcome, comparison: Comparison
    ) -> PendingChange | None:
        """Return the urgent part of an invalid or held row, which is sent all the same; ``None``: it has none."""
        part = self._resource.urgent_part_of_row(number, row)
        return None if part is None else comparison.beside(seen, part, outcome)

    def _refuse_again(self, number: int, row: Row, outcome: Outcome, seen: Seen) -> None:
        """Report a row that is still refused, so that it is in this run's log and rejects file, too."""
        reason = (seen.line.refused_reason if seen.line else None) or "refused"
        reasons = [f"held: {reason}" if outcome is Outcome.HELD else reason]
        is_known = self._comparison is not None and self._comparison.is_known_refusal(seen)
        status = seen.line.refused_status if seen.line else None
        self._report.refuse(number, row, outcome, status, reasons, contact=seen.key, is_known=is_known)


def _groups(seen_rows: list[Seen]) -> Iterator[list[Seen]]:
    """Yield rows in small groups without two rows of one key: a row is compared after the earlier rows of its key."""
    if len({seen.key for seen in seen_rows}) == len(seen_rows):  # the usual case, and the faster one
        yield from (seen_rows[first : first + _ROWS_AT_ONCE] for first in range(0, len(seen_rows), _ROWS_AT_ONCE))
        return
    group: list[Seen] = []
    keys: set[str | None] = set()
    for seen in seen_rows:
        if len(group) == _ROWS_AT_ONCE or (seen.key in keys and seen.key is not None):
            yield group
            group, keys = [], set()
        group.append(seen)
        keys.add(seen.key)
    if group:
        yield group
