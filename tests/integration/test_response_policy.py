"""Each response alone, in a real Airflow task: the documented action, the task's state and the summary in XCom.

The table is the README's and the design's, read as a specification. The operator has one retry, so that "failed"
means that Airflow was asked not to try again, and "up_for_retry" that it did try again, and failed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow

COUNTS = ("read", "created", "updated", "skipped", "invalid", "rejected", "rate_limited")
EMAIL = "user@example.com"
QUEUE_FULL = {"status": 400, "json": {"code": "E0401", "detail": "10 imports are queued"}}
VALIDATION = {"status": 422, "json": {"validationErrors": [{"name": "tier", "path": "/tier", "reason": "too golden"}]}}
GATEWAY = {"status": 502, "text": "<html><h1>Bad Gateway</h1>", "content_type": "text/html"}

FIREWALL = {"status": 403, "text": "<html>Blocked</html>", "content_type": "text/html"}


def counts(run: Run) -> dict[str, int]:
    """The counts of a summary that are not zero."""
    return {name: run.summary[name] for name in COUNTS if run.summary[name]}


# The server's response to the first request or (always) to each; then the task's state, the counts, contact
# requests in all, and the words that the summary's only reason must hold.
ALONE: dict[str, tuple[dict[str, Any], str, dict[str, int], int, str]] = {
    "200": ({"status": 200}, "success", {"updated": 1}, 1, ""),
    "201": ({"status": 201}, "success", {"created": 1}, 1, ""),
    "202": ({"status": 202}, "success", {"updated": 1}, 1, ""),
    "204": ({"status": 204}, "success", {"updated": 1}, 1, ""),
    "302": ({"status": 302, "headers": {"Location": "/elsewhere"}}, "failed", {}, 1, "HTTP 302"),
    "400": ({"status": 400}, "failed", {"rejected": 1}, 1, "HTTP 400 Bad Request: Strictly no."),
    "400 E0401": (QUEUE_FULL, "success", {"created": 1}, 2, ""),
    "400 E0401 always": (QUEUE_FULL | {"always": True}, "up_for_retry", {}, 4, "HTTP 400 Bad Request (E0401)"),
    "401": ({"status": 401}, "failed", {}, 1, "HTTP 401 Unauthorized"),
    "403": ({"status": 403}, "failed", {}, 1, "HTTP 403 Forbidden"),
    "404": ({"status": 404}, "failed", {"rejected": 1}, 1, "HTTP 404 Not Found"),
    "409": ({"status": 409}, "failed", {"rejected": 1}, 1, "HTTP 409 Conflict"),
    "403 of a firewall": (FIREWALL, "failed", {"rejected": 1}, 1, "HTTP 403 Forbidden"),
    "408": ({"status": 408}, "success", {"created": 1}, 2, ""),
    "413": ({"status": 413}, "failed", {"rejected": 1}, 1, "HTTP 413"),
    "421": ({"status": 421}, "success", {"created": 1}, 2, ""),
    "423": ({"status": 423}, "success", {"created": 1}, 2, ""),
    "425": ({"status": 425}, "success", {"created": 1}, 2, ""),
    "415": ({"status": 415}, "failed", {}, 1, "HTTP 415"),
    "422 with validationErrors": (VALIDATION, "failed", {"rejected": 1}, 1, "HTTP 422 tier: too golden"),
    "422 without": ({"status": 422}, "failed", {"rejected": 1}, 1, "HTTP 422 Unprocessable Entity: Strictly no."),
    "422 without a body": ({"status": 422, "text": ""}, "failed", {"rejected": 1}, 1, "HTTP 422"),
    "429": ({"status": 429, "headers": {"Retry-After": "0.3"}}, "success", {"created": 1, "rate_limited": 1}, 2, ""),
    "500": ({"status": 500}, "success", {"created": 1}, 2, ""),
    "500 always": ({"status": 500, "always": True}, "up_for_retry", {}, 4, "HTTP 500 Internal Server Error"),
    "502 in HTML": (GATEWAY, "success", {"created": 1}, 2, ""),
    "503 with Retry-After": ({"status": 503, "headers": {"Retry-After": "1"}}, "success", {"created": 1}, 2, ""),
    "599": ({"status": 599, "always": True}, "up_for_retry", {}, 4, "HTTP 599"),
    "dropped before": ({"drop": "before"}, "success", {"created": 1}, 2, ""),
    "dropped after": ({"drop": "after"}, "success", {"updated": 1}, 2, ""),
    "no answer in time": ({"hang": "after"}, "success", {"updated": 1}, 2, ""),
    "half an answer": ({"half": True}, "success", {"updated": 1}, 2, ""),
    "an answer that never ends": ({"trickle_s": 0.2}, "success", {"updated": 1}, 2, ""),
    "dropped always": ({"drop": "before", "always": True}, "up_for_retry", {}, 4, "the connection broke"),
}


@pytest.fixture
def two_tries(strict: StrictServer, connection: Callable[..., None]) -> StrictServer:
    """Each contact is sent at most twice a try of the task, so that giving up does not take long."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=0.5, retries=2))
    return strict


