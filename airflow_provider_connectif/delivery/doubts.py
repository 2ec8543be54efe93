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
    """Where it is written down which changes are on their way."""

    def begin(self, patches: Sequence[Patch]) -> None:
        """Changes are about to be sent: until their responses are here, it is not known whether they arrived."""

    def withdraw(self, patches: Sequence[Patch]) -> None:
        """Changes were not carried out, and wait to be sent again."""


def is_in_doubt_once_sent(patch: Patch) -> bool:
    """Whether a journal has a line of this change, and its next request writes."""
    return not (patch.looks_up or patch.is_new or patch.digests is None)


class DoubtGate:
    """Between the threads that send, which wait here, and the one that submits, which writes.

    A write costs about as much as a request. So the changes that go next are written down together with those that
    wait, as many as the rate limit lets go at this moment, at most :data:`MOST_WRITTEN_AHEAD`. Such a change does not
    wait here.

    :param queue: of the changes that go next; ``None``: a change that was not sent must not be in doubt.
    :param work_there: for the threads that send.
    :param progress: for the thread that submits; of the same lock.
    :param quota: of the client.
    :param clock: of the wait.
    """

    def __init__(
        self,
        queue: SendingQueue | None,
        work_there: threading.Condition,
        progress: threading.Condition,
        quota: Quota,
        clock: Clock,
    ) -> None:
        self._queue = queue
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

    def wait(self, job: Job, poll_s: float) -> None:
        """Wait until it is written down that a job goes; by the thread that sends it.

        :param poll_s: how soon a stop is noticed.
        :raises QuotaClosed: told to stop; it must not be sent.
        """
        # Only with a permit: a change that waits for a window is in no doubt when the process is killed.
        self._quota.reserve()
        with self._progress:
            self._about_to_go.append(job)
            self._progress.notify()
            while not (job.is_written_down or self._is_over):
                self._clock.wait(self._work_there, poll_s)
            if not job.is_written_down or self._is_over:
                self._about_to_go = [other for other in self._about_to_go if other is not job]
                self._quota.give_back()
                raise QuotaClosed("the run was told to stop")

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
            going, self._about_to_go = self._about_to_go, []
            withdrawn, self._not_carried_out = self._not_carried_out, []
            if going and doubts is not None:
                going += self._ahead()
        if withdrawn and doubts is not None:
            doubts.withdraw(withdrawn)
        if not going:
            return
        if doubts is not None:
            doubts.begin([job.patch for job in going])
        with self._work_there:
            for job in going:
                job.is_written_down = True
                # What is to follow on a part, or to be sent again, was sent before.
                job.is_only_written_down = not (job.tries or job.on_fresh_connection or job.has_begun)
            self._work_there.notify_all()

    def _ahead(self) -> list[Job]:
        """The changes that go next, as far as they can go at once; with the lock."""
        if self._queue is None or self._is_over:
            return []
        jobs = self._queue.upcoming(min(MOST_WRITTEN_AHEAD, self._quota.free()))
        return [job for job in jobs if not job.is_written_down and is_in_doubt_once_sent(job.patch)]

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._quota.closed
