"""Imports in the account's list that are not ours.

The kind of fault: an import that looks like a file of ours (as many rows, same options, same minute) is waited for and
acknowledged for our rows, which then never arrive. Only an id from the response to an upload makes an import ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.import_runs import FAST, account, as_contacts, import_rows, rows, uploaded
from tests.support.journals import Process, deliver, journal_database
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run, run_in_airflow

PAGE = "<html>Please sign in</html>"
ERROR_DOCUMENT = '{"status": 200, "title": "Bad Gateway", "detail": "try later", "id": "b00"}'
LOST: dict[str, dict[str, Any]] = {
    "502 and no import": {"status": 502},
    "502 and an import": {"status": 502, "exists": True},
    "the connection breaks before": {"drop": "before"},
    "the connection breaks after": {"drop": "after"},
    "a page and no import": {"status": 200, "no_import": True, "text": PAGE},
    "a page and an import": {"status": 201, "text": PAGE},
    "an error document with status 200": {"status": 200, "no_import": True, "text": ERROR_DOCUMENT},
}
OTHERS = [{"from_upload": 1}, {"from_upload": 1}]
SLOW = timedelta(seconds=40)


def only_ours(strict: StrictServer, run: Run, source: list[dict[str, Any]]) -> None:
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(source)
    assert run.summary["imported"] == account(run.summary) == run.summary["read"] == len(source)
    assert set(run.summary["imports"]) <= {upload.get("import_id") for upload in strict.uploads}


def test_in_airflow_another_import_with_as_many_rows_is_not_ours(
    strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    strict.update(import_faults=[{"times": 1, "status": 502}], other_imports=OTHERS[:1])
    arguments = {name: value for name, value in FAST.items() if name != "journal_conn_id"}
    run = run_in_airflow(run_dag, rows=rows(7), **arguments)
    only_ours(strict, run, rows(7))
    assert len(uploaded(strict)) == 1


@pytest.fixture(params=["journal", pytest.param("nothing", marks=pytest.mark.full_size)])
def remembering(request: pytest.FixtureRequest, airflow_db: None) -> Iterator[dict[str, Any]]:
    if request.param == "journal":
        journal_database("sqlite", request)
        yield {"journal_conn_id": "journal"}
    else:
        yield {}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("lost", LOST)
def test_an_upload_without_a_response_is_uploaded_once_more(
    strict: StrictServer, remembering: dict[str, Any], lost: str
) -> None:
    strict.update(import_faults=[{"times": 1, **LOST[lost]}], other_imports=OTHERS[:1])
    run = import_rows(rows=rows(20), timeout=SLOW, **remembering)
    only_ours(strict, run, rows(20))
    assert len(strict.uploads) == 2


# Older rows after newer ones: the lost upload must have ended before the next one begins, also where that takes long.
def test_the_next_upload_waits_until_what_the_lost_one_may_have_begun_has_ended(
    strict: StrictServer, airflow_db: None
) -> None:
    strict.update(import_faults=[{"times": 1, "drop": "after"}], import_run_s=1.0)
    only_ours(strict, import_rows(rows=rows(20), timeout=SLOW), rows(20))
    first, second = strict.uploads
    assert second["t"] - first["t"] >= 1.0


OPEN = {"status": "inProgress", "from_upload": 1}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("other", "is_waited_for"),
    [
        (OPEN, True),
        (OPEN | {"createdAt": "2099-01-01T00:00:00Z"}, True),  # a clock that is ahead
        (OPEN | {"createdAt": None}, True),
        # No offset: it may be any zone's time.
        (OPEN | {"createdAt": (datetime.now(UTC) - timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M:%S")}, True),
        (OPEN | {"status": "paused"}, True),  # a state that is not documented
        (OPEN | {"createdAt": "2020-01-01T00:00:00Z"}, False),
        (OPEN | {"createdAt": "2020-01-01T02:00:00+02:00"}, False),
        (OPEN | {"type": "products"}, False),
        (OPEN | {"origin": "app"}, False),  # what people upload there
        (OPEN | {"status": "cancelled"}, False),
        (OPEN | {"status": "error"}, False),
    ],
)
def test_which_imports_of_the_list_are_waited_for(
    strict: StrictServer, airflow_db: None, other: dict[str, Any], is_waited_for: bool
) -> None:
    strict.update(import_faults=[{"times": 1, "status": 502}], other_imports=[other])
    run = import_rows(rows=rows(5), timeout=timedelta(seconds=2.5))
    assert (run.state, len(uploaded(strict))) == (("up_for_retry", 0) if is_waited_for else ("success", 1))
    assert run.summary["undelivered"] == (5 if is_waited_for else 0)
    assert account(run.summary) == 5


# A list that cannot be read to its end hides what is open: the file is not uploaded on a guess.
def test_a_list_that_goes_round_in_a_circle_ends_the_attempt(
    strict: StrictServer, airflow_db: None, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=10**6, retries=2))
    strict.update(import_faults=[{"times": 1, "status": 502}], import_list_circle=True)
    run = import_rows(rows=rows(5), timeout=SLOW)
    assert run.state == "up_for_retry"
    assert "The list of imports cannot be read" in str(run.error)
    assert (run.summary["undelivered"], account(run.summary)) == (5, 5)


# The list costs a request for each page: it is read only after a response was lost.
def test_the_list_is_not_read_where_every_upload_got_its_response(strict: StrictServer, airflow_db: None) -> None:
    assert import_rows(rows=rows(600), max_file_bytes=9000).state == "success"
    assert [entry for entry in strict.log if entry["method"] == "GET" and entry["target"] == "/imports/"] == []


# A proxy that replays an earlier 201: one import would stand for two files.
def test_a_response_that_repeats_an_earlier_import_is_none(strict: StrictServer, remembering: dict[str, Any]) -> None:
    strict.update(import_faults=[{"nth": [2, 2], "same_id": True}])
    run = import_rows(rows=rows(600), max_file_bytes=9000, timeout=SLOW, **remembering)
    only_ours(strict, run, rows(600))
    assert len(set(run.summary["imports"])) == run.summary["files"] >= 3


# A response about another import says nothing about ours; another spelling of the same id does.
def test_a_response_about_another_import_is_none(strict: StrictServer, remembering: dict[str, Any]) -> None:
    other = {"id": f"{0xB00:024x}", "status": "finished", "total": 5, "success": 5, "errors": 0}
    strict.update(import_hold="queued", import_faults=[{"on": "GET", "times": 1, "json": other}])
    run = import_rows(rows=rows(5), timeout=timedelta(seconds=2), **remembering)
    assert (run.state, run.summary["imported"], run.summary["undelivered"]) == ("up_for_retry", 0, 5)


def test_an_id_in_other_case_is_the_same_import(strict: StrictServer, airflow_db: None) -> None:
    strict.update(import_faults=[{"on": "GET", "json": {"id": f"{1:024X}"}}])
    only_ours(strict, import_rows(rows=rows(5)), rows(5))


# A kill between upload and response: with a memory the next attempt knows that an upload began, without one it waits
# for whatever is open. In neither case is another system's import taken for ours.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("hang", ["before", "after"])
def test_killed_between_upload_and_response_beside_another_system(
    strict: StrictServer, remembering: dict[str, Any], hang: str, tmp_path: Path
) -> None:
    strict.update(import_faults=[{"times": 1, "hang": hang}], other_imports=OTHERS[:1], import_run_s=0.5)
    process = Process(tmp_path, "night", import_rows, rows=rows(30), **remembering)
    until(lambda: strict.uploads)
    process.kill()
    run = import_rows("night", rows=rows(30), tries_before=1, timeout=SLOW, **remembering)
    only_ours(strict, run, rows(30))
    assert len(strict.uploads) == 2


# Nothing remembers, and the rows have changed: the older import must not end after the newer one. Also where the task
# was cleared, so that Airflow counts its attempts from the beginning.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("is_cleared", [False, True])
def test_without_a_memory_an_older_import_is_waited_for(
    strict: StrictServer, airflow_db: None, tmp_path: Path, is_cleared: bool
) -> None:
    strict.update(import_run_s=1.5)
    process = Process(tmp_path, "night", import_rows, rows=rows(30))
    process.wait_until_it_says("Uploaded 1 file")
    process.kill()
    # Airflow allows a cleared task as many retries more as it has.
    more = {"task": SimpleNamespace(retries=0)} if is_cleared else {}
    newer = rows(29, visits=500)  # another number of rows, so nothing resembles the older file
    arguments = FAST | {"rows": newer, "tries_before": 1, "timeout": SLOW}
    run = deliver("night", before=_with_one_retry, more_context=more, **arguments)
    assert run.state == "success", run.error
    first, second = strict.uploads
    assert second["t"] - first["t"] >= 1.4
    assert strict.contacts == as_contacts(rows(30)) | as_contacts(newer)


def _with_one_retry(operator: Any) -> None:
    operator.retries = 1


# Two of our tasks at once, one of which loses a response: each settles its own imports only.
def test_two_tasks_at_once(strict: StrictServer, airflow_db: None, tmp_path: Path) -> None:
    strict.update(import_faults=[{"times": 1, "drop": "before"}], import_run_s=0.3)
    mine, theirs = rows(40), rows(40, begin=1000)
    process = Process(tmp_path, "beside", import_rows, rows=theirs, sync_id="theirs", timeout=SLOW)
    run = import_rows(rows=mine, timeout=SLOW)
    beside = process.end(60)
    assert (run.state, beside.state) == ("success", "success"), (run.error, beside.error)
    assert strict.contacts == as_contacts(mine) | as_contacts(theirs)
    assert set(run.summary["imports"]).isdisjoint(beside.summary["imports"])
