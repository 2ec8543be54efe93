"""Logs the messages of a signal handler in another thread."""

from __future__ import annotations

import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_connectif.reporting.folding import Log


class SignalSafeLogger:
    """Logs the messages of a signal handler in a thread of its own.

    A signal handler must not log: the thread that it interrupts may hold a lock of the log, and the handler would wait
    for this lock forever.

    :param log: receives the messages.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._words: SimpleQueue[str | None] = SimpleQueue()  # its put() is reentrant
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._tell,), name="connectif-signal-log", daemon=True
        )
        self._thread.start()

    def say(self, words: str) -> None:
        """Log a warning; safe in a signal handler."""
        self._words.put(words)

    def close(self) -> None:
        """Wait until all messages are logged. Later messages are not logged. It may be called again."""
        self._words.put(None)
        self._thread.join()

    def _tell(self) -> None:
        while (words := self._words.get()) is not None:
            self._log.warning("%s", words)
