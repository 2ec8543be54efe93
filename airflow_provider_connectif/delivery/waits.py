"""Decides when a wait ends sending: the run is deferred, or it fails."""

from __future__ import annotations

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.quota import Quota, Wait
from airflow_provider_connectif.api.window import GIVEN_BY_SERVER, Cause
from airflow_provider_connectif.delivery.patience import Patience
from airflow_provider_connectif.records.outcomes import Error, Stop, StopKind
from airflow_provider_connectif.reporting.report import Report


class Waits:
    """The waits of a run that sends, and their limits.

    :param patience: the limits.
    :param quota: the rate limit of the client.
    :param report: the report of the run: how long it took so far, and how many changes were delivered.
    :param most_asked: the most deferrals in a row because of pauses that Connectif asks for.
    :param clock: measures the waits.
    """

    def __init__(self, patience: Patience, quota: Quota, report: Report, most_asked: int, clock: Clock) -> None:
        self._patience = patience
        self._quota = quota
        self._report = report
        self._most_asked = most_asked
        self._clock = clock
        self._asked_before = 0
        self._delivered_before = 0
        self._deferred: Wait | None = None

    @property
    def deferred(self) -> Wait | None:
        """The wait for which the run is deferred. It counts only if the sender's ``stop`` is a deferral, too."""
        return self._deferred

    @property
    def may_defer(self) -> bool:
        """Whether the run may be deferred."""
        return self._patience.defer_after_s is not None

    @property
    def longest_pause_s(self) -> float:
        """The longest pause in seconds for which this process waits if Connectif asks for one."""
        return self._patience.longest_pause_s

    @property
    def time_left_s(self) -> float | None:
        """Seconds that are left of the run's time limit; ``None``: it has none."""
        limit = self._patience.time_limit_s
        return None if limit is None else max(0.0, limit - self._report.effort.duration_s)

    @property
    def is_deferred_as_asked(self) -> bool:
        """Whether Connectif asked for the pause of a deferred run."""
        return self._deferred is not None and self._deferred.cause is Cause.ASKED

    @property
    def asked_deferrals(self) -> int:
        """Number of deferrals in a row because Connectif asked for a pause, including this one, with nothing delivered
        between them.
        """
        if not self.is_deferred_as_asked:
            return 0
        return 1 + (self._asked_before if self._delivered == self._delivered_before else 0)

    def restore(self, asked_deferrals: int) -> None:
        """Continue after a deferral, with the counts of the report.

        :param asked_deferrals: as in :attr:`asked_deferrals`.
        """
        self._asked_before, self._delivered_before = asked_deferrals, self._delivered

    def stop_for(self, asked: tuple[Wait, Error] | None) -> Stop | None:
        """Return why the run ends now: the time limit is reached, or a wait is too long; ``None``: it continues.

        :param asked: the pause that Connectif asks for, and the response that asks, if nothing can be sent before.
        """
        if self.time_left_s == 0.0:
            return Stop(StopKind.TIMED_OUT)
        wait = self._quota.wait
        if wait is None:
            return None if asked is None else self.stop_for_pause(asked[1], asked[0].until - self._clock.now())
        if self.may_defer:
            return self._deferred_for(wait)
        return self.stop_for_pause(None, wait.until - self._clock.now()) if wait.cause in GIVEN_BY_SERVER else None

    def stop_for_pause(self, error: Error | None, asked_s: float) -> Stop | None:
        """Return why the run ends if Connectif asks for a pause; ``None``: the run waits.

        :param error: the response that asks for it.
        :param asked_s: its length in seconds.
        """
        if not self.may_defer:
            longest_s = self._patience.longest_wait_s
            return Stop(StopKind.LEFT_ALONE, error, asked_s, longest_s) if asked_s > longest_s else None
        if self._asked_before >= self._most_asked:  # a server that always asks for a pause counts as down
            return Stop(StopKind.ASKED_AGAIN, error)
        return self._deferred_for(Wait(self._clock.now() + asked_s, Cause.ASKED))

    def defer(self, wait: Wait) -> Stop:
        """Defer the run, however short the wait is."""
        self._deferred = wait
        return Stop(StopKind.DEFERRED)

    def _deferred_for(self, wait: Wait) -> Stop | None:
        if self._quota.reserved:
            return None  # the window still has room for these requests
        return self.defer(wait) if wait.until - self._clock.now() > self.longest_pause_s else None

    @property
    def _delivered(self) -> int:
        return self._report.tally.delivered + self._report.tally.erased
