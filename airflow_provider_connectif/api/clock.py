"""The clock that every wait uses. Tests pass a clock of their own, whose hours take milliseconds."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Reads the time and waits."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward."""

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait for some seconds, or until the condition is notified; the caller holds its lock."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that only goes forward."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for some seconds."""
        # The one place that sleeps: every other one calls this method of a clock that it was given.
        time.sleep(seconds)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Wait for some seconds, or until the condition is notified; the caller holds its lock."""
        condition.wait(seconds)


SYSTEM_CLOCK = SystemClock()
