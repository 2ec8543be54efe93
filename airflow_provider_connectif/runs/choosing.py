"""PATCH or import: which way a plan goes, decided once it is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.reporting.formats import describe_seconds
from airflow_provider_connectif.reporting.requests import Cost, Via
from airflow_provider_connectif.runs.check_sink import Preview
from airflow_provider_connectif.runs.sink import ResourceT, Sink


class ImportingSink(Sink[ResourceT], Protocol):
    """A sink that imports, made in the middle of a run."""

    def begin(self, is_to_stop: Callable[[], bool]) -> None:
        """From here on the run is this sink's; the journal is open."""

    def end(self) -> None:
        """The run is another sink's."""

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> Deferral | None:
        """Wait for what earlier runs of the sync have left at Connectif."""


class ByImport(Protocol[ResourceT]):
    """Delivery by import, which a run may choose. Nothing of an import is loaded before one of these is called."""

    def why_not(self, resource: ResourceT, columns: Sequence[str] | None) -> str:
        """What the mapping needs that an import cannot do, in words; empty: nothing."""

    def refuse_columns(self, resource: ResourceT, columns: Sequence[str] | None) -> None:
        """Refuse columns that an import cannot take.

        :raises RunFailed: final; names them.
        """

    def cost(self, changes: PendingChanges, resource: ResourceT, most_requests: int | None) -> Cost:
        """What a plan takes by import.

        :param most_requests: it polls so rarely that it makes no more; ``None``: as often as the author says.
        """

    def make_sink(self) -> ImportingSink[ResourceT]:
        """What delivers the plan that was looked at last."""

    def make_preview(self) -> Preview[ResourceT]:
        """What looks at a plan for a check."""


def may_import(via: Via, import_after_s: float, patch: Cost) -> bool:
    """Whether it has to be known what a plan takes by import. Pure.

    :param import_after_s: with ``auto`` a plan that takes no longer by PATCH goes by PATCH.
    :param patch: what the plan takes by PATCH.
    """
    is_long = patch.seconds is not None and patch.seconds > import_after_s
    return via == "import" or (via == "auto" and is_long)


def choose_way(via: Via, import_after_s: float, patch: Cost, by_import: Cost | None, why_not: str) -> Cost:
    """The way of a plan: its cost, with the reason. Pure.

    :param import_after_s: with ``auto`` a plan that takes no longer by PATCH goes by PATCH.
    :param patch: what the plan takes by PATCH.
    :param by_import: likewise by import; ``None``: nobody has looked, or it cannot go so.
    :param why_not: what the mapping needs that an import cannot do; empty: nothing.
    """
    if via != "auto":
        return _chosen(patch if by_import is None else by_import, f'via="{via}"')
    by_patch = f"PATCH takes {_time(patch.seconds)}"
    if not may_import(via, import_after_s, patch):
        return _chosen(patch, f"{by_patch}, and import_after is {describe_seconds(import_after_s)}")
    if why_not or by_import is None:
        return _chosen(patch, why_not)
    if not by_import.files:
        return _chosen(patch, "an import would send all of it by PATCH, too")
    if by_import.requests.most > patch.requests.least:
        return _chosen(patch, f"an import may take {by_import.requests.most:,} requests, and PATCH does with fewer")
    if by_import.seconds is None:
        return _chosen(by_import, f"{by_patch}, and import_after is {describe_seconds(import_after_s)}")
    both = f"{by_patch}, an import {_time(by_import.seconds)}"
    is_sooner = patch.seconds is not None and by_import.seconds < patch.seconds
    return _chosen(by_import if is_sooner else patch, both)


class WayChooser(Generic[ResourceT]):
    """Chooses the way of a plan.

    :param via: what the author wants.
    :param import_after_s: as of :func:`choose_way`.
    :param by_import: knows what a plan takes by import.
    :param quota: knows the account's allowance.
    :param journal: knows what earlier runs have shown of it; open.
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

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Keep the columns of the source; refuse them where only an import may be chosen.

        :raises RunFailed: final; names them.
        """
        self._columns = columns
        if self._via == "import":
            self._by_import.refuse_columns(resource, columns)

    def choose(self, changes: PendingChanges, resource: ResourceT) -> Cost:
        """What the plan takes, the way that it goes.

        :raises JournalError: the journal's database failed.
        """
        if self._journal is not None and (window := self._journal.past_imports.window()) is not None:
            self._quota.expect(window)
        patch = changes.counts.by_request(self._quota.allowance)
        by_import, why_not = None, ""
        if may_import(self._via, self._import_after_s, patch):
            why_not = "" if self._via == "import" else self._by_import.why_not(resource, self._columns)
            if not why_not:
                most = patch.requests.least if self._via == "auto" else None
                by_import = self._by_import.cost(changes, resource, most)
        return choose_way(self._via, self._import_after_s, patch, by_import, why_not)


def _chosen(cost: Cost, reason: str) -> Cost:
    return cost._replace(reason=reason, was_chosen=True)


def _time(seconds: float | None) -> str:
    return f"about {describe_seconds(seconds)}" if seconds else "less than a minute"
