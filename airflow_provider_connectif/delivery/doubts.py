"""Records changes in the journal before they are sent: until their responses arrive, they are in doubt."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Protocol

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.delivery.jobs import Job
from airflow_provider_connectif.delivery.sending_queue import SendingQueue
from airflow_provider_connectif.records.changes import Patch

MOST_WRITTEN_AHEAD = 50
"""The most changes that are recorded but not sent yet: after a kill, so many changes are in doubt that were never
sent."""

ASKED_FOR_S = 0.25
"""Seconds for which a change may go after the suppression list was asked of it; an erasure waits for so long."""


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
    """Between the threads that send, which wait here, and the one that submits, which asks and writes.

    A write costs about as much as a request. So the changes that go next are written down together, as many as the
    rate limit lets go at this moment, at most :data:`MOST_WRITTEN_AHEAD`. More are written down while ``max_in_flight``
    of them are left: otherwise each thread would find a change that is not, and cause a write. Likewise the suppression
    list is asked about all of them at once, and each of them that goes within :data:`ASKED_FOR_S` does not wait here.

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
        self._asked_ahead_at = -math.inf
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

        A job that is written down does not wait where the suppression list was asked of it a moment ago.

        :param poll_s: how soon a stop is noticed.
        :param is_to_be_written_down: ``False``: it is only looked up whether its person must not be sent again.
        :return: whether it may be sent.
        :raises QuotaClosed: the run must stop; it must not be sent.
        """
        # Only with a permit: a change that waits for a window is not in doubt if the process is killed.
        self._quota.reserve()
        with self._progress:
            if not (is_to_be_written_down or self._is_over) and self._is_recent(job.asked_at):
                job.checked_at = job.asked_at
                return True
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

    def busy_since(self) -> float | None:
        """Since when the suppression list has not been asked of a change that may go without waiting; with the lock.

        ``None``: each change that goes from now on is asked first. In seconds on a clock that only goes forward.
        """
        return self._clock.monotonic() - ASKED_FOR_S if self._is_recent(self._asked_ahead_at) else None

    def write(self, doubts: Doubts | None) -> None:
        """Write down what waits and what goes next, and let it go; by the thread that submits.

        :param doubts: records them; ``None``: nothing is recorded.
        """
        with self._progress:
            waiting, self._about_to_go = self._about_to_go, []
            withdrawn, self._not_carried_out = self._not_carried_out, []
            ahead, to_write = ([], []) if doubts is None else self._ahead(waiting)
            now = self._clock.monotonic()
            for job in waiting:
                # From now on an erasure waits for it: what the list says next is what it said at this moment.
                job.checked_at = None if doubts is None else now
            if ahead:
                self._asked_ahead_at = now
        if withdrawn and doubts is not None:
            doubts.withdraw(withdrawn)
        if not (waiting or ahead):
            return
        suppressed: set[int] = set()
        if doubts is not None:
            jobs = [*waiting, *ahead]
            places = doubts.suppressed([job.patch for job in jobs])
            suppressed = {id(jobs[place]) for place in places}
            to_write = [job for job in to_write if id(job) not in suppressed]
            if to_write:
                doubts.begin([job.patch for job in to_write])
        with self._work_there:
            for job in waiting:
                job.is_suppressed = id(job) in suppressed
                job.is_to_go = not job.is_suppressed
            for job in ahead:
                job.asked_at = None if id(job) in suppressed else now
            for job in to_write:
                job.is_written_down = True
                # The rest of a change, or a change that is sent again, was sent before.
                job.is_only_written_down = not (job.tries or job.on_fresh_connection or job.has_begun)
            if waiting:
                self._work_there.notify_all()

    def _ahead(self, waiting: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """The changes that go next, as far as they can go at once, and those that are to be written down now.

        With the lock. Nothing goes ahead before it is time for a write, or the list has to be asked anyway.
        """
        # A thread may have taken a job that was just being written down ahead.
        must = [job for job in waiting if job.is_to_be_written_down and not job.is_written_down]
        if self._queue is None or self._is_over:
            return [], must
        is_low = bool(_not_written_down(self._queue.upcoming(self._fewest_ahead)))
        if not (waiting or is_low):
            return [], must
        ahead = self._queue.upcoming(min(MOST_WRITTEN_AHEAD, self._quota.free()))
        to_write = _not_written_down(ahead)
        if must or (is_low and len(to_write) >= MOST_WRITTEN_AHEAD // 2):
            return ahead, must + to_write
        return ahead if waiting else [], must

    def _is_recent(self, asked_at: float | None) -> bool:
        return asked_at is not None and self._clock.monotonic() - asked_at < ASKED_FOR_S

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._quota.closed


def _not_written_down(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that must be recorded and are not."""
    return [job for job in jobs if not job.is_written_down and is_in_doubt_once_sent(job.patch)]
