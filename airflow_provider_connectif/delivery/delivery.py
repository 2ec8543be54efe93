"""Sends many changes at once to Connectif: in order for each key, with retries, within the quota.

Threads send; the submitting thread collects the outcome of each change, so that counting and writing need no locks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.delivery.doubts import DoubtGate, Doubts
from airflow_provider_connectif.delivery.jobs import Job
from airflow_provider_connectif.delivery.one_request import OneRequest
from airflow_provider_connectif.delivery.open_requests import OpenRequests
from airflow_provider_connectif.delivery.rejection_watch import RejectionWatch
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.delivery.responses import Responses
from airflow_provider_connectif.delivery.sending_errors import sending_failure
from airflow_provider_connectif.delivery.sending_queue import SendingQueue
from airflow_provider_connectif.delivery.sending_threads import SendingThreads
from airflow_provider_connectif.delivery.unfinished import Unfinished
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Settled, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import BATCH_BYTES
from airflow_provider_connectif.reporting.effort import Effort

POLL_S = 0.25  # a stop, or work for the submitting thread, is noticed within these seconds
_ROWS_AHEAD = 8  # queued ahead of sending, for each request that may be in flight
_LEAST_AHEAD = 256
_BYTES_AHEAD = 2 * BATCH_BYTES  # of queued rows; beyond that only one row is queued at a time
_COLLECTED_AT_ONCE = 8  # waking the submitting thread for each response would cost more than collecting it


class Delivery:
    """Sends changes; use as a context manager.

    Changes of one key (:meth:`Resource.same_key`) keep their order and are never in flight together. A change that has
    a line in the journal is sent only after :meth:`write_doubts` has recorded it as in doubt. If sending twice is not
    harmless, that holds for every change, and it is recorded only after the rate limit allows its request.

    :param resource: sends one change and raises the client's errors.
    :param client: paces the requests by its quota.
    :param policy: the action for each response.
    :param effort: counts requests that failed and are sent again.
    :param max_in_flight: the most requests at once, 1 or more.
    :param attempts: the most requests for one change, after which it is undelivered.
    :param stop_when_all_rejected: end early if the first responses, and those to a sample, are all rejections.
    :param samples_from_outside: ``True``: :attr:`wanted_sample` asks for the sample, from the rest of the plan.
        ``False``: the sample is taken from the submitted changes.
    :param most_unwritten: the most responses, beside the requests in flight, that the journal has not recorded yet.
        With more, no further request is sent. Default: no limit.
    :param checks_suppression: whether each request waits until :meth:`write_doubts` has read the suppression list.
    :param clock: measures the delays before a retry.
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
        checks_suppression: bool = False,
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
        self._request = OneRequest(resource, client, self._gate, clock, POLL_S, checks_suppression=checks_suppression)
        self._idle = 0  # threads that wait for a job
        self._closing = False
        self._killed = False
        self._stop: Stop | None = None
        self._threads = SendingThreads(max_in_flight, self._next, self._attempt, self._lose)
        self.unfinished = Unfinished(
            self._progress, self._queue, self._open, self._gate, is_idempotent=resource.is_idempotent
        )
        """The changes without an outcome; after an early end, the changes that were left."""

    def __enter__(self) -> Delivery:
        self._threads.start()
        return self

    def __exit__(self, exc_type: object, *_: object) -> None:
        """End the threads: after the requests in flight, or within a second after a kill or an exception."""
        self._closing = True
        self._gate.close()
        hurried = exc_type is not None or self._killed
        if hurried:
            self._client.quota.close()
        with self._work_there:
            self._work_there.notify_all()
        self._threads.join(hurried=hurried)

    @property
    def stop(self) -> Stop | None:
        """The reason why the run ends early; ``None`` if it does not."""
        return Stop(StopKind.KILLED) if self._killed else self._stop

    def kill(self) -> None:
        """Send nothing more and wait for nothing. Takes no lock: for signal handlers."""
        self._killed = True
        self._client.quota.close()

    def begin(self, planned_at: float, resource: Resource | None = None) -> None:
        """Begin a plan, before the threads send.

        :param planned_at: when the plan was made, in seconds since the epoch.
        :param resource: the same resource with the account's definitions, if they are known. Default: as before.
        """
        self._resource = resource or self._resource
        self._request.begin(planned_at, self._resource)
        self._responses.begin(self._resource)

    def submit(self, patch: Patch, while_waiting: Callable[[], None]) -> bool:
        """Submit a patch; wait while the queue is full.

        :param while_waiting: called several times a second during the wait; collects and logs.
        :return: whether it was queued; ``False`` once the run ends early.
        """
        while not self.stop:
            if self.offer(patch):
                return True
            while_waiting()
        return False

    def offer(self, patch: Patch) -> bool:
        """Submit a patch if there is room for it within a moment; return whether it was queued."""
        with self._progress:
            if self.is_full and not self.has_news:
                self._clock.wait(self._progress, POLL_S)
            if self.is_full or self.stop:
                return False
            self._queue.add(self._job(patch))
            self._work_there.notify()
            return True

    @property
    def has_news(self) -> bool:
        """Whether it is time to collect, or a thread waits for the submitting one. Takes no lock."""
        enough = 1 if self._is_urgent else _COLLECTED_AT_ONCE
        return self._gate.is_waited_at or len(self._responses.settled) >= enough or bool(self._queue.wanted)

    @property
    def is_full(self) -> bool:
        """Whether the queue is full: another patch is queued only after one is settled."""
        return self._queue.unsettled >= self._ahead or self._queue.unsettled_bytes >= _BYTES_AHEAD

    @property
    def asked_wait(self) -> tuple[Wait, Error] | None:
        """The pause that Connectif asks for, and the response that asks; ``None``: a queued change can be sent now."""
        with self._progress:
            waits_for = None if self._open or self.stop else self._queue.waits_for()
        if waits_for is None:
            return None
        at, error = waits_for
        return Wait(self._clock.now() + at - self._clock.monotonic(), Cause.ASKED), error

    def drain(self, while_waiting: Callable[[], None], is_enough: Callable[[], bool] = lambda: False) -> None:
        """Wait until every row is settled, or, once the run ends early, until the requests in flight have ended.

        :param is_enough: returns whether to stop waiting; called as often as ``while_waiting``.
        """
        while not self._killed:
            with self._progress:
                if not self._queue.unsettled or (self._stop and not self._open):
                    return
                if not self.has_news:
                    self._clock.wait(self._progress, POLL_S)
            while_waiting()
            if is_enough():
                return

    @property
    def wanted_sample(self) -> int:
        """Number of patches from the rest of the plan that :meth:`give_sample` must submit."""
        return self._queue.wanted

    def give_sample(self, patches: Sequence[Patch]) -> None:
        """Submit patches spread over the rest of the plan; they are sent next."""
        with self._work_there:
            self._queue.give_sample([self._job(patch) for patch in patches])
            self._work_there.notify_all()

    def finish(self) -> None:
        """Finish after everything is settled. If every response was a rejection, and a sample was still open, the run
        counts as stopped.
        """
        with self._progress:
            sample = self._watch.sample
            if sample is not None and self._watch.rejects_everything and not self._queue.unsettled:
                self._end(Stop(sample.kind, self._watch.last_error))

    def as_state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs after a deferral, JSON-ready."""
        with self._progress:
            return {"tries": list(self._queue.tries().items()), "watch": self._watch.as_state()}

    def restore(self, accepted: int, rejected: int, state: Mapping[str, Any]) -> None:
        """Continue an earlier process of the run, before the first change.

        :param accepted: number of changes that Connectif has accepted.
        :param rejected: number of changes that it has rejected.
        :param state: from :meth:`as_state`; empty if that process stored none.
        """
        self._queue.restore_tries(dict(state.get("tries", ())))
        self._watch.restore(accepted, rejected, state.get("watch", {}))
        self._queue.continue_sample()

    def end(self, stop: Stop) -> None:
        """Send nothing more; requests in flight end normally, waiting changes stay :attr:`unfinished`."""
        with self._progress:
            self._end(stop)

    def write_doubts(self, doubts: Doubts | None) -> None:
        """Record the waiting changes as in doubt, and let them be sent, except those of suppressed people.

        :param doubts: records and reads the list, for some next changes, too; ``None``: every waiting change is sent.
        """
        self._gate.write(doubts)

    def written(self, unwritten: int) -> None:
        """Note that responses were recorded, so that sending may continue.

        :param unwritten: number of collected responses that are not recorded yet.
        """
        with self._work_there:
            are_fewer = unwritten < self._open.unwritten
            self._open.unwritten = unwritten
            if are_fewer:
                self._work_there.notify_all()

    def collect(self) -> list[Settled]:
        """Return the changes settled since the last call."""
        with self._progress:
            settled = list(self._responses.settled)
            self._responses.settled.clear()
            self._open.unwritten += len(settled)
        return settled

    def collect_begun(self) -> list[Patch]:
        """Return the changes of which a part was accepted since the last call, each as the rest that follows."""
        with self._progress:
            begun = list(self._responses.begun)
            self._responses.begun.clear()
        return begun

    def _job(self, patch: Patch) -> Job:
        try:
            urgent, same = self._resource.is_urgent(patch.properties), self._resource.same_key(patch.key)
        except Exception as error:
            raise sending_failure(self._resource, error, may_have_been_sent=False) from error
        job = Job(patch, same, others_wait_for_it=urgent)
        job.is_created, job.is_recreated = patch.created_as is not None, patch.created_as == "recreated"
        return job

    def _next(self) -> Job | None:
        with self._work_there:
            while not (self._closing or self._killed or self._stop):
                now = self._clock.monotonic()
                job = None if self._is_behind else self._queue.next(now)
                if job is not None:
                    self._open.begin(job)
                    return job
                due_in = self._queue.due_in(now)
                self._idle += 1
                self._clock.wait(self._work_there, POLL_S if due_in is None else max(0.0, min(due_in, POLL_S)))
                self._idle -= 1
        return None

    def _attempt(self, job: Job) -> None:
        if not job.tries:
            job.first_try_at = self._clock.monotonic()
        try:
            came = self._request.send(job)
        except RunStopped:
            with self._progress:
                self._open.end(job)
                if not self._resource.is_idempotent:
                    self._gate.put_off(job)
                self._queue.put_back(job)
                self._progress.notify()
            return
        with self._progress:
            job.is_only_recorded = False
            stop = self._responses.suppress(job) if came is None else self._responses.take(job, came)
            self._open.end(job)  # only now: if the resource fails on the response, the change is in doubt
            if not (job.is_settled or self._resource.is_idempotent):
                self._gate.put_off(job)
            if stop is not None:
                self._end(stop)
            if self._idle and not self._is_behind:  # otherwise :meth:`written` wakes the sending threads
                self._work_there.notify_all()
            if self._is_urgent or self.has_news:
                self._progress.notify()

    def _lose(self, job: Job | None, error: BaseException) -> None:
        with self._progress:
            self._open.lose(job)
            self._end(Stop(StopKind.CRASHED, failure=sending_failure(self._resource, error)))

    @property
    def _is_urgent(self) -> bool:
        """Whether each response is collected at once: little is queued, or sending waits for the journal."""
        return self._queue.unsettled < self._ahead // 2 or self._is_behind or self.stop is not None

    @property
    def _is_behind(self) -> bool:
        """Whether nothing may be sent before responses are recorded in the journal."""
        return self._open.is_behind_with_writing(len(self._responses.settled))

    def _end(self, stop: Stop) -> None:
        self._stop = self._stop or stop
        self._client.quota.close()
        self._work_there.notify_all()
        self._progress.notify()
