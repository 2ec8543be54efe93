"""How long a request would wait for the quota, asked without waiting."""

from __future__ import annotations

import math

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.rate_headers import RateSignal


def test_a_request_may_leave_at_first() -> None:
    assert Quota().delay_s() == 0.0


def test_only_a_response_can_tell_while_the_first_request_is_under_way() -> None:
    quota = Quota()
    quota.acquire()
    assert quota.delay_s() == math.inf


def test_the_window_s_end_is_known_where_nothing_is_left() -> None:
    quota = Quota()
    quota.release(quota.acquire(), RateSignal(100, 0, 30.0, reset_is_whole=False))
    assert 0.0 < quota.delay_s() <= 31.0


def test_the_cap_counts() -> None:
    quota = Quota(requests_per_minute=1)
    quota.release(quota.acquire(), RateSignal(100, 99, 30.0))
    assert 30.0 < quota.delay_s() <= 60.0


def test_as_many_are_free_as_the_window_and_the_cap_have_left() -> None:
    quota = Quota(requests_per_minute=50)
    assert quota.free() == 0, "nothing is known before the first response"
    sent_at = quota.acquire()
    assert quota.free() == 0
    quota.release(sent_at, RateSignal(100, 99, 30.0))
    assert quota.free() == 49
    sent_at = quota.acquire()
    assert quota.free() == 48
    quota.release(sent_at, RateSignal(100, 3, 30.0))
    assert quota.free() == 3
    quota.release(quota.acquire(), RateSignal(100, 0, 30.0))
    assert quota.free() == 0


def test_asking_uses_nothing_up() -> None:
    quota = Quota(requests_per_minute=1)
    assert [quota.delay_s() for _ in range(3)] == [0.0] * 3
    quota.acquire()
    assert quota.requests == 1
