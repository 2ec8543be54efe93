"""Keeps track of requests in flight, and of responses that are not recorded yet."""

from __future__ import annotations

from airflow_provider_connectif.delivery.jobs import Job
from airflow_provider_connectif.records.changes import Patch


class OpenRequests:
    """The requests in flight. A caller must have the delivery's lock.

    :param most_unwritten: the most responses that may be collected but not recorded. ``None``: any number.
    :param max_in_flight: the most requests at once; they do not use up ``most_unwritten``.
    """

    def __init__(self, most_unwritten: int | None, max_in_flight: int) -> None:
        self._limit = None if most_unwritten is None else most_unwritten + max_in_flight
        self._in_flight: dict[int, Job] = {}
        self._lost: list[Patch] = []  # the changes whose threads an error has ended
        self.unwritten = 0
        """Number of responses that were collected but are not recorded."""

    def begin(self, job: Job) -> None:
        """Note that a request for a job is sent."""
        self._in_flight[id(job)] = job

    def end(self, job: Job) -> None:
        """Note that the request for a job has ended, with or without a response."""
        del self._in_flight[id(job)]
        job.checked_at = None

    def busy_since(self) -> float | None:
        """Return the time when the suppression list was read for the oldest request in flight; ``None``: none is."""
        asked = (job.checked_at for job in self._in_flight.values())
        return min((at for at in asked if at is not None), default=None)

    def lose(self, job: Job | None) -> None:
        """Note that the thread that sent a job has ended, so that the result of its request is not known."""
        if job is not None and self._in_flight.pop(id(job), None) is not None:
            self._lost.append(job.whole)

    def __bool__(self) -> bool:
        """Whether a request is in flight."""
        return bool(self._in_flight)

    def changes(self) -> list[Patch]:
        """Return the changes that are in flight, or were when their thread ended."""
        return [*(job.whole for job in self._in_flight.values()), *self._lost]

    def is_behind_with_writing(self, settled: int) -> bool:
        """Whether the limit of requests in flight and unrecorded responses is reached.

        :param settled: number of responses that are not collected yet.
        """
        return self._limit is not None and len(self._in_flight) + settled + self.unwritten >= self._limit
