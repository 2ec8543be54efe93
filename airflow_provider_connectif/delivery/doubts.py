"""Changes that must not go before it is written down that they do: until the response is here, they are in doubt."""

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
"""Changes that are written down and not sent yet: a kill leaves no more of them in doubt than responses are lost."""


class Doubts(Protocol):
    """Where it is written down which changes are on their way, and whose must not go."""

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        """The places of changes whose people must not be sent again."""

    def begin(self, patches: Sequence[Patch]) -> None:
        """Changes are about to be sent: until their responses are here, it is not known whether they arrived."""

    def withdraw(self, patches: Sequence[Patch]) -> None:
        """Changes were not carried out, and wait to be sent again."""


def is_in_doubt_once_sent(patch: Patch) -> bool:
    """Whether a journal has a line of this change, and its next request writes."""
    return not (patch.looks_up or patch.is_new or patch.digests is None)


class DoubtGate:
    """Between the threads that send, which wait here, and the one that submits, which writes.

    A write costs about as much as a request. So the changes that go next are written down together, as many as the
    rate limit lets go at this moment, at most :data:`MOST_WRITTEN_AHEAD`. More are written down as soon as one of the
    next ``max_in_flight`` is not: otherwise each thread would find such a change, and cause a write.

    :param queue: of the changes that go next; ``None``: a change that was not sent must not be in doubt.
    :param work_there: for the threads that send.
    :param progress: for the thread that submits; of the same lock.
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
        """Let nothing more pass; takes no lock."""
        self._is_closed = True

    def wait(self, job: Job, poll_s: float, *, is_to_be_written_down: bool = True) -> bool:
        """Wait until a job may go, and it is written down that it does; by the thread that sends it.

        :param poll_s: how soon a stop is noticed.
        :param is_to_be_written_down: ``False``: it is only looked up whether its person must not be sent again.
        :return: whether it may be sent.
        :raises QuotaClosed: told to stop; it must not be sent.
        """
        # Only with a permit: a change that waits for a window is in no doubt when the process is killed.
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
        """A job was not carried out, and waits to be sent again; with the lock."""
        if job.is_written_down:
            job.is_written_down = False
            self._not_carried_out.append(job.patch)

    def write(self, doubts: Doubts | None) -> None:
        """Write down what waits, and let it go; by the thread that submits.

        :param doubts: where; ``None``: nowhere.
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
                # From now on an erasure waits for it: what the list says next is what it said at this moment.
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
                # What is to follow on a part, or to be sent again, was sent before.
                job.is_only_written_down = not (job.tries or job.on_fresh_connection or job.has_begun)
            self._work_there.notify_all()

    def _ahead(self, waiting: Sequence[Job]) -> list[Job]:
        """The changes that go next, as far as they can go at once, if it is time to write some down; with the lock."""
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
    """The jobs of which it has to be written down that they go, and is not."""
    return [job for job in jobs if not job.is_written_down and is_in_doubt_once_sent(job.patch)]
