"""Waits in the run's own thread for imports or for room in the queue, as long as the run may continue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.records.outcomes import Stop, StopKind
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import describe_seconds
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict, WaitTooLong, stop_verdict

_STEP_S = 0.25
_LOG_EVERY_S = 60.0  # if a task's supervisor was killed, the task ends only when it logs the next time


class Waiting:
    """Waits, and logs the state of the imports once a minute.

    :param context: the context of the run.
    :param clock: measures the waits.
    :param describe: describes the state of the imports that the run waits for.
    :param describe_next_attempt: describes what the next attempt does after the timeout; empty if that is not known.
    """

    def __init__(
        self,
        context: ImportContext,
        clock: Clock = SYSTEM_CLOCK,
        describe: Callable[[], str] = lambda: "waiting",
        describe_next_attempt: Callable[[], str] = lambda: "",
    ) -> None:
        self._context = context
        self._clock = clock
        self.timeout_at = self._clock.now() + context.rules.timeout_s
        """The time at which ``timeout_s`` has passed, in seconds since the epoch."""
        self._logged_at = self._clock.monotonic()
        self._describe = describe
        self._describe_next_attempt = describe_next_attempt

    def begin(self, timeout_at: float | None = None) -> None:
        """Start the time limit ``timeout_s``.

        :param timeout_at: the end of the time limit if an earlier process started it, in seconds since the epoch.
        """
        self.timeout_at = self._clock.now() + self._context.rules.timeout_s if timeout_at is None else timeout_at

    @contextmanager
    def described(self, describe: Callable[[Callable[[], str]], str]) -> Iterator[None]:
        """Replace the description of the imports, within the block.

        :param describe: returns the description; it gets the function that returned the description before.
        """
        before = self._describe
        self._describe = lambda: describe(before)
        try:
            yield
        finally:
            self._describe = before

    @property
    def deadline(self) -> float:
        """The latest time at which waiting ends, in seconds since the epoch."""
        limit, began_at = self._context.rules.time_limit_s, self._context.report.effort.started_at
        return self.timeout_at if limit is None else min(self.timeout_at, began_at + limit)

    def check(self) -> None:
        """Check that the run may continue.

        :raises RunStopped: the run must stop.
        :raises ImportFailed: its time has passed.
        """
        if self._context.is_to_stop():
            raise RunStopped("the run was asked to stop")
        if self._clock.now() < self.deadline:
            return
        if self.deadline < self.timeout_at:
            raise ImportFailed(*stop_verdict(Stop(StopKind.TIMED_OUT), ""))
        raise ImportFailed(Verdict.TRY_AGAIN, self._describe_timeout())

    def pause(self, seconds: float) -> None:
        """Wait for some seconds; raise the errors of :meth:`check` if the run must end."""
        until = self._clock.monotonic() + seconds
        while True:
            self.check()
            self._context.report.progress.publish_if_due()
            now = self._clock.monotonic()
            if now - self._logged_at >= _LOG_EVERY_S:
                self._logged_at = now
                failures = self._context.report.effort.failures
                retried = wording.RETRIED.format(failures=failures) if failures else ""
                self._context.log.info(wording.WAITING_FOR_IMPORTS, self._describe(), wording.details(retried))
            if now >= until:
                return
            self._clock.sleep(min(_STEP_S, until - now))

    def _describe_timeout(self) -> str:
        rules = self._context.rules
        limit, advice = describe_seconds(rules.timeout_s), "The next attempt continues to wait"
        if rules.has_timeout:
            limit, advice = f"timeout ({limit})", "If imports usually take longer, raise timeout"
        what_to_do = self._describe_next_attempt() or advice
        return f"The imports did not finish within {limit}: {self._describe()}. {what_to_do}"

    def before_retry(self, failures: int, retry_after_s: float | None, at_least_s: float = 0.0) -> None:
        """Wait before a request is sent again; raise the errors of :meth:`check` if the run must end.

        :param failures: attempts that failed so far, 1 or more.
        :param retry_after_s: seconds that ``Retry-After`` asks for.
        :param at_least_s: the shortest wait in seconds.
        :raises WaitTooLong: ``Retry-After`` asks for more than a worker may wait.
        """
        self.check_length(retry_after_s or 0.0)
        self.pause(max(retry_delay_s(failures, retry_after_s), at_least_s))

    def check_length(self, seconds: float) -> None:
        """Check that a worker may wait for some seconds.

        :raises WaitTooLong: a worker may not wait so long.
        """
        if seconds > self._context.client.longest_wait_s:
            raise WaitTooLong(seconds, self._context.client.longest_wait_s)
