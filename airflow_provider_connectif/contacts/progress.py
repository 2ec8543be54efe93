"""What the task log says while rows are delivered, in few lines."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_provider_connectif.api.quota import Quota, Wait
from airflow_provider_connectif.contacts.effort import Effort
from airflow_provider_connectif.contacts.outcomes import Outcome
from airflow_provider_connectif.contacts.summary import Tally

PROGRESS_EVERY_S = 5.0
_SHORTEST_WAIT_LOGGED_S = 1.5
_SAME_WAIT_S = 1.0
_REASONS_LOGGED = 10


class Log(Protocol):
    """What is asked of a logger; Airflow's is not always one of the standard library."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log how things go."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log what somebody should look at."""


class Progress:
    """Logs how far a run has come every five seconds, and each wait for a window with the time it ends.

    The lines come from the task's own thread also for a reason of Airflow's: a task whose supervisor was killed
    lives on until it next logs.
    """

    def __init__(self, log: Log, tally: Tally, quota: Quota, effort: Effort, *, by_import: bool = False) -> None:
        self._log = log
        self._by_import = by_import
        self._tally = tally
        self._quota = quota
        self._effort = effort
        self._last_at = time.monotonic()
        self._last_wait: Wait | None = None

    def tick(self) -> None:
        """Log what is due; cheap enough to call for each row."""
        now = time.monotonic()
        wait = self._quota.wait
        if wait is not None and wait is not self._last_wait:
            self._log_wait(wait)
        if now - self._last_at >= PROGRESS_EVERY_S:
            self._last_at = now
            self._log.info("Progress: %s", self.counts)

    @property
    def counts(self) -> str:
        """The counts in words."""
        return describe_counts(self._tally, self._effort, by_import=self._by_import)

    def log_end(self) -> None:
        """The account of the whole run, refusals with their reasons and first rows."""
        self._log.info(
            "Done in %s: %s; waited %s for the rate limit",
            describe_seconds(self._effort.duration_s),
            self.counts,
            describe_seconds(self._effort.waited_s),
        )
        self.log_reasons()

    def log_reasons(self, most: int = _REASONS_LOGGED) -> None:
        """The refusals by reason, with their first rows."""
        reasons = self._tally.top_reasons(most)
        if reasons:
            more = len(self._tally.reasons) - len(reasons)
            tail = f"\n  and {more:,} more" if more > 0 else ""
            self._log.warning("Refused, and why:\n  %s%s", "\n  ".join(reasons), tail)

    def _log_wait(self, wait: Wait) -> None:
        last, self._last_wait = self._last_wait, wait
        seconds = wait.until - time.time()
        if seconds < _SHORTEST_WAIT_LOGGED_S or (last is not None and abs(last.until - wait.until) < _SAME_WAIT_S):
            return
        why = "Connectif answered 429" if wait.refused else "the window's requests are used up"
        self._log.info("Rate limit: %s; waiting %.0f s, until %s", why, seconds, clock(wait.until))


def describe_counts(tally: Tally, effort: Effort, *, by_import: bool = False) -> str:
    """The counts of a run in words, the zeros left out but for the rows read and delivered."""
    outcomes = tally.outcomes
    parts = [f"{plural(tally.read, 'row')} read"]
    if by_import:
        parts.append(f"{outcomes[Outcome.IMPORTED]:,} imported")
    if tally.delivered or not by_import:
        created, updated = outcomes[Outcome.CREATED], outcomes[Outcome.UPDATED]
        parts.append(f"{tally.delivered:,} delivered ({created:,} created, {updated:,} updated)")
    for outcome in (
        Outcome.DUPLICATE,
        Outcome.NOT_TAKEN,
        Outcome.UNCHANGED,
        Outcome.HELD,
        Outcome.SKIPPED,
        Outcome.INVALID,
        Outcome.REJECTED,
        Outcome.UNDELIVERED,
    ):
        if outcomes[outcome]:
            parts.append(f"{outcomes[outcome]:,} {outcome.value.replace('_', ' ')}")
    unsettled = tally.read - tally.accounted
    if unsettled:
        parts.append(f"{unsettled:,} {'without a known outcome' if by_import else 'not sent yet'}")
    requests = plural(effort.requests, "request")
    parts.append(f"{requests} ({effort.rate_limited:,} answered 429)" if effort.rate_limited else requests)
    return ", ".join(parts)


def clock(moment: float) -> str:
    """A moment in seconds since the epoch as ``12:30:00 UTC``."""
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S} UTC"


def plural(count: int, noun: str) -> str:
    """``1 row``, ``1,000 rows``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def describe_seconds(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
