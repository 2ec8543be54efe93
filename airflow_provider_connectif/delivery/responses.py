"""Applies the response policy to each response, for its change and for the run. It takes no lock."""

from __future__ import annotations

from collections import deque

from airflow_provider_connectif.api.clock import Clock
from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError
from airflow_provider_connectif.api.response import CREATED, OK, Response
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.delivery.jobs import Job, Rejection
from airflow_provider_connectif.delivery.rejection_watch import RejectionWatch
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy, Rule
from airflow_provider_connectif.delivery.sending_queue import SendingQueue
from airflow_provider_connectif.journal.properties import (
    entries_of,
    kept_marks,
    marked_kept,
    only,
    unseen_marks,
    updated,
)
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Settled, Stop, StopKind, describe_error
from airflow_provider_connectif.records.resource import Resource, Step
from airflow_provider_connectif.reporting.effort import Effort

_FAILURES_THAT_STOP = 20  # failures in a row that stop the run; more if more are in flight
_MISDIRECTED = 421  # another connection may lead to the right server (RFC 9110, 15.5.20)

_ACCEPTED = Rule(Action.ACCEPT)
_OF_LOOK_UPS = ResponsePolicy()  # ``on_response`` is for requests that write
_OUTCOMES: dict[Action, Outcome] = {
    Action.ACCEPT: Outcome.UPDATED,
    Action.SKIP: Outcome.SKIPPED,
    Action.REJECT: Outcome.REJECTED,
}


