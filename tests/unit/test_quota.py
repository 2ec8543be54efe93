"""Threads that wait for the window, against a simulated account on a clock of the test's."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.rate_headers import NO_SIGNAL, RateSignal
from airflow_provider_connectif.api.window import Cause
from tests.support.clock import FakeClock

LIMIT = 100


class Account:
    """A window of 60 s from its first request on; a request takes no time.

    :param tells: whether its responses have rate-limit headers.
    """

    def __init__(self, clock: FakeClock, *, tells: bool = True) -> None:
        self._clock, self._tells = clock, tells
        self._lock = threading.Lock()
        self._opened_at = -60.0
        self.allowed: Counter[float] = Counter()
        self.refused: Counter[float] = Counter()

    def request(self, quota: Quota) -> bool:
        sent_at = quota.acquire()
        with self._clock.held(), self._lock:
            now = self._clock.monotonic()
            if now >= self._opened_at + 60.0:
                self._opened_at = now
            is_refused = self.allowed[self._opened_at] >= LIMIT
            (self.refused if is_refused else self.allowed)[self._opened_at] += 1
            left = LIMIT - self.allowed[self._opened_at]
            resets_in = self._opened_at + 60.0 - now
        signal = RateSignal(LIMIT, left, resets_in, reset_is_whole=False) if self._tells else NO_SIGNAL
        quota.release(sent_at, signal, refused=is_refused)
        return not is_refused


def send(account: Account, quota: Quota, count: int, threads: int = 4) -> None:
    def one(_: int) -> None:
        while not account.request(quota):
            pass

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(count)))


@pytest.mark.parametrize("tells", [True, False])
def test_three_windows_are_used_to_the_last_request(tells: bool) -> None:
    clock = FakeClock()
    quota, account = Quota(clock=clock), Account(clock, tells=tells)
    send(account, quota, 3 * LIMIT)
    assert list(account.allowed.values()) == [LIMIT] * 3
    assert not account.refused
    assert 120 <= clock.monotonic() < 125
    assert 119 < quota.waited_s <= clock.monotonic()
    assert quota.requests == 3 * LIMIT


def test_a_cap_leaves_room_for_others() -> None:
    clock = FakeClock()
    quota, account = Quota(10, clock=clock), Account(clock)
    send(account, quota, 30)
    assert 120 <= clock.monotonic() < 125
    assert sum(account.allowed.values()) == 30


def test_a_429_is_waited_for_as_long_as_it_asks_and_counted() -> None:
    clock = FakeClock()
    quota = Quota(clock=clock)
    quota.release(quota.acquire(), RateSignal(retry_after=90.0), refused=True)
    quota.release(quota.acquire(), NO_SIGNAL)
    assert 90 <= clock.monotonic() < 91
    assert quota.rate_limited == 1


def test_what_it_waits_for_is_told_while_it_waits_and_not_afterwards() -> None:
    clock = FakeClock()
    quota = Quota(clock=clock)
    causes: list[Cause] = []
    quota.while_waiting = lambda: causes.append(quota.wait.cause if quota.wait else Cause.CAP)
    quota.release(quota.acquire(), RateSignal(LIMIT, 0, 30.0, reset_is_whole=False))
    quota.release(quota.acquire(), NO_SIGNAL)
    assert set(causes) == {Cause.USED_UP}
    assert quota.wait is None
    assert 30 <= quota.waited_s < 31


def test_a_later_process_goes_on_within_the_same_window() -> None:
    clock = FakeClock()
    first, account = Quota(clock=clock), Account(clock, tells=False)
    send(account, first, LIMIT)
    remembered = first.remember(clock.now() + 60.0)
    second = Quota(clock=clock)
    second.recall(remembered)
    send(account, second, LIMIT)
    assert list(account.allowed.values()) == [LIMIT] * 2
    assert not account.refused


def test_a_later_process_learns_the_length_of_a_window_from_the_one_before() -> None:
    clock = FakeClock()
    first, second = Quota(clock=clock), Quota(clock=clock)
    first.release(first.acquire(), RateSignal(LIMIT, 0, 3.0, reset_is_whole=False))
    second.recall(first.remember(clock.now() + 3.0))
    second.release(second.acquire(), RateSignal(LIMIT, LIMIT - 1, 5.0, reset_is_whole=False))
    assert second.allowance.window_s == pytest.approx(5.0, abs=0.1)
    third = Quota(clock=clock)
    third.recall(second.remember(clock.now()))
    assert third.allowance == second.allowance


def test_a_state_of_an_earlier_version_says_nothing_of_windows() -> None:
    quota = Quota(clock=FakeClock())
    quota.recall({"until": 0.0, "limit": 20, "answered_at": []})
    assert (quota.allowance.requests, quota.allowance.window_s) == (20, 60.0)


class ClockWithASignal(FakeClock):
    """A signal handler runs while the time is read."""

    def __init__(self) -> None:
        super().__init__()
        self.on_signal: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        self.on_signal()
        return super().monotonic()


def test_a_request_that_is_about_to_go_when_the_quota_is_closed_does_not_go_and_is_not_counted() -> None:
    clock = ClockWithASignal()
    quota = Quota(clock=clock)
    quota.release(quota.acquire(), NO_SIGNAL)
    clock.on_signal = quota.close
    with pytest.raises(RunStopped):
        quota.acquire()
    assert quota.requests == 1


def test_a_quota_that_is_closed_lets_nothing_go() -> None:
    clock = FakeClock()
    quota = Quota(clock=clock)
    quota.release(quota.acquire(), RateSignal(LIMIT, 0, 3600.0, reset_is_whole=False))
    quota.while_waiting = quota.close
    with pytest.raises(RunStopped):
        quota.acquire()
    assert clock.monotonic() < 2
    with pytest.raises(RunStopped):
        quota.acquire()
    assert quota.requests == 1
