"""Delays that Connectif asks for: short ones are waited for, long ones hold no worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import formatdate
from typing import Any

import pytest

from airflow_provider_connectif.hooks.connectif import ConnectifHook
from tests.integration.conftest import FAST
from tests.integration.test_deferral import wait_as_the_triggerer
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator

ROWS = [{"email": f"user{n}@example.com", "_points": n} for n in range(10)]
CUSTOM = [{**row, "visits": 1} for row in ROWS]
MANY = [{"email": f"user{n}@example.com", "_points": n} for n in range(100)]
ONE = ["user3@example.com"]
DEFERRABLE: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=1)}


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def a_second(strict: StrictServer, connection: Callable[..., None]) -> StrictServer:
    """A connection that waits for a second at most."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, longest_wait=1, timeout=5))
    return strict


def an_hour(form: str) -> dict[str, str]:
    at = time.time() + 3500
    return {
        "Retry-After": {
            "seconds": "3500",
            "an HTTP date": formatdate(at, usegmt=True),
            "an ISO date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
            "an epoch": str(int(at)),
        }[form]
    }


# Connectif asks to be left alone for an hour: a worker sleeps for it, once for each attempt of each row.


@pytest.mark.parametrize("form", ["seconds", "an HTTP date", "an ISO date", "an epoch"])
@pytest.mark.parametrize("status", [503, 429])
def test_an_hour_is_not_waited_for_on_a_worker(
    status: int, form: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    strict.reset(faults=[{"status": status, "headers": an_hour(form)}])
    end = run(rows=MANY, fields="builtin")
    assert end.state == "up_for_retry"
    assert "asks for a pause of 58 min" in str(end.error)
    assert "longest_wait of the connection, 2 min" in str(end.error)
    assert "set a retry_delay of 59 minutes or more" in str(end.error)
    assert strict.received <= 16


def test_the_same_in_a_task_of_airflow(strict: StrictServer, run_dag: Callable[..., Any]) -> None:
    strict.reset(faults=[{"status": 503, "headers": {"Retry-After": "3600"}}])
    run = run_in_airflow(run_dag, rows=MANY, fields="builtin", retries=0)
    assert run.state == "failed"
    assert strict.received <= 16


def test_a_window_that_opens_in_an_hour_is_not_waited_for(
    strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run]
) -> None:
    connection("connectif_default", **strict.connection())
    strict.reset(limit=5, window_s=1800)
    end = run(rows=ROWS, fields="builtin")
    assert (end.state, end.summary["created"]) == ("up_for_retry", 5)
    assert "its rate limit" in str(end.error)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("with_journal", [True, False])
def test_one_row_that_is_to_come_later_holds_up_none_of_the_others(
    with_journal: bool, request: pytest.FixtureRequest, a_second: StrictServer, airflow_db: None
) -> None:
    journal_database("sqlite", request)
    a_second.reset(faults=[{"keys": ONE, "status": 503, "headers": {"Retry-After": "600"}}])
    journal = {} if with_journal else {"journal_conn_id": None, "sync_id": None}
    end = deliver("night", rows=ROWS * 200, **journal)
    assert end.state == "up_for_retry"
    assert len(a_second.contacts) == 9
    assert "HTTP 503" in str(end.error)


def test_a_delay_within_the_limit_is_waited_for(strict: StrictServer, run: Callable[..., Run]) -> None:
    strict.reset(faults=[{"keys": ONE, "attempts": 1, "status": 503, "headers": {"Retry-After": "2"}}])
    began_at = time.monotonic()
    assert run(rows=ROWS, fields="builtin").summary["created"] == 10
    assert time.monotonic() - began_at >= 2


# The limit is the connection's, for contacts, definitions and imports alike; it was read and then forgotten.


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize("kind", ["contacts", "definitions", "imports"])
def test_the_limit_is_that_of_the_connection(
    kind: str, status: int, a_second: StrictServer, run: Callable[..., Run]
) -> None:
    asked = {"status": status, "headers": {"Retry-After": "20"}}
    faults: dict[str, Any] = {"fields_fault": asked} if kind == "definitions" else {"faults": [asked]}
    a_second.reset(**({"import_faults": [asked]} if kind == "imports" else faults))
    began_at = time.monotonic()
    operator = "ContactImportOperator" if kind == "imports" else "ContactPatchOperator"
    end = run(kind=operator, rows=CUSTOM, fields="builtin" if kind == "contacts" else "live")
    assert end.state == "up_for_retry"
    assert "1.0 s" in str(end.error) or "connection, 1 s: " in str(end.error)
    assert time.monotonic() - began_at < 15


