"""Raises an error after a time limit, also in code that waits: by a signal, like Airflow's ``execution_timeout``."""

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
    """Raise an error inside the block when its time has passed.

    It works only in the main thread, since no other thread receives signals; elsewhere there is no limit. A process has
    one timer, which ``execution_timeout`` may use. If that ends sooner, the timer stays unchanged; otherwise it
    continues after the block.

    :param seconds: the time in seconds, from now; infinite: no limit.
    :param error: creates the error.
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
