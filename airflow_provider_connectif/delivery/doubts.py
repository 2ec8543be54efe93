"""Records changes in the journal before they are sent: until their responses arrive, they are in doubt."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.delivery.sending_queue import Job, SendingQueue
from airflow_provider_connectif.records.changes import Patch

MOST_WRITTEN_AHEAD = 50
"""The most changes that are recorded but not sent yet: after a kill, so many changes are in doubt that were never
sent."""


class Doubts(Protocol):
    """Records which changes are in flight, and knows which people are suppressed."""

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        """Return the indexes of changes whose people are suppressed."""

    def begin(self, patches: Sequence[Patch]) -> None:
        """Record changes that are about to be sent: until their responses arrive, they are in doubt."""

    def withdraw(self, patches: Sequence[Patch]) -> None:
        """Remove the record of changes that were not carried out and wait to be sent again."""


def is_in_doubt_once_sent(patch: Patch) -> bool:
    """Whether the journal has a line of this change, and its next request writes."""
    return not (patch.looks_up or patch.is_new or patch.digests is None)


class DoubtGate:
    """The gate at which sending threads wait until the submitting thread has recorded their changes.

    A write costs about as much as a request. So the next changes are recorded together, as many as the rate limit
    allows at this moment, at most :data:`MOST_WRITTEN_AHEAD`. Further changes are recorded as soon as one of the next
    ``max_in_flight`` is not: otherwise each thread would find such a change, and cause a write.

    :param queue: of the next changes; ``None``: a change that was not sent must not be in doubt.
    :param work_there: condition for the sending threads.
    :param progress: condition for the submitting thread, with the same lock.
    :param quota: of the client.
    :param clock: of the wait.
    :param max_in_flight: requests at once.
    """

    def __init__(
        self,
        queue: SendingQueue | None,
        work_there: threading.Condition,
        progress: threading.Condition,
        quota: Quota,
        clock: Clock,
        *,
        max_in_flight: int,
    ) -> None:
        self._queue = queue
        self._fewest_ahead = min(max_in_flight, MOST_WRITTEN_AHEAD // 2)
        self._clock = clock
        self._work_there = work_there
        self._progress = progress
        self._quota = quota
        self._about_to_go: list[Job] = []
        self._not_carried_out: list[Patch] = []
        self._is_closed = False

    @property
    def is_waited_at(self) -> bool:
        """Whether a thread waits for :meth:`write`."""
        return bool(self._about_to_go)

    def close(self) -> None:
        """Close the gate; takes no lock."""
        self._is_closed = True

    def wait(self, job: Job, poll_s: float, *, is_to_be_written_down: bool = True) -> bool:
        """Wait until a job may be sent and is recorded; called by the thread that sends it.

        :param poll_s: the time in which a stop is noticed.
        :param is_to_be_written_down: ``False``: only check the suppression list.
        :return: whether it may be sent.
        :raises QuotaClosed: the run must stop; it must not be sent.
        """
        # Only with a permit: a change that waits for a window is not in doubt if the process is killed.
        self._quota.reserve()
        with self._progress:
            job.is_to_go, job.is_to_be_written_down = False, is_to_be_written_down
            self._about_to_go.append(job)
            self._progress.notify()
            while not (job.is_to_go or job.is_suppressed or self._is_over):
                self._clock.wait(self._work_there, poll_s)
            if job.is_suppressed:
                self._quota.give_back()
                return False
            if not job.is_to_go or self._is_over:
                self._about_to_go = [other for other in self._about_to_go if other is not job]
                self._quota.give_back()
                raise QuotaClosed("the run was asked to stop")
        return True

    def put_off(self, job: Job) -> None:
        """Note that a job was not carried out and waits to be sent again; needs the lock."""
        if job.is_written_down:
            job.is_written_down = False
            self._not_carried_out.append(job.patch)

    def write(self, doubts: Doubts | None) -> None:
        """Record the waiting changes, and release them; called by the submitting thread.

        :param doubts: records them; ``None``: nothing is recorded.
        """
        with self._progress:
            waiting, self._about_to_go = self._about_to_go, []
            withdrawn, self._not_carried_out = self._not_carried_out, []
            ahead = self._ahead(waiting) if waiting and doubts is not None else []
        if withdrawn and doubts is not None:
            doubts.withdraw(withdrawn)
        if not waiting:
            return
        written: list[Job] = []
        suppressed: set[int] = set()
        if doubts is not None:
            now = self._clock.monotonic()
            for job in waiting:
                # From now on an erasure waits for this request: the following check of the list is valid from this
                # moment on.
                job.checked_at = now
            jobs = [*waiting, *ahead]
            suppressed = doubts.suppressed([job.patch for job in jobs])
            written = [
                job
                for place, job in enumerate(jobs)
                if place not in suppressed and (place >= len(waiting) or job.is_to_be_written_down)
            ]
            if written:
                doubts.begin([job.patch for job in written])
        with self._work_there:
            for place, job in enumerate(waiting):
                job.is_suppressed, job.is_to_go = place in suppressed, place not in suppressed
                job.is_written_down |= job.is_to_go and job.is_to_be_written_down
            for job in written:
                job.is_written_down = True
                # The rest of a change, or a change that is sent again, was sent before.
                job.is_only_written_down = not (job.tries or job.on_fresh_connection or job.has_begun)
            self._work_there.notify_all()

    def _ahead(self, waiting: Sequence[Job]) -> list[Job]:
        """Return the next changes that can be sent at once, if it is time to record some; needs the lock."""
        if self._queue is None or self._is_over:
            return []
        if not any(job.is_to_be_written_down for job in waiting) and not _not_written_down(
            self._queue.upcoming(self._fewest_ahead)
        ):
            return []
        return _not_written_down(self._queue.upcoming(min(MOST_WRITTEN_AHEAD, self._quota.free())))

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._quota.closed


def _not_written_down(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that must be recorded and are not."""
    return [job for job in jobs if not job.is_written_down and is_in_doubt_once_sent(job.patch)]
