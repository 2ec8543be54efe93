"""What the task log says while rows are delivered, in few lines."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Protocol

from airflow_provider_connectif.api.quota import Quota, Wait
from airflow_provider_connectif.api.window import WINDOW_S, Allowance, Cause
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.summary import Tally

PROGRESS_EVERY_S = 5.0
HEARTBEAT_S = 60.0
_SHORTEST_WAIT_LOGGED_S = 1.5
_SAME_WAIT_S = 1.0
_SHORT_S = 1.0
_WAIT_TOLD_S = 0.05  # what is shown as 0.0 s is none
_REASONS_LOGGED = 10

_OF_REQUESTS = (
    *(Outcome.CREATED, Outcome.UPDATED, Outcome.SKIPPED, Outcome.REJECTED, Outcome.UNDELIVERED),
    *(Outcome.SUPPRESSED, Outcome.DELETED, Outcome.ABSENT),
)

_CAUSES: dict[Cause, str] = {
    Cause.USED_UP: "the window's requests are used up",
    Cause.REFUSED: "Connectif answered 429",
    Cause.CAP: "the connection's requests_per_minute, {allowance}, are used up",
    Cause.ASKED: "Connectif asks to be left alone",
    Cause.ASSUMED: "Connectif tells no allowance, so {allowance} requests a minute are assumed, and they are used up",
}
"""Why a window is waited for."""


class Log(Protocol):
    """What is asked of a logger; Airflow's is not always one of the standard library."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log how things go."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log what somebody should look at."""


class Progress:
    """Tells how far a run has come: every five seconds while that changes, and when a wait for a window begins.

    While nothing changes a line a minute remains. The lines come from the task's own thread, and never end for long,
    also for a reason of Airflow's: a task whose supervisor was killed lives on until it next logs.
    """

    def __init__(self, log: Log, tally: Tally, quota: Quota, effort: Effort, *, by_import: bool = False) -> None:
        self._log = log
        self._by_import = by_import
        self._tally = tally
        self._quota = quota
        self._effort = effort
        self._looked_at = self._told_at = time.monotonic()
        self._told = ""
        self._told_at_stop = ""
        self._last_wait: Wait | None = None
        self._to_send: int | None = None
        self._longest_wait_s = math.inf

    def log_waits_up_to(self, seconds: float) -> None:
        """Do not log a wait that takes longer: the task does not wait for it, but is deferred."""
        self._longest_wait_s = seconds

    def tick(self) -> None:
        """Log what is due; cheap enough to call for each row."""
        now = time.monotonic()
        wait = self._quota.wait
        if wait is not None and wait.until - time.time() <= self._longest_wait_s:
            self._look_at_wait(wait)
            self._looked_at = now  # nothing changes now, and soon after the wait there is the next one
        is_silent = now - self._told_at >= HEARTBEAT_S
        if now - self._looked_at < PROGRESS_EVERY_S and not is_silent:
            return
        self._looked_at = now
        if is_silent or self.counts != self._told:
            self._tell("Progress: %s", self._counts_with_time_left())

    def begin_sending(self, changes: int) -> None:
        """The plan is complete: from here on it is known how much there is to send.

        :param changes: that are not sent yet.
        """
        self._to_send = self._sent + changes
        self._told = ""

    @property
    def counts(self) -> str:
        """The counts in words."""
        return describe_counts(self._tally, self._effort, by_import=self._by_import)

    def counts_at_stop(self) -> str:
        """The counts for a line of its own, since the end may not be reached; there they are not told once more."""
        self._told_at_stop = self.counts
        return self._told_at_stop

    def describe_left(self, wait_s: float = 0.0) -> str:
        """About how long the changes that are not sent will still take, in words; nothing before the plan is complete.

        Longer where others use the account too. No header tells how long a window is: it is taken to be the documented
        minute until one window has followed another.

        :param wait_s: seconds until the next window opens.
        """
        if self._to_send is None:
            return ""
        seconds = wait_s + self._quota.allowance.seconds_for(self._to_send - self._sent)
        return f"{'less than a minute' if seconds < _SHORT_S else f'about {describe_seconds(seconds)}'} left"

    def log_end(self, how: str, notes: str, reasons_told: Collection[str]) -> None:
        """The account of the whole run, and why rows were not delivered.

        :param how: how it ended, as the beginning of a sentence that goes on with how long it took.
        :param notes: what stands at the end of the line.
        :param reasons_told: as of :meth:`log_reasons`.
        """
        for seconds, words in (
            (self._effort.waited_s, "; waited {time} for the rate limit"),
            (self._effort.waited_for_others_s, "; waited {time} for another run of the sync"),
        ):
            if seconds >= _WAIT_TOLD_S:
                notes = words.format(time=describe_seconds(seconds)) + notes
        duration = describe_seconds(self._effort.run_duration_s)
        if self.counts == self._told_at_stop:
            self._log.info("%s %s, with the counts above%s", how, duration, notes)
        else:
            self._log.info("%s %s: %s%s", how, duration, self.counts, notes)
        self.log_reasons(reasons_told)

    def log_deferral(self, wait: Wait) -> None:
        """The task gives its worker back."""
        is_limit = wait.cause is not Cause.ASKED
        self._tell(
            "Rate limit: %s; deferred until %s, without a worker. %s"
            if is_limit
            else "%s; deferred until %s, without a worker. %s",
            self._why(wait),
            clock(wait.until),
            self._counts_with_time_left(max(0.0, wait.until - time.time())),
        )

    def log_reasons(self, told: Collection[str] = (), most: int = _REASONS_LOGGED) -> None:
        """Why rows were not delivered, by reason and with their first rows.

        :param told: the reasons that the task's exception names.
        """
        reasons = self._tally.top_reasons(most, without=told)
        if reasons:
            more = len(self._tally.reasons) - len(told) - len(reasons)
            tail = f"\n  and {more:,} more" if more > 0 else ""
            head = "Not delivered, beside the commonest reasons below:" if told else "Not delivered, and why:"
            self._log.warning("%s\n  %s%s", head, "\n  ".join(reasons), tail)

    def _look_at_wait(self, wait: Wait) -> None:
        if wait is self._last_wait:
            return
        last, self._last_wait = self._last_wait, wait
        seconds = wait.until - time.time()
        if seconds < _SHORTEST_WAIT_LOGGED_S or (last is not None and abs(last.until - wait.until) < _SAME_WAIT_S):
            return
        account = f". {self._counts_with_time_left(seconds)}" if self._tally.read else ""
        self._tell("Rate limit: %s; waiting %.0f s, until %s%s", self._why(wait), seconds, clock(wait.until), account)

    def _counts_with_time_left(self, wait_s: float = 0.0) -> str:
        """How much of the plan is sent, how long the rest takes, and the counts.

        Without the plan where all is sent, and in an import, whose rows take no request of their own.
        """
        if self._to_send is None or self._by_import or self._sent >= self._to_send:
            return self.counts
        counts = describe_counts(self._tally, self._effort, is_planned=True)
        return f"{self._sent:,} of {self._to_send:,} sent, {self.describe_left(wait_s)}. {counts}"

    @property
    def _sent(self) -> int:
        """Changes of the run that were sent, and whose outcome is known."""
        return sum(self._tally.outcomes[outcome] for outcome in _OF_REQUESTS)

    def _why(self, wait: Wait) -> str:
        return _CAUSES[wait.cause].format(allowance=self._quota.requests_per_minute)

    def _tell(self, message: str, *words: Any) -> None:
        self._log.info(message, *words)
        self._told_at = time.monotonic()
        self._told = self.counts


