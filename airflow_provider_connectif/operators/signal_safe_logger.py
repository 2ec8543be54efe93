"""What a signal handler has to say, said in another thread."""

from __future__ import annotations

import threading
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_connectif.reporting.folding import Log


class SignalSafeLogger:
    """Logs for a signal handler, which must not do it itself.

    The thread that it interrupts may be writing a line, and hold a lock of the log: the handler would wait for ever.

    :param log: where it is told.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._words: SimpleQueue[str | None] = SimpleQueue()  # its put() is reentrant
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._tell,), name="connectif-signal-log", daemon=True
        )
        self._thread.start()

    def say(self, words: str) -> None:
        """Have it logged as a warning; safe in a signal handler."""
        self._words.put(words)

    def close(self) -> None:
        """Wait until all that was said is logged; nothing more can be said. May be called again."""
        self._words.put(None)
        self._thread.join()

    def _tell(self) -> None:
        while (words := self._words.get()) is not None:
            self._log.warning("%s", words)
