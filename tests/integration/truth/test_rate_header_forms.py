"""Rate-limit headers in every form, read whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_provider_connectif.api.rate_headers import RateSignal, read_rate_headers
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow

NOW = 1_795_700_000.0
ISO = datetime.fromtimestamp(NOW + 30, UTC)
ROWS = [{"email": f"user{n}@example.com", "_points": n} for n in range(25)]


# The combined header of newer drafts is not seen, and an ISO date is read as "2026 seconds": the task runs into 429s,
# or waits for half an hour.


@pytest.mark.slow
@pytest.mark.parametrize("headers", ["draft7", "draft8", "iso"])
def test_a_window_is_kept_to_whatever_form_its_headers_have(
    headers: str, strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=10, window_s=2.0, headers=headers)
    began_at = time.monotonic()
    end = run(rows=ROWS, fields="builtin", max_in_flight=4)
    assert (end.state, end.summary["created"]) == ("success", 25)
    assert end.summary["rate_limited"] <= 2
    assert time.monotonic() - began_at < 20


@pytest.mark.slow
def test_the_same_in_a_task_of_airflow(
    strict: StrictServer, connection: Callable[..., None], run_dag: Callable[..., Any]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=10, window_s=2.0, headers="draft8")
    end = run_in_airflow(run_dag, rows=ROWS, fields="builtin", max_in_flight=4)
    assert (end.state, end.summary["created"]) == ("success", 25)
    assert end.summary["rate_limited"] <= 2


@pytest.mark.sampled(1)
@pytest.mark.timeout(60)
@pytest.mark.parametrize("header", ["Retry-After", "X-RateLimit-Reset"])
@pytest.mark.parametrize("with_zone", [True, False])
def test_a_429_with_an_iso_date_is_waited_for_until_then(
    header: str, with_zone: bool, strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run]
) -> None:
    at = datetime.now(UTC) + timedelta(seconds=3)
    text = at.isoformat() if with_zone else "12abc"
    more = {} if with_zone else {"RateLimit-Reset": "2"}
    strict.reset(faults=[{"times": 1, "status": 429, "headers": {header: text, **more}}])
    end = run(rows=ROWS[:3], fields="builtin", max_in_flight=1)
    assert (end.state, end.summary["created"], end.summary["rate_limited"]) == ("success", 3, 1)
    assert 1 < end.summary["waited_s"] < 5


COMBINED: list[tuple[dict[str, str], RateSignal]] = [
    ({"RateLimit": "limit=100, remaining=0, reset=30"}, RateSignal(100, 0, 30.0)),
    ({"ratelimit": "limit=100,remaining=7,reset=30"}, RateSignal(100, 7, 30.0)),
    ({"RateLimit": " Limit = 100 ,  remaining = 0;reset=30 "}, RateSignal(100, 0, 30.0)),
    ({"RateLimit": '"default";r=0;t=30'}, RateSignal(None, 0, 30.0)),
    ({"RateLimit": "default; r=5 ;t=30"}, RateSignal(None, 5, 30.0)),
    ({"RateLimit": '"default";r=5;t=30;pk=:cHsdsRa894==:'}, RateSignal(None, 5, 30.0)),
    ({"RateLimit": '"a, b;r=9";r=0;t=30'}, RateSignal(None, 0, 30.0)),
    ({"RateLimit": r'"a\"b";r=0;t=30'}, RateSignal(None, 0, 30.0)),
    ({"RateLimit": '"burst";r=3;t=1, "default";r=50;t=30'}, RateSignal(None, 3, 1.0)),
    ({"RateLimit": '"burst";r=0;t=1, "default";r=0;t=30'}, RateSignal(None, 0, 30.0)),
    ({"RateLimit": '"default";r=5'}, RateSignal(None, 5)),
    (
        {"RateLimit": '"default";r=5;t=30', "RateLimit-Policy": '"burst";q=10;w=1, "default";q=100;w=60'},
        RateSignal(100, 5, 30.0),
    ),
    ({"RateLimit": "limit=100, remaining=many, reset=30"}, RateSignal(100, None, 30.0)),
    ({"RateLimit": '"default";r=-1;t=30'}, RateSignal()),
    ({"RateLimit": '"default";r=5x;t=30'}, RateSignal()),
    ({"RateLimit": '"unfinished;r=5;t=30'}, RateSignal()),
    ({"RateLimit": ",;,;="}, RateSignal()),
    ({"RateLimit-Remaining": "9", "RateLimit": '"default";r=5;t=30'}, RateSignal(None, 9, 30.0)),
    ({"RateLimit-Remaining": "x", "X-RateLimit-Remaining": "4"}, RateSignal(None, 4)),
    # Two gateways, each with a header of its own, in one text.
    ({"RateLimit": "limit=100, remaining=0, reset=30, limit=1000, remaining=900, reset=3"}, RateSignal(100, 0, 30.0)),
    ({"RateLimit": "limit=1000, remaining=900, reset=3, limit=100, remaining=0, reset=30"}, RateSignal(100, 0, 30.0)),
    ({"RateLimit": '"default";r=0;t=30, limit=100, remaining=50, reset=3'}, RateSignal(None, 0, 30.0)),
]


@pytest.mark.parametrize(("headers", "expected"), COMBINED)
def test_the_combined_header(headers: dict[str, str], expected: RateSignal) -> None:
    assert read_rate_headers(CaseInsensitiveDict(headers), NOW) == expected


WRONG = (
    *(
        "2026-11-26",
        "2026-11-26T10:00:00",
        "20261126",
        "20261126100000",
        "20261126T100000Z",
        "12abc",
        "12 s",
        "1e3",
        "0x1F",
        "-5",
        "+5",
        "1_000",
        "1.2.3",
        "12.",
        "٣٠",
        "½",
    ),
    *("soon", "", " ", "NaN", "inf", "9" * 400, "12;", "Thu, 99 Foo 2026", "2026-13-45T99:99:99Z", "12, abc", "null"),
)


@pytest.mark.parametrize("text", [text for text in WRONG if text != "12;"])
@pytest.mark.parametrize("name", ["Retry-After", "RateLimit-Reset", "X-RateLimit-Remaining", "RateLimit-Limit"])
def test_what_is_not_whole_is_ignored(name: str, text: str) -> None:
    assert read_rate_headers(CaseInsensitiveDict({name: text}), NOW) == RateSignal()


@pytest.mark.parametrize(
    "text",
    [
        ISO.isoformat(),
        ISO.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ISO.strftime("%Y-%m-%dt%H:%M:%S.000z"),
        ISO.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        ISO.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        ISO.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        ISO.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        ISO.strftime("%a %b %d %H:%M:%S %Y"),
        str(int(NOW + 30)),
        str(int(NOW + 30) * 1000),
        "30",
        " 30 ",
        "30, 30",
        "5, 30",
        "30;w=60",
    ],
)
@pytest.mark.parametrize("name", ["Retry-After", "RateLimit-Reset", "X-RateLimit-Reset"])
def test_a_moment_is_that_moment_in_every_form(name: str, text: str) -> None:
    signal = read_rate_headers(CaseInsensitiveDict({name: text}), NOW)
    assert (signal.retry_after if name == "Retry-After" else signal.reset_after) == pytest.approx(30.0)


# Two gateways, two headers of one name: HTTP joins them with a comma, and half of the text is one of the two numbers.


def test_of_a_header_that_came_twice_the_tighter_value_counts() -> None:
    headers = CaseInsensitiveDict({"X-RateLimit-Remaining": "98, 0", "X-RateLimit-Reset": "3, 40"})
    assert read_rate_headers(headers, NOW) == RateSignal(None, 0, 40.0)


# A server whose clock has stopped: its Date makes fifty years out of a reset in thirty seconds.


def test_a_clock_that_is_years_off_is_not_believed() -> None:
    headers = CaseInsensitiveDict({"Date": "Thu, 01 Jan 1970 00:00:00 GMT", "Retry-After": str(int(NOW + 30))})
    assert read_rate_headers(headers, NOW).retry_after == pytest.approx(30.0)
