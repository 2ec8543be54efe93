"""Many patches at once to Connectif: in order for each contact, with retries, within the quota.

Threads send; the thread that submits collects what became of each row, so that counting and writing need
no locks.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError, QuotaClosed
from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.identity import same_contact
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.delivery.rejection_watch import RejectionWatch
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy, Rule
from airflow_provider_connectif.delivery.sending_queue import Job, SendingQueue
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Settled, Stop, StopKind, describe_error
from airflow_provider_connectif.records.rows import BATCH_BYTES

POLL_S = 0.25  # how soon a stop, or a caller's turn, is noticed
_HURRY_S = 1.0  # what the requests in flight get when the task is killed or breaks
_FAILURES_THAT_STOP = 20  # without one answer in between; more where more are in flight
_ROWS_AHEAD = 8  # taken in ahead of sending, for each request that may be in flight
_LEAST_AHEAD = 256
_MISDIRECTED = 421  # another connection may lead to the right server (RFC 9110, 15.5.20)
_BYTES_AHEAD = 2 * BATCH_BYTES  # of rows that are taken in; beyond that one row is taken in at a time


class Delivery:
    """Sends patches; use as a context manager.

    Rows of one contact key, by :func:`airflow_provider_connectif.contacts.identity.same_contact`, keep their order and
    are never in flight together.

    :param send: sends one patch and raises the client's errors; paced by the client's quota.
    :param send_apart: the same on a connection of its own; by default ``send``.
    :param key_kind: what the contact keys are.
    :param close_quota: lets no further request go; must be safe in a signal handler.
    :param policy: what each answer leads to.
    :param max_in_flight: requests at once, 1 or more.
    :param tries: requests for one row in all, before it is undelivered.
    :param samples_from_outside: before a run stops since everything is rejected, :attr:`wanted_sample` asks for patches
        from further on; otherwise they are taken from those that are handed over.
    :param unwritten: how many answers that were collected are not written down yet.
    :param most_unwritten: no further request goes while so many answers are not written down; ``None``: no such limit.
    :param tell_failure: is told of each request that failed and is tried again, in words; one call at a time.
    :param clock: of the delays before a retry.
    """

    def __init__(
        self,
        send: Callable[[Patch], Answer],
        close_quota: Callable[[], None],
        policy: ResponsePolicy,
        *,
        max_in_flight: int,
        tries: int,
        send_apart: Callable[[Patch], Answer] | None = None,
        key_kind: KeyKind = "email",
        stop_when_all_rejected: bool = True,
        samples_from_outside: bool = False,
        unwritten: Callable[[], int] = lambda: 0,
        most_unwritten: int | None = None,
        tell_failure: Callable[[str], None] = lambda _: None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._send = send
        self._send_apart = send_apart or send
        self._key_kind: KeyKind = key_kind
        self._close_quota = close_quota
        self._policy = policy
        self._tries = max(1, tries)
        self._ahead = max(_LEAST_AHEAD, _ROWS_AHEAD * max_in_flight)
        lock = threading.RLock()
        self._work_there = threading.Condition(lock)  # for the threads that send
        self._progress = threading.Condition(lock)  # for the thread that submits
        self._watch = RejectionWatch(stops_when_all_rejected=stop_when_all_rejected)
        self._queue = SendingQueue(max_in_flight, self._watch, samples_from_outside=samples_from_outside)
        self._settled: deque[Settled] = deque()
        self._in_flight = 0
        self._jobs_in_flight: dict[int, Job] = {}
        self._last_alive_at = -1.0
        self._unwritten = unwritten
        self._most_unwritten = most_unwritten
        self._tell_failure = tell_failure
        self._failures_that_stop = max(_FAILURES_THAT_STOP, 2 * max_in_flight)
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
        hurried = exc_type is not None or self._killed
        if hurried:
            self._close_quota()
        with self._work_there:
            self._work_there.notify_all()
        deadline = SYSTEM_CLOCK.monotonic() + _HURRY_S  # a thread ends in real time, whatever the clock says
        for thread in self._threads:
            thread.join(max(0.0, deadline - SYSTEM_CLOCK.monotonic()) if hurried else None)

    @property
    def stop(self) -> Stop | None:
        """Why the run ends early, if it does."""
        return Stop(StopKind.KILLED) if self._killed else self._stop

    def kill(self) -> None:
        """Send nothing more and wait for nothing. Takes no lock: for signal handlers."""
        self._killed = True
        self._close_quota()

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
            if self.is_full:
                self._clock.wait(self._progress, POLL_S)
            if self.is_full or self.stop:
                return False
            self._queue.add(Job(patch, same_contact(self._key_kind, patch.key)))
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
            waits_for = None if self._in_flight or self.stop else self._queue.waits_for()
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
                if not self._queue.unsettled or (self._stop and not self._in_flight):
                    return
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
            self._queue.give_sample([Job(patch, same_contact(self._key_kind, patch.key)) for patch in patches])
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

    def unsent(self) -> list[Patch]:
        """The patches that were taken and not settled when the run ended early, in the order of their rows."""
        with self._progress:
            return self._queue.unsent()

    def unanswered(self) -> list[Patch]:
        """The patches that are on their way, or were, without a response that says what became of them."""
        with self._progress:
            return [*(job.patch for job in self._jobs_in_flight.values()), *self._queue.sent_before()]

    def written(self) -> None:
        """Answers were written down: sending may go on where it waited for that."""
        with self._work_there:
            self._work_there.notify_all()

    def collect(self) -> list[Settled]:
        """Rows settled since the last call."""
        with self._progress:
            settled = list(self._settled)
            self._settled.clear()
        return settled

    def _work(self) -> None:
        clean = False
        try:
            while (job := self._next()) is not None:
                self._attempt(job)
            clean = True
        finally:
            if not clean:  # a fault of ours: the thread's traceback goes to the log, the run must not hang
                with self._progress:
                    self._in_flight -= 1
                    self._end(Stop(StopKind.CRASHED))

    def _next(self) -> Job | None:
        with self._work_there:
            while not (self._closing or self._killed or self._stop):
                now = self._clock.monotonic()
                job = None if self._is_behind_with_writing() else self._queue.next(now)
                if job is not None:
                    self._in_flight += 1
                    self._jobs_in_flight[id(job)] = job
                    return job
                due_in = self._queue.due_in(now)
                self._clock.wait(self._work_there, POLL_S if due_in is None else max(0.0, min(due_in, POLL_S)))
        return None

    def _is_behind_with_writing(self) -> bool:
        """Whether more answers than may be lost at once are on their way or not written down."""
        if self._most_unwritten is None:
            return False
        open_answers = self._in_flight + len(self._settled) + self._unwritten()
        return open_answers >= self._most_unwritten + len(self._threads)

    def _attempt(self, job: Job) -> None:
        if not job.tries:
            job.first_try_at = self._clock.monotonic()
        answer: Answer | None = None
        error: Error | None = None
        try:
            answer = (self._send_apart if job.on_fresh_connection else self._send)(job.patch)
        except QuotaClosed:
            with self._progress:
                self._in_flight -= 1
                del self._jobs_in_flight[id(job)]
                self._queue.put_back(job)
                self._progress.notify()
            return
        except (ConnectifHttpError, NoAnswerError) as failure:
            error = failure
        with self._progress:
            self._in_flight -= 1
            del self._jobs_in_flight[id(job)]
            if answer is not None:
                self._apply_success(job, answer)
            elif error is not None:
                self._apply(self._policy.rule_for_error(error), job, 0, error)
            self._progress.notify()

    def _apply_success(self, job: Job, answer: Answer) -> None:
        is_another = not answer.is_own
        rule = self._policy.for_success(answer.status, shows_another_contact=is_another)
        if rule.action is Action.CONFIRM:
            if not job.on_fresh_connection:
                job.on_fresh_connection = True
                self._queue.put_back(job)
                self._work_there.notify()
                return
            rule = self._policy.for_status(answer.status)
        self._apply(rule, job, answer.status, None, is_unconfirmed=is_another)

    def _apply(self, rule: Rule, job: Job, status: int, error: Error | None, *, is_unconfirmed: bool = False) -> None:
        if rule.action is Action.WAIT:
            self._queue.put_back(job)
            self._work_there.notify()
            return
        job.tries += 1
        if rule.action is Action.RETRY:
            self._retry(rule, job, error)
            return
        self._last_alive_at = self._clock.monotonic()
        if self._queue.got_through():
            self._work_there.notify_all()
        if rule.action in (Action.FAIL, Action.SKIP_TASK):
            self._settle(rule, job, Outcome.UNDELIVERED, error)
            self._end(Stop(StopKind(rule.action.value), error))
            return
        outcome = _OUTCOMES[rule.action]
        if outcome is Outcome.UPDATED and status == 201:
            outcome = Outcome.CREATED
        self._settle(rule, job, outcome, error, is_unconfirmed=is_unconfirmed)

    def _retry(self, rule: Rule, job: Job, error: Error | None) -> None:
        self._queue.failed(job)
        if job.tries < self._tries:
            response = error if isinstance(error, ConnectifHttpError) else None
            asked_s = (response.retry_after if response else None) or 0.0
            if response is not None and response.status == _MISDIRECTED:
                job.on_fresh_connection = True
            delay_s = retry_delay_s(job.tries, asked_s)
            self._tell_failure("a 2xx" if error is None else describe_error(error))
            self._queue.delay(job, self._clock.monotonic() + delay_s, error if 0 < asked_s == delay_s else None)
            return
        self._settle(rule, job, Outcome.UNDELIVERED, error)
        # A row that only ever meets errors is one row's trouble as long as others get through meanwhile;
        # when none did, Connectif is not there, and to go on would only wear out every row in turn.
        if self._last_alive_at < job.first_try_at and self._queue.failures_in_a_row >= self._failures_that_stop:
            self._end(Stop(StopKind.NOT_ANSWERING, error))

    def _settle(
        self, rule: Rule, job: Job, outcome: Outcome, error: Error | None, *, is_unconfirmed: bool = False
    ) -> None:
        self._settled.append(
            Settled(
                job.patch,
                outcome,
                error,
                job.tries,
                is_remembered=outcome is Outcome.REJECTED and rule.is_remembered,
                is_unconfirmed=is_unconfirmed,
            )
        )
        sample = self._watch.sample
        self._watch.last_error = error or self._watch.last_error
        kind = self._queue.settle(job, outcome, rule)
        if kind is not None:
            self._end(Stop(kind, error))
        elif sample is not self._watch.sample:
            self._work_there.notify_all()
        else:
            self._work_there.notify()

    def _end(self, stop: Stop) -> None:
        self._stop = self._stop or stop
        self._close_quota()
        self._work_there.notify_all()
        self._progress.notify()


_OUTCOMES: dict[Action, Outcome] = {
    Action.ACCEPT: Outcome.UPDATED,
    Action.SKIP: Outcome.SKIPPED,
    Action.REJECT: Outcome.REJECTED,
}
