"""Batches on their way from the thread that reads a query to the task's thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

_POLL_S = 0.25  # how soon a stop, and the end of the time, is noticed
END = object()
"""What stands behind the last batch."""


class Handover:
    """Hands batches from the thread that reads to the task's thread, and behind the last one how reading ended.

    A context manager around the reading: whatever ends it, even ``SystemExit`` out of a driver, ends the run in the
    task's thread.
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
        """Hand over a batch or the end; ``False`` when no reader is waiting any more.

        :param meanwhile: called several times a second while the task's thread works at the batch before.
        """
        while not self._is_over.is_set():
            with suppress(queue.Full):
                self._items.put(item, timeout=_POLL_S)
                return True
            meanwhile()
        return False

    def get(self) -> Any:
        """What was put, or ``None`` where nothing was within a moment."""
        with suppress(queue.Empty):
            return self._items.get(timeout=_POLL_S)
        return None

    def close(self) -> None:
        """The task's thread waits no more."""
        self._is_over.set()
