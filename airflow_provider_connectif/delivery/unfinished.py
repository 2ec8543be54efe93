"""The changes of a delivery that have no outcome, for the next process and for the journal."""

from __future__ import annotations

import threading

from airflow_provider_connectif.delivery.doubts import DoubtGate
from airflow_provider_connectif.delivery.open_requests import OpenRequests
from airflow_provider_connectif.delivery.sending_queue import SendingQueue
from airflow_provider_connectif.records.changes import Patch


class Unfinished:
    """Lists changes without an outcome; safe to call from any thread.

    :param lock: the lock of the delivery.
    :param queue: the queue of the delivery.
    :param open_requests: the requests in flight.
    :param gate: where changes wait until the journal has recorded them.
    :param is_idempotent: whether sending a change twice is harmless.
    """

    def __init__(
        self,
        lock: threading.Condition,
        queue: SendingQueue,
        open_requests: OpenRequests,
        gate: DoubtGate,
        *,
        is_idempotent: bool,
    ) -> None:
        self._lock = lock
        self._queue = queue
        self._open = open_requests
        self._gate = gate
        self._is_idempotent = is_idempotent

    def unsent(self) -> list[Patch]:
        """Return the patches that were queued but not settled when the run ended early, in their order."""
        with self._lock:
            return self._queue.unsent()

    def only_recorded(self) -> list[Patch]:
        """Return the patches that the journal has recorded as in doubt although no request for them was sent."""
        with self._lock:
            return self._queue.only_recorded() if self._is_idempotent else []

    def unanswered(self) -> list[Patch]:
        """Return the patches that are or were in flight without a response that shows their outcome."""
        with self._lock:
            # A change that is not idempotent is sent again only if it was not carried out.
            return self._open.changes() + (self._queue.sent_before() if self._is_idempotent else [])

    @property
    def is_any_begun(self) -> bool:
        """Whether a request was sent for a change without an outcome."""
        with self._lock:
            return bool(self._open.changes()) or self._queue.is_any_begun

    def busy_since(self) -> float | None:
        """Return the oldest time of a reading of the suppression list that counts for a request in flight or to come.

        ``None``: no such reading counts. In seconds on a clock that only goes forward.
        """
        with self._lock:
            since = (self._open.busy_since(), self._gate.busy_since())
        return min((at for at in since if at is not None), default=None)
