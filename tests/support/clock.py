"""A clock for tests: its time passes while everybody waits, so that a minute takes a few milliseconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_GLANCE_S = 0.0005  # real seconds in which a thread that waits lets others run


class FakeClock:
    """Its time passes by what its waiting threads wait for, the earliest moment first.

    :param start: seconds since the epoch.
    """

    def __init__(self, start: float = 1_750_000_000.0) -> None:
        self._start = start
        self._passed = 0.0
        self._lock = threading.Lock()
        self._wakes_at: list[float] = []
        self._held = 0
        self.slept: list[float] = []
        """What :meth:`sleep` was called with."""

    def now(self) -> float:
        return self._start + self._passed

    def monotonic(self) -> float:
        return self._passed

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        condition = threading.Condition()
        with condition:
            self.wait(condition, seconds)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        wakes_at = self._passed + seconds
        with self._lock:
            self._wakes_at.append(wakes_at)
        try:
            while self._passed < wakes_at and not condition.wait(_GLANCE_S):
                self._pass(wakes_at)
        finally:
            with self._lock:
                self._wakes_at.remove(wakes_at)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._passed += seconds

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop the time, as during a request that takes none."""
        with self._lock:
            self._held += 1
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1

    def _pass(self, to: float) -> None:
        with self._lock:
            if not self._held and to == min(self._wakes_at):
                self._passed = max(self._passed, to)