@pytest.mark.parametrize(
    ("extra", "seconds"), [({"longest_wait": "900"}, 900.0), ({"longest_wait": 0.5}, 0.5), ({}, 120.0)]
)
def test_the_limit_may_be_longer_or_shorter(
    extra: dict[str, Any], seconds: float, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(**extra))
    assert ConnectifHook().get_conn().longest_wait_s == seconds


# Where the task can defer, the hour costs no worker, and the row is sent first after it.


@pytest.mark.slow
@pytest.mark.parametrize("status", [503, 429])
def test_a_task_that_can_defer_waits_without_a_worker(
    status: int, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(faults=[{"keys": ONE, "attempts": 1, "status": status, "headers": {"Retry-After": "3"}}])
    first = deliver("night", rows=ROWS, max_in_flight=1, **DEFERRABLE)
    assert first.state == "deferred"
    assert first.summary["created"] == (9 if status == 503 else 3)
    assert journal.pending() == 10 - first.summary["created"]
    assert 1 < first.error.trigger.until - time.time() <= 3  # type: ignore[union-attr]
    second = deliver("night", method="execute_complete", rows=[], **DEFERRABLE)
    while second.state == "deferred":
        second = deliver("night", method="execute_complete", rows=[], **DEFERRABLE)
    assert (second.state, second.summary["created"]) == ("success", 10)


@pytest.mark.slow
def test_a_server_that_puts_off_for_ever_ends_the_task(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, retries=2))
    strict.reset(faults=[{"keys": ONE, "status": 503, "headers": {"Retry-After": "2"}}])
    ends = [deliver("night", rows=ROWS, **DEFERRABLE)]
    while ends[-1].state == "deferred":
        assert len(ends) < 6
        wait_as_the_triggerer(ends[-1])
        ends.append(deliver("night", method="execute_complete", rows=[], **DEFERRABLE))
    assert ends[-1].state == "up_for_retry"
    assert ends[-1].summary["created"] == 9


# Refusals that are not yet known to be the rows' fault must survive a deferral, and are forgotten if all are rejected.


@pytest.mark.slow
def test_a_run_that_stops_after_a_deferral_holds_no_row_either(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=25, window_s=2.5, headers="fraction", faults=[{"status": 422}])
    source = [{"email": f"user{n}@example.com", "_points": n} for n in range(100)]
    ends = [deliver("night", rows=source, max_in_flight=1, failure_budget=90, **DEFERRABLE)]
    while ends[-1].state == "deferred":
        arguments = {"max_in_flight": 1, "failure_budget": 90} | DEFERRABLE
        ends.append(deliver("night", method="execute_complete", rows=[], **arguments))
    assert (ends[0].state, ends[-1].state) == ("deferred", "failed")
    assert journal.query("select count(*) from connectif_journal where refused_digest is not null") == [(0,)]


# Definitions: Retry-After is not looked at, so that five attempts take only a few seconds.


def test_definitions_come_when_connectif_is_asked_as_late_as_it_wants(a_second: StrictServer) -> None:
    a_second.reset(fields_fault={"status": 503, "headers": {"Retry-After": "600"}})
    end = run_operator(rows=[{"email": "a@example.com", "tier": "gold"}])
    assert end.state == "up_for_retry"
    assert "asks for a pause of 10 min" in str(end.error)
    assert a_second.requests == 1


@pytest.mark.slow
def test_definitions_that_come_later_are_waited_for_without_a_worker(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(fields_fault={"status": 503, "headers": {"Retry-After": "3"}})
    rows = [{"email": "a@example.com", "tier": "gold"}]
    first = deliver("night", rows=rows, **(DEFERRABLE | {"fields": "live"}))
    assert (first.state, strict.requests) == ("deferred", 1)
    strict.update(fields_fault=None)
    second = deliver("night", method="execute_complete", rows=rows, **(DEFERRABLE | {"fields": "live"}))
    while second.state == "deferred":
        second = deliver("night", method="execute_complete", rows=rows, **(DEFERRABLE | {"fields": "live"}))
    assert (second.state, second.summary["created"]) == ("success", 1)


# What an author says about contacts must not decide about definitions.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("on_response", [{"5xx": "reject"}, {"5xx": "skip"}, {"no_answer": "accept"}])
def test_an_authors_table_is_for_contacts_only(on_response: dict[Any, str], strict: StrictServer) -> None:
    strict.reset(fields_fault={"status": 503, "headers": {"Retry-After": "0.5"}})
    end = run_operator(rows=[{"email": "a@example.com", "tier": "gold"}], on_response=on_response)
    assert end.state == "up_for_retry"
    assert strict.requests == 5
