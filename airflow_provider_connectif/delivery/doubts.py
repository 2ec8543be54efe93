"""Records changes in the journal before they are sent: until their responses arrive, they are in doubt."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Protocol

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.delivery.jobs import Job
from airflow_provider_connectif.delivery.sending_queue import SendingQueue
from airflow_provider_connectif.records.changes import Patch

MOST_WRITTEN_AHEAD = 50
"""The most changes that are recorded but not sent yet. After a kill, at most so many changes are in doubt although they
were never sent."""

SUPPRESSION_VALID_S = 0.25
"""Seconds for which a change may be sent after the suppression list was read for it. An erasure waits for this time."""


class Doubts(Protocol):
    """Records which changes are in flight, and knows which people are suppressed."""

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        """Return the indexes of changes whose people are suppressed."""

    def begin(self, patches: Sequence[Patch]) -> None:
        """Record changes that are about to be sent: until their responses arrive, they are in doubt."""

    def withdraw(self, patches: Sequence[Patch]) -> None:
        """Record that changes were not carried out, so that they are no longer in doubt. They wait to be sent again."""


def is_in_doubt_once_sent(patch: Patch) -> bool:
    """Whether a change is in doubt while its next request is in flight: the journal has a line of it, and the request
    sets properties.
    """
    return not (patch.looks_up or patch.is_new or patch.digests is None)


class DoubtGate:
    """Lets a change go to Connectif after the journal has recorded it and the suppression list was read for it.

    The sending threads wait at the gate. The submitting thread records and reads for them, in :meth:`write`.

    Recording costs about as much as a request. So the next changes of the queue are recorded together: as many as the
    rate limit allows at this moment, at most :data:`MOST_WRITTEN_AHEAD`. The next group is recorded while about
    ``max_in_flight`` recorded changes are left. If it were recorded later, each thread would find an unrecorded change,
    and cause a write of its own. The suppression list is read for the whole group, too. A recorded change does not wait
    at the gate if it is sent within :data:`SUPPRESSION_VALID_S` after that.

    :param queue: gives the next changes. ``None``: nothing is recorded ahead, since a change that was not sent must not
        be in doubt.
    :param work_there: wakes the sending threads.
    :param progress: wakes the submitting thread; has the same lock.
    :param quota: the rate limit of the client.
    :param clock: measures the waits.
    :param max_in_flight: the most requests at once.
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
        """Close the gate: a thread that waits gets a :class:`RunStopped`. Takes no lock."""
        self._is_closed = True

    def wait(self, job: Job, poll_s: float, *, must_be_recorded: bool = True) -> bool:
        """Wait until a job is recorded and may be sent; called by the thread that sends it.

        A recorded job does not wait if the suppression list was read for it within :data:`SUPPRESSION_VALID_S`.

        :param poll_s: a stop is noticed within these seconds.
        :param must_be_recorded: ``False``: the job is not recorded, and only the suppression list is read for it.
        :return: ``False``: the job's person is suppressed, so it must not be sent.
        :raises RunStopped: sending has ended; the job must not be sent.
        """
        # The permit comes first: a change that waits for the rate limit must not be in doubt if the process is killed.
        self._quota.reserve()
        with self._progress:
            if not (must_be_recorded or self._is_over) and self._is_recent(job.asked_at):
                job.checked_at = job.asked_at
                return True
            job.is_to_go, job.must_be_recorded = False, must_be_recorded
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
                raise RunStopped("sending has ended, and this change was not sent")
        return True

    def put_off(self, job: Job) -> None:
        """Note that a job was not carried out and waits to be sent again. The caller has the lock."""
        if job.is_recorded:
            job.is_recorded = False
            self._not_carried_out.append(job.patch)

    def busy_since(self) -> float | None:
        """Return the time since which a reading of the suppression list counts for changes that are sent from now on.

        ``None``: no earlier reading counts. In seconds on a clock that only goes forward. The caller has the lock.
        """
        return self._clock.monotonic() - SUPPRESSION_VALID_S if self._is_recent(self._asked_ahead_at) else None

    def write(self, doubts: Doubts | None) -> None:
        """Record the waiting changes and the next ones, and let them go. Only the submitting thread calls this.

        Changes of suppressed people do not go.

        :param doubts: records the changes; ``None``: nothing is recorded or read.
        """
        with self._progress:
            waiting, self._about_to_go = self._about_to_go, []
            withdrawn, self._not_carried_out = self._not_carried_out, []
            ahead, to_write = ([], []) if doubts is None else self._ahead(waiting)
            now = self._clock.monotonic()
            for job in waiting:
                # Set before the list is read: an erasure that begins after this moment waits for the request.
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
                job.is_recorded = True
                # A change that is sent again, or the rest of a change, already had a request.
                job.is_only_recorded = not (job.tries or job.on_fresh_connection or job.has_begun)
            if waiting:
                self._work_there.notify_all()

    def _ahead(self, waiting: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """Return the next changes that can be sent at once, and the changes to record now. The caller has the lock.

        The former are none unless a write is due, or a waiting change needs a reading of the list anyway.
        """
        # A thread may have taken a job while the journal was recording it ahead.
        must = [job for job in waiting if job.must_be_recorded and not job.is_recorded]
        if self._queue is None or self._is_over:
            return [], must
        is_low = bool(_not_recorded(self._queue.upcoming(self._fewest_ahead)))
        if not (waiting or is_low):
            return [], must
        ahead = self._queue.upcoming(min(MOST_WRITTEN_AHEAD, self._quota.free()))
        to_write = _not_recorded(ahead)
        if must or (is_low and len(to_write) >= MOST_WRITTEN_AHEAD // 2):
            return ahead, must + to_write
        return ahead if waiting else [], must

    def _is_recent(self, asked_at: float | None) -> bool:
        return asked_at is not None and self._clock.monotonic() - asked_at < SUPPRESSION_VALID_S

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._quota.closed


def _not_recorded(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that must be recorded and are not."""
    return [job for job in jobs if not job.is_recorded and is_in_doubt_once_sent(job.patch)]
