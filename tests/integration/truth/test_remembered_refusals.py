"""What the journal remembers of a rejection, night after night."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import run_in_airflow

JOURNAL: dict[str, Any] = {"journal_conn_id": "journal", "sync_id": "nightly", "fields": "builtin"}
PAGE = {"text": "<html><h1>Not here</h1></html>", "content_type": "text/html"}
PROBLEM = {
    "text": '{"type": "about:blank", "title": "Unprocessable", "detail": "policy 17"}',
    "content_type": "application/problem+json",
}


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": n} for n in range(count)]


def keys(*numbers: int) -> list[str]:
    return [f"user{n}@example.com" for n in numbers]


def refused_in(journal: JournalDatabase) -> int:
    ((count,),) = journal.query("select count(*) from connectif_journal where refused_digest is not null")
    return count


# A gateway's word about some rows is taken for Connectif's: from the second night on they are held, the task is green,
# and they never arrive although the gateway was repaired long ago.


@pytest.mark.slow
@pytest.mark.parametrize("request_count", [27])
def test_rows_that_a_gateway_rejects_in_one_night_are_delivered_in_the_next(
    request_count: int, journal: JournalDatabase, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    strict.reset(faults=[{"status": 404, "keys": keys(*range(3, 27)), **PAGE}])
    first = run_in_airflow(run_dag, rows=rows(request_count), failure_budget=1.0, **JOURNAL)
    assert first.summary["rejected"] == 24
    strict.update(faults=[])
    second = run_in_airflow(run_dag, rows=rows(request_count), **JOURNAL)
    assert second.state == "success"
    assert second.summary["held"] == 0
    assert len(strict.contacts) == request_count


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "fault",
    [{"status": status, **body} for status in (402, 404, 405, 406, 409, 410, 418, 451) for body in ({}, PAGE)]
    + [{"status": status, **body} for status in (400, 422) for body in (PAGE, PROBLEM, {"text": ""})]
    + [
        {"status": 422, "text": '{"status": "422", "title": "Unprocessable Entity"}'},
        {"status": 422, "text": '{"status": 400, "title": "Bad Request"}'},
        {"status": 422, "text": '{"status": 422, "title": ""}'},
        {"status": 422, "text": '{"status": 422, "title": "x", "_email": "KEY"}'},
        {"status": 422, "text": '[{"status": 422, "title": "x"}]'},
        {"status": 400, "text": '{"status": true, "title": "x"}'},
        {"status": 413},
        {"status": 403, **PAGE},
    ],
    ids=lambda fault: f"{fault['status']} {fault.get('text', 'document')[:48]}",
)
def test_nothing_but_connectifs_own_word_about_the_row_is_remembered(
    fault: dict[str, Any], request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    journal = journal_database("sqlite", request)
    strict.reset(faults=[{"keys": keys(2), **fault}])
    first = deliver("night", rows=rows(5), max_in_flight=1)
    assert (first.state, first.summary["rejected"], first.summary["created"]) == ("failed", 1, 4)
    assert refused_in(journal) == 0
    strict.update(faults=[])
    second = deliver("next night", rows=rows(5))
    assert (second.state, second.summary["created"], second.summary["unchanged"]) == ("success", 1, 4)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 422},
        {"status": 400},
        {"status": 422, "text": '\ufeff{"status": 422, "detail": "no"}'},
        {"status": 422, "text": '{"status": 422, "title": "Unprocessable entity", "validationErrors": null}'},
    ],
    ids=["422", "400", "with a BOM", "a detail missing"],
)
def test_connectifs_own_word_about_the_row_is_remembered(
    fault: dict[str, Any], request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    journal = journal_database("sqlite", request)
    strict.reset(faults=[{"keys": keys(2), **fault}])
    deliver("night", rows=rows(5), max_in_flight=1)
    assert refused_in(journal) == 1
    received = strict.received
    assert deliver("next night", rows=rows(5)).summary["held"] == 1
    assert strict.received == received


# The same by the author's own table: ``reject`` for another status must not hold a row for ever either.


def test_an_authors_rejection_of_another_status_is_for_one_run(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.reset(faults=[{"keys": keys(2), "status": 500}, {"keys": keys(3), "drop": "before"}])
    policy = {"5xx": "reject", "no_answer": "reject"}
    assert deliver("night", rows=rows(5), on_response=policy).summary["rejected"] == 2
    assert refused_in(journal) == 0


# A journal of an earlier version holds rows for a gateway's 404; they would be held for ever.


def test_a_row_that_an_earlier_version_held_for_a_gateways_word_is_sent(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(faults=[{"keys": keys(2, 3), "status": 422}])
    deliver("night", rows=rows(5), max_in_flight=1)
    journal.query(
        "update connectif_journal set status_code = 404, refused_status = 404 where contact_key = 'user2@example.com'"
    )
    strict.update(faults=[])
    after = deliver("next night", rows=rows(5))
    assert (after.summary["created"], after.summary["held"]) == (1, 1)


# 408, 421, 423 and 425 say "not now": the row is neither rejected nor held.


@pytest.mark.parametrize("status", [408, 421, 423, 425])
def test_a_status_that_says_not_now_is_retried(status: int, journal: JournalDatabase, strict: StrictServer) -> None:
    strict.reset(faults=[{"keys": keys(2), "attempts": 1, "status": status}])
    run = deliver("night", rows=rows(5))
    assert (run.state, run.summary["created"], run.summary["requests"]) == ("success", 5, 6)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("status", [408, 421, 423, 425])
def test_a_row_that_only_ever_gets_not_now_is_undelivered_and_sent_again(
    status: int, journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=1_000_000, retries=2))
    strict.reset(faults=[{"keys": keys(2), "status": status}])
    assert deliver("night", rows=rows(5)).state == "up_for_retry"
    strict.update(faults=[])
    assert deliver("next night", rows=rows(5)).summary["created"] == 1


# A run that stops because everything is rejected remembers nothing: the mapping is corrected, and yet the rows are
# held.


@pytest.mark.slow
@pytest.mark.parametrize("count", [200, 41])
def test_a_run_that_stops_since_all_is_rejected_holds_no_row(
    count: int, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(faults=[{"status": 422}])
    first = deliver("night", rows=rows(count), max_in_flight=1, failure_budget=count)
    assert (first.state, first.summary["rejected"], strict.received) == ("failed", 40, 40)
    assert refused_in(journal) == 0
    strict.update(faults=[])
    second = deliver("next night", rows=rows(count))
    assert (second.state, second.summary["created"]) == ("success", count)


@pytest.mark.slow
def test_refusals_are_remembered_from_the_first_other_response_on_and_also_those_before_it(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(faults=[{"status": 422, "keys": keys(*range(30))}])
    run = deliver("night", rows=rows(300), max_in_flight=1, failure_budget=50)
    assert (run.state, run.summary["rejected"], run.summary["created"]) == ("success", 30, 270)
    assert refused_in(journal) == 30


@pytest.mark.parametrize(("count", "state", "remembered"), [(19, "success", 19), (20, "failed", 0), (25, "failed", 0)])
def test_a_run_with_fewer_rows_than_it_takes_to_stop_is_judged_by_its_budget(
    count: int, state: str, remembered: int, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(faults=[{"status": 422}])
    run = deliver("night", rows=rows(count), failure_budget=count, max_in_flight=1)
    assert (run.state, run.summary["rejected"]) == (state, count)
    assert refused_in(journal) == remembered


@pytest.mark.slow
def test_refusals_that_are_kept_back_hold_up_no_sending(journal: JournalDatabase, strict: StrictServer) -> None:
    """With a hundred requests at once more of them are kept back than the journal writes at a time."""
    strict.reset(faults=[{"status": 422, "keys": keys(*range(200))}], delay_s=0.05)
    run = deliver("night", rows=rows(900), max_in_flight=100, failure_budget=1000)
    assert (run.summary["rejected"], run.summary["created"]) == (200, 700)
    assert refused_in(journal) == 200


# A full queue is no fault of the row, whatever an author does about the response.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("named", ["code", 400, "4xx"])
@pytest.mark.parametrize("code", ["E0301", "E0401"])
def test_a_full_queue_holds_no_row(code: str, named: str | int, journal: JournalDatabase, strict: StrictServer) -> None:
    strict.reset(faults=[{"keys": keys(2), "status": 400, "json": {"code": code}}])
    policy = {code if named == "code" else named: "reject"}
    assert deliver("night", rows=rows(5), on_response=policy).summary["rejected"] == 1
    assert refused_in(journal) == 0


# The first responses are all rejections, and the run ends early for another reason: as little is known of the rows.


@pytest.mark.slow
def test_a_run_that_is_killed_after_nothing_but_rejections_holds_no_row(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    strict.reset(faults=[{"keys": keys(15), "hang": "before"}, {"status": 422}])
    process = Process(tmp_path, "night", rows=rows(100), max_in_flight=1)
    until(lambda: strict.received >= 16)
    process.kill(signal.SIGTERM)
    assert refused_in(journal) == 0
    strict.update(faults=[{"status": 422}])
    retry = deliver("night", rows=rows(100), max_in_flight=1, tries_before=1, retries=2)
    assert (retry.state, retry.summary["rejected"], refused_in(journal)) == ("failed", 40, 0)


def test_a_run_that_a_firewall_ends_after_nothing_but_rejections_holds_no_row(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(faults=[{"keys": keys(*range(10)), "status": 422}, {"status": 403, **PAGE}])
    run = deliver("night", rows=rows(100), max_in_flight=1)
    assert (run.state, run.summary["rejected"], refused_in(journal)) == ("failed", 20, 0)


def test_a_source_that_fails_after_nothing_but_rejections_holds_no_row(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    def source() -> Iterator[dict[str, Any]]:
        yield from rows(10)
        raise RuntimeError

    strict.reset(faults=[{"status": 422}])
    with pytest.raises(RuntimeError):
        deliver("night", rows=source(), max_in_flight=1)
    assert (strict.received, refused_in(journal)) == (0, 0)  # the source is read to its end first