class Responses:
    """Settles jobs by their responses, or puts them back into the queue.

    :param resource: decides which request follows an accepted one.
    :param policy: the action for each response.
    :param queue: the queue of the jobs.
    :param watch: decides whether rejections stop the run.
    :param effort: counts requests that failed and are sent again.
    :param max_in_flight: the most requests at once.
    :param attempts: the most requests for one change, after which it is undelivered.
    :param clock: measures the delays before a retry.
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
        """Changes whose outcome is known and not collected yet."""
        self.begun: deque[Patch] = deque()
        """Changes of which a part was accepted and the rest follows; not collected yet."""

    def begin(self, resource: Resource) -> None:
        """Begin a plan, before its first response; ``resource`` compares its responses."""
        self._resource = resource

    def take(self, job: Job, came: Response | Error) -> Stop | None:
        """Decide on a job by the response or error of its request; return why the run ends early, if it does."""
        if not isinstance(came, Response):
            return self._take_error(job, came)
        if not came.is_own:
            return self._take_response_of_another_key(job, came)
        if job.patch.looks_up:
            return self._advance(job, self._resource.step(job.patch, came))
        return self._take_own(job, came)

    def suppress(self, job: Job) -> Stop | None:
        """Settle a job without a request, since its person is suppressed."""
        if job.rejection is not None:  # its row was rejected, and its urgent part is not sent
            return self._settle_rejection(job, job.rejection, is_accepted=False)
        return self._settle(_ACCEPTED, job, Outcome.SUPPRESSED, None)

    def _take_error(self, job: Job, error: Error) -> Stop | None:
        if (step := self._resource.step(job.patch, error)) is not None:
            return self._advance(job, step)
        rule = (_OF_LOOK_UPS if job.patch.looks_up else self._policy).rule_for_error(error)
        if rule.action is Action.ACCEPT and job.patch.later:
            # The waiting properties were not sent, and this response does not show the contact.
            return self._advance(job, self._resource.step(job.patch, Response(OK)))
        return self._apply(rule, job, error)

    def _take_own(self, job: Job, response: Response) -> Stop | None:
        rule = self._policy.for_success(response.status, shows_another_key=False)
        if response.status == CREATED and not job.is_follow_up:
            job.is_created = True
        if rule.action is Action.ACCEPT:
            return self._advance(job, self._resource.step(job.patch, response))
        return self._apply(rule, job)

    def _take_response_of_another_key(self, job: Job, response: Response) -> Stop | None:
        """Handle a response that shows a thing with another key than the one that was sent."""
        if not self._is_idempotent:
            error = NoResponseError("the response shows another key")
            job.tries += 1
            return self._give_up(Rule(Action.RETRY), job, error, is_in_doubt=True)
        rule = self._policy.for_success(response.status, shows_another_key=True)
        if rule.action is Action.CONFIRM and not job.on_fresh_connection:
            job.on_fresh_connection = True
            self._queue.put_back(job)
            return None
        job.is_unconfirmed = True
        # Neither its body nor its status may belong to this request.
        return self._take_own(job, Response(OK))

    def _advance(self, job: Job, step: Step | None) -> Stop | None:
        """Continue or settle a job after an accepted request or a look-up."""
        if step is None:
            return self._apply(_ACCEPTED, job)
        was_sent = not job.patch.looks_up
        if step.shown is not None:
            job.shown = step.shown if job.shown is None else job.shown.with_later(step.shown)
        job.is_recreated |= step.is_recreated
        job.outcome = step.outcome
        if not step.goes_on:
            job.is_written |= was_sent
            job.patch = step.patch
            return self._apply(_ACCEPTED, job)
        patch = step.patch
        if was_sent:
            job.sent_earlier |= job.patch.properties.keys()
            patch = self._begun(job, patch)
        job.continue_with(patch)
        self._last_alive_at = self._clock.monotonic()
        self._queue.got_through()
        self._queue.put_back(job)
        return None

    def _begun(self, job: Job, patch: Patch) -> Patch:
        """Return the rest of a change after a part was accepted."""
        digests = patch.digests
        if digests is not None and digests.properties is not None:
            # If the contact was created, nothing of the earlier accepted values is left.
            before, unseen = digests.before or b"", set[str]()
            if job.is_created:
                before = marked_kept(before, patch.standings)
                conditional = patch.standings.keys() | self._resource.modes.keys()
                unseen = conditional & (patch.properties.keys() | patch.later.keys())
            sent = entries_of(only(digests.properties, job.patch.properties))
            now = updated(before, [*sent, *kept_marks(patch.kept), *unseen_marks(unseen)])
            patch = patch._replace(digests=digests._replace(before=now))
        job.is_written = job.is_follow_up = True
        if job.is_created:
            patch = patch._replace(created_as="recreated" if job.is_recreated else "created")
        self.begun.append(patch)
        return patch._replace(place=None)  # a stored plan has the whole change, not this rest

    def _apply(self, rule: Rule, job: Job, error: Error | None = None) -> Stop | None:
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
        if job.rejection is not None:
            return self._settle_rejection(job, job.rejection, is_accepted=outcome is Outcome.UPDATED)
        if outcome is not Outcome.UPDATED and (alone := self._resource.urgent_part(job.patch)) is not None:
            job.rejection = Rejection(job.patch, outcome, rule, error, job.tries)
            job.continue_with(alone)
            self._queue.put_back(job)
            return None
        if outcome is Outcome.UPDATED and error is None:
            created = Outcome.CREATED if job.is_created else outcome if job.is_written else Outcome.UNCHANGED
            outcome = job.outcome or created
        return self._settle(rule, job, outcome, error)

    def _settle_rejection(self, job: Job, rejection: Rejection, *, is_accepted: bool) -> Stop | None:
        """Settle a rejected change after its urgent part was sent alone.

        :param is_accepted: whether Connectif has accepted that part.
        """
        alone = job.patch
        job.patch, job.tries = rejection.patch, rejection.tries
        return self._settle(
            rejection.rule, job, rejection.outcome, rejection.error, alone=alone, is_alone_accepted=is_accepted
        )

    def _retry(self, rule: Rule, job: Job, error: Error | None) -> Stop | None:
        was_sent = not isinstance(error, NoResponseError) or error.was_sent
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
        # A row with only errors is a problem of that row as long as others succeed. If none did, Connectif is down, and
        # continuing would only use up the attempts of every row.
        if self._last_alive_at < job.first_try_at and self._queue.failures_in_a_row >= self._failures_that_stop:
            return Stop(StopKind.NOT_RESPONDING, error)
        return stop

    def _settle(
        self,
        rule: Rule,
        job: Job,
        outcome: Outcome,
        error: Error | None,
        *,
        is_in_doubt: bool = False,
        alone: Patch | None = None,
        is_alone_accepted: bool = False,
    ) -> Stop | None:
        self.settled.append(
            Settled(
                job.whole._replace(kept=job.patch.kept) if alone is None else job.patch,
                outcome,
                error,
                job.tries,
                is_remembered=outcome is Outcome.REJECTED and rule.is_remembered,
                is_unconfirmed=job.is_unconfirmed,
                is_in_doubt=is_in_doubt,
                is_follow_up=job.is_follow_up,
                sent_earlier=job.sent_earlier,
                is_recreated=(outcome is Outcome.CREATED and job.is_recreated)
                or (alone is not None and job.is_created and job.patch.was_delivered),
                shown=job.shown,
                alone=alone,
                is_alone_accepted=is_alone_accepted,
            )
        )
        self._watch.last_error = error or self._watch.last_error
        kind = self._queue.settle(job, outcome, rule)
        return None if kind is None else Stop(kind, error)
