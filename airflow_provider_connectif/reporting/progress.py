"""Logs the progress of a run in few lines, and publishes it for other places than the log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_connectif.api.quota import Quota, Wait
from airflow_provider_connectif.api.window import WINDOW_S, Allowance, Cause
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.counts import describe_counts
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.reporting.formats import clock, describe_seconds, estimated, iso_time
from airflow_provider_connectif.reporting.summary import Tally
from airflow_provider_connectif.reporting.verdict import End

PROGRESS_EVERY_S = 5.0
HEARTBEAT_S = 60.0
PUBLISH_EVERY_S = 10.0
_SHORTEST_WAIT_LOGGED_S = 1.5
_SAME_WAIT_S = 1.0
_SHORT_S = 1.0
_SHORTEST_WAIT_SHOWN_S = 0.05  # a shorter one would be shown as 0.0 s
_REASONS_LOGGED = 10

_OF_REQUESTS = (
    *(Outcome.CREATED, Outcome.UPDATED, Outcome.SKIPPED, Outcome.REJECTED, Outcome.UNDELIVERED),
    *(Outcome.SUPPRESSED, Outcome.DELETED, Outcome.ABSENT),
)

_CAUSES: dict[Cause, str] = {
    Cause.USED_UP: "the window's requests are used up",
    Cause.REFUSED: "Connectif responded 429",
    Cause.CAP: "requests_per_minute of the connection, {allowance}, is used up",
    Cause.ASKED: "Connectif asks for a pause",
    Cause.ASSUMED: "no rate-limit headers; assuming {allowance} requests a minute",
}
"""Reasons to wait for the next rate-limit window."""

Publish = Callable[[Mapping[str, Any]], None]


class Progress:
    """Logs the progress of a run: every five seconds while it changes, and when a wait for a window begins.

    While nothing changes, it logs one line a minute. Airflow needs these lines, too: a task whose supervisor was killed
    stays alive until it logs the next time. The task's own thread writes them.

    :param log: the task's log.
    :param by_import: whether rows go into import files, so that most take no request of their own.
    :param publish: called with :meth:`as_json` at most every ten seconds; ``None``: progress is not published.
    """

    def __init__(
        self,
        log: Log,
        tally: Tally,
        quota: Quota,
        effort: Effort,
        *,
        by_import: bool = False,
        publish: Publish | None = None,
    ) -> None:
        self._log = log
        self._by_import = by_import
        self._tally = tally
        self._quota = quota
        self._effort = effort
        self._publish = publish
        self._published_at = -math.inf
        self._checked_at = self._logged_at = time.monotonic()
        self._logged = ""
        self._counts_at_stop = ""
        self._last_wait: Wait | None = None
        self._to_send: int | None = None
        self.pace = (1.0, 0, 0)
        """The most requests that a change takes, on average; requests and sent changes when the run began to send."""
        self._longest_wait_s = math.inf

    def go_by_import(self) -> None:
        """Note that most rows take no request of their own, and that waits for the rate limit are not deferred."""
        self._by_import = True

    def go_by_request(self) -> None:
        """Note that each row takes a request of its own."""
        self._by_import = False

    def log_waits_up_to(self, seconds: float) -> None:
        """Do not log longer waits: the task does not wait them out, but is deferred."""
        self._longest_wait_s = seconds

    def tick(self) -> None:
        """Log progress if a line is due; cheap enough to call for each row."""
        now = time.monotonic()
        self.publish_if_due()
        wait = self._quota.wait
        if wait is not None and (self._by_import or wait.until - time.time() <= self._longest_wait_s):
            self._log_wait(wait)
            self._checked_at = now  # nothing changes now, and the next line follows soon after the wait
        is_silent = now - self._logged_at >= HEARTBEAT_S
        if now - self._checked_at < PROGRESS_EVERY_S and not is_silent:
            return
        self._checked_at = now
        if is_silent or self._shown != self._logged:
            self._write("Progress: %s", self._counts_with_time_left(self._wait_s))

    def begin_sending(self, changes: int, most: float = 1.0, requests: int | None = None, sent: int = 0) -> None:
        """Note that the plan is complete, so that the number of changes to send is known.

        :param changes: the number of changes that are not sent yet.
        :param most: the most requests that a change takes, on average.
        :param requests: the run's requests when it began to send; ``None``: it begins now.
        :param sent: the sent changes at that time.
        """
        self._to_send = self._sent + changes
        self.pace = (most, self._effort.requests, self._sent) if requests is None else (most, requests, sent)
        self._logged = ""

    @property
    def counts(self) -> str:
        """The counts in words."""
        return describe_counts(self._tally, self._effort, by_import=self._by_import)

    def counts_at_stop(self) -> str:
        """Return the counts for a line of their own, in case the process is killed.

        The line at the end of the run does not repeat them if they are still the same.
        """
        self._counts_at_stop = self.counts
        return self._counts_at_stop

    def publish_if_due(self) -> None:
        """Publish the progress, at most every ten seconds."""
        if self._publish is not None and time.monotonic() - self._published_at >= PUBLISH_EVERY_S:
            self._published_at = time.monotonic()
            self._publish(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """Return the progress, JSON-ready and without personal data.

        :return: ``read``, ``delivered``, ``refused`` (invalid, rejected or held), ``undelivered`` (rows so far),
            ``requests``, ``rate_limited``, ``updated_at`` (ISO 8601 in UTC), and :meth:`forecast`.
        """
        tally = self._tally
        return {
            "read": tally.read,
            "delivered": tally.delivered + tally.outcomes[Outcome.IMPORTED],
            "refused": tally.bad,
            "undelivered": tally.outcomes[Outcome.UNDELIVERED],
            "requests": self._effort.requests,
            "rate_limited": self._effort.rate_limited,
            "updated_at": iso_time(time.time()),
            **self.forecast(self._wait_s),
        }

    def forecast(self, wait_s: float = 0.0) -> dict[str, Any]:
        """Return how many changes are left to send, and when the last one will probably be sent.

        :param wait_s: seconds until the next window opens.
        :return: ``pending`` (changes that are not sent yet) and ``predicted_end`` (ISO 8601 in UTC); both ``None``
            if they are not known: before the plan is complete, and in an import.
        """
        if self._to_send is None or self._by_import:
            return {"pending": None, "predicted_end": None}
        return {
            "pending": self._to_send - self._sent,
            "predicted_end": iso_time(time.time() + self._seconds_left(wait_s)),
        }

    def describe_left(self, wait_s: float = 0.0) -> str:
        """Return about how long the remaining changes take, in words; empty before the plan is complete.

        The changes take longer if others use the account, too. No header gives the length of a window: the documented
        minute is assumed until two windows were seen.

        :param wait_s: seconds until the next window opens.
        """
        if self._to_send is None:
            return ""
        seconds = self._seconds_left(wait_s)
        return f"{'less than a minute' if seconds < _SHORT_S else estimated(seconds)} left"

    def log_end(self, end: End) -> None:
        """Log the end of the run: the reasons why rows were not delivered, then the counts.

        The counts are last because the log view shows the end of a failed task's log.
        """
        self.log_reasons()
        is_logged = self.counts == self._counts_at_stop
        log = self._log.warning if end.is_failure else self._log.info
        log("%s%s%s", end.how, ", with the counts above" if is_logged else f": {self.counts}", self.ending(end.notes))

    def ending(self, notes: Sequence[str] = ()) -> str:
        """Return the lines below the counts of a run: details, failed requests, duration and waits."""
        effort = self._effort
        waits = (
            (effort.waited_s, wording.WAITED_FOR_RATE_LIMIT),
            (effort.waited_for_others_s, wording.WAITED_FOR_OTHERS),
        )
        return wording.details(
            *notes,
            self._retried,
            wording.DURATION.format(duration=describe_seconds(effort.run_duration_s)),
            *(
                words.format(duration=describe_seconds(seconds))
                for seconds, words in waits
                if seconds >= _SHORTEST_WAIT_SHOWN_S
            ),
        )

    def log_deferral(self, wait: Wait) -> None:
        """Log that the task is deferred."""
        self._write(
            wording.PAUSE_DEFERRED if wait.cause is Cause.ASKED else wording.RATE_LIMIT_DEFERRED,
            self._why(wait),
            clock(wait.until),
            wording.details(self._counts_with_time_left(max(0.0, wait.until - time.time()))),
        )

    def log_reasons(self, most: int = _REASONS_LOGGED, heading: str = wording.NOT_DELIVERED) -> None:
        """Log the reasons why rows were not delivered, with their first rows. Reasons of new refusals come first.

        :param most: the most reasons to log.
        """
        reasons = self._tally.top_reasons(most)
        if reasons:
            more = len(self._tally.reasons) - len(reasons)
            tail = f"and {more:,} more" if more > 0 else ""
            self._log.warning("%s%s", heading, wording.details(*reasons, tail))

    def _log_wait(self, wait: Wait) -> None:
        if wait is self._last_wait:
            return
        last, self._last_wait = self._last_wait, wait
        seconds = wait.until - time.time()
        if seconds < _SHORTEST_WAIT_LOGGED_S or (last is not None and abs(last.until - wait.until) < _SAME_WAIT_S):
            return
        counts = wording.details(self._counts_with_time_left(seconds)) if self._tally.read else ""
        self._write(wording.RATE_LIMIT, self._why(wait), seconds, clock(wait.until), counts)

    def _counts_with_time_left(self, wait_s: float = 0.0) -> str:
        """Return the sent part of the plan, the time left, and the counts.

        The plan is left out when all of it is sent, and in an import, whose rows take no request of their own.
        """
        if self._to_send is None or self._by_import or self._sent >= self._to_send:
            return self.counts + wording.details(self._retried)
        counts = describe_counts(self._tally, self._effort, is_planned=True)
        left = f"{self._sent:,} of {self._to_send:,} sent, {self.describe_left(wait_s)}"
        return left + wording.details(counts, self._retried)

    @property
    def _sent(self) -> int:
        """Number of changes that were sent and whose outcome is known."""
        return sum(self._tally.outcomes[outcome] for outcome in _OF_REQUESTS)

    @property
    def _wait_s(self) -> float:
        """Seconds until the window opens that the run waits for."""
        wait = self._quota.wait
        return 0.0 if wait is None else max(0.0, wait.until - time.time())

    def _seconds_left(self, wait_s: float) -> float:
        requests = math.ceil(((self._to_send or 0) - self._sent) * self._requests_each)
        return wait_s + self._quota.allowance.seconds_for(requests)

    @property
    def _requests_each(self) -> float:
        """The requests that a change takes, as seen so far, but at most as planned: some are retries or in flight."""
        most, requests, sent = self.pace
        settled = self._sent - sent
        return min(most, max(1.0, (self._effort.requests - requests) / settled)) if settled > 0 else most

    @property
    def _retried(self) -> str:
        """The number of requests that failed and were sent again, with the reason of the last one; empty if none
        failed.
        """
        failures = self._effort.failures
        return wording.RETRIED.format(failures=failures) if failures else ""

    @property
    def _shown(self) -> str:
        """The part of a progress line that may differ from that of the line before."""
        return self.counts + self._retried

    def _why(self, wait: Wait) -> str:
        return _CAUSES[wait.cause].format(allowance=self._quota.requests_per_minute)

    def _write(self, message: str, *words: Any) -> None:
        self._log.info(message, *words)
        self._logged_at = time.monotonic()
        self._logged = self._shown


def seconds_at_best(requests: int, requests_per_minute: int) -> float:
    """Return the seconds that requests take at best.

    The requests of a minute are sent at once, so those of the last minute take no time.
    """
    return Allowance(requests_per_minute, WINDOW_S).seconds_for(requests)
