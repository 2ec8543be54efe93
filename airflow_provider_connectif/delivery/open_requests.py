"""Requests on their way, and responses that are not written down yet."""

from __future__ import annotations

from airflow_provider_connectif.delivery.sending_queue import Job
from airflow_provider_connectif.records.changes import Patch


class OpenRequests:
    """All calls are made with the lock of the delivery.

    :param most_unwritten: how many responses may be collected and not written down. ``None``: any number.
    :param max_in_flight: requests at once.
    """

    def __init__(self, most_unwritten: int | None, max_in_flight: int) -> None:
        self._limit = None if most_unwritten is None else most_unwritten + max_in_flight
        self._in_flight: dict[int, Job] = {}
        self._lost: list[Patch] = []  # with a thread that a fault of ours has ended
        self.unwritten = 0
        """Responses that were collected and are not written down."""

    def begin(self, job: Job) -> None:
        """A request for a job goes."""
        self._in_flight[id(job)] = job

    def end(self, job: Job) -> None:
        """The request for a job has ended, with or without a response."""
        del self._in_flight[id(job)]
        job.checked_at = None

    def busy_since(self) -> float | None:
        """When the suppression list was asked before the oldest request on its way; ``None``: there is none."""
        asked = (job.checked_at for job in self._in_flight.values())
        return min((at for at in asked if at is not None), default=None)

    def lose(self, job: Job | None) -> None:
        """The thread that sent a job has ended; nobody knows what became of its request."""
        if job is not None and self._in_flight.pop(id(job), None) is not None:
            self._lost.append(job.whole)

    def __bool__(self) -> bool:
        """Whether a request is on its way."""
        return bool(self._in_flight)

    def changes(self) -> list[Patch]:
        """The changes that are on their way, or were when their thread ended."""
        return [*(job.whole for job in self._in_flight.values()), *self._lost]

    def is_behind_with_writing(self, settled: int) -> bool:
        """Whether as many responses as may be lost at once are on their way or not written down.

        :param settled: responses that nobody has collected yet.
        """
        return self._limit is not None and len(self._in_flight) + settled + self.unwritten >= self._limit
