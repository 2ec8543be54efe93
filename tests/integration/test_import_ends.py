"""Each way that imports can end: the task's state, the account of the rows, and no file twice at Connectif."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.import_runs import (
    account,
    as_contacts,
    import_over_deferral,
    import_rows,
    rows,
    uploaded,
)
from tests.support.journals import journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_logs import provider_lines, provider_records
from tests.support.task_runs import Run

pytestmark = pytest.mark.versions

Importer = Callable[..., Run]
SHORT = timedelta(seconds=2)  # time for the upload on any machine


def _deferring(**arguments: Any) -> Run:
    return import_over_deferral(**arguments)[-1]


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files of personal data are gone, however the task has ended."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert list(folder.iterdir()) == []


def _in_full_size(*ways: str) -> list[Any]:
    return [pytest.param(way, marks=pytest.mark.full_size) for way in ways]


@pytest.fixture(params=["with a worker", "deferred", *_in_full_size("a worker and a journal", "deferred, a journal")])
def run_import(request: pytest.FixtureRequest, airflow_db: None) -> Importer:
    run = _deferring if request.param.startswith("deferred") else import_rows
    if "journal" not in request.param:
        return run
    return partial(run, journal_conn_id=journal_database("sqlite", request).conn_id)


@pytest.fixture
def is_kept(run_import: Importer) -> bool:
    """Whether a journal knows what was uploaded."""
    return isinstance(run_import, partial)


def zero_is_refused(count: int) -> list[dict[str, Any]]:
    """Rows of which every tenth is refused by a server for which 0 is no integer."""
    return [{**row, "visits": row["visits"] if n % 10 else 0} for n, row in enumerate(rows(count))]


def test_finished(strict: StrictServer, run_import: Importer) -> None:
    run = run_import(rows=rows(300))
    assert run.state == "success"
    assert strict.contacts == as_contacts(rows(300))
    assert run.summary["imported"] == account(run.summary) == run.summary["read"] == 300
    assert run.summary["imports"] == [strict.uploads[0]["import_id"]]
    assert run.summary["files"] == 1
    assert len(strict.uploads) == 1
    assert run.summary["requests"] == strict.requests
    assert len(json.dumps(run.summary)) < 2000


def test_no_row_is_no_import(strict: StrictServer, run_import: Importer) -> None:
    run = run_import(rows=[])
    assert (run.state, run.summary["read"], run.summary["files"]) == ("success", 0, 0)
    assert strict.uploads == []


@pytest.mark.parametrize("columns", ["key", "row"])
def test_finished_with_errors_within_the_budget(
    strict: StrictServer, run_import: Importer, is_kept: bool, tmp_path: Path, columns: str
) -> None:
    strict.update(import_zero=False, report_columns=columns)
    path = tmp_path / "out" / "rejects.jsonl"
    source = [*zero_is_refused(50), {"email": "nobody", "_name": "x", "visits": 1}]

    run = run_import(rows=source, rejects_path=str(path), failure_budget=6)

    assert run.state == "success"
    assert (run.summary["imported"], run.summary["rejected"], run.summary["invalid"]) == (45, 5, 1)
    assert account(run.summary) == run.summary["read"] == 51
    raw = path.with_name(f"rejects.jsonl.import-{run.summary['imports'][0]}.csv")
    assert "visits: must be" in raw.read_text()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["row_number"] for line in lines if line["outcome"] == "invalid"] == [51]
    rejected = [line for line in lines if line["outcome"] == "rejected"]
    if rejected:  # after a deferral without a journal nobody knows the rows any more
        assert [line["row_number"] for line in rejected] == [1, 11, 21, 31, 41]
        assert {line["key"] for line in rejected} == {f"user{n}@example.com" for n in range(0, 50, 10)}
        assert {line["row"].get("visits", 0) for line in rejected} == {0}  # a journal keeps no values
    assert bool(rejected) == (is_kept or run_import is import_rows)


def test_more_errors_than_the_budget_allows(strict: StrictServer, run_import: Importer) -> None:
    strict.update(import_zero=False)
    run = run_import(rows=zero_is_refused(50), failure_budget=4)
    assert run.state == "failed"
    assert "5 of 50 rows were refused; failure_budget allows 4" in str(run.error)
    assert account(run.summary) == 50
    assert len(strict.contacts) == 45


def test_a_report_that_names_no_row_is_counted_and_kept(
    strict: StrictServer, run_import: Importer, tmp_path: Path
) -> None:
    strict.update(import_zero=False, report_columns="none")
    path = tmp_path / "rejects.jsonl"
    run = run_import(rows=zero_is_refused(50), rejects_path=str(path), failure_budget=5)
    assert run.state == "success"
    assert run.summary["rejected"] == 5
    assert account(run.summary) == 50
    assert (run.summary["rejects_path"], path.exists()) == (None, False)
    assert path.with_name(f"rejects.jsonl.import-{run.summary['imports'][0]}.csv").exists()


@pytest.mark.sampled(2)
@pytest.mark.parametrize("dead", [2, 100])
def test_an_expired_report_is_asked_for_again(
    strict: StrictServer, run_import: Importer, tmp_path: Path, dead: int
) -> None:
    strict.update(import_zero=False, report_dead_addresses=dead)
    path = tmp_path / "rejects.jsonl"
    run = run_import(rows=zero_is_refused(50), rejects_path=str(path), failure_budget=5)
    assert run.state == "success"
    assert (run.summary["rejected"], account(run.summary)) == (5, 50)
    assert len(list(tmp_path.glob("rejects*.csv"))) == (dead == 2)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("at_rows", [0, 30])
def test_an_import_that_ends_in_error_is_tried_again(strict: StrictServer, run_import: Importer, at_rows: int) -> None:
    strict.update(import_faults=[{"times": 1, "end": "error", "at_rows": at_rows}])
    run = run_import(rows=rows(100))
    assert run.state == "up_for_retry"
    assert f"ended in error after {at_rows} of 100 rows" in str(run.error)
    assert run.summary["imported"] == at_rows

    again = run_import(rows=rows(100), tries_before=1)
    assert again.state == "success"
    assert strict.contacts == as_contacts(rows(100))
    assert len(uploaded(strict)) == 2


def test_a_cancelled_import_is_left_to_people(strict: StrictServer, run_import: Importer) -> None:
    strict.update(import_faults=[{"end": "cancelled", "at_rows": 40}])
    run = run_import(rows=rows(100))
    assert run.state == "failed"
    assert "was cancelled in the app after 40 of 100 rows" in str(run.error)
    assert run.summary["imported"] == 40
    assert len(strict.uploads) == 1


@pytest.mark.slow
def test_a_task_that_fails_for_good_announces_no_next_attempt(strict: StrictServer, run_import: Importer) -> None:
    faults = [{"nth": [1, 1], "hold": "inProgress"}, {"nth": [2, 2], "end": "cancelled", "at_rows": 3}]
    strict.update(import_faults=faults)
    run = run_import(rows=rows(600), max_file_bytes=9000, timeout=timedelta(seconds=5))
    assert run.state == "failed"
    assert "was cancelled in the app" in str(run.error)
    assert "The imports did not finish within timeout" in str(run.error)
    assert "next attempt" not in str(run.error)


def test_a_deleted_import_is_imported_again(strict: StrictServer, run_import: Importer) -> None:
    strict.update(import_faults=[{"on": "GET", "status": 404}])
    run = run_import(rows=rows(10))
    assert run.state == "up_for_retry"
    assert "no longer exists" in str(run.error)


def test_a_stuck_import_is_waited_for_until_the_timeout_and_by_the_next_attempt(
    strict: StrictServer, run_import: Importer, is_kept: bool
) -> None:
    strict.update(import_hold="inProgress")
    run = run_import(rows=rows(100), timeout=SHORT)
    assert run.state == "up_for_retry"
    (upload,) = strict.uploads
    assert f"still running: {upload['import_id']} (inProgress)" in str(run.error)
    assert run.summary["imports"] == [upload["import_id"]]

    # Without a journal nothing is remembered: once no import is open, everything is uploaded again.
    strict.update(import_hold=None)
    again = run_import(rows=rows(100), tries_before=1)
    assert again.state == "success"
    assert account(again.summary) == 100
    assert len(strict.uploads) == (1 if is_kept else 2)


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ("journal", "The next attempt waits for the same imports and uploads nothing"),
        ("none", "If imports usually take longer, raise timeout"),
    ],
)
def test_the_timeout_says_what_the_next_try_does_where_that_is_known(
    memory: str, words: str, strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest
) -> None:
    remembering: dict[str, Any] = {}
    if memory == "journal":
        remembering = {"journal_conn_id": journal_database("sqlite", request).conn_id}
    strict.update(import_hold="inProgress")
    run = import_rows(rows=rows(100), timeout=SHORT, **remembering)
    assert run.state == "up_for_retry"
    assert len(strict.uploads) == 1
    assert str(run.error).partition("(inProgress)")[2] == f". {words}"

    strict.update(import_hold=None)
    assert import_rows(rows=rows(100), tries_before=1, **remembering).state == "success"
    assert len(strict.uploads) == (1 if memory == "journal" else 2)


def test_the_timeout_says_nothing_of_the_next_try_where_files_are_left_to_upload(
    strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest
) -> None:
    journal = journal_database("sqlite", request).conn_id
    strict.update(foreign_imports=10)
    run = import_rows(rows=rows(10), timeout=SHORT, journal_conn_id=journal)
    assert str(run.error).endswith("1 file not uploaded. If imports usually take longer, raise timeout")


def test_a_state_that_nobody_knows_is_waited_on(
    strict: StrictServer,
    run_import: Importer,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    strict.update(import_faults=[{"end": "paused"}])
    run = run_import(rows=rows(10), timeout=SHORT)
    assert run.state == "up_for_retry"
    assert "(paused)" in str(run.error)
    told = capfd.readouterr().out + caplog.text  # Airflow 3 writes to stdout itself, 2 through logging
    assert "its state is not documented (paused)" in told


def test_a_full_queue_is_waited_for(
    strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    strict.update(import_faults=[{"times": 4, "status": 400, "json": {"code": "E0401"}}])
    run = import_rows(rows=rows(10))
    assert run.state == "success"
    assert len(strict.uploads) == 5
    assert len(uploaded(strict)) == 1
    told = capfd.readouterr().out or caplog.text
    assert told.count("queue of imports is full") in (1, 2)  # Airflow may log to two places


def test_a_queue_that_stays_full_ends_with_the_timeout(strict: StrictServer, run_import: Importer) -> None:
    strict.update(foreign_imports=10)
    run = run_import(rows=rows(10), timeout=SHORT)
    assert run.state == "up_for_retry"
    assert "1 file not uploaded" in str(run.error)
    assert uploaded(strict) == []
    assert strict.contacts == {}


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_file_that_is_refused_fails_the_task(strict: StrictServer, run_import: Importer, status: int) -> None:
    strict.update(import_faults=[{"status": status}])
    run = run_import(rows=rows(10))
    assert run.state == "failed"
    assert f"HTTP {status}" in str(run.error)
    assert len(strict.uploads) == 1
    assert strict.contacts == {}


@pytest.mark.parametrize(("on", "status"), [("POST", 403), ("GET", 403), ("GET", 401)])
def test_a_refused_key_fails_the_task(strict: StrictServer, run_import: Importer, on: str, status: int) -> None:
    strict.update(import_faults=[{"on": on, "status": status}])
    run = run_import(rows=rows(10))
    assert run.state == "failed"
    assert ("Imports: Write or Imports: Read" in str(run.error)) == (status == 403)


def test_a_key_that_may_not_read_definitions_is_told_of_with_the_remedy(
    strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    strict.update(fields_fault={"status": 403})
    run = import_rows(rows=rows(10), properties={"_name": "_name", "visits": "visits"})
    assert run.state == "failed"
    assert str(run.error) == (
        "the mapping does not fit an import: visits is not a known field of this account, and an import ignores "
        "unknown columns without an error. Give the API key the scope Contact fields: Read, with fields='live', or "
        "define such fields in fields"
    )
    told = provider_lines("".join(capfd.readouterr()), level="warning")
    warning, end = told or provider_records(caplog.records, level="warning")
    assert end.startswith("Failed: 0 rows read, ")
    assert warning == (
        "The field definitions cannot be read (403)\n"
        "  Either the API key does not have the scope Contact fields: Read, or the account is blocked\n"
        "  Consequence: custom fields cannot be imported\n"
        "  Give the key this scope, or give the operator your own definitions (fields=)"
    )
    assert strict.uploads == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("drop", ["during", "before", "after"])
def test_a_connection_lost_during_the_upload_or_after_it(strict: StrictServer, airflow_db: None, drop: str) -> None:
    strict.update(import_faults=[{"times": 1, "drop": drop}], import_run_s=0.3)
    run = import_rows(rows=rows(1000))
    assert run.state == "success"
    assert strict.contacts == as_contacts(rows(1000))
    assert len(strict.uploads) == 2
    assert len(uploaded(strict)) == (2 if drop == "after" else 1)
    assert account(run.summary) == 1000


@pytest.mark.parametrize("status", [500, 502, 504])
def test_an_answer_of_the_gateway_may_hide_an_import(strict: StrictServer, airflow_db: None, status: int) -> None:
    strict.update(import_faults=[{"times": 2, "status": status}])
    run = import_rows(rows=rows(10))
    assert run.state == "success"
    assert len(uploaded(strict)) == 1


def test_requests_that_fail_while_it_waits_are_asked_again(strict: StrictServer, run_import: Importer) -> None:
    strict.update(import_faults=[{"on": "GET", "times": 2, "status": 500}, {"on": "GET", "times": 2, "drop": "before"}])
    run = run_import(rows=rows(10))
    assert run.state == "success"
    assert account(run.summary) == 10


def test_what_fails_while_it_waits_is_counted_in_the_last_line(
    strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    strict.update(import_faults=[{"on": "GET", "times": 3, "status": 500}, {"times": 1, "status": 502}])
    assert import_rows(rows=rows(10)).state == "success"
    last = (provider_lines("".join(capfd.readouterr())) or provider_records(caplog.records))[-1]
    assert "Retried: 4 failed requests, last: HTTP 500 Internal Server Error" in last


def test_a_window_that_is_used_up_is_waited_for(strict: StrictServer, run_import: Importer) -> None:
    strict.update(limit=5, window_s=1.0, headers="fraction", import_run_s=0.5)
    run = run_import(rows=rows(10))
    assert run.state == "success"
    assert all(window["refused"] <= 2 for window in strict.windows)


@pytest.mark.sampled(1)
def test_several_imports_of_which_one_fails(strict: StrictServer, run_import: Importer, is_kept: bool) -> None:
    strict.update(import_faults=[{"nth": [2, 2], "end": "error", "at_rows": 0}], import_run_s=0.1)
    run = run_import(rows=rows(600), max_file_bytes=9000)
    files = run.summary["files"]
    assert files >= 3
    assert run.state == "up_for_retry"
    assert 0 < run.summary["imported"] < 600

    again = run_import(rows=rows(600), max_file_bytes=9000, tries_before=1)
    assert again.state == "success"
    assert (again.summary["imported"], account(again.summary)) == (600, 600)
    assert strict.contacts == as_contacts(rows(600))
    assert len(uploaded(strict)) == (files + 1 if is_kept else 2 * files)
