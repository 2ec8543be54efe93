"""The rules for when the next request may be sent, without threads and without a clock of their own.

Two gates make a request wait. The *window* gate uses the server's headers: the remaining requests, less those in
flight. The *pace* gate counts this process's own requests of 60 seconds. A request counts until 60 seconds after its
response, since the server counted it before it responded. This gate enforces the connection's ``requests_per_minute``
and, as long as the server has sent no rate-limit headers, the documented 100.

The first request of each window goes alone, as a probe: its response shows whether the window is open and how many
requests are left. So a window that was misjudged by a moment costs one 429, not one for each thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_connectif.api.rate_headers import RateSignal

DOCUMENTED_REQUESTS_PER_MINUTE = 100  # for a whole account; help centre, article 360014605220
WINDOW_S = 60.0
_PROBE_PATIENCE_S = 2.0  # a probe that hangs must not delay the others for its whole timeout
_EARLY_S = 0.02  # never send exactly at the edge of a window
_WHOLE_SECOND_S = 1.0  # the most by which a reset in whole seconds is too short
_AT_ONCE_S = 2.0  # a probe that is sent so soon after the end of a window is in the next one
_SAME_WINDOW_S = {True: 1.1, False: 0.2}  # between two announcements of one reset, in whole seconds or not


class Cause(StrEnum):
    """The reason why a request waits for a window."""

    USED_UP = "used_up"
    """The server's headers show that no request is left."""
    REFUSED = "refused"
    """The server's last response was 429."""
    CAP = "cap"
    """The cap is reached."""
    ASKED = "asked"
    """A response other than 429 had a ``Retry-After``."""
    ASSUMED = "assumed"
    """The server has sent no rate-limit headers, and the documented allowance is reached."""


GIVEN_BY_SERVER = frozenset({Cause.REFUSED, Cause.USED_UP})
"""The causes that the server's responses give. ``CAP`` and ``ASSUMED`` are the client's own, for a minute at most."""


@dataclass(frozen=True)
class Permit:
    """The earliest time of the next request.

    :param at: a time on the caller's clock; infinity: not before another response has arrived.
    :param cause: the reason to wait for a window; ``None`` if it does not wait for a window, but possibly for a
        response.
    """

    at: float
    cause: Cause | None = None


@dataclass(frozen=True)
class Allowance:
    """The number of requests in a window.

    :param requests: 1 or more.
    :param window_s: the window's length in seconds: the documented minute until two windows in a row were seen.
    """

    requests: int
    window_s: float

    @property
    def per_second(self) -> float:
        """Requests per second if all are used evenly."""
        return self.requests / self.window_s

    def seconds_for(self, requests: int) -> float:
        """Return the seconds that requests take if those of each window are sent at once.

        The requests of the last window then take no time.
        """
        return max(0, math.ceil(requests / self.requests) - 1) * self.window_s


