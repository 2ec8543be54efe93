"""Applies the response policy: what each response means for its change, and for the run. Takes no lock."""

from __future__ import annotations

from collections import deque

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError
from airflow_provider_connectif.api.transport import CREATED, Answer
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.delivery.rejection_watch import RejectionWatch
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy, Rule
from airflow_provider_connectif.delivery.sending_queue import Job, SendingQueue
from airflow_provider_connectif.journal.properties import entries_of, only, updated
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Settled, Stop, StopKind, describe_error
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.effort import Effort

_FAILURES_THAT_STOP = 20  # without one answer in between; more where more are in flight
_MISDIRECTED = 421  # another connection may lead to the right server (RFC 9110, 15.5.20)

_OUTCOMES: dict[Action, Outcome] = {
    Action.ACCEPT: Outcome.UPDATED,
    Action.SKIP: Outcome.SKIPPED,
    Action.REJECT: Outcome.REJECTED,
}


class Responses:
    """Settles jobs by their responses, or puts them back into the queue.

    :param resource: says what has to follow on an accepted request.
    :param policy: what each response leads to.
    :param queue: of the jobs.
    :param watch: decides whether rejections stop the run.
    :param effort: counts requests that failed and are tried again.
    :param max_in_flight: requests at once.
    :param attempts: requests for one change in all, before it is undelivered.
    :param clock: of the delays before a retry.
    """

    def __init__(
        self,
        resource: Resource,
        policy: ResponsePolicy,
        queue: SendingQueue,
        watch: RejectionWatch,
        effort: Effort,
        *,
        max_in_flight: int,
        attempts: int,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._policy = policy
        self._queue = queue
        self._watch = watch
        self._effort = effort
        self._resource = resource
        self._is_idempotent = resource.is_idempotent
        self._attempts = max(1, attempts)
        self._failures_that_stop = max(_FAILURES_THAT_STOP, 2 * max_in_flight)
        self._last_alive_at = -1.0
        self.settled: deque[Settled] = deque()
        """Changes whose outcome is known, and nobody has collected yet."""
        self.begun: deque[Patch] = deque()
        """Changes of which a part was accepted and the rest is to follow, likewise."""

    def take(self, job: Job, came: Answer | Error) -> Stop | None:
        """Decide about a job by what came of its request; why the run ends early, if it does."""
        if not isinstance(came, Answer):
            return self._apply(self._policy.rule_for_error(came), job, came)
        if came.is_own:
            rule = self._policy.for_success(came.status, shows_another_key=False)
            if came.status == CREATED and not job.is_follow_up:
                job.created()
            if rule.action is Action.ACCEPT:
                shown = self._resource.shown_by(job.patch, came)
                job.shown = shown if job.shown is None else job.shown.with_later(shown)
                if (patch := self._resource.follow_up(job.patch, came)) is not None:
                    self._go_on(job, patch)
                    return None
            return self._apply(rule, job)
        return self._take_anothers(job, came)

    def _take_anothers(self, job: Job, answer: Answer) -> Stop | None:
        """The response shows the thing of another key."""
        if not self._is_idempotent:
            error = NoAnswerError("the response shows another key")
            job.tries += 1
            return self._give_up(Rule(Action.RETRY), job, error, is_in_doubt=True)
        rule = self._policy.for_success(answer.status, shows_another_key=True)
        if rule.action is Action.CONFIRM:
            if not job.on_fresh_connection:
                job.on_fresh_connection = True
                self._queue.put_back(job)
                return None
            rule = self._policy.for_status(answer.status)
        if answer.status == CREATED and not job.is_follow_up:
            job.created()
        return self._apply(rule, job, is_unconfirmed=True)

    def _go_on(self, job: Job, patch: Patch) -> None:
        """A part was accepted: the rest goes next."""
        digests = patch.digests
        if digests is not None and digests.properties is not None:
            # Where the contact was created, nothing of what was accepted before is there any more.
            before = b"" if job.is_created else digests.before or b""
            now = updated(before, entries_of(only(digests.properties, job.patch.properties)))
            patch = patch._replace(digests=digests._replace(before=now))
        self.begun.append(patch)
        job.go_on_with(patch._replace(place=None))  # a plan that is kept holds the whole, and not this rest
        self._last_alive_at = self._clock.monotonic()
        self._queue.got_through()
        self._queue.put_back(job)

    def _apply(self, rule: Rule, job: Job, error: Error | None = None, *, is_unconfirmed: bool = False) -> Stop | None:
        if rule.action is Action.WAIT:
            self._queue.put_back(job)
            return None
        job.tries += 1
        if rule.action is Action.RETRY:
            return self._retry(rule, job, error)
        self._last_alive_at = self._clock.monotonic()
        self._queue.got_through()
        if rule.action in (Action.FAIL, Action.SKIP_TASK):
            self._settle(rule, job, Outcome.UNDELIVERED, error)
            return Stop(StopKind(rule.action.value), error)
        outcome = _OUTCOMES[rule.action]
        if outcome is Outcome.UPDATED and job.is_created:
            outcome = Outcome.CREATED
        return self._settle(rule, job, outcome, error, is_unconfirmed=is_unconfirmed)

    def _retry(self, rule: Rule, job: Job, error: Error | None) -> Stop | None:
        was_sent = not isinstance(error, NoAnswerError) or error.was_sent
        is_in_doubt = rule.leaves_doubt and was_sent and not self._is_idempotent
        if is_in_doubt or job.tries >= self._attempts:
            return self._give_up(rule, job, error, is_in_doubt=is_in_doubt)
        self._queue.failed(job)
        response = error if isinstance(error, ConnectifHttpError) else None
        asked_s = (response.retry_after if response else None) or 0.0
        if response is not None and response.status == _MISDIRECTED:
            job.on_fresh_connection = True
        delay_s = retry_delay_s(job.tries, asked_s)
        self._effort.add_failure("a 2xx" if error is None else describe_error(error))
        self._queue.delay(job, self._clock.monotonic() + delay_s, error if 0 < asked_s == delay_s else None)
        return None

    def _give_up(self, rule: Rule, job: Job, error: Error | None, *, is_in_doubt: bool) -> Stop | None:
        self._queue.failed(job)
        stop = self._settle(rule, job, Outcome.UNDELIVERED, error, is_in_doubt=is_in_doubt)
        # A row that only ever meets errors is one row's trouble as long as others get through meanwhile;
        # when none did, Connectif is not there, and to go on would only wear out every row in turn.
        if self._last_alive_at < job.first_try_at and self._queue.failures_in_a_row >= self._failures_that_stop:
            return Stop(StopKind.NOT_ANSWERING, error)
        return stop

    def _settle(
        self,
        rule: Rule,
        job: Job,
        outcome: Outcome,
        error: Error | None,
        *,
        is_unconfirmed: bool = False,
        is_in_doubt: bool = False,
    ) -> Stop | None:
        self.settled.append(
            Settled(
                job.patch,
                outcome,
                error,
                job.tries,
                is_remembered=outcome is Outcome.REJECTED and rule.is_remembered,
                is_unconfirmed=is_unconfirmed,
                is_in_doubt=is_in_doubt,
                is_follow_up=job.is_follow_up,
                is_recreated=outcome is Outcome.CREATED and job.is_recreated,
                shown=job.shown,
            )
        )
        self._watch.last_error = error or self._watch.last_error
        kind = self._queue.settle(job, outcome, rule)
        return None if kind is None else Stop(kind, error)
