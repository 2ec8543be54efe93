"""The rows of a source whose people must not be sent again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.runs.seen_rows import Seen

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.journal.suppression import Among


class SuppressedRows:
    """Finds rows by the suppression list of the journal.

    :param journal: the open journal.
    :param resource: finds the people of a row.
    """

    def __init__(self, journal: Journal, resource: Resource) -> None:
        self._journal = journal
        self._resource = resource
        self._listed: Among | None = None
        self._has_asked = False

    def among(self, batch: Sequence[Row], seen_rows: Sequence[Seen]) -> set[int]:
        """Return the indexes of rows whose people are suppressed, and delete the journal's lines of these people.

        An erasure has deleted the lines of its own keys. So of the rows that :meth:`Comparison.look_up` has found
        unchanged, only those that name people beside their key are checked.

        :param seen_rows: the rows of the batch that are not unchanged.
        """
        suppressions, places = self._journal.suppressions, set[int]()
        if seen_rows and not suppressions.is_empty():
            people = {seen.place: self._resource.people_of_row(batch[seen.place]) for seen in seen_rows}
            found = suppressions.among(person for named in people.values() for person in named)
            places = {place for place, named in people.items() if not found.isdisjoint(named)}
        keys = {seen.key for seen in seen_rows if seen.place in places}
        if len(seen_rows) < len(batch) and self._resource.names_people_beside(batch):
            unseen = self._suppressed_beside(batch, {seen.place for seen in seen_rows})
            keys |= {self._resource.key_of(batch[place]) for place in unseen}
            places |= unseen
        self._journal.lines.forget({key for key in keys if key is not None})
        return places

    def _suppressed_beside(self, batch: Sequence[Row], seen: Collection[int]) -> set[int]:
        """Return the indexes of unchanged rows that name suppressed people beside their key."""
        if not self._has_asked:
            # Once a run: none of these rows is sent, so it does not matter who is suppressed in the meantime.
            self._listed, self._has_asked = self._journal.suppressions.snapshot(), True
        if self._listed is None:
            return set()
        beside = self._resource.people_beside(batch)
        unseen = {place: person for place, person in beside.items() if place not in seen}
        found = self._listed(unseen.values())
        return {place for place, person in unseen.items() if person in found}
