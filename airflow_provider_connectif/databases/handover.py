"""Passes batches from the thread that reads a query to the task's thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

_POLL_S = 0.25  # the time in which a stop or the time limit is noticed
END = object()
"""The mark after the last batch."""


class Handover:
    """Passes batches from the reading thread to the task's thread, and after the last one the result of reading.

    It is a context manager around the reading. Any error that ends the reading, even ``SystemExit`` from a driver, is
    passed on, so that it ends the run in the task's thread.
    """

    def __init__(self) -> None:
        self._items: queue.Queue[Any] = queue.Queue(maxsize=1)
        self._is_over = threading.Event()

    def __enter__(self) -> Handover:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.put(END if error is None else error)
        return True

    def put(self, item: Any, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Pass a batch or the end; return ``False`` if no reader is waiting any more.

        :param meanwhile: called several times a second while the task's thread processes the previous batch.
        """
        while not self._is_over.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=_POLL_S)
                return True
            meanwhile()
        return False

    def get(self) -> Any:
        """Return the next batch; after the last one, :data:`END`, or the error that ended the reading, unraised.

        ``None``: nothing arrived within a quarter of a second.
        """
        with suppress(queue.Empty):
            return self._items.get(timeout=_POLL_S)
        return None

    def close(self) -> None:
        """Note that the task's thread no longer waits: :meth:`put` then returns ``False``."""
        self._is_over.set()
