"""The account's rate window: section 1.3 of the notes on the API (help centre, limits section)."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_connectif.sandbox import SandboxProcess
from airflow_provider_connectif.sandbox.window import RateWindow

LONG = 3600.0
"""A window that cannot end while a test runs."""


def get(sandbox: SandboxProcess, path: str = "/store/", key: str | None = None) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"apiKey {key or sandbox.api_key}"}
        return session.get(sandbox.url + path, headers=headers, timeout=10)


@pytest.mark.slow
def test_over_the_limit_is_429_without_a_body() -> None:
    """Sections 1.3 and 2: no resource is attached to 429."""
    with SandboxProcess(requests_per_minute=3, window_seconds=LONG) as sandbox:
        answers = [get(sandbox) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert [answer.text for answer in answers[3:]] == ["", ""]
        assert sandbox.requests()["by_status"] == {"200": 3, "429": 2}


@pytest.mark.slow
def test_the_window_is_one_for_all_endpoints_and_keys() -> None:
    """Section 1.3: the whole account, all endpoints together, not per key."""
    with SandboxProcess(requests_per_minute=4, window_seconds=LONG, api_key=["a:1", "b:2"]) as sandbox:
        paths = ["/store/", "/contact-fields/", "/contacts/no@example.com", "/nothing"]
        assert [get(sandbox, path, "a:1").status_code for path in paths] == [200, 200, 404, 404]
        assert get(sandbox, key="b:2").status_code == 429


@pytest.mark.slow
def test_looking_at_the_sandbox_and_a_wrong_key_cost_nothing() -> None:
    """That a request with a wrong key, which belongs to no account, is not counted is an assumption."""
    with SandboxProcess(requests_per_minute=1, window_seconds=LONG) as sandbox:
        assert get(sandbox, key="wrong:key").status_code == 401
        assert requests.get(sandbox.url, timeout=10).status_code == 200
        sandbox.contacts()
        assert sandbox.window() == {"limit": 1, "remaining": 1, "reset_in_s": 0.0}
        assert get(sandbox).status_code == 200
        assert sandbox.window()["remaining"] == 0


@pytest.mark.slow
def test_a_burst_gets_exactly_the_limit() -> None:
    """Section 1.3, with many connections at once."""
    with SandboxProcess(requests_per_minute=25, window_seconds=LONG) as sandbox:
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda _: get(sandbox).status_code, range(60)))
        assert (statuses.count(200), statuses.count(429)) == (25, 35)


@pytest.mark.slow
def test_the_window_opens_again_when_the_headers_say_so() -> None:
    """Section 1.3: a window, after which requests are taken again."""
    with SandboxProcess(requests_per_minute=2, window_seconds=1.0, headers="seconds") as sandbox:
        started = time.monotonic()
        while get(sandbox).status_code != 429:
            assert time.monotonic() - started < 10
        waiting = sandbox.window()["reset_in_s"]
        assert 0 < waiting <= 1.0
        refused_at = time.monotonic()
        while get(sandbox).status_code == 429:
            assert time.monotonic() - refused_at < 10
        assert time.monotonic() - refused_at >= waiting - 0.1


def test_a_window_starts_with_the_first_request_after_the_last_one() -> None:
    """Assumption, with clocks in hand: fixed windows that are not aligned to the minute."""
    now = [1000.5]
    window = RateWindow(2, 60.0, monotonic=lambda: now[0], wall_clock=lambda: now[0] + 1_700_000_000)
    taken = []
    for now[0] in (1000.5, 1030.0, 1060.4, 1060.5, 1200.0, 1259.9):
        state = window.take()
        taken.append((state.refused, state.remaining, round(state.reset_in_s, 1), state.reset_epoch - 1_700_000_000))
    assert taken == [
        (False, 1, 60.0, 1061),
        (False, 0, 30.5, 1061),
        (True, 0, 0.1, 1061),
        (False, 1, 60.0, 1121),
        (False, 1, 60.0, 1260),
        (False, 0, 0.1, 1260),
    ]


HEADER_NAMES = {
    "x-epoch": {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"},
    "seconds": {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"},
    "none": set(),
    "retry-after": set(),
    "retry-after-date": set(),
}


def rate_headers(response: requests.Response) -> dict[str, str]:
    names = {name.lower(): value for name, value in response.headers.items()}
    return {name: value for name, value in names.items() if "ratelimit" in name or name == "retry-after"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("style", HEADER_NAMES)
def test_each_header_style_names_the_same_window(style: str) -> None:
    """Section 1.3: which headers the service sends is not sure, so each form that was seen can be had."""
    with SandboxProcess(requests_per_minute=2, window_seconds=300, headers=style) as sandbox:
        before = time.time()
        answers = [get(sandbox) for _ in range(3)]
        after = time.time()
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        for remaining, answer in zip(("1", "0", "0"), answers, strict=True):
            headers = rate_headers(answer)
            assert set(headers) - {"retry-after"} == HEADER_NAMES[style]
            assert headers.pop("retry-after", None) is None or answer.status_code == 429
            values = dict(
                zip(("limit", "remaining", "reset"), (headers[name] for name in sorted(headers)), strict=False)
            )
            assert not headers or (values["limit"], values["remaining"]) == ("2", remaining)
        check_reset(style, rate_headers(answers[2]), before, after)


def check_reset(style: str, headers: dict[str, str], before: float, after: float) -> None:
    """Check that the headers of a 429 place the end of the window 300 s after its first request."""
    earliest, latest = before + 300, after + 301
    if style == "x-epoch":
        assert math.floor(earliest) <= int(headers["x-ratelimit-reset"]) <= latest
    elif style == "seconds":
        assert earliest - after <= int(headers["ratelimit-reset"]) <= 300
    elif style == "retry-after":
        assert earliest - after <= int(headers["retry-after"]) <= 300
    elif style == "retry-after-date":
        assert math.floor(earliest) <= parsedate_to_datetime(headers["retry-after"]).timestamp() <= latest
    else:
        assert headers == {}


@pytest.mark.slow
def test_without_a_limit_there_are_no_headers() -> None:
    """The sandbox's own choice, for tests that are not about the window."""
    with SandboxProcess(requests_per_minute=0, headers="x-epoch") as sandbox:
        answers = [get(sandbox) for _ in range(150)]
        assert {answer.status_code for answer in answers} == {200}
        assert all(rate_headers(answer) == {} for answer in answers)
