"""Records the results of an erasure in the journal: only receipts, without keys."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.forgetting import Forgetting
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.resource import Resource

_ERASED = (Outcome.DELETED, Outcome.ABSENT)


class ErasureConfirmation(Confirmation):
    """Writes a receipt for each deletion, in the transaction that removes the person from the journal.

    :param lines: the lines of an open journal; no line of a contact is written.
    :param resource: the resource of the erasure.
    :param forgetting: removes people from every sync.
    :param map_index: the map index of the task instance, for receipts.
    """

    def __init__(self, lines: RunLines, resource: Resource, forgetting: Forgetting, map_index: int) -> None:
        super().__init__(lines, resource, holds_refusals_back=False)
        self._forgetting = forgetting
        self._map_index = map_index
        self._unwritten = 0

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        """Return nobody: an erasure is for suppressed people."""
        return set()

    def before_sending(self, patches: Sequence[Patch]) -> None:
        """Do nothing: the lines of these people were removed from the journal before."""

    def begin(self, patches: Sequence[Patch]) -> None:
        """Do nothing, as in :meth:`before_sending`."""

    def accept_part(self, patch: Patch) -> None:
        """Take the change out of a stored plan, but write no receipt yet: the next spelling follows at once."""
        if patch.place is not None:
            self._lines.settle_planned(patch.place)

    def settle(self, settled: Settled, reasons: Sequence[str], status: int | None) -> bool:
        """Write a receipt. A failed deletion gets none, so the next attempt repeats it."""
        people = self._people_of(settled.patch)
        if settled.outcome in _ERASED:
            self._unwritten += 1
            results = dict.fromkeys(people, settled.outcome.value)
            self._lines.write_beside(partial(self._write_receipts, results))
        if settled.patch.place is not None:
            self._lines.settle_planned(settled.patch.place)
        return False

    @property
    def unwritten(self) -> int:
        """Number of deletions whose receipts are not written yet."""
        if self._lines.is_written:
            self._unwritten = 0
        return self._unwritten

    def commit_if_due(self) -> None:
        """Write receipts if there are enough, or the oldest is old enough."""
        if self.unwritten >= self.commit_lines:
            self._lines.commit()
        self._lines.commit_if_due()

    def _write_receipts(self, results: dict[PersonKey, str], connection: sa.Connection) -> None:
        self._forgetting.forget(connection, results, waits_for_uploads=False)
        run_id, map_index = self._lines.run_id, self._map_index
        self._forgetting.write_receipts(connection, results, run_id=run_id, map_index=map_index)
