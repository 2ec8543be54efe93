"""Changes that must not go before it is written down that they do: what is on its way is in doubt, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.delivery.sending_queue import Job
from airflow_provider_connectif.records.changes import Patch


class Doubts(Protocol):
    """Where it is written down which changes are on their way, and whose must not go."""

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        """The places of changes whose people must not be sent again."""

    def begin(self, patches: Sequence[Patch]) -> None:
        """Changes are about to be sent: until their responses are here, it is not known whether they arrived."""

    def withdraw(self, patches: Sequence[Patch]) -> None:
        """Changes were not carried out, and wait to be sent again."""


class DoubtGate:
    """Between the threads that send, which wait here, and the one that submits, which writes.

    :param work_there: for the threads that send.
    :param progress: for the thread that submits; of the same lock.
    :param quota: of the client.
    :param clock: of the wait.
    """

    def __init__(
        self, work_there: threading.Condition, progress: threading.Condition, quota: Quota, clock: Clock
    ) -> None:
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
        # Only with a permit: a change that waits for a window is in nobody's doubt when the process is killed.
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
                raise QuotaClosed("the run was told to stop")
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
            going, self._about_to_go = self._about_to_go, []
            withdrawn, self._not_carried_out = self._not_carried_out, []
        if withdrawn and doubts is not None:
            doubts.withdraw(withdrawn)
        if not going:
            return
        suppressed: set[int] = set()
        if doubts is not None:
            now = self._clock.monotonic()
            for job in going:
                # From now on an erasure waits for it: what the list says next is what it said at this moment.
                job.checked_at = now
            suppressed = doubts.suppressed([job.patch for job in going])
            written = [job for place, job in enumerate(going) if job.is_to_be_written_down and place not in suppressed]
            if written:
                doubts.begin([job.patch for job in written])
        with self._work_there:
            for place, job in enumerate(going):
                job.is_suppressed, job.is_to_go = place in suppressed, place not in suppressed
                job.is_written_down |= job.is_to_go and job.is_to_be_written_down
            self._work_there.notify_all()

    @property
    def _is_over(self) -> bool:
        return self._is_closed or self._quota.closed
