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
"""The number of windows whose counts are kept one by one. Earlier windows are kept as a sum."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """The window at one moment.

    ``reset_in_s``: seconds until the window ends; 0.0: no window is open. ``reset_epoch``: the end in seconds since the
    epoch; now, if no window is open. ``refused``: whether the request that was just counted exceeded the limit.
    """

    limit: int
    remaining: int
    reset_in_s: float
    reset_epoch: int
    refused: bool = False


@dataclass(slots=True)
class WindowUse:
    """The numbers of requests in one window, or in several windows together.

    ``opened_epoch``: the time when the first of them was opened. ``used``: requests within the limit. ``refused``:
    requests beyond the limit.
    """

    opened_epoch: float
    used: int = 0
    refused: int = 0


class RateWindow:
    """A fixed window of ``limit`` requests in ``seconds``; a limit of 0 means no limit.

    A window starts with the first request after the previous window has ended. Documented: a window is one minute, for
    the whole account and all methods. Assumption: the window is fixed and not sliding.

    ``latest``: the last 60 windows that had a request, the oldest first. ``earlier``: the sum of all windows before
    them. ``earlier_count``: the number of these earlier windows.
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
        """Count one request, and return the window after it."""
        now = self._monotonic()
        if now >= self._ends_at:
            self._used = 0
            self._ends_at = now + self.seconds
            # Rounded up once for the window: all its responses then have the same second, and no response has one
            # before the real end.
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
        """Remove all windows. The next request opens a new one."""
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
"""The possible rate-limit headers of responses, by name. The evidence on Connectif's real headers is ambiguous.

``x-epoch``: X-RateLimit-Limit, -Remaining and -Reset; the reset is in seconds since the epoch. ``seconds``:
RateLimit-Limit, -Remaining and -Reset; the reset is in seconds from now. ``retry-after``, ``retry-after-date``: only
Retry-After, and only on a 429; in seconds, or as a date. ``none``: no headers.
"""
