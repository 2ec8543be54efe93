"""Chooses the next change to send.

Changes of one key keep their order. Retries come first. While every attempt fails, most new changes wait.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Mapping, Sequence

from airflow_provider_connectif.delivery.jobs import Job
from airflow_provider_connectif.delivery.rejection_watch import RejectionWatch
from airflow_provider_connectif.delivery.response_policy import Rule
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, StopKind
from airflow_provider_connectif.records.rows import weight_of_row
from airflow_provider_connectif.records.samples import evenly

_LEAST_SILENCE = 4  # after so many failures in a row most new rows wait; more if more are in flight


class SendingQueue:
    """The queued patches that are not settled. It takes no lock.

    :param max_in_flight: the most requests at once.
    :param watch: decides when rows from the rest of the plan are tried.
    :param samples_from_outside: whether :meth:`give_sample` submits these rows, and no new row is sent before.
        ``False``: they are taken from the queue.
    """

    def __init__(self, max_in_flight: int, watch: RejectionWatch, *, samples_from_outside: bool = False) -> None:
        self._samples_from_outside = samples_from_outside
        self.wanted = 0
        """Number of rows from the rest of the plan that must be submitted: see :meth:`give_sample`."""
        self._watch = watch
        self._ready: deque[Job] = deque()
        self._due: deque[Job] = deque()  # jobs whose delay has passed; they go before new rows
        self._delayed: list[tuple[float, int, Job]] = []
        self._behind: dict[str, deque[Job]] = {}  # rows that wait for an earlier one of their key, by key
        self._sequence = itertools.count()
        self._silence = max(_LEAST_SILENCE, max_in_flight)
        self._fresh_allowed = 0
        self._waited_for = 0  # number of jobs that others wait for
        self.failures_in_a_row = 0
        self.unsettled = 0
        self.unsettled_bytes = 0
        self._tries_before: dict[int, int] = {}  # attempts for changes not submitted yet, by row number

    def add(self, job: Job) -> None:
        """Add a job at the end, behind earlier jobs of its key."""
        self._take_in(job)
        if job.order_key in self._behind:
            self._behind[job.order_key].append(job)
        else:
            self._behind[job.order_key] = deque()
            self._ready.append(job)

    def _take_in(self, job: Job) -> None:
        job.tries += self._tries_before.pop(job.patch.number, 0)
        job.place = next(self._sequence)
        job.weight = max(weight_of_row(job.patch.row), weight_of_row(job.patch.properties))
        self.unsettled += 1
        self.unsettled_bytes += job.weight
        self._waited_for += job.others_wait_for_it

    def next(self, now: float) -> Job | None:
        """Return the job to send now, if there is one.

        :param now: seconds on a clock that only goes forward.
        """
        while self._delayed and self._delayed[0][0] <= now:
            self._due.append(heapq.heappop(self._delayed)[2])
        if self._due:
            return self._due.popleft()
        return self._fresh_job()

    def due_in(self, now: float) -> float | None:
        """Return the seconds until the next delay has passed; ``None`` if no job is delayed."""
        return self._delayed[0][0] - now if self._delayed else None

    def waits_for(self) -> tuple[float, Error] | None:
        """Return the end of the pause that the server asks for, and the response that asks; ``None`` if there is none,
        or if a job may be sent before its end.
        """
        if not self._delayed or self._due or (self._ready and self._may_fresh_go()):
            return None
        at, _, job = self._delayed[0]
        return None if job.asked_by is None else (at, job.asked_by)

    def put_back(self, job: Job) -> None:
        """Put a job back that was not sent, or must be sent again at once."""
        self._due.appendleft(job)

    def delay(self, job: Job, until: float, asked_by: Error | None) -> None:
        """Delay a job.

        :param until: seconds on a clock that only goes forward.
        :param asked_by: the response that asked for the delay; ``None`` if none did.
        """
        self._let_others_go(job)
        job.asked_by = asked_by
        heapq.heappush(self._delayed, (until, next(self._sequence), job))

    def failed(self, job: Job) -> None:
        """Note that an attempt failed."""
        self.failures_in_a_row += 1
        self._fresh_allowed += job.tries > 1

    def got_through(self) -> None:
        """Note that an attempt succeeded, so that delayed new rows may be sent again."""
        self.failures_in_a_row = self._fresh_allowed = 0

    def settle(self, job: Job, outcome: Outcome, rule: Rule) -> StopKind | None:
        """Settle a job; return why the run stops, if it does."""
        job.is_settled = True
        self._let_others_go(job)
        self.unsettled -= 1
        self.unsettled_bytes -= job.weight
        sample_before = self._watch.sample
        stop = self._watch.settle(outcome, rule, job.sample)
        if self._watch.sample is not None and self._watch.sample is not sample_before:
            if self._samples_from_outside:
                self.wanted, self._watch.sample.is_there = self._watch.sample.size, False
            else:
                self._put_in_front(self._watch.sample.size)
        behind = self._behind[job.order_key]
        if behind:
            # After the sample, which is in front: a row of the key that was just settled is not new evidence.
            self._ready.insert(self._watch.sample.left if self._watch.sample else 0, behind.popleft())
        else:
            del self._behind[job.order_key]
        return stop

    def give_sample(self, jobs: Sequence[Job]) -> None:
        """Add rows spread over those that are not submitted yet; if there are too few, add queued rows."""
        missing = self.wanted - len(jobs)
        self.wanted = 0
        if missing:
            self._put_in_front(missing)
        from_here = min(missing, len(self._ready))
        for job in jobs:
            self._take_in(job)
            self._behind[job.order_key] = deque()
        self._ready.extendleft(reversed(jobs))
        if self._watch.sample is not None:  # otherwise a response of another kind has arrived in the meantime
            self._watch.sample.left, self._watch.sample.is_there = len(jobs) + from_here, True

    def upcoming(self, most: int) -> list[Job]:
        """Return the next new jobs, at most ``most``; none while every attempt fails, or while a sample is tried."""
        if self.failures_in_a_row >= self._silence or self._watch.sample is not None:
            return []
        return list(itertools.islice(self._ready, max(0, most)))

    def continue_sample(self) -> None:
        """Ask for the rest of a sample that an earlier process of the run began."""
        if self._watch.sample is not None:
            self.wanted, self._watch.sample.is_there = self._watch.sample.left, False

    def tries(self) -> dict[int, int]:
        """Return the attempts for changes that are not settled and not in flight, by the numbers of their rows.

        Changes without a row, all of the number 0, are left out.
        """
        tries = ((job, job.rejection.tries if job.rejection else job.tries) for job in self._waiting())
        return self._tries_before | {job.patch.number: count for job, count in tries if count and job.patch.number}

    def restore_tries(self, tries: Mapping[int, int]) -> None:
        """Count attempts of an earlier process.

        :param tries: from :meth:`tries`, for changes that are submitted again.
        """
        self._tries_before = dict(tries)

    def unsent(self) -> list[Patch]:
        """Return the patches that are not settled and not in flight, in their order."""
        return [job.whole for job in sorted(self._waiting(), key=lambda job: job.place)]

    def only_recorded(self) -> list[Patch]:
        """Return the patches that are recorded but were not sent."""
        return [job.patch for job in self._waiting() if job.is_only_recorded]

    def sent_before(self) -> list[Patch]:
        """Return the patches to send again; their earlier requests may have arrived."""
        jobs = [*self._due, *(job for _, _, job in self._delayed)]
        return [job.whole for job in jobs if job.tries or job.on_fresh_connection]

    @property
    def is_any_begun(self) -> bool:
        """Whether a request was sent for a job that is neither settled nor in flight."""
        return any(job.tries or job.on_fresh_connection or job.has_begun for job in self._waiting())

    def _waiting(self) -> list[Job]:
        """Return the jobs that are not settled and not in flight."""
        jobs = [*self._due, *(job for _, _, job in self._delayed), *self._ready]
        return jobs + [job for behind in self._behind.values() for job in behind]

    def _fresh_job(self) -> Job | None:
        """Return a new row, if one may be sent.

        While every attempt fails, most new rows wait: trying each once would take long and use up the account's
        requests before the first row has used up its attempts. For each failed retry one new row is sent, from the far
        end, so that good rows after a series of bad ones are found.
        """
        if not self._ready or not self._may_fresh_go():
            return None
        others_wait = self._waited_for and self._watch.sample is None
        if others_wait and not self._ready[0].others_wait_for_it and not self._put_first_what_is_waited_for():
            return None
        is_silent = self.failures_in_a_row >= self._silence
        if is_silent:
            self._fresh_allowed = max(0, self._fresh_allowed - 1)
        job = self._ready.pop() if is_silent and not others_wait else self._ready.popleft()
        job.sample = self._watch.take()
        return job

    def _put_first_what_is_waited_for(self) -> bool:
        """Move the new row that the others wait for to the front, or the first row of its key if it is behind that one.

        :return: whether there is such a row; otherwise it is in flight or delayed.
        """
        for place, job in enumerate(self._ready):
            if job.others_wait_for_it or any(later.others_wait_for_it for later in self._behind[job.order_key]):
                del self._ready[place]
                self._ready.appendleft(job)
                return True
        return False

    def _let_others_go(self, job: Job) -> None:
        self._waited_for -= job.others_wait_for_it
        job.others_wait_for_it = False

    def _may_fresh_go(self) -> bool:
        if not self._watch.lets_fresh_go:
            return False
        return self.failures_in_a_row < self._silence or bool(self._fresh_allowed) or not self._delayed

    def _put_in_front(self, size: int) -> None:
        """Move rows to the front that are spread evenly over all ready rows, including the first and the last."""
        jobs = list(self._ready)
        if len(jobs) <= size:
            return
        places = evenly(len(jobs), size)
        chosen = set(places)
        rest = (job for place, job in enumerate(jobs) if place not in chosen)
        self._ready = deque([*(jobs[place] for place in places), *rest])
