"""The account's allowance of requests, shared by all threads of a task.

Tasks and integrations need no service to share it: the server's own headers are the shared state. The rules are in
:mod:`airflow_provider_connectif.api.window`; this module makes threads wait.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.api.rate_headers import NO_SIGNAL, RateSignal
from airflow_provider_connectif.api.window import WINDOW_S, Allowance, Cause, RequestWindow

_POLL_S = 0.25  # the time in which a waiting thread notices that the run was stopped


@dataclass(frozen=True)
class Wait:
    """A wait of requests until a point in time.

    :param until: seconds since the epoch.
    :param cause: its reason.
    """

    until: float
    cause: Cause


class Quota:
    """Paces requests.

    :param requests_per_minute: a cap below the account's own, to leave room for other integrations. If the server sends
        no headers, it is also the assumed allowance. Default: no cap, and 100 without headers.
    :param clock: the clock that waiting threads use.
    """

    def __init__(self, requests_per_minute: int | None = None, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._window = RequestWindow(requests_per_minute)
        self._changed = threading.Condition()
        self._closed = False
        self._reserved = threading.local()
        self._waiting_threads = 0
        self._waiting_since = 0.0
        self._waited = 0.0
        self._wait: Wait | None = None
        self.while_waiting: Callable[[], None] = lambda: None
        """Called several times a second by each thread that waits for a window, in that thread; must be quick."""
        self.requests = 0
        self.rate_limited = 0
        self.reserved = 0
        """Number of requests that threads have reserved and may send at once, see :meth:`reserve`."""

    def acquire(self) -> float:
        """Wait until one request may be sent.

        :return: the time of sending, to be passed to :meth:`release`.
        :raises RunStopped: the quota was closed, before or while waiting.
        """
        reserved: float | None = getattr(self._reserved, "sent_at", None)
        if reserved is not None and not self._closed:
            self._take_reserved()
            return reserved
        self.give_back()
        with self._changed:
            held_back = False
            try:
                while True:
                    if self._closed:
                        raise RunStopped("the run was asked to stop")
                    now = self._clock.monotonic()
                    permit = self._window.next_permit(now)
                    if permit.at <= now:
                        self.requests += 1
                        # A signal handler may close the quota at any time. A request that is counted before the last
                        # check is in the summary, which is made after the quota is closed.
                        if self._closed:
                            self.requests -= 1
                            raise RunStopped("the run was asked to stop")
                        self._window.note_sent(now)
                        return now
                    if permit.cause is not None:
                        self._wait = Wait(self._clock.now() + permit.at - now, permit.cause)
                    if (permit.cause is not None) != held_back:
                        held_back = permit.cause is not None
                        self._count_waiting(held_back, now)
                    if held_back:
                        self.while_waiting()
                    self._clock.wait(self._changed, min(permit.at - now, _POLL_S))
            finally:
                if held_back:
                    self._count_waiting(False, self._clock.monotonic())

    def delay_s(self) -> float:
        """Return the seconds until :meth:`acquire` returns without a wait; infinity: first a response must arrive.

        A caller that is the only user of the quota can wait without blocking a thread.
        """
        with self._changed:
            now = self._clock.monotonic()
            return max(0.0, self._window.next_permit(now).at - now)

    def free(self) -> int:
        """Return the number of requests that may be sent now without waiting, as far as is known."""
        with self._changed:
            return self._window.free(self._clock.monotonic())

    def reserve(self) -> None:
        """Wait until one request may be sent; this thread's next :meth:`acquire` then returns at once.

        :raises RunStopped: as :meth:`acquire`.
        """
        self._reserved.sent_at = self.acquire()
        with self._changed:
            self.reserved += 1

    def give_back(self) -> None:
        """Give up this thread's reservation if it has one: it sends no request."""
        sent_at: float | None = getattr(self._reserved, "sent_at", None)
        if sent_at is not None:
            self._take_reserved()
            with self._changed:
                self.requests -= 1
            self.release(sent_at, None)

    def release(self, sent_at: float, signal: RateSignal | None, *, refused: bool = False) -> None:
        """Report the result of a request.

        :param sent_at: the result of :meth:`acquire`.
        :param signal: the rate-limit headers of the response; ``None`` if there was no response.
        :param refused: whether the response was 429.
        """
        with self._changed:
            now = self._clock.monotonic()
            if refused:
                self.rate_limited += 1
                self._window.refused(signal or NO_SIGNAL, now, jitter=random.random())
            elif signal is None:
                self._window.unanswered(now)
            else:
                self._window.answered(signal, sent_at, now)
            self._changed.notify_all()

    def remember(self, until: float) -> dict[str, Any]:
        """Return the state that a later process needs to stay within the same allowance; JSON-ready.

        :param until: when that process may send, in seconds since the epoch.
        """
        with self._changed:
            ahead = self._clock.now() - self._clock.monotonic()
            answered_at = [round(at + ahead, 3) for at in self._window.answered_at]
            closes_at = self._window.closes_at
            return {
                "until": until,
                "answered_at": answered_at,
                "limit": self._window.limit,
                "window_s": self._window.window_s,
                "closes_at": None if closes_at is None else round(closes_at + ahead, 3),
            }

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """Continue with the state of an earlier process; see :meth:`remember`."""
        with self._changed:
            ahead = self._clock.now() - self._clock.monotonic()
            answered_at = [at - ahead for at in remembered["answered_at"]]
            # States of earlier versions have no window.
            window_s, closes_at = remembered.get("window_s", WINDOW_S), remembered.get("closes_at")
            closed_at = -math.inf if closes_at is None else closes_at - ahead
            self._window.recall(remembered["limit"], remembered["until"] - ahead, answered_at, window_s, closed_at)

    def close(self) -> None:
        """Allow no further request. It takes no lock, so that a signal handler may call it."""
        self._closed = True

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called: the run must stop."""
        return self._closed

    @property
    def requests_per_minute(self) -> int:
        """The number of requests a minute that a run can rely on, as far as is known."""
        return self._window.requests_per_minute

    @property
    def allowance(self) -> Allowance:
        """The tightest limit on requests, as far as is known: the account's window, or the connection's cap."""
        return self._window.allowance

    @property
    def seen(self) -> Allowance | None:
        """The account's window as responses have shown it; ``None`` until one window has followed another."""
        return self._window.seen

    def expect(self, allowance: Allowance) -> None:
        """Use an earlier run's window for forecasts, until responses show another one. It paces nothing."""
        with self._changed:
            self._window.expect(allowance)

    @property
    def waited_s(self) -> float:
        """Seconds in which at least one request waited for a window. Waits at the same time count once."""
        running = self._clock.monotonic() - self._waiting_since if self._waiting_threads else 0.0
        return self._waited + running

    @property
    def wait(self) -> Wait | None:
        """The current wait of requests; ``None``: no request waits for a window."""
        return self._wait if self._waiting_threads else None

    def _take_reserved(self) -> None:
        self._reserved.sent_at = None
        with self._changed:
            self.reserved -= 1

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