def describe_counts(tally: Tally, effort: Effort, *, by_import: bool = False, is_planned: bool = False) -> str:
    """The counts of a run in words, the zeros left out but for the rows read and delivered.

    :param is_planned: what is not sent yet is said elsewhere.
    """
    outcomes = tally.outcomes
    parts = [f"{plural(tally.read, 'row')} read"]
    if by_import:
        parts.append(f"{outcomes[Outcome.IMPORTED]:,} imported")
    if tally.delivered or not (by_import or tally.erased):
        created, updated = outcomes[Outcome.CREATED], outcomes[Outcome.UPDATED]
        parts.append(f"{tally.delivered:,} delivered")
        if tally.delivered:
            parts[-1] += f" ({created:,} created, {updated:,} updated)"
    for outcome in (
        Outcome.DELETED,
        Outcome.ABSENT,
        Outcome.MERGED,
        Outcome.NOT_TAKEN,
        Outcome.UNCHANGED,
        Outcome.HELD,
        Outcome.SUPPRESSED,
        Outcome.SKIPPED,
        Outcome.INVALID,
        Outcome.REJECTED,
        Outcome.UNDELIVERED,
    ):
        if outcomes[outcome]:
            parts.append(f"{outcomes[outcome]:,} {outcome.value.replace('_', ' ')}")
    if tally.known_refusals:
        parts.append(f"{tally.new_refusals:,} of the refusals new")
    unsettled = tally.read - tally.accounted
    if unsettled and not is_planned:
        parts.append(f"{unsettled:,} {'without a known outcome' if by_import else 'not settled yet'}")
    requests = plural(effort.requests, "request")
    of_these = [f"{effort.rate_limited:,} answered 429"] if effort.rate_limited else []
    if effort.failures:
        of_these.append(effort.failures)
    parts.append(f"{requests} ({'; '.join(of_these)})" if of_these else requests)
    return ", ".join(parts)


def seconds_at_best(requests: int, requests_per_minute: int) -> float:
    """What requests take if each minute's are used up at once, so that the last ones take no time to speak of."""
    return Allowance(requests_per_minute, WINDOW_S).seconds_for(requests)


def clock(moment: float) -> str:
    """A moment in seconds since the epoch as ``12:30:00 UTC``, with its date where that is not today's."""
    then, now = datetime.fromtimestamp(moment, UTC), datetime.now(UTC)
    return f"{then:%H:%M:%S} UTC" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M:%S} UTC"


def plural(count: int, noun: str) -> str:
    """``1 row``, ``1,000 rows``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def describe_bytes(size: int) -> str:
    """``1 kB``, ``12.5 MB``; of anything at least a kilobyte."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1000))} kB"


def describe_seconds(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
