"""Sends changes by request, within the rate limit, and settles them by their responses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.delivery.delivery import Delivery
from airflow_provider_connectif.delivery.patience import Patience
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.delivery.waits import Waits
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Settled, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.samples import evenly
from airflow_provider_connectif.reporting.report import Report

Spread = Callable[[int], Sequence[Patch]]
NOTHING_SENT: Mapping[str, Any] = MappingProxyType({})
"""The state of a sender before its first request."""


def nothing_more(most: int) -> Sequence[Patch]:
    """Return no patches, so that a sample is taken from the submitted ones."""
    return ()


def _never() -> bool:
    return False


class RequestSender:
    """Sends changes and settles them by their responses.

    :param resource: the resource of the changes.
    :param client: sends the requests, within its rate limit.
    :param policy: the action for each response.
    :param report: receives the outcome of each change.
    :param confirmation: writes the outcomes into the journal, if there is one.
    :param max_in_flight: the most requests at once.
    :param attempts: the most requests for one change.
    :param stop_when_all_rejected: end early when the first responses are all rejections.
    :param patience: the limits for its waits.
    :param clock: measures the delays before a retry.
    """

    def __init__(
        self,
        resource: Resource,
        client: Client,
        policy: ResponsePolicy,
        report: Report,
        confirmation: Confirmation | None,
        *,
        max_in_flight: int,
        attempts: int,
        stop_when_all_rejected: bool,
        patience: Patience,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._report = report
        self._confirmation = confirmation
        self._handed_over: deque[Settled] = deque()
        self._batches: Iterator[Sequence[Patch]] = iter(())
        self._spread: Spread = nothing_more
        self._is_too_old: Callable[[], bool] = _never
        self._left: deque[Patch] = deque()
        self._is_all_handed_over = False
        self._other_request_at: float | None = None
        self.waits = Waits(patience, client.quota, report, attempts, clock)
        """The waits of the run, and their limits."""
        self._delivery = Delivery(
            resource,
            client,
            policy,
            report.effort,
            max_in_flight=max_in_flight,
            attempts=attempts,
            stop_when_all_rejected=stop_when_all_rejected,
            samples_from_outside=True,
            most_unwritten=None if confirmation is None else confirmation.commit_lines,
            checks_suppression=confirmation is not None and resource.is_compared,
            clock=clock,
        )

    @property
    def stop(self) -> Stop | None:
        """The reason why sending ended early; ``None`` if it did not."""
        return self._delivery.stop

    def as_state(self) -> dict[str, Any]:
        """Return the state of sending for the process that continues after a deferral, JSON-ready."""
        state = self._delivery.as_state()
        if self.waits.is_deferred_as_asked:
            state["tries"] = []  # these deferrals have a limit of their own
        return state

    def restore(self, asked_deferrals: int, state: Mapping[str, Any] = NOTHING_SENT) -> None:
        """Continue after a deferral, with the counts of the report.

        :param asked_deferrals: as in :attr:`Waits.asked_deferrals`.
        :param state: from :meth:`as_state`.
        """
        tally = self._report.tally
        self.waits.restore(asked_deferrals)
        self._delivery.restore(tally.delivered + tally.erased, tally.outcomes[Outcome.REJECTED], state)

    def end(self, stop: Stop) -> None:
        """Send nothing more; requests in flight end normally."""
        self._delivery.end(stop)

    def kill(self) -> None:
        """Send nothing more and wait for nothing. Takes no lock: for signal handlers."""
        self._delivery.kill()

    def deliver(
        self,
        batches: Iterator[Sequence[Patch]],
        spread: Spread = nothing_more,
        *,
        planned_at: float | None = None,
        is_too_old: Callable[[], bool] = _never,
        resource: Resource | None = None,
    ) -> None:
        """Send changes until all are settled, or the run ends early.

        :param batches: the changes in the order of sending; a batch is read when the queue has room.
        :param spread: takes a number, and returns at most so many patches from the batches that are not read yet,
            spread evenly over them.
        :param planned_at: when the plan was made, in seconds since the epoch. Default: now.
        :param is_too_old: returns whether nothing more of the plan may be sent; called several times a second.
        :param resource: the resource of these changes, with the account's definitions. Default: the sender's.
        """
        self._let_erasures_watch()
        self._delivery.begin(self._clock.now() if planned_at is None else planned_at, resource)
        self._batches, self._spread, self._is_too_old = batches, spread, is_too_old
        is_whole = False
        try:
            with self._delivery:
                self._end_if_too_old()
                while not self.stop and (batch := next(batches, None)) is not None:
                    self._hand_over(batch)
                self._is_all_handed_over = True
                self._delivery.drain(self._tick)
                self._delivery.finish()
            is_whole = self.stop is None
        finally:
            self._is_all_handed_over = False
            self._collect()
            self._end_confirmation(is_whole=is_whole)

    def unsent(self) -> Iterator[Sequence[Patch]]:
        """Yield the changes that were not settled when sending ended early, in batches."""
        yield [*self._delivery.unfinished.unsent(), *self._left]
        yield from self._batches

    @property
    def is_any_begun(self) -> bool:
        """Whether a request was sent for a change without an outcome."""
        return self._delivery.unfinished.is_any_begun

    def left_behind(self) -> Iterator[Sequence[Patch]]:
        """Yield the changes that were not settled when sending ended early, including those in flight, in batches."""
        yield self._delivery.unfinished.unanswered()
        yield from self.unsent()

    def begin_other_request(self) -> None:
        """Note that a request for a change is about to be sent outside this sender."""
        self._other_request_at = self._clock.monotonic()
        self._let_erasures_watch()

    def end_other_request(self) -> None:
        """Note that the request outside this sender has its response."""
        self._other_request_at = None

    def _let_erasures_watch(self) -> None:
        # Only once it sends: a run may have several senders.
        if self._confirmation is not None:
            self._confirmation.watch_requests(self._busy_since)

    def _busy_since(self) -> float | None:
        """Return the oldest time of a reading of the suppression list that counts, or the start of the other request.

        ``None``: there is neither. In seconds on a clock that only goes forward.
        """
        began = (self._delivery.unfinished.busy_since(), self._other_request_at)
        return min((at for at in began if at is not None), default=None)

    def put_off(self, batches: Iterator[Sequence[Patch]], wait: Wait) -> None:
        """Send nothing yet: the run is deferred for another reason.

        :param batches: the changes to send after the deferral.
        :param wait: the wait for which the run is deferred.
        """
        self._batches = batches
        self._delivery.end(self.waits.defer(wait))

    def check_time_limits(self) -> None:
        """End early if the time limit is reached, the plan is too old, or a wait is too long for a worker."""
        self._end_if_too_old()
        if not self.stop and (stop := self.waits.stop_for(self._asked_wait())) is not None:
            self._delivery.end(stop)

    def _end_if_too_old(self) -> None:
        if self._is_too_old():
            self._delivery.end(Stop(StopKind.PLAN_TOO_OLD))

    def react_to_pause(self, error: Error | None, asked_s: float) -> None:
        """React to a pause that Connectif asks for: one that is too long ends or defers the run."""
        if not self.stop and (stop := self.waits.stop_for_pause(error, asked_s)) is not None:
            self._delivery.end(stop)

    def _asked_wait(self) -> tuple[Wait, Error] | None:
        # Until all changes are submitted, others may follow that can be sent at once.
        return self._delivery.asked_wait if self._is_all_handed_over or self._delivery.is_full else None

    def _hand_over(self, batch: Sequence[Patch]) -> None:
        """Submit a batch, until the run ends early."""
        batch = self._without_suppressed(batch)
        if self._confirmation is not None:
            self._confirmation.before_sending(batch)
        self._left = deque(batch)
        while self._left:
            if not self._delivery.submit(self._left[0], self._tick):
                return
            self._left.popleft()
            if self._delivery.has_news:
                self._tick()

    def _without_suppressed(self, batch: Sequence[Patch]) -> list[Patch]:
        """Return a batch without changes of suppressed people, which are settled."""
        suppressed = set() if self._confirmation is None else self._confirmation.suppressed(batch)
        if suppressed:
            for place in sorted(suppressed):
                self._settle(Settled(batch[place], Outcome.SUPPRESSED, None, 0))
        return [patch for place, patch in enumerate(batch) if place not in suppressed]

    def _sample(self, most: int) -> Sequence[Patch]:
        """Return changes spread evenly over those that are not submitted yet."""
        sample = self._without_suppressed(self._spread(most))
        left = list(self._left)[1:]  # the first one may be submitted at this moment
        missing = min(most - len(sample), len(left))
        places = set(evenly(len(left), missing))
        if places:
            chosen = [patch for place, patch in enumerate(left) if place in places]
            sample += chosen
            rest = [patch for place, patch in enumerate(left) if place not in places]
            self._left = deque([self._left[0], *rest])
        if self._confirmation is not None:
            self._confirmation.before_sending(sample)
        return sample

    def _tick(self) -> None:
        self._collect(commit=True)
        if self._confirmation is not None:
            self._confirmation.commit_if_due()
            self._delivery.written(self._confirmation.unwritten)
        self._delivery.write_doubts(self._confirmation)
        if wanted := self._delivery.wanted_sample:
            self._delivery.give_sample(self._sample(wanted))
        self._report.progress.tick()
        self.check_time_limits()

    def _collect(self, *, commit: bool = False) -> None:
        for begun in self._delivery.collect_begun():
            if self._confirmation is not None:
                self._confirmation.accept_part(begun)
        self._handed_over.extend(self._delivery.collect())
        while self._handed_over:
            self._settle(self._handed_over.popleft())
            if commit and self._confirmation is not None:
                self._confirmation.commit_if_due()

    def _settle(self, settled: Settled) -> None:
        """Count a change, and write its outcome into the journal."""
        place = settled.patch.place
        is_suppressed = settled.outcome is Outcome.SUPPRESSED
        if is_suppressed and place is not None and self._confirmation is not None:
            if not self._confirmation.settle_suppressed(place):
                return  # the erasure has removed it from the plan, and counts it there
            settled = replace(settled, patch=settled.patch._replace(place=None))
        self._report.settle(settled, _not_kept if self._confirmation is None else self._confirmation.settle)

    def _end_confirmation(self, *, is_whole: bool) -> None:
        # Refusals are not recorded while every response is a rejection: after an early end it is not known what would
        # have followed.
        if self._confirmation is None:
            return
        unanswered = self._delivery.unfinished.unanswered()
        self._confirmation.end_doubts(unanswered)
        self._confirmation.take_back(self._delivery.unfinished.only_recorded())
        if self.stop != Stop(StopKind.DEFERRED):
            self._confirmation.end(unanswered, drops_refusals=not is_whole)


def _not_kept(settled: Settled, reasons: Sequence[str], status: int | None) -> bool:
    """Return ``False``: without a journal, every refusal is new."""
    return False
