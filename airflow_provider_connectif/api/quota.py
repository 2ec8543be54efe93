"""The account's allowance of requests, as this process knows it.

Connectif allows 100 requests a minute for a whole account, all keys and integrations together (help centre,
article 360014605220). No service is needed to share it: the server's own headers are the shared state.

Two gates hold a request back. The *window* gate believes the server: what it says is left, less what is on
its way. The *pace* gate counts this process's own requests over any 60 seconds: it holds the connection's
``requests_per_minute`` and, as long as the server has told nothing, the documented 100.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.api.rate_headers import NO_SIGNAL, RateSignal

DOCUMENTED_REQUESTS_PER_MINUTE = 100
WINDOW_S = 60.0
_POLL_S = 0.25  # how soon a waiting thread notices that the run was stopped
_PROBE_PATIENCE_S = 2.0  # a probe that hangs must not hold back the others for its whole timeout
_EARLY_S = 0.02  # never leave exactly at the edge of a window
_WHOLE_SECOND_S = 1.0  # what a reset told in whole seconds can be short by
_SAME_WINDOW_S = {True: 1.1, False: 0.2}  # two tellings of one reset, in whole seconds or not


@dataclass(frozen=True)
class Wait:
    """Requests are held back until a point in time.

    :param until: seconds since the epoch.
    :param refused: the server said 429, rather than that nothing was left.
    """

    until: float
    refused: bool


@dataclass(frozen=True)
class Permit:
    """Leave to send one request; to be given back with :meth:`Quota.release`."""

    probe: bool


class Quota:
    """Paces requests; shared by all threads of a task.

    The first request of each window goes alone: its answer tells whether the window is open and what is left
    of it, so that a window misjudged by a moment costs one 429 and not one for each thread.

    :param requests_per_minute: a cap below the account's own, to leave room for other integrations. Where the
        server sends no headers it is also taken as the allowance. Default: none, and 100 without headers.
    """

    def __init__(
        self,
        requests_per_minute: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._cap = requests_per_minute
        self._clock = clock
        self._wall_clock = wall_clock
        self._changed = threading.Condition()
        self._closed = False
        self._sent: deque[float] = deque()
        self._in_flight = 0
        self._told = False
        self._limit: int | None = None
        self._window_opened_at = clock()
        self._remaining: int | None = None
        self._reset_at: float | None = None
        self._blocked_until = -math.inf
        self._refused = False
        self._probing = True
        self._probe_left_at = -math.inf
        self._margin = _EARLY_S
        self._waiting_threads = 0
        self._waiting_since = 0.0
        self._waited = 0.0
        self._wait: Wait | None = None
        self.requests = 0
        self.rate_limited = 0

    def acquire(self) -> Permit:
        """Wait for leave to send one request.

        :raises QuotaClosed: the quota was closed, before or while waiting.
        """
        with self._changed:
            held_back = False
            try:
                while True:
                    if self._closed:
                        raise QuotaClosed("the run was told to stop")
                    now = self._clock()
                    free_at, for_window = self._free_at(now)
                    if free_at <= now:
                        return self._leave(now)
                    if for_window:
                        self._wait = Wait(self._wall_clock() + free_at - now, self._refused)
                    if for_window != held_back:
                        held_back = for_window
                        self._count_waiting(held_back, now)
                    self._changed.wait(min(free_at - now, _POLL_S))
            finally:
                if held_back:
                    self._count_waiting(False, self._clock())

    def release(self, permit: Permit, signal: RateSignal | None, *, refused: bool = False) -> None:
        """Tell what became of a request.

        :param permit: what :meth:`acquire` gave.
        :param signal: what the answer's headers said; ``None`` where there was no answer.
        :param refused: the answer was 429.
        """
        with self._changed:
            now = self._clock()
            self._in_flight -= 1
            if permit.probe:
                self._probe_left_at = -math.inf
            if refused:
                self._learn_refusal(signal or NO_SIGNAL, now)
            elif signal is not None:
                self._learn(signal, now)
                if now >= self._blocked_until:
                    self._probing = False
                    self._refused = False
            self._changed.notify_all()

    def close(self) -> None:
        """Let no further request go. Takes no lock, so that a signal handler may call it."""
        self._closed = True

    @property
    def waited_s(self) -> float:
        """Seconds in which at least one request was held back by a window, overlaps counted once."""
        running = self._clock() - self._waiting_since if self._waiting_threads else 0.0
        return self._waited + running

    @property
    def wait(self) -> Wait | None:
        """What requests are waiting for at this moment, if they are."""
        return self._wait if self._waiting_threads else None

    @property
    def allowance_per_minute(self) -> int:
        """Requests a minute that can be counted on, as far as is known."""
        if self._limit is None:
            return self._cap or DOCUMENTED_REQUESTS_PER_MINUTE
        return min(self._limit, self._cap or self._limit)

    def _free_at(self, now: float) -> tuple[float, bool]:
        """When the next request may leave, and whether it is a window that holds it back.

        Infinity: not before another answer has arrived.
        """
        if now < self._blocked_until:
            return self._blocked_until, True
        if self._reset_at is not None and now >= self._reset_at + self._margin:
            self._open_window()
        paced = self._pace_free_at(now)
        if paced > now:
            return paced, True
        if self._probing:
            return (now if now >= self._probe_left_at + _PROBE_PATIENCE_S else math.inf), False
        if self._remaining is None or self._remaining > self._in_flight:
            return now, False
        if self._remaining > 0:
            return math.inf, False
        closes = self._reset_at if self._reset_at is not None else self._window_opened_at + WINDOW_S
        if closes + self._margin <= now:
            self._open_window()
            return now, False
        return closes + self._margin, True

    def _pace_free_at(self, now: float) -> float:
        pace = self._cap if self._cap is not None else None if self._told else DOCUMENTED_REQUESTS_PER_MINUTE
        if pace is None:
            self._sent.clear()
            return now
        while self._sent and self._sent[0] <= now - WINDOW_S:
            self._sent.popleft()
        return now if len(self._sent) < pace else self._sent[len(self._sent) - pace] + WINDOW_S

    def _open_window(self) -> None:
        self._remaining = None
        self._reset_at = None
        self._probing = True
        self._probe_left_at = -math.inf

    def _leave(self, now: float) -> Permit:
        self._sent.append(now)
        self._in_flight += 1
        self.requests += 1
        if self._probing:
            self._probe_left_at = self._window_opened_at = now
        return Permit(probe=self._probing)

    def _learn(self, signal: RateSignal, now: float) -> None:
        if signal.limit is not None:
            self._limit = signal.limit
        if signal.remaining is None:
            self._count_untold()
            return
        self._told = True
        told_reset = None if signal.reset_after is None else now + signal.reset_after
        if self._remaining is None:
            self._remaining, self._reset_at = signal.remaining, told_reset
            return
        if told_reset is not None and self._reset_at is not None:
            tolerance = _SAME_WINDOW_S[signal.reset_is_whole]
            if told_reset > self._reset_at + tolerance:  # a window that opened earlier than was said
                self._remaining, self._reset_at = signal.remaining, told_reset
                return
            if told_reset < self._reset_at - tolerance:  # a late answer out of a window that is gone
                return
        self._remaining = min(self._remaining, signal.remaining)
        if told_reset is not None:
            # Of several tellings in whole seconds the latest one comes closest to the truth from below.
            self._reset_at = told_reset if self._reset_at is None else max(self._reset_at, told_reset)

    def _count_untold(self) -> None:
        """An answer without headers, from a server that does send them on others."""
        if self._remaining is not None:
            self._remaining = max(0, self._remaining - 1)
        elif self._told:
            self._remaining = max(0, (self._limit or DOCUMENTED_REQUESTS_PER_MINUTE) - 1)

    def _learn_refusal(self, signal: RateSignal, now: float) -> None:
        self.rate_limited += 1
        if signal.limit is not None:
            self._limit = signal.limit
        told = signal.retry_after if signal.retry_after is not None else signal.reset_after
        if told is None:
            wait = WINDOW_S + random.uniform(0.0, 1.0)
        else:
            whole = signal.reset_is_whole if signal.retry_after is None else told == int(told)
            if whole and told < _WHOLE_SECOND_S:
                # Refused, and yet nothing to wait for: the server rounds its seconds down.
                self._margin = _WHOLE_SECOND_S
            wait = told + (self._margin if whole else _EARLY_S)
        self._blocked_until = max(self._blocked_until, now + wait)
        self._refused = True
        self._open_window()

    def _count_waiting(self, begins: bool, now: float) -> None:
        if begins:
            if self._waiting_threads == 0:
                self._waiting_since = now
            self._waiting_threads += 1
            return
        self._waiting_threads -= 1
        if self._waiting_threads == 0:
            self._waited += now - self._waiting_since
            self._wait = None
