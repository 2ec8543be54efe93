"""What headers say of the window (API document, 1.3): both spellings, both forms of reset, any part missing."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_provider_connectif.api.rate_headers import RateSignal, read_rate_headers

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, RateSignal()),
        (
            {"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "98", "X-RateLimit-Reset": "1800000042"},
            RateSignal(100, 98, 42.0),
        ),
        (
            {"ratelimit-limit": "100", "ratelimit-remaining": "0", "ratelimit-reset": "17"},
            RateSignal(100, 0, 17.0),
        ),
        ({"RateLimit-Reset": "17.25"}, RateSignal(reset_after=17.25, reset_is_whole=False)),
        ({"RateLimit-Limit": "100, 100;w=60"}, RateSignal(limit=100)),
        ({"RateLimit-Limit": "0", "RateLimit-Remaining": "0"}, RateSignal(remaining=0)),
        ({"X-RateLimit-Reset": "1799999999"}, RateSignal(reset_after=0.0)),
        ({"X-RateLimit-Reset": "1800000042000"}, RateSignal(reset_after=42.0)),
        ({"X-RateLimit-Reset": "86400"}, RateSignal()),  # no window of a minute resets tomorrow
        ({"X-RateLimit-Remaining": "many", "X-RateLimit-Reset": "soon", "X-RateLimit-Limit": "-5"}, RateSignal()),
        ({"Retry-After": "90"}, RateSignal(retry_after=90.0)),
        ({"Retry-After": formatdate(NOW + 30, usegmt=True)}, RateSignal(retry_after=30.0)),
        ({"Retry-After": "Thu, 99 Foo 2026"}, RateSignal()),
        ({"Retry-After": ""}, RateSignal()),
    ],
)
def test_every_form_is_read(headers: dict[str, str], expected: RateSignal) -> None:
    assert read_rate_headers(CaseInsensitiveDict(headers), NOW) == expected


def test_a_point_in_time_is_one_on_the_servers_clock() -> None:
    """A worker whose clock is five minutes slow must not wait five minutes longer."""
    headers = CaseInsensitiveDict(
        {"Date": formatdate(NOW + 300, usegmt=True), "X-RateLimit-Reset": str(int(NOW + 340))}
    )
    assert read_rate_headers(headers, NOW).reset_after == pytest.approx(40.0)
