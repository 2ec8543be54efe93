"""Many changes at once to Connectif: in order for each key, with retries, within the quota.

Threads send; the thread that submits collects what became of each change, so that counting and writing need
no locks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.delivery.doubts import DoubtGate, Doubts
from airflow_provider_connectif.delivery.one_request import OneRequest
from airflow_provider_connectif.delivery.open_requests import OpenRequests
from airflow_provider_connectif.delivery.rejection_watch import RejectionWatch
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.delivery.responses import Responses
from airflow_provider_connectif.delivery.sending_queue import Job, SendingQueue
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Settled, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import BATCH_BYTES
from airflow_provider_connectif.reporting.effort import Effort

POLL_S = 0.25  # how soon a stop, or a caller's turn, is noticed
_HURRY_S = 1.0  # what the requests in flight get when the task is killed or breaks
_ROWS_AHEAD = 8  # taken in ahead of sending, for each request that may be in flight
_LEAST_AHEAD = 256
_BYTES_AHEAD = 2 * BATCH_BYTES  # of rows that are taken in; beyond that one row is taken in at a time


class Delivery:
    """Sends changes; use as a context manager.

    Changes of one key, by :meth:`Resource.same_key`, keep their order and are never in flight together. Each change of
    which a journal has a line waits for :meth:`write_doubts` before it is sent; where sending twice is not harmless,
    every change does, its permit in hand.

    :param resource: sends one change and raises the client's errors.
    :param client: paces the requests by its quota.
    :param policy: what each response leads to.
    :param effort: counts requests that failed and are tried again.
    :param max_in_flight: requests at once, 1 or more.
    :param attempts: requests for one change in all, before it is undelivered.
    :param samples_from_outside: before a run stops since everything is rejected, :attr:`wanted_sample` asks for changes
        from further on; otherwise they are taken from those that are handed over.
    :param most_unwritten: no further request goes while so many responses are not written down. Default: no
        such limit.
    :param asks_before_sending: each request waits for :meth:`write_doubts`, which knows who must not be sent again.
    :param clock: of the delays before a retry.
    """

    def __init__(
        self,
        resource: Resource,
        client: Client,
        policy: ResponsePolicy,
        effort: Effort,
        *,
        max_in_flight: int,
        attempts: int,
        stop_when_all_rejected: bool = True,
        samples_from_outside: bool = False,
        most_unwritten: int | None = None,
        asks_before_sending: bool = False,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._resource = resource
        self._client = client
        self._ahead = max(_LEAST_AHEAD, _ROWS_AHEAD * max_in_flight)
        lock = threading.RLock()
        self._work_there = threading.Condition(lock)  # for the threads that send
        self._progress = threading.Condition(lock)  # for the thread that submits
        self._watch = RejectionWatch(stops_when_all_rejected=stop_when_all_rejected)
        self._queue = SendingQueue(max_in_flight, self._watch, samples_from_outside=samples_from_outside)
        self._responses = Responses(
            resource,
            policy,
            self._queue,
            self._watch,
            effort,
            max_in_flight=max_in_flight,
            attempts=attempts,
            clock=clock,
        )
        self._open = OpenRequests(most_unwritten, max_in_flight)
        ahead = self._queue if resource.is_idempotent else None
        self._gate = DoubtGate(
            ahead, self._work_there, self._progress, client.quota, clock, max_in_flight=max_in_flight
        )
        self._request = OneRequest(resource, client, self._gate, clock, POLL_S, asks_before_sending=asks_before_sending)
        self._closing = False
        self._killed = False
        self._stop: Stop | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"connectif-{n}", daemon=True) for n in range(max_in_flight)
        ]

    def __enter__(self) -> Delivery:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, exc_type: object, *_: object) -> None:
        """End the threads: after the requests in flight, but at most a moment when killed or failing."""
        self._closing = True
        self._gate.close()
        hurried = exc_type is not None or self._killed
        if hurried:
            self._client.quota.close()
        with self._work_there:
            self._work_there.notify_all()
        deadline = SYSTEM_CLOCK.monotonic() + _HURRY_S  # a thread ends in real time, whatever the clock says
        for thread in self._threads:
            thread.join(max(0.0, deadline - SYSTEM_CLOCK.monotonic()) if hurried else None)

    @property
    def stop(self) -> Stop | None:
        """The reason why the run ends early; ``None`` if it does not."""
        return Stop(StopKind.KILLED) if self._killed else self._stop

    def kill(self) -> None:
        """Send nothing more and wait for nothing. Takes no lock: for signal handlers."""
        self._killed = True
        self._client.quota.close()

    def begin(self, planned_at: float) -> None:
        """The plan whose changes are handed over now was made at this moment, in seconds since the epoch."""
        self._request.planned_at = planned_at

    def submit(self, patch: Patch, while_waiting: Callable[[], None]) -> bool:
        """Hand over a patch; waits while enough rows are ahead of sending.

        :param while_waiting: called several times a second while this waits; collects and logs.
        :return: whether it was taken; ``False`` once the run ends early.
        """
        while not self.stop:
            if self.offer(patch):
                return True
            while_waiting()
        return False

    def offer(self, patch: Patch) -> bool:
        """Hand over a patch if there is room for it within a moment; whether it was taken."""
        with self._progress:
            if self.is_full and not self._gate.is_waited_at:
                self._clock.wait(self._progress, POLL_S)
            if self.is_full or self.stop:
                return False
            self._queue.add(self._job(patch))
            self._work_there.notify()
            return True

    @property
    def is_full(self) -> bool:
        """No further patch is taken before one is settled."""
        return self._queue.unsettled >= self._ahead or self._queue.unsettled_bytes >= _BYTES_AHEAD

    @property
    def asked_wait(self) -> tuple[Wait, Error] | None:
        """Where nothing that was taken in can be sent before a moment that Connectif has asked for: its response."""
        with self._progress:
            waits_for = None if self._open or self.stop else self._queue.waits_for()
        if waits_for is None:
            return None
        at, error = waits_for
        return Wait(self._clock.now() + at - self._clock.monotonic(), Cause.ASKED), error

    def drain(self, while_waiting: Callable[[], None], is_enough: Callable[[], bool] = lambda: False) -> None:
        """Wait until every row is settled, or, once the run ends early, the requests in flight have ended.

        :param is_enough: whether to wait no longer, asked as often as ``while_waiting`` is called.
        """
        while not self._killed:
            with self._progress:
                if not self._queue.unsettled or (self._stop and not self._open):
                    return
                if not self._gate.is_waited_at:  # these wait for the caller
                    self._clock.wait(self._progress, POLL_S)
            while_waiting()
            if is_enough():
                return

    @property
    def wanted_sample(self) -> int:
        """How many patches from further on :meth:`give_sample` is to hand over."""
        return self._queue.wanted

    def give_sample(self, patches: Sequence[Patch]) -> None:
        """Hand over patches from all over what is left; they are sent next."""
        with self._work_there:
            self._queue.give_sample([self._job(patch) for patch in patches])
            self._work_there.notify_all()

    def finish(self) -> None:
        """Nothing more is handed over, and all is settled: a run that had only rejections stops at its end, too."""
        with self._progress:
            sample = self._watch.sample
            if sample is not None and self._watch.rejects_everything and not self._queue.unsettled:
                self._end(Stop(sample.kind, self._watch.last_error))

    def count_before(self, accepted: int, rejected: int) -> None:
        """Count what Connectif answered to an earlier process of the run."""
        self._watch.count_before(accepted, rejected)

    def end(self, stop: Stop) -> None:
        """Send nothing more; what is in flight comes to its end, what waits stays with :meth:`unsent`."""
        with self._progress:
            self._end(stop)

    def busy_since(self) -> float | None:
        """When the suppression list was asked before the oldest request under way; ``None``: there is none.

        In seconds on a clock that only goes forward; safe to call from any thread.
        """
        with self._progress:
            return self._open.busy_since()

    def unsent(self) -> list[Patch]:
        """The patches that were taken in and not settled when the run ended early, in the order of taking in."""
        with self._progress:
            return self._queue.unsent()

    def only_written_down(self) -> list[Patch]:
        """The patches that are in doubt, see :meth:`write_doubts`, although no request for them was sent."""
        with self._progress:
            return self._queue.only_written_down() if self._resource.is_idempotent else []

    def unanswered(self) -> list[Patch]:
        """The patches that are on their way, or were, without a response that says what became of them."""
        with self._progress:
            # What is not idempotent is sent again only where it was not carried out.
            return self._open.changes() + (self._queue.sent_before() if self._resource.is_idempotent else [])

    def write_doubts(self, doubts: Doubts | None) -> None:
        """Let changes go that wait for it to be written down that they do; for the thread that submits.

        :param doubts: where; ``None``: nowhere.
        """
        self._gate.write(doubts)

    def written(self, unwritten: int) -> None:
        """Responses were written down: sending may go on where it waited for that.

        :param unwritten: how many responses that were collected are not written down yet.
        """
        with self._work_there:
            self._open.unwritten = unwritten
            self._work_there.notify_all()

    def collect(self) -> list[Settled]:
        """Changes settled since the last call."""
        with self._progress:
            settled = list(self._responses.settled)
            self._responses.settled.clear()
            self._open.unwritten += len(settled)
        return settled

    def collect_begun(self) -> list[Patch]:
        """Changes of which a part was accepted since the last call, with what is to follow."""
        with self._progress:
            begun = list(self._responses.begun)
            self._responses.begun.clear()
        return begun

    def _job(self, patch: Patch) -> Job:
        urgent = self._resource.is_urgent(patch.properties)
        return Job(patch, self._resource.same_key(patch.key), goes_before=urgent)

    def _work(self) -> None:
        job: Job | None = None
        clean = False
        try:
            while (job := self._next()) is not None:
                self._attempt(job)
            clean = True
        finally:
            if not clean:  # a fault of ours: the thread's traceback goes to the log, the run must not hang
                with self._progress:
                    self._open.lose(job)
                    self._end(Stop(StopKind.CRASHED))

    def _next(self) -> Job | None:
        with self._work_there:
            while not (self._closing or self._killed or self._stop):
                now = self._clock.monotonic()
                is_behind = self._open.is_behind_with_writing(len(self._responses.settled))
                job = None if is_behind else self._queue.next(now)
                if job is not None:
                    self._open.begin(job)
                    return job
                due_in = self._queue.due_in(now)
                self._clock.wait(self._work_there, POLL_S if due_in is None else max(0.0, min(due_in, POLL_S)))
        return None

    def _attempt(self, job: Job) -> None:
        if not job.tries:
            job.first_try_at = self._clock.monotonic()
        try:
            came = self._request.send(job)
        except QuotaClosed:
            with self._progress:
                self._open.end(job)
                if not self._resource.is_idempotent:
                    self._gate.put_off(job)
                self._queue.put_back(job)
                self._progress.notify()
            return
        with self._progress:
            self._open.end(job)
            job.is_only_written_down = False
            stop = self._responses.suppress(job) if came is None else self._responses.take(job, came)
            if not (job.is_settled or self._resource.is_idempotent):
                self._gate.put_off(job)
            if stop is not None:
                self._end(stop)
            self._work_there.notify_all()
            self._progress.notify()

    def _end(self, stop: Stop) -> None:
        self._stop = self._stop or stop
        self._client.quota.close()
        self._work_there.notify_all()
        self._progress.notify()
