"""What an author may change and where a run ends: ``on_response``, the failure budget, and the early stops."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.integration.test_response_policy import counts
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, task_states

E0401 = {"status": 400, "json": {"code": "E0401"}}


def rows(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "tier": "gold"} for n in range(count)]


def keys(*numbers: int) -> list[str]:
    return [f"user{n}@example.com" for n in numbers]


# on_response, the server's response to the third of five rows, the task's state, and the counts of the rest.
OVERRIDES: list[tuple[dict[Any, str], dict[str, Any], str, dict[str, int]]] = [
    ({422: "skip"}, {"status": 422}, "success", {"created": 4, "skipped": 1}),
    ({"422": "skip"}, {"status": 422}, "success", {"created": 4, "skipped": 1}),
    ({"4xx": "skip"}, {"status": 409}, "success", {"created": 4, "skipped": 1}),
    ({"4xx": "skip", 409: "reject"}, {"status": 409}, "failed", {"created": 4, "rejected": 1}),
    ({404: "accept"}, {"status": 404}, "success", {"created": 4, "updated": 1}),
    ({409: "retry"}, {"status": 409, "attempts": 1}, "success", {"created": 5}),
    ({"E0401": "reject"}, E0401, "failed", {"created": 4, "rejected": 1}),
    ({400: "skip"}, E0401 | {"attempts": 1}, "success", {"created": 4, "skipped": 1}),
    ({500: "reject"}, {"status": 500}, "failed", {"created": 4, "rejected": 1}),
    ({"5xx": "skip"}, {"status": 503}, "success", {"created": 4, "skipped": 1}),
    ({"no_answer": "reject"}, {"drop": "before"}, "failed", {"created": 4, "rejected": 1}),
    ({"no_answer": "skip"}, {"hang": "before"}, "success", {"created": 4, "skipped": 1}),
    ({403: "skip"}, {"status": 403}, "success", {"created": 4, "skipped": 1}),
    ({201: "skip"}, {"status": 201}, "success", {"skipped": 5}),
    (
        {429: "reject"},
        {"status": 429, "headers": {"Retry-After": "0"}},
        "failed",
        {"created": 4, "rejected": 1, "rate_limited": 1},
    ),
    ({400: "fail"}, {"status": 400}, "failed", {"created": 2}),
    ({"no_answer": "fail"}, {"drop": "after"}, "failed", {"created": 2}),
    ({401: "skip_task"}, {"status": 401}, "skipped", {"created": 2}),
    ({"5xx": "skip_task"}, {"status": 503}, "skipped", {"created": 2}),
    # A class says nothing about the key, the account and the window: those must be named to be changed.
    ({"4xx": "skip"}, {"status": 401}, "failed", {"created": 2}),
    ({"4xx": "skip"}, {"status": 403}, "failed", {"created": 2}),
    (
        {"4xx": "skip"},
        {"status": 429, "times": 1, "headers": {"Retry-After": "0"}},
        "success",
        {"created": 5, "rate_limited": 1},
    ),
]


@pytest.mark.parametrize(("on_response", "fault", "state", "expected"), OVERRIDES)
def test_an_author_decides_what_an_answer_leads_to(
    on_response: dict[Any, str],
    fault: dict[str, Any],
    state: str,
    expected: dict[str, int],
    strict: StrictServer,
    connection: Callable[..., None],
    run: Callable[..., Run],
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=0.3))
    strict.reset(faults=[fault | {"keys": keys(2)}])
    end = run(rows=rows(5), on_response=on_response, max_in_flight=1)
    assert (end.state, counts(end)) == (state, {"read": 5} | expected)


def test_a_skipped_task_skips_what_follows_and_has_its_summary(
    strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    strict.reset(faults=[{"keys": keys(3), "status": 409}])
    end = run_in_airflow(run_dag, rows=rows(5), on_response={409: "skip_task"}, max_in_flight=1, with_follower=True)
    assert task_states(end.dag_run) == {"patch": "skipped", "follower": "skipped"}
    assert counts(end) == {"read": 5, "created": 3}


# The budget, rows that Connectif rejects, rows that are invalid before sending (of 100), and the task's state.
BUDGETS: list[tuple[float, int, int, str]] = [
    (0, 0, 0, "success"),
    (0, 1, 0, "failed"),
    (0, 0, 1, "failed"),
    (3, 2, 1, "success"),
    (3, 2, 2, "failed"),
    (0.0, 1, 0, "failed"),
    (0.03, 2, 1, "success"),
    (0.03, 2, 2, "failed"),
    (0.29, 20, 9, "success"),  # 0.29 * 100 is less than 29 to a computer
    (0.29, 20, 10, "failed"),
    (0.57, 50, 7, "success"),
    (1.0, 100, 0, "success"),
    (90, 40, 20, "success"),
]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("budget", "rejected", "invalid", "state"), BUDGETS)
def test_the_budget_decides_after_every_good_row_was_delivered(
    budget: float, rejected: int, invalid: int, state: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    good = rows(100)
    for row in good[50 : 50 + invalid]:
        row["tier"] = object()
    bad = keys(*range(50 + invalid, 100), *range(50))[:rejected]
    strict.reset(faults=[{"keys": bad, "status": 422}])
    end = run(rows=good, failure_budget=budget, max_in_flight=1)
    assert end.state == state
    assert (end.summary["rejected"], end.summary["invalid"]) == (rejected, invalid)
    assert end.summary["created"] == len(strict.contacts) == 100 - rejected - invalid


def test_a_run_whose_first_twenty_answers_are_rejections_stops(strict: StrictServer, run: Callable[..., Run]) -> None:
    strict.reset(faults=[{"status": 422}], delay_s=0.01)
    end = run(rows=rows(1000), max_in_flight=8, failure_budget=900)
    assert end.state == "failed"
    assert 40 <= end.summary["rejected"] == strict.received <= 40 + 8
    assert "mapping" in str(end.error)


def test_nineteen_rejections_and_one_success_are_the_rows_fault(strict: StrictServer, run: Callable[..., Run]) -> None:
    strict.reset(faults=[{"status": 422, "keys": keys(*range(19), *range(20, 60))}])
    end = run(rows=rows(100), max_in_flight=1)
    assert (end.state, end.summary["rejected"], end.summary["created"]) == ("failed", 59, 41)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("poisoned", "max_in_flight", "retries"),
    [
        (range(1), 1, 1),
        (range(50, 51), 1, 1),
        (range(99, 100), 8, 3),
        (range(12), 1, 3),
        (range(12), 8, 3),
        (range(40, 64), 8, 3),
    ],
)
def test_rows_that_only_ever_meet_errors_do_not_hold_up_the_others(
    poisoned: range,
    max_in_flight: int,
    retries: int,
    strict: StrictServer,
    connection: Callable[..., None],
    run: Callable[..., Run],
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, retries=retries))
    strict.reset(faults=[{"keys": keys(*poisoned), "status": 500}])
    end = run(rows=rows(100), max_in_flight=max_in_flight)
    assert end.state == "up_for_retry"
    assert len(strict.contacts) == end.summary["created"] == 100 - len(poisoned)


def _refusing(server: StrictServer) -> dict[str, Any]:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return {
            "conn_type": "connectif",
            "host": f"http://127.0.0.1:{unused.getsockname()[1]}",
            "password": "id:secret",
        }


DOWN: dict[str, Callable[[StrictServer], dict[str, Any]]] = {
    "the connection is refused": lambda server: _refusing(server) | {"extra": {"retries": 3}},
    "every answer is a 503": lambda server: server.connection(retries=3),
    "every answer is a 503, at any speed": lambda server: server.connection(retries=3, requests_per_minute=FAST),
}


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.timeout(30)
def test_a_run_against_a_server_that_is_down_stops_soon(
    how: str, strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run]
) -> None:
    strict.reset(faults=[{"status": 503}])
    connection("connectif_default", **DOWN[how](strict))
    began_at = time.monotonic()
    end = run(rows=rows(1000))
    assert end.state == "up_for_retry"
    assert end.summary["created"] == 0
    assert time.monotonic() - began_at < 10
    assert end.summary["requests"] < 100  # of which another integration may have need
