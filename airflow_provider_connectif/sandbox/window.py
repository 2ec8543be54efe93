"""The account's rate window and the response headers that describe it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate

Headers = dict[str, str]

KEPT_WINDOWS = 60
"""The number of windows that are kept one by one."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """The window at one moment. ``reset_in_s`` is 0.0 and ``reset_epoch`` is now while no window is open.

    ``refused``: whether the request of this state exceeded the limit.
    """

    limit: int
    remaining: int
    reset_in_s: float
    reset_epoch: int
    refused: bool = False


@dataclass(slots=True)
class WindowUse:
    """The numbers of requests that one window, or several together, let pass and refused.

    ``opened_epoch``: when the first of them was opened.
    """

    opened_epoch: float
    used: int = 0
    refused: int = 0


class RateWindow:
    """A fixed window of ``limit`` requests in ``seconds``; 0 means no limit.

    A window starts with the first request after the previous one ended. That the window is fixed and not
    sliding is an assumption; that it is one minute for the whole account and all methods is documented.

    ``latest`` are the last 60 windows in which a request came, the oldest first; ``earlier`` are all before them
    together, ``earlier_count`` of them.
    """

    def __init__(
        self,
        limit: int,
        seconds: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.limit = limit
        self.seconds = seconds
        self._monotonic = monotonic
        self._wall_clock = wall_clock
        self._used = 0
        self._ends_at = -math.inf
        self._ends_at_epoch = 0
        self.latest: deque[WindowUse] = deque()
        self.earlier = WindowUse(0.0)
        self.earlier_count = 0

    def take(self) -> WindowState:
        """Count one request, and return the window including it."""
        now = self._monotonic()
        if now >= self._ends_at:
            self._used = 0
            self._ends_at = now + self.seconds
            # Rounded up once, so that every response of a window names the same second and none names one too
            # early.
            self._ends_at_epoch = math.ceil(self._wall_clock() + self.seconds)
            self._open()
        refused = bool(self.limit) and self._used >= self.limit
        if refused:
            self.latest[-1].refused += 1
        else:
            self._used += 1
            self.latest[-1].used = self._used
        return self._state(now, refused=refused)

    def peek(self) -> WindowState:
        """Return the window without counting a request."""
        return self._state(self._monotonic(), refused=False)

    def clear(self) -> None:
        """Forget all windows: the next request opens a new one."""
        self._used = 0
        self._ends_at = -math.inf
        self.latest.clear()
        self.earlier = WindowUse(0.0)
        self.earlier_count = 0

    def _open(self) -> None:
        self.latest.append(WindowUse(self._wall_clock()))
        if len(self.latest) > KEPT_WINDOWS:
            oldest = self.latest.popleft()
            first = self.earlier.opened_epoch or oldest.opened_epoch
            self.earlier = WindowUse(first, self.earlier.used + oldest.used, self.earlier.refused + oldest.refused)
            self.earlier_count += 1

    def _state(self, now: float, *, refused: bool) -> WindowState:
        if not self.limit or now >= self._ends_at:
            return WindowState(self.limit, self.limit, 0.0, math.ceil(self._wall_clock()))
        remaining = max(0, self.limit - self._used)
        return WindowState(self.limit, remaining, self._ends_at - now, self._ends_at_epoch, refused)


def _x_epoch(state: WindowState) -> Headers:
    return {
        "X-RateLimit-Limit": str(state.limit),
        "X-RateLimit-Remaining": str(state.remaining),
        "X-RateLimit-Reset": str(state.reset_epoch),
    }


def _seconds(state: WindowState) -> Headers:
    return {
        "RateLimit-Limit": str(state.limit),
        "RateLimit-Remaining": str(state.remaining),
        "RateLimit-Reset": str(math.ceil(state.reset_in_s)),
    }


def _none(state: WindowState) -> Headers:
    return {}


def _retry_after(state: WindowState) -> Headers:
    return {"Retry-After": str(max(1, math.ceil(state.reset_in_s)))} if state.refused else {}


def _retry_after_date(state: WindowState) -> Headers:
    return {"Retry-After": formatdate(state.reset_epoch, usegmt=True)} if state.refused else {}


HEADER_STYLES: Mapping[str, Callable[[WindowState], Headers]] = {
    "x-epoch": _x_epoch,
    "seconds": _seconds,
    "none": _none,
    "retry-after": _retry_after,
    "retry-after-date": _retry_after_date,
}
"""The ways to announce the window to a client; the evidence on the real headers is ambiguous.

``x-epoch``: X-RateLimit-Limit, -Remaining and -Reset, the reset as epoch seconds. ``seconds``: the same names
without the X, the reset as seconds from now. ``retry-after``, ``retry-after-date``: only Retry-After, on a
429. ``none``.
"""