class RequestWindow:
    """The known state of the account's window. All times are seconds on one clock of the caller.

    :param cap: the most requests a minute; also the assumed allowance until the server announces one. ``None``: no cap.
    """

    def __init__(self, cap: int | None = None) -> None:
        self._cap = cap
        self._answered_at: deque[float] = deque()
        self._in_flight = 0
        self._told = False
        self._limit: int | None = None
        self._opened_at = -math.inf
        self._remaining: int | None = None
        self._reset_at: float | None = None  # the latest time at which the window may end, by its headers
        self._reset_from = -math.inf  # the earliest such time
        self._last_closed_at = -math.inf
        self._window_s = WINDOW_S
        self._is_length_seen = False
        self._blocked_until = -math.inf
        self._probing = True
        self._probe_left_at = -math.inf
        self._margin = _EARLY_S
        self._refused = False

    @property
    def requests_per_minute(self) -> int:
        """The number of requests a minute that a run can rely on, as far as is known."""
        if self._limit is None:
            return self._cap or DOCUMENTED_REQUESTS_PER_MINUTE
        return min(self._limit, self._cap or self._limit)

    @property
    def allowance(self) -> Allowance:
        """The tightest limit on requests, as far as is known."""
        limit = Allowance(self._limit or DOCUMENTED_REQUESTS_PER_MINUTE, self._window_s)
        if self._cap is None:
            return limit
        cap = Allowance(self._cap, WINDOW_S)
        return cap if self._limit is None or cap.per_second <= limit.per_second else limit

    @property
    def seen(self) -> Allowance | None:
        """The account's window as responses have shown it; ``None`` until one window has followed another."""
        return Allowance(self._limit, self._window_s) if self._limit and self._is_length_seen else None

    def expect(self, allowance: Allowance) -> None:
        """Use the window that an earlier run has seen for forecasts, until a response shows another one."""
        if self._limit is None:
            self._limit = allowance.requests
        if self._limit == allowance.requests and not self._is_length_seen:
            self._window_s = allowance.window_s

    def next_permit(self, now: float) -> Permit:
        """Return the earliest time of the next request."""
        if now < self._blocked_until:
            return Permit(self._blocked_until, Cause.REFUSED if self._refused else Cause.USED_UP)
        if self._remaining is not None and now >= self._closes_at() + self._margin:
            self._await_probe()
        paced = self._pace_leaves_at(now)
        if paced > now:
            cause = Cause.ASSUMED if self._cap is None else Cause.CAP
            return Permit(paced, cause if paced < math.inf else None)
        if self._probing:
            return Permit(now if now >= self._probe_left_at + _PROBE_PATIENCE_S else math.inf)
        if self._remaining is None or self._remaining > self._in_flight:
            return Permit(now)
        if self._remaining > 0:
            return Permit(math.inf)
        return Permit(self._closes_at() + self._margin, Cause.USED_UP)

    def free(self, now: float) -> int:
        """Return the number of requests that may be sent now, as far as known; 0 before a window's first response."""
        if self._probing or self.next_permit(now).at > now:
            return 0
        told = None if self._remaining is None else self._remaining - self._in_flight
        pace = self._pace()
        paced = None if pace is None else pace - len(self._answered_at) - self._in_flight
        return max(0, min((limit for limit in (told, paced) if limit is not None), default=0))

    def note_sent(self, now: float) -> None:
        """Note that a request is sent."""
        self._in_flight += 1
        if self._probing:
            self._probe_left_at = now

    def unanswered(self, now: float) -> None:
        """Note that a request ended without a response; the server may have counted it."""
        self._ended(now)
        self._probe_left_at = -math.inf

    def answered(self, signal: RateSignal, sent_at: float, now: float) -> None:
        """Note that a request sent at ``sent_at`` got a response other than 429."""
        self._ended(now)
        if self._probing:
            self._opened_at = now
        if signal.limit is not None:
            self._limit = signal.limit
        if signal.remaining is None:
            self._count_without_headers()
        else:
            self._told = True
            self._learn(signal.remaining, signal, sent_at, now)
        if now >= self._blocked_until:
            self._probing = False
            self._blocked_until = -math.inf
            self._refused = False

    @property
    def limit(self) -> int | None:
        """Number of requests in a window, as the server announced; ``None``: not known."""
        return self._limit

    @property
    def window_s(self) -> float:
        """The window's length in seconds, as responses have shown it.

        Until then it is the length that an earlier run or process knew, or a minute.
        """
        return self._window_s

    @property
    def closes_at(self) -> float | None:
        """The end of the last announced window, in seconds on the caller's clock; ``None``: none was announced."""
        at = self._last_closed_at if self._reset_at is None else self._reset_at
        return None if at == -math.inf else at

    def recall(
        self,
        limit: int | None,
        blocked_until: float,
        answered_at: Iterable[float],
        window_s: float = WINDOW_S,
        closed_at: float = -math.inf,
    ) -> None:
        """Restore what an earlier process knew.

        :param limit: requests in a window.
        :param blocked_until: the earliest time of the next request.
        :param answered_at: times of responses that the pace gate still counts.
        :param window_s: the window's length in seconds.
        :param closed_at: the end of the last window that the server announced.
        """
        self._limit = limit
        self._window_s = window_s
        self._is_length_seen = window_s != WINDOW_S
        self._last_closed_at = closed_at
        self._blocked_until = max(self._blocked_until, blocked_until)
        self._answered_at.extend(answered_at)

    @property
    def answered_at(self) -> tuple[float, ...]:
        """Times of the responses that the pace gate still counts; empty if the server's headers are sufficient."""
        return tuple(self._answered_at)

    def refused(self, signal: RateSignal, now: float, jitter: float = 0.0) -> None:
        """Note that a request got 429.

        :param jitter: seconds to add if the server does not give the length of the wait, so that tasks spread out.
        """
        self._ended(now)
        if signal.limit is not None:
            self._limit = signal.limit
        told = signal.retry_after if signal.retry_after is not None else signal.reset_after
        if told is None:
            known = self._reset_at is not None and self._reset_at > now
            wait = self._closes_at() - now + self._margin if known else WINDOW_S + jitter
        else:
            whole = signal.reset_is_whole if signal.retry_after is None else told == int(told)
            if whole and told < _WHOLE_SECOND_S:
                # Refused although the wait has passed: the server rounds its seconds down.
                self._margin = _WHOLE_SECOND_S
            wait = told + (self._margin if whole else _EARLY_S)
        self._refused = True
        self._blocked_until = max(self._blocked_until, now + wait)
        self._await_probe()
        if signal.reset_after is not None:
            self._last_closed_at = now + signal.reset_after

    def _ended(self, now: float) -> None:
        self._in_flight -= 1
        self._answered_at.append(now)

    def _await_probe(self) -> None:
        if self._reset_at is not None:
            self._last_closed_at = self._reset_at
        self._remaining = None
        self._reset_at = None
        self._probing = True
        self._probe_left_at = -math.inf

    def _closes_at(self) -> float:
        return self._reset_at if self._reset_at is not None else self._opened_at + WINDOW_S

    def _pace(self) -> int | None:
        return self._cap if self._cap is not None else None if self._told else DOCUMENTED_REQUESTS_PER_MINUTE

    def _pace_leaves_at(self, now: float) -> float:
        pace = self._pace()
        if pace is None:
            self._answered_at.clear()
            return now
        answered = self._answered_at
        while answered and answered[0] <= now - WINDOW_S:
            answered.popleft()
        surplus = len(answered) + self._in_flight - pace
        if surplus < 0:
            return now
        return answered[surplus] + WINDOW_S if surplus < len(answered) else math.inf

    def _learn(self, remaining: int, signal: RateSignal, sent_at: float, now: float) -> None:
        if signal.reset_after is None:
            self._remaining = remaining if self._remaining is None else min(self._remaining, remaining)
            return
        # The server counted the seconds from some moment between the request and its response.
        told_from, told_at = sent_at + signal.reset_after, now + signal.reset_after
        tolerance = _SAME_WINDOW_S[signal.reset_is_whole]
        if self._remaining is None or self._reset_at is None or told_from > self._reset_at + tolerance:
            # The first headers of a window, or of one that opened earlier than announced.
            if self._remaining is None and 0.0 <= sent_at - self._last_closed_at <= _AT_ONCE_S:
                self._window_s = max(_AT_ONCE_S, told_at - self._last_closed_at)
                self._is_length_seen = True
            self._remaining, self._reset_from, self._reset_at = remaining, told_from, told_at
        elif told_at >= self._reset_from - tolerance:  # else a late response from an earlier window
            self._remaining = min(self._remaining, remaining)
            # Of resets rounded to seconds, the latest is never early by more than a fraction of a second.
            closer = max if signal.reset_is_whole else min
            self._reset_from = closer(self._reset_from, told_from)
            self._reset_at = closer(self._reset_at, told_at)

    def _count_without_headers(self) -> None:
        """Count a response without rate-limit headers, from a server that sends them with other responses."""
        if self._remaining is not None:
            self._remaining = max(0, self._remaining - 1)
        elif self._told:
            self._remaining = max(0, (self._limit or DOCUMENTED_REQUESTS_PER_MINUTE) - 1)
