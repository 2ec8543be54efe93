"""Responses of something between here and Connectif that dislikes single rows, or all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.journals import deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow

FIREWALL = {"status": 403, "text": "<html>Request blocked</html>", "content_type": "text/html"}
TOO_LARGE = {"status": 413, "text": ""}


def rows(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "_points": n} for n in range(count)]


def keys(*numbers: int) -> list[str]:
    return [f"user{n}@example.com" for n in numbers]


# A firewall dislikes the text of one row: the task ends there every night, and the rows behind it are never sent.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("fault", [FIREWALL, TOO_LARGE], ids=["403 of a firewall", "413"])
def test_one_row_that_is_blocked_ends_no_run(
    fault: dict[str, Any], strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    strict.reset(faults=[{"keys": keys(3), **fault}])
    run = run_in_airflow(run_dag, rows=rows(50), max_in_flight=1, failure_budget=1, fields="builtin")
    assert (run.state, run.summary["created"], run.summary["rejected"]) == ("success", 49, 1)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [FIREWALL, TOO_LARGE], ids=["403 of a firewall", "413"])
@pytest.mark.parametrize("blocked", [range(4), range(20, 60, 2), range(100, 140)], ids=["four", "every other", "forty"])
def test_rows_that_are_blocked_here_and_there_end_no_run(
    fault: dict[str, Any], blocked: range, strict: StrictServer, run: Callable[..., Run]
) -> None:
    """Forty in a row are as many as it takes twice over; but rows from further on get through."""
    strict.reset(faults=[{"keys": keys(*blocked), **fault}])
    end = run(rows=rows(300), max_in_flight=1, failure_budget=50, fields="builtin")
    assert (end.state, end.summary["rejected"]) == ("success", len(blocked))
    assert end.summary["created"] == 300 - len(blocked)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("fault", "words"), [(FIREWALL, "HTTP 403"), (TOO_LARGE, "HTTP 413")])
@pytest.mark.parametrize("max_in_flight", [1, 8])
def test_everything_blocked_fails_the_task_soon(
    fault: dict[str, Any], words: str, max_in_flight: int, strict: StrictServer, run: Callable[..., Run]
) -> None:
    strict.reset(faults=[{"nth": [31, None], **fault}], delay_s=0.01)
    end = run(rows=rows(300), max_in_flight=max_in_flight, failure_budget=1.0, fields="builtin")
    assert end.state == "failed"
    assert words in str(end.error)
    assert end.summary["created"] == 30
    # More where others are in flight: when the count begins, since a success may still come in, and when it ends.
    assert 10 <= end.summary["rejected"] <= 10 + 2 * (max_in_flight - 1)


@pytest.mark.parametrize(("count", "state"), [(4, "success"), (5, "failed"), (9, "failed"), (10, "failed")])
def test_fewer_rows_than_that_are_judged_by_the_budget(
    count: int, state: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    strict.reset(faults=[FIREWALL])
    end = run(rows=rows(count), max_in_flight=1, failure_budget=count, fields="builtin")
    assert (end.state, end.summary["rejected"]) == (state, count)


def test_a_403_in_connectifs_own_words_fails_the_task_as_ever(strict: StrictServer, run: Callable[..., Run]) -> None:
    strict.reset(faults=[{"nth": [4, None], "status": 403}])
    end = run(rows=rows(50), max_in_flight=1, failure_budget=1.0, fields="builtin")
    assert (end.state, end.summary["created"], strict.received) == ("failed", 3, 4)


# Five rejections by a firewall say nothing while rows before and after them are rejected by Connectif itself.


def test_another_response_in_between_begins_the_count_again(strict: StrictServer, run: Callable[..., Run]) -> None:
    blocked = [n for n in range(60) if n % 5 != 4]
    strict.reset(faults=[{"keys": keys(*blocked), **FIREWALL}, {"keys": keys(*range(4, 30, 5)), "status": 422}])
    end = run(rows=rows(60), max_in_flight=1, failure_budget=60, fields="builtin")
    assert end.state == "success"
    assert end.summary["created"] == 6


# The first rows of a source may be the bad ones (sorted by country, say): twenty of them must not stop a run.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("bad", [range(20), range(100), range(200), range(350)])
def test_bad_rows_at_the_beginning_do_not_keep_the_others_from_being_tried(
    bad: range, strict: StrictServer, run: Callable[..., Run]
) -> None:
    strict.reset(faults=[{"keys": keys(*bad), "status": 422}])
    end = run(rows=rows(400), max_in_flight=4, failure_budget=350, fields="builtin")
    assert (end.state, end.summary["created"], end.summary["rejected"]) == ("success", 400 - len(bad), len(bad))


# Trying rows from further on must not hang: with rows of one contact behind each other, with retries, with a journal.


@pytest.mark.sampled(1)
@pytest.mark.timeout(60)
@pytest.mark.parametrize("fault", [FIREWALL, {"status": 422}], ids=["403 of a firewall", "422"])
@pytest.mark.parametrize("with_journal", [True, False])
def test_rows_of_the_same_contacts_and_retries_hold_up_nothing(
    fault: dict[str, Any], with_journal: bool, request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    journal_database("sqlite", request)
    source = [{"email": f"user{n % 67}@example.com", "_points": n} for n in range(200)]
    strict.reset(faults=[{"keys": keys(5, 6), "attempts": 2, "status": 503}, fault])
    journal = {} if with_journal else {"journal_conn_id": None, "sync_id": None}
    end = deliver("night", rows=source, failure_budget=200, **journal)
    assert end.state == "failed"
    assert strict.received < 80


@pytest.mark.timeout(60)
def test_a_sample_that_gets_no_response_is_replaced(
    strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=1_000_000, retries=1))
    strict.reset(faults=[{"keys": keys(*range(20, 300)), "status": 500, "times": 3}, {"status": 422}])
    end = run(rows=rows(300), max_in_flight=1, failure_budget=200, fields="builtin")
    assert (end.state, end.summary["rejected"]) == ("failed", 40)
    assert strict.received == 43
