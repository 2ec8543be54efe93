"""The delay before a retry: doubles, has an end, is spread, and gives way to a longer ``Retry-After``."""

from __future__ import annotations

import pytest

from airflow_provider_connectif.delivery.backoff import retry_delay_s


@pytest.mark.parametrize(("failures", "delay_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (10_000, 30.0)])
def test_it_doubles_up_to_half_a_minute(failures: int, delay_s: float) -> None:
    assert retry_delay_s(failures, jitter=1.0) == delay_s


def test_it_is_spread_so_that_tasks_do_not_retry_together() -> None:
    delays = {retry_delay_s(2) for _ in range(200)}
    assert len(delays) > 100
    assert all(0.5 <= delay <= 1.5 for delay in delays)
    assert max(delays) - min(delays) > 0.5


@pytest.mark.parametrize(("asked_s", "delay_s"), [(90.0, 90.0), (0.1, 0.5), (0.0, 0.5), (None, 0.5)])
def test_a_longer_retry_after_wins(asked_s: float | None, delay_s: float) -> None:
    assert retry_delay_s(1, asked_s, jitter=1.0) == delay_s
