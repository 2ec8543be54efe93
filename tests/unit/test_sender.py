"""When sending ends before the last change: time limits, long waits, deferrals. The clock is the test's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import RunStopped, error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.patience import Patience
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome, Stop, StopKind
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from tests.support.accounts import WINDOW_S, Account, accept, asks
from tests.support.clock import FakeClock


class Silent:
    """A log that nobody reads."""

    def info(self, message: str, /, *args: Any) -> None:
        pass

    warning = debug = info


class Sending:
    """One sender, its account and its report."""

    def __init__(self, patience: Patience, answer: Callable[[int], Response] = accept, window: int = 1_000) -> None:
        clock = FakeClock()
        quota = Quota(1_000_000, clock=clock)
        self.account = Account(quota, clock, answer, window)
        self.report = Report(ContactResource(ContactMapping()), quota, Rejects(None), None, Silent())
        self.sender = RequestSender(
            self.account,
            self.account,
            ResponsePolicy(),
            self.report,
            None,
            max_in_flight=1,
            attempts=3,
            stop_when_all_rejected=True,
            patience=patience,
            clock=clock,
        )
        self.clock = clock

    def deliver(self, count: int) -> None:
        self.report.tally.read = count
        self.sender.deliver(iter([[Patch(n, f"user{n}@example.com", {}, {}) for n in range(1, count + 1)]]))

    @property
    def stop(self) -> StopKind | None:
        return self.sender.stop and self.sender.stop.kind

    @property
    def unsent(self) -> list[int]:
        return [patch.number for batch in self.sender.unsent() for patch in batch]


def test_all_is_sent_and_counted() -> None:
    sending = Sending(Patience(longest_wait_s=60.0))
    sending.deliver(20)
    assert sending.stop is None
    assert sending.report.tally.outcomes[Outcome.UPDATED] == 20
    assert sending.unsent == []


def test_a_time_limit_that_is_over_ends_it() -> None:
    sending = Sending(Patience(longest_wait_s=60.0, time_limit_s=0.0))
    sending.deliver(2000)
    assert sending.stop is StopKind.TIMED_OUT
    assert len(sending.account.sent) + len(sending.unsent) == 2000
    assert sending.unsent


def test_a_window_that_opens_late_ends_it_where_it_cannot_be_deferred() -> None:
    sending = Sending(Patience(longest_wait_s=60.0), window=5)
    sending.deliver(20)
    assert sending.stop is StopKind.LEFT_ALONE
    assert sending.sender.stop is not None
    assert WINDOW_S - 5 < sending.sender.stop.asked_s < WINDOW_S + 1
    assert sending.unsent == list(range(6, 21))


def test_a_window_that_opens_in_time_is_waited_for() -> None:
    sending = Sending(Patience(longest_wait_s=4000.0), asks(50.0, 3))
    sending.account.answer = _once(sending.account.answer, 3)
    sending.deliver(5)
    assert sending.stop is None
    assert sorted(sending.account.sent) == [1, 2, 3, 3, 4, 5]
    assert sending.clock.monotonic() >= 50


def _once(answer: Callable[[int], Response], number: int) -> Callable[[int], Response]:
    """Return the response the first time, and acceptance the second time."""
    asked: list[int] = []

    def answered(which: int) -> Response:
        asked.append(which)
        return accept(which) if asked.count(number) > 1 else answer(which)

    return answered


def test_a_long_wait_for_a_window_defers_it_where_that_is_possible() -> None:
    sending = Sending(Patience(longest_wait_s=60.0, defer_after_s=30.0), window=5)
    sending.deliver(20)
    assert sending.stop is StopKind.DEFERRED
    assert sending.sender.waits.deferred is not None
    assert sending.sender.waits.deferred.cause is Cause.USED_UP
    assert sending.sender.waits.deferred.until - sending.clock.now() > WINDOW_S - 5
    assert sending.sender.waits.asked_deferrals == 0


def test_a_response_that_asks_for_a_long_pause_defers_it_too() -> None:
    sending = Sending(Patience(longest_wait_s=60.0, defer_after_s=30.0), asks(600.0, 3))
    sending.deliver(3)
    assert sending.stop is StopKind.DEFERRED
    assert sending.sender.waits.deferred is not None
    assert sending.sender.waits.deferred.cause is Cause.ASKED
    assert sending.unsent == [3]


def test_a_response_that_asks_for_more_than_a_worker_waits_ends_it() -> None:
    sending = Sending(Patience(longest_wait_s=60.0), asks(600.0, 3))
    sending.deliver(3)
    assert sending.stop is StopKind.LEFT_ALONE
    assert sending.unsent == [3]


def test_a_server_that_only_ever_puts_off_is_not_there() -> None:
    sending = Sending(Patience(longest_wait_s=60.0, defer_after_s=30.0), asks(600.0, 1))
    sending.sender.restore(asked_deferrals=3)
    sending.deliver(1)
    assert sending.stop is StopKind.ASKED_AGAIN


@pytest.mark.parametrize("kind", [StopKind.PLAN_TOO_OLD, StopKind.TIMED_OUT])
def test_what_ends_it_from_outside_lets_nothing_further_go(kind: StopKind) -> None:
    sending = Sending(Patience(longest_wait_s=60.0))
    sending.sender.end(Stop(kind))
    sending.deliver(10)
    assert sending.account.sent == []
    assert sending.stop is kind
    assert len(sending.unsent) == 10


def test_a_plan_becomes_too_old_while_the_server_has_it_wait() -> None:
    def used_up(number: int) -> Response:
        sending.clock.advance(1.0)
        raise error_class(429)(429, retry_after=1.0)

    sending = Sending(Patience(longest_wait_s=60.0), used_up)
    batches = iter(
        [[Patch(n, f"user{n}@example.com", {}, {}) for n in (1, 2)], [Patch(3, "user3@example.com", {}, {})]]
    )
    sending.sender.deliver(batches, is_too_old=lambda: sending.clock.monotonic() > 5.0)
    assert (sending.stop, sending.unsent) == (StopKind.PLAN_TOO_OLD, [1, 2, 3])


def after_deferral(first: Sending, answer: Callable[[int], Response], window: int = 1) -> Sending:
    assert first.stop is StopKind.DEFERRED
    sending = Sending(Patience(longest_wait_s=60.0, defer_after_s=30.0), answer, window=window)
    sending.report.tally.restore(first.report.tally.as_state())
    sending.sender.restore(0, json.loads(json.dumps(first.sender.as_state())))
    return sending


def test_attempts_are_counted_over_deferrals() -> None:
    def fail(number: int) -> Response:
        raise error_class(500)(500)

    sending = Sending(Patience(longest_wait_s=60.0, defer_after_s=30.0), fail, window=1)
    for _ in range(2):
        sending.deliver(1)
        sending = after_deferral(sending, fail)
    sending.deliver(1)
    assert (sending.stop, sending.account.sent) == (None, [1])
    assert sending.report.tally.outcomes[Outcome.UNDELIVERED] == 1


def test_a_sample_goes_on_after_a_deferral() -> None:
    def reject(number: int) -> Response:
        raise error_class(422)(422)

    first = Sending(Patience(longest_wait_s=60.0, defer_after_s=30.0), reject, window=25)
    first.deliver(100)
    second = after_deferral(first, reject, window=1_000)
    second.sender.deliver(iter([[Patch(n, f"user{n}@example.com", {}, {}) for n in first.unsent]]))
    assert second.stop is StopKind.ALL_REJECTED
    assert len(first.account.sent) + len(second.account.sent) == 40


def test_a_kill_is_a_stop_and_closes_the_quota() -> None:
    sending = Sending(Patience(longest_wait_s=60.0))
    sending.sender.kill()
    assert sending.stop is StopKind.KILLED
    with pytest.raises(RunStopped):
        sending.account.quota.acquire()