@pytest.mark.sampled(1)
@pytest.mark.parametrize("answer", ALONE)
def test_an_answer_leads_to_the_documented_action(
    answer: str, two_tries: StrictServer, run_dag: Callable[..., Any]
) -> None:
    fault, state, expected, requests, reason = ALONE[answer]
    times = {} if fault.get("always") else {"times": 1}
    two_tries.reset(faults=[{name: value for name, value in fault.items() if name != "always"} | times])

    run = run_in_airflow(run_dag, rows=[{"email": EMAIL, "tier": "gold"}])

    assert run.state == state
    assert counts(run) == {"read": 1} | expected
    assert two_tries.received == requests
    assert list(map(bool, run.summary["reasons"].values())) == ([True] if reason else [])
    assert reason in "".join(run.summary["reasons"])
    assert run.returned == (run.summary if state == "success" else None)
    delivered = bool(expected.keys() & {"created", "updated"})
    assert two_tries.contacts == ({EMAIL: {"tier": "gold"}} if delivered else {})


def keys(remainder: int) -> list[str]:
    return [f"user{n}@example.com" for n in range(1000) if n % 50 == remainder]


ROWS = [{"email": f"user{n}@example.com", "tier": "gold"} for n in range(1000)]
MIXED: list[dict[str, Any]] = [
    {"keys": keys(1), "status": 202},
    {"keys": keys(2), "status": 204},
    {"keys": keys(3), "status": 400},
    {"keys": keys(4), "attempts": 1, **QUEUE_FULL},
    {"keys": keys(5), "status": 404},
    {"keys": keys(6), "status": 409},
    {"keys": keys(7), **VALIDATION},
    {"keys": keys(8), "status": 422},
    {"keys": keys(9), "attempts": 1, "status": 429, "headers": {"Retry-After": "0"}, "times": 2},
    {"keys": keys(10), "attempts": 1, "status": 500},
    {"keys": keys(11), "attempts": 1, **GATEWAY},
    {"keys": keys(12), "attempts": 1, "status": 503, "headers": {"Retry-After": "1"}},
    {"keys": keys(13), "attempts": 1, "drop": "before"},
]


@pytest.mark.slow
def test_all_of_them_in_a_thousand_rows(two_tries: StrictServer, run_dag: Callable[..., Any]) -> None:
    two_tries.reset(faults=MIXED)
    run = run_in_airflow(run_dag, rows=ROWS)
    assert run.state == "failed"  # over the budget of none, after everything else was delivered
    assert counts(run) == {"read": 1000, "created": 860, "updated": 40, "rejected": 100, "rate_limited": 2}
    assert run.summary["reasons"] == {
        "HTTP 400 Bad Request: Strictly no.": 20,
        "HTTP 404 Not Found: Strictly no.": 20,
        "HTTP 409 Conflict: Strictly no.": 20,
        "HTTP 422 tier: too golden": 20,
        "HTTP 422 Unprocessable Entity: Strictly no.": 20,
    }
    assert two_tries.received == 1000 + 20 + 2 + 80
    assert len(two_tries.contacts) == 900


@pytest.mark.slow
@pytest.mark.parametrize("status", [302, 401, 403, 415])
def test_an_answer_that_speaks_of_everything_ends_the_task_in_the_middle(
    status: int, two_tries: StrictServer, run_dag: Callable[..., Any]
) -> None:
    two_tries.reset(delay_s=0.005, faults=[{"nth": [500, None], "status": status}])
    run = run_in_airflow(run_dag, rows=ROWS, max_in_flight=8, failure_budget=1.0)
    assert run.state == "failed"
    assert run.summary["created"] == len(two_tries.contacts) == 499
    assert two_tries.received <= 499 + 8  # nothing leaves once the first of them is known
