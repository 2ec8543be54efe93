"""Counts the pending changes of a run when they are added, so that they need not be read again."""

from __future__ import annotations

from collections import Counter

from airflow_provider_connectif.api.window import Allowance
from airflow_provider_connectif.journal.pending_lines import PendingChange
from airflow_provider_connectif.journal.properties import entries_of
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.requests import Cost, Requests


class PlanCounts:
    """The numbers of pending changes.

    ``to_create``: changes of rows whose contact this sync has not delivered before. ``to_change``: changes of the other
    rows. ``only_refreshed``: changes in ``to_change`` that are sent although nothing differs. ``lowered``, ``raised``:
    changes that set a ranked property below or above the value that was accepted last. ``removals``: changes for
    contacts that left the source. ``properties``: by property id, the changes that set this property. ``least``,
    ``most``: bounds of the number of requests by PATCH, if no request is rejected. ``alone``: changes of which a part
    is sent alone if the rest is rejected.

    :param resource: knows which properties have ranks, and the cost of a change.
    :param sends_all: whether changes are sent although nothing differs.
    """

    def __init__(self, resource: Resource, *, sends_all: bool = False) -> None:
        self._resource = resource
        self._sends_all = sends_all
        self._conditional = resource.ranks.keys() | resource.modes.keys()
        """Properties with ranks or a write mode: a response may decide about them, or they may be sent alone."""
        self.to_create = self.to_change = self.only_refreshed = 0
        self.lowered = self.raised = self.removals = 0
        self.properties: Counter[str] = Counter()
        self.least = self.most = self.alone = 0

    def add(self, change: PendingChange, sign: int = 1) -> None:
        """Count a change.

        :param sign: 1 to count the change, -1 to undo that.
        """
        patch = change.patch
        least, most = self._resource.requests(patch)
        self.least += sign * least
        self.most += sign * most
        if patch.removal is not None:
            self.removals += sign
            return
        for property_id in (*patch.properties, *patch.later):
            self.properties[property_id] += sign
        if patch.standings:
            self._count_ranks(patch, sign)
        if patch.later or patch.looks_up or not self._conditional.isdisjoint(patch.properties):
            self.alone += sign * (self._resource.urgent_part(patch) is not None)
        if patch.counted_as is not None:
            return
        if not patch.was_delivered:
            self.to_create += sign
        else:
            self.to_change += sign
            if self._sends_all and not _differs(change):
                self.only_refreshed += sign

    def by_request(self, allowance: Allowance) -> Cost:
        """Return the cost of sending all changes by PATCH.

        :param allowance: the account's rate limit, as far as it is known.
        """
        seconds = allowance.seconds_for(self.most)
        reason = f"the operator sends by {self._resource.method}"
        return Cost(Requests(self.least, self.most + self.alone), 0, seconds, "patch", reason)

    def _count_ranks(self, patch: Patch, sign: int) -> None:
        is_lower = is_higher = False
        for property_id, values in self._resource.ranks.items():
            value = patch.properties.get(property_id, patch.later.get(property_id))
            accepted = patch.stands(property_id).rank
            if accepted is None or value not in values:
                continue
            rank = values.index(str(value))
            is_lower |= rank < accepted
            is_higher |= rank > accepted
        self.lowered += sign * is_lower
        self.raised += sign * is_higher


def _differs(change: PendingChange) -> bool:
    """Whether a change has a property whose value was not accepted before, as far as that is known."""
    digests = change.patch.digests
    if digests is None or digests.before is None or digests.properties is None:
        return change.known_whole is None
    return not frozenset(entries_of(digests.properties)) <= frozenset(entries_of(digests.before))
