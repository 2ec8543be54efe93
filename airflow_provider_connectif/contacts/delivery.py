"""Many patches at once to Connectif: in order for each contact, with retries, within the quota.

Threads send; the thread that submits collects what became of each row, so that counting and writing need
no locks.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
import unicodedata
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError, QuotaClosed
from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.contacts.mapping import Patch
from airflow_provider_connectif.contacts.outcomes import Error, Outcome, Settled, Stop, StopKind, describe_error
from airflow_provider_connectif.contacts.response_policy import Action, ResponsePolicy

POLL_S = 0.25  # how soon a stop, or a caller's turn, is noticed
_HURRY_S = 1.0  # what the requests in flight get when the task is killed or breaks
_FIRST_DELAY_S = 0.5
_LONGEST_DELAY_S = 30.0
_REJECTIONS_THAT_STOP = 20
_LEAST_SILENCE = 4  # failures in a row after which no fresh row is tried; more where more are in flight
_FAILURES_THAT_STOP = 20  # without one answer in between; more where more are in flight
_ROWS_AHEAD = 8  # taken in ahead of sending, for each request that may be in flight
_LEAST_AHEAD = 256


@dataclass
class _Job:
    patch: Patch
    order_key: str
    tries: int = 0
    first_try_at: float = field(default=0.0)


class Delivery:
    """Sends patches; use as a context manager.

    Rows of one contact key keep their order and are never in flight together. E-mails that differ in case only, or
    in how accents are composed, count as one key, since it is not documented whether Connectif tells them apart.

    :param send: sends one patch and raises the client's errors; paced by the client's quota.
    :param close_quota: lets no further request go; must be safe in a signal handler.
    :param policy: what each answer leads to.
    :param max_in_flight: requests at once, 1 or more.
    :param tries: requests for one row in all, before it is undelivered.
    :param unwritten: how many answers that were collected are not written down yet.
    :param most_unwritten: no further request goes while so many answers are not written down; ``None``: no such limit.
    :param tell_failure: is told of each request that failed and is tried again, in words; one call at a time.
    """

    def __init__(
        self,
        send: Callable[[Patch], Answer],
        close_quota: Callable[[], None],
        policy: ResponsePolicy,
        *,
        max_in_flight: int,
        tries: int,
        stop_when_all_rejected: bool = True,
        unwritten: Callable[[], int] = lambda: 0,
        most_unwritten: int | None = None,
        tell_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._send = send
        self._close_quota = close_quota
        self._policy = policy
        self._tries = max(1, tries)
        self._stop_when_all_rejected = stop_when_all_rejected
        self._ahead = max(_LEAST_AHEAD, _ROWS_AHEAD * max_in_flight)
        lock = threading.RLock()
        self._work_there = threading.Condition(lock)  # for the threads that send
        self._progress = threading.Condition(lock)  # for the thread that submits
        self._ready: deque[_Job] = deque()
        self._due: deque[_Job] = deque()  # whose delay is over; they go before rows not tried yet
        self._delayed: list[tuple[float, int, _Job]] = []
        self._behind: dict[str, deque[_Job]] = {}  # rows that wait for an earlier one of their key, by key
        self._sequence = itertools.count()
        self._settled: deque[Settled] = deque()
        self._unsettled = 0
        self._in_flight = 0
        self._jobs_in_flight: dict[int, _Job] = {}
        self._answers = 0
        self._rejections = 0
        self._last_alive_at = -1.0
        self._failures_in_a_row = 0
        self._unwritten = unwritten
        self._most_unwritten = most_unwritten
        self._tell_failure = tell_failure
        self._silence = max(_LEAST_SILENCE, max_in_flight)
        self._fresh_allowed = 0
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
        deadline = time.monotonic() + _HURRY_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()) if hurried else None)

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
            if self._unsettled >= self._ahead:
                self._progress.wait(POLL_S)
            if self._unsettled >= self._ahead or self.stop:
                return False
            self._take_in(_Job(patch, unicodedata.normalize("NFC", patch.key).casefold()))
            return True

    def drain(self, while_waiting: Callable[[], None], is_enough: Callable[[], bool] = lambda: False) -> None:
        """Wait until every row is settled, or, once the run ends early, the requests in flight have ended.

        :param is_enough: whether to wait no longer, asked as often as ``while_waiting`` is called.
        """
        while not self._killed:
            with self._progress:
                if not self._unsettled or (self._stop and not self._in_flight):
                    return
                self._progress.wait(POLL_S)
            while_waiting()
            if is_enough():
                return

    def count_before(self, accepted: int, rejected: int) -> None:
        """Count what Connectif answered to an earlier process of the run."""
        self._answers, self._rejections = accepted + rejected, rejected

    def end(self, kind: StopKind) -> None:
        """Send nothing more; what is in flight comes to its end, what waits stays with :meth:`unsent`."""
        with self._progress:
            self._end(Stop(kind))

    def unsent(self) -> list[Patch]:
        """The patches that were taken and not settled when the run ended early, in the order of their rows."""
        with self._progress:
            jobs = [*self._due, *(job for _, _, job in self._delayed), *self._ready]
            jobs += [job for behind in self._behind.values() for job in behind]
        return sorted((job.patch for job in jobs), key=lambda patch: patch.number)

    def unanswered(self) -> list[Patch]:
        """The patches that are on their way."""
        with self._progress:
            return [job.patch for job in self._jobs_in_flight.values()]

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

    def _take_in(self, job: _Job) -> None:
        self._unsettled += 1
        if job.order_key in self._behind:
            self._behind[job.order_key].append(job)
        else:
            self._behind[job.order_key] = deque()
            self._ready.append(job)
            self._work_there.notify()

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

    def _next(self) -> _Job | None:
        with self._work_there:
            while not (self._closing or self._killed or self._stop):
                now = time.monotonic()
                while self._delayed and self._delayed[0][0] <= now:
                    self._due.append(heapq.heappop(self._delayed)[2])
                job = None if self._is_behind_with_writing() else self._next_job()
                if job is not None:
                    self._in_flight += 1
                    self._jobs_in_flight[id(job)] = job
                    return job
                due_in = self._delayed[0][0] - now if self._delayed else POLL_S
                self._work_there.wait(min(due_in, POLL_S))
        return None

    def _next_job(self) -> _Job | None:
        return self._due.popleft() if self._due else self._fresh_job()

    def _is_behind_with_writing(self) -> bool:
        """Whether more answers than may be lost at once are on their way or not written down."""
        if self._most_unwritten is None:
            return False
        open_answers = self._in_flight + len(self._settled) + self._unwritten()
        return open_answers >= self._most_unwritten + len(self._threads)

    def _fresh_job(self) -> _Job | None:
        """A row not tried yet, if one may go.

        While nothing gets through, most of them stay back: to try each once would take long and spend the account's
        requests before the first row has used up its tries. One goes for each retry that failed, from the far end,
        so that good rows behind a run of bad ones are found.
        """
        if not self._ready:
            return None
        if self._failures_in_a_row < self._silence:
            return self._ready.popleft()
        if self._fresh_allowed or not self._delayed:
            self._fresh_allowed = max(0, self._fresh_allowed - 1)
            return self._ready.pop()
        return None

    def _attempt(self, job: _Job) -> None:
        if not job.tries:
            job.first_try_at = time.monotonic()
        error: Error | None = None
        status = 0
        try:
            status = self._send(job.patch).status
        except QuotaClosed:
            with self._progress:
                self._in_flight -= 1
                del self._jobs_in_flight[id(job)]
                self._due.appendleft(job)
                self._progress.notify()
            return
        except (ConnectifHttpError, NoAnswerError) as failure:
            error = failure
        action = self._policy.for_status(status) if error is None else self._policy.for_error(error)
        with self._progress:
            self._in_flight -= 1
            del self._jobs_in_flight[id(job)]
            self._apply(action, job, status, error)
            self._progress.notify()

    def _apply(self, action: Action, job: _Job, status: int, error: Error | None) -> None:
        if action is Action.WAIT:
            self._due.appendleft(job)
            self._work_there.notify()
            return
        job.tries += 1
        if action is Action.RETRY:
            self._retry(job, error)
            return
        self._last_alive_at = time.monotonic()
        if self._failures_in_a_row >= self._silence:
            self._work_there.notify_all()
        self._failures_in_a_row = self._fresh_allowed = 0
        if action in (Action.FAIL, Action.SKIP_TASK):
            self._settle(job, Outcome.UNDELIVERED, error)
            self._end(Stop(StopKind(action.value), error))
            return
        outcome = _OUTCOMES[action]
        if outcome is Outcome.UPDATED and status == 201:
            outcome = Outcome.CREATED
        self._answers += 1
        self._rejections += outcome is Outcome.REJECTED
        self._settle(job, outcome, error)
        if self._stop_when_all_rejected and self._answers == self._rejections == _REJECTIONS_THAT_STOP:
            self._end(Stop(StopKind.ALL_REJECTED, error))

    def _retry(self, job: _Job, error: Error | None) -> None:
        self._failures_in_a_row += 1
        self._fresh_allowed += job.tries > 1
        if job.tries < self._tries:
            asked = error.retry_after if isinstance(error, ConnectifHttpError) and error.retry_after else 0.0
            grown = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (job.tries - 1)) * random.uniform(0.5, 1.5)
            self._tell_failure("a 2xx" if error is None else describe_error(error))
            heapq.heappush(self._delayed, (time.monotonic() + max(asked, grown), next(self._sequence), job))
            return
        self._settle(job, Outcome.UNDELIVERED, error)
        # A row that only ever meets errors is one row's trouble as long as others get through meanwhile;
        # when none did, Connectif is not there, and to go on would only wear out every row in turn.
        if self._last_alive_at < job.first_try_at and self._failures_in_a_row >= self._failures_that_stop:
            self._end(Stop(StopKind.NOT_ANSWERING, error))

    def _settle(self, job: _Job, outcome: Outcome, error: Error | None) -> None:
        self._unsettled -= 1
        self._settled.append(Settled(job.patch, outcome, error, job.tries))
        behind = self._behind[job.order_key]
        if behind:
            self._ready.appendleft(behind.popleft())
            self._work_there.notify()
        else:
            del self._behind[job.order_key]

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
