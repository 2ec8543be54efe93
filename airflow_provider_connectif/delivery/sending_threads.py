"""The threads that send changes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK
from airflow_provider_connectif.delivery.jobs import Job

_HURRY_S = 1.0  # the longest wait for requests in flight when the task is killed or fails


class SendingThreads:
    """Threads that send one job after another.

    :param number: number of threads.
    :param take: waits for the next job and returns it; ``None`` ends the thread.
    :param send: sends a job, and handles every error of the request.
    :param lose: called when an error of the resource or of this package ends a thread, with the thread's last job
        (``None`` before its first) and the error. It must end the run: otherwise the run waits for ever.
    """

    def __init__(
        self,
        number: int,
        take: Callable[[], Job | None],
        send: Callable[[Job], None],
        lose: Callable[[Job | None, BaseException], None],
    ) -> None:
        self._take = take
        self._send = send
        self._lose = lose
        self._threads = [threading.Thread(target=self._work, name=f"connectif-{n}", daemon=True) for n in range(number)]

    def start(self) -> None:
        """Begin to take jobs."""
        for thread in self._threads:
            thread.start()

    def join(self, *, hurried: bool) -> None:
        """Wait until every thread has ended.

        :param hurried: wait for a second at most, even if requests are still in flight.
        """
        deadline = SYSTEM_CLOCK.monotonic() + _HURRY_S  # a thread ends in real time, not by a test's clock
        for thread in self._threads:
            thread.join(max(0.0, deadline - SYSTEM_CLOCK.monotonic()) if hurried else None)

    def _work(self) -> None:
        job: Job | None = None
        try:
            while (job := self._take()) is not None:
                self._send(job)
        except BaseException as error:  # noqa: BLE001 - raised again, the thread would log its text, which may quote a value
            self._lose(job, error)
