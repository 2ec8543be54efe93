"""Waiting in the run's own thread: for imports, for room in the queue; it ends when the run must end."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.records.outcomes import Stop, StopKind
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import describe_seconds
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict, WaitTooLong, stop_verdict

_STEP_S = 0.25
_LOG_EVERY_S = 60.0  # also since a task whose supervisor was killed lives on until it next logs


class Waiting:
    """Waits, and logs now and then for what.

    :param context: of the run.
    :param clock: of all this.
    """

    def __init__(self, context: ImportContext, clock: Clock = SYSTEM_CLOCK) -> None:
        self._context = context
        self._clock = clock
        self.timeout_at = self._clock.now() + context.rules.timeout_s
        """When ``timeout_s`` is over, in seconds since the epoch."""
        self._logged_at = self._clock.monotonic()
        self.describe: Callable[[], str] = lambda: "waiting"
        self.describe_next_attempt: Callable[[], str] = lambda: ""
        """What the next attempt does after the timeout, as a sentence; empty where that is not known."""

    def begin(self, timeout_at: float | None = None) -> None:
        """From here on ``timeout_s`` counts.

        :param timeout_at: for a process that goes on with the time of an earlier one.
        """
        self.timeout_at = self._clock.now() + self._context.rules.timeout_s if timeout_at is None else timeout_at

    @property
    def deadline(self) -> float:
        """When waiting ends at the latest, in seconds since the epoch."""
        limit, began_at = self._context.rules.time_limit_s, self._context.report.effort.started_at
        return self.timeout_at if limit is None else min(self.timeout_at, began_at + limit)

    def check(self) -> None:
        """Continue, or not.

        :raises QuotaClosed: the run was told to stop.
        :raises ImportFailed: its time has passed.
        """
        if self._context.is_to_stop():
            raise QuotaClosed("the run was told to stop")
        if self._clock.now() < self.deadline:
            return
        if self.deadline < self.timeout_at:
            raise ImportFailed(*stop_verdict(Stop(StopKind.TIMED_OUT), ""))
        words = f"The timeout of {describe_seconds(self._context.rules.timeout_s)} has passed; {self.describe()}"
        next_attempt = self.describe_next_attempt()
        raise ImportFailed(Verdict.TRY_AGAIN, f"{words}; {next_attempt}" if next_attempt else words)

    def pause(self, seconds: float) -> None:
        """Wait for some seconds; see :meth:`check`."""
        until = self._clock.monotonic() + seconds
        while True:
            self.check()
            self._context.report.progress.publish_if_due()
            now = self._clock.monotonic()
            if now - self._logged_at >= _LOG_EVERY_S:
                self._logged_at = now
                failures = self._context.report.effort.failures
                retried = wording.RETRIED.format(failures=failures) if failures else ""
                self._context.log.info(wording.WAITING_FOR_IMPORTS, self.describe(), wording.details(retried))
            if now >= until:
                return
            self._clock.sleep(min(_STEP_S, until - now))

    def before_retry(self, failures: int, retry_after_s: float | None, at_least_s: float = 0.0) -> None:
        """Wait before a request is sent again; see :meth:`check`.

        :param failures: attempts that failed so far, 1 or more.
        :param retry_after_s: what ``Retry-After`` asks for.
        :param at_least_s: wait no shorter.
        :raises WaitTooLong: ``Retry-After`` asks for more than a worker may wait.
        """
        self.check_length(retry_after_s or 0.0)
        self.pause(max(retry_delay_s(failures, retry_after_s), at_least_s))

    def check_length(self, seconds: float) -> None:
        """Whether a worker may wait so long.

        :raises WaitTooLong: it may not.
        """
        if seconds > self._context.client.longest_wait_s:
            raise WaitTooLong(seconds, self._context.client.longest_wait_s)
