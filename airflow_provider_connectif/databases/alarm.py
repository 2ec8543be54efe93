"""An error after so many seconds, also out of code that waits, as Airflow's ``execution_timeout`` does it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SOON_S = 0.001  # zero would switch the timer off


@contextmanager
def alarm(seconds: float, error: Callable[[], Exception]) -> Iterator[None]:
    """Raise an error inside the block when its time is over.

    Only in the main thread, which alone gets signals. There is one timer in a process: where ``execution_timeout``
    ends sooner, it stays as it is, and otherwise it goes on behind the block.

    :param seconds: from now; forever where they are infinite.
    :param error: makes what is raised.
    """
    if threading.current_thread() is not threading.main_thread() or seconds == float("inf"):
        yield
        return
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    if 0.0 < left <= seconds:
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise error()

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(_SOON_S, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(_SOON_S, left - (time.monotonic() - began)))
