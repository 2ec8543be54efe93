"""The beginning of a run: opens the sink and the journal, and waits for what other runs of the sync have under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Stop, StopKind
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import ImportFailed
from airflow_provider_connectif.runs.ending import Ending
from airflow_provider_connectif.runs.sink import Sink

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.lease import Claim
    from airflow_provider_connectif.journal.store import Journal

_SCOPE_OF_EARLIER = "Imports: Read, needed for the open import of an earlier run"


class EarlierWork(Protocol):
    """The work that earlier runs of a sync have left at Connectif: imports that have not finished."""

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> Deferral | None:
        """Wait for this work, so that its older values do not arrive last, and record its result.

        :return: the deferral after which to begin again; ``None``: no such work is left.
        :raises ImportFailed: waiting for it is not possible.
        :raises RunStopped: the run must stop.
        """


class Beginning:
    """Decides whether a run may begin. If it must wait, and the task is deferrable, it begins again after a deferral.

    :param report: the report of the run.
    :param journal: the journal, which the sink opens; ``None``: no other run is noticed.
    :param earlier: the work that earlier runs of the sync have left at Connectif.
    :param ending: receives the reason if the run does not begin.
    :param time_limit_s: the time limit of the run in seconds, waiting included; ``None``: there is none.
    """

    def __init__(
        self,
        report: Report,
        journal: Journal | None,
        earlier: EarlierWork | None,
        ending: Ending,
        *,
        time_limit_s: float | None,
    ) -> None:
        self._report = report
        self._journal = journal
        self._earlier = earlier
        self._ending = ending
        self._time_limit_s = time_limit_s
        self.deferral: Deferral | None = None
        """The deferral after which the run begins again; ``None``: there is none."""

    def open(self, sink: Sink[Any], resource: Resource, is_to_stop: Callable[[], bool]) -> bool:
        """Open the sink, and with it the journal. Return whether the run may begin.

        :raises JournalError: the journal's database failed.
        """
        sink.open(is_to_stop)
        journal, effort, log = self._journal, self._report.effort, self._report.log
        if journal is not None:
            if resource.is_compared:
                journal.lines.person_of = resource.person_of
            effort.add_wait_for_others(journal.waited_s)
            if journal.held_by is not None:
                self._defer_for(journal.held_by)
            else:
                if journal.is_new and resource.is_compared:
                    log.info(wording.NEW_SYNC, journal.settings.sync_id)
                if journal.series.tries > 1 and resource.is_compared:
                    log.info(wording.NEXT_ATTEMPT, journal.series.tries)
                effort.begin_series(journal.series.counts, journal.series.started_at)
        return not self._ending.stop

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> bool:
        """Wait for the work that earlier runs have left. Return whether the run may begin."""
        if self._earlier is None:
            return True
        try:
            self.deferral = self._earlier.settle_earlier(is_to_stop)
        except ImportFailed as failure:
            self._ending.fail_by(failure, _SCOPE_OF_EARLIER)
        except RunStopped:
            self._ending.stop_for(self._ending.stop or Stop(StopKind.KILLED))
        if self.deferral is not None:
            self._ending.stop_for(Stop(StopKind.DEFERRED))
        return self._ending.may_continue

    def _defer_for(self, claim: Claim) -> None:
        limit_s = self._time_limit_s
        left_s = None if limit_s is None else limit_s - self._report.effort.duration_s
        if left_s is not None and left_s <= 0.0:
            self._ending.stop_for(Stop(StopKind.TIMED_OUT))
        else:
            self._ending.stop_for(Stop(StopKind.DEFERRED))
            words = claim.describe_deferral(claim.look_again_at)
            self.deferral = Deferral(claim.look_again_at, left_s, words=words)
