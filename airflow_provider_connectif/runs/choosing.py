"""The decision between PATCH and import, made once the plan is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.reporting.formats import describe_seconds, estimated
from airflow_provider_connectif.reporting.requests import Cost, Via
from airflow_provider_connectif.runs.check_sink import Preview
from airflow_provider_connectif.runs.sink import ResourceT, Sink


class ImportingSink(Sink[ResourceT], Protocol):
    """A sink that imports, created in the middle of a run."""

    def begin(self, is_to_stop: Callable[[], bool]) -> None:
        """Take over the run from another sink, which has opened the journal."""

    def give_back(self) -> bool:
        """Return whether Connectif has forbidden the import before it accepted a file. Called after :meth:`deliver`.

        If so, the plan has only the changes without an outcome left, and another sink can deliver them.
        """

    def end(self) -> None:
        """End this sink's part of the run, so that another sink can take over."""

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> Deferral | None:
        """Wait for imports that earlier runs of the sync have left at Connectif.

        :return: the deferral for a wait without a worker; ``None``: no import is left.
        """


class ByImport(Protocol[ResourceT]):
    """Delivery by import, which a run may choose. The first call of a method loads the modules of an import."""

    def reason_against(self, resource: ResourceT, columns: Sequence[str] | None) -> str:
        """Return why an import cannot deliver what the mapping needs; an empty text if it can."""

    def refuse_columns(self, resource: ResourceT, columns: Sequence[str] | None) -> None:
        """Refuse columns that an import cannot deliver.

        :raises RunFailed: final; the text names the columns.
        """

    def cost(self, changes: PendingChanges, resource: ResourceT, most_requests: int | None) -> Cost:
        """Return the cost of a plan by import.

        :param most_requests: the most requests that the import may take: for this it is polled less often. ``None``:
            it is polled as often as the author wants.
        """

    def make_sink(self) -> ImportingSink[ResourceT]:
        """Return a sink for the plan of the last call of :meth:`cost`."""

    def make_preview(self) -> Preview[ResourceT]:
        """Return the preview of a plan, for a check."""


def may_import(via: Via, import_after_s: float, patch: Cost) -> bool:
    """Whether the cost by import must be known to choose the way. Pure.

    :param import_after_s: with ``auto``, a plan that PATCH delivers within these seconds is not imported.
    :param patch: the cost of the plan by PATCH.
    """
    is_long = patch.seconds is not None and patch.seconds > import_after_s
    return via == "import" or (via == "auto" and is_long)


def choose_way(via: Via, import_after_s: float, patch: Cost, by_import: Cost | None, reason_against: str) -> Cost:
    """Choose the way of a plan; return its cost that way, with the reason for the choice. Pure.

    :param import_after_s: with ``auto``, a plan that PATCH delivers within these seconds is not imported.
    :param patch: the cost of the plan by PATCH.
    :param by_import: the cost by import; ``None``: not computed, or it cannot be imported.
    :param reason_against: why an import cannot deliver what the mapping needs; empty: it can.
    """
    if via != "auto":
        return _chosen(patch if by_import is None else by_import, f'via="{via}"')
    by_patch = f"PATCH takes {describe_time(patch.seconds)}"
    if not may_import(via, import_after_s, patch):
        return _chosen(patch, f"{by_patch}, and import_after is {describe_seconds(import_after_s)}")
    if reason_against or by_import is None:
        return _chosen(patch, reason_against)
    if not by_import.files:
        return _chosen(patch, "an import would send all of it by PATCH, too")
    if by_import.requests.most > patch.requests.least:
        return _chosen(patch, f"an import may take {by_import.requests.most:,} requests, and PATCH takes fewer")
    if by_import.seconds is None:
        return _chosen(by_import, f"{by_patch}, and import_after is {describe_seconds(import_after_s)}")
    both = f"{by_patch}, an import {describe_time(by_import.seconds)}"
    is_sooner = patch.seconds is not None and by_import.seconds < patch.seconds
    return _chosen(by_import if is_sooner else patch, both)


class WayChooser(Generic[ResourceT]):
    """Chooses whether a plan is sent by PATCH or imported.

    :param via: the author's choice: ``auto``, ``patch`` or ``import``.
    :param import_after_s: as in :func:`choose_way`.
    :param by_import: computes the cost by import.
    :param quota: knows the account's allowance.
    :param journal: the open journal, which knows the allowance of earlier runs; ``None``: there is none.
    """

    def __init__(
        self, via: Via, import_after_s: float, by_import: ByImport[ResourceT], quota: Quota, journal: Journal | None
    ) -> None:
        self._via = via
        self._import_after_s = import_after_s
        self._by_import = by_import
        self._quota = quota
        self._journal = journal
        self._columns: Sequence[str] | None = None

    @property
    def may_choose(self) -> bool:
        """Whether a plan may go either way."""
        return self._via == "auto"

    def by_request(self, changes: PendingChanges) -> Cost:
        """Return the cost of a plan by PATCH."""
        return changes.counts.by_request(self._quota.allowance)

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Keep the columns of the source for :meth:`choose`. If ``via`` is ``import``, refuse those it cannot deliver.

        :raises RunFailed: final; the text names the columns.
        """
        self._columns = columns
        if self._via == "import":
            self._by_import.refuse_columns(resource, columns)

    def choose(self, changes: PendingChanges, resource: ResourceT) -> Cost:
        """Choose the way of a plan; return its cost that way.

        :raises JournalError: the journal's database failed.
        """
        if self._journal is not None and (window := self._journal.past_imports.window()) is not None:
            self._quota.expect(window)
        patch = self.by_request(changes)
        by_import, reason_against = None, ""
        if may_import(self._via, self._import_after_s, patch):
            reason_against = "" if self._via == "import" else self._by_import.reason_against(resource, self._columns)
            if not reason_against:
                most = patch.requests.least if self._via == "auto" else None
                by_import = self._by_import.cost(changes, resource, most)
        return choose_way(self._via, self._import_after_s, patch, by_import, reason_against)


def _chosen(cost: Cost, reason: str) -> Cost:
    return cost._replace(reason=reason, was_chosen=True)


def describe_time(seconds: float | None) -> str:
    """Describe how long a plan takes."""
    return estimated(seconds) if seconds else "less than a minute"
