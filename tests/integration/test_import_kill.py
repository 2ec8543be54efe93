"""Tasks that die around an upload: no row is lost, no older row comes last, and an import whose id is known is kept.

Of an upload without a response no id is known, and where nothing remembers, none at all: then the file is uploaded
once more, after what the earlier upload may have begun.
"""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.imports import import_sink, report
from tests.support.import_runs import (
    account,
    as_contacts,
    event_of,
    import_rows,
    rows,
    uploaded,
)
from tests.support.journals import DATABASES, JournalDatabase, Process, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run

ROWS = rows(3000)  # a file of some 100 KB
MEMORIES = (*usually("postgres"), pytest.param("nothing", marks=pytest.mark.full_size))


@pytest.fixture(params=MEMORIES)
def remembering(request: pytest.FixtureRequest, airflow_db: None) -> dict[str, Any]:
    """Arguments that give a task one kind of memory."""
    if request.param in DATABASES:
        journal_database(request.param, request)
        return {"journal_conn_id": "journal"}
    return {}


@pytest.fixture
def once(remembering: dict[str, Any]) -> int:
    """How often a file gets to Connectif whose import's id an earlier attempt has learnt."""
    return 1 if remembering else 2


Start = Callable[..., Process]


@pytest.fixture
def start(remembering: dict[str, Any], tmp_path: Path) -> Start:
    return lambda **arguments: Process(tmp_path, "night", import_rows, **(remembering | arguments))


@pytest.fixture
def next_try(remembering: dict[str, Any]) -> Callable[..., Run]:
    tries = itertools.count(1)
    return lambda **arguments: import_rows("night", tries_before=next(tries), **(remembering | arguments))


@pytest.mark.slow
def test_killed_after_the_upload(strict: StrictServer, start: Start, next_try: Callable[..., Run], once: int) -> None:
    strict.update(import_hold="inProgress")
    process = start(rows=ROWS)
    process.wait_until_it_says("Uploaded 1 file")
    process.kill()
    strict.update(import_hold=None)

    run = next_try(rows=ROWS)

    assert run.state == "success", run.error
    assert len(strict.uploads) == once
    assert run.summary["imported"] == account(run.summary) == 3000
    assert strict.contacts == as_contacts(ROWS)


@pytest.mark.slow
def test_rows_that_a_killed_attempt_has_refused_stay_in_the_rejects_file(
    strict: StrictServer, start: Start, next_try: Callable[..., Run], tmp_path: Path
) -> None:
    path = tmp_path / "rejects.jsonl"
    no_contact, no_cell = {**ROWS[0], "email": "nobody"}, {**ROWS[1], "_name": "\0"}
    more = {"rows": [no_contact, no_cell, *ROWS[2:]], "failure_budget": 2, "rejects_path": str(path)}
    strict.update(import_hold="inProgress")
    process = start(**more)
    process.wait_until_it_says("Uploaded 1 file")
    process.kill()
    strict.update(import_hold=None)

    run = next_try(**more)

    assert (run.state, run.summary["invalid"], run.summary["rejects_path"]) == ("success", 2, str(path)), run.error
    assert [json.loads(line)["row_number"] for line in path.read_text().splitlines()] == [1, 2]


def large_rows() -> list[dict[str, Any]]:
    """A file of 20 MB, more than the kernel takes in before the other side reads."""
    return [{**row, "tier": f"{n:05}" * 1000} for n, row in enumerate(rows(4000))]


@pytest.mark.slow
def test_killed_during_the_upload(strict: StrictServer, start: Start, next_try: Callable[..., Run]) -> None:
    strict.update(import_faults=[{"times": 1, "bytes_per_s": 2_000_000}])
    process = start(rows=large_rows())
    until(lambda: strict.uploads_begun == 1)
    process.kill()
    until(lambda: strict.uploads)
    assert strict.uploads[0]["received"] < 20_000_000

    run = next_try(rows=large_rows())

    assert run.state == "success", run.error
    assert len(uploaded(strict)) == 1
    assert strict.contacts == as_contacts(large_rows())


@pytest.mark.slow
def test_killed_when_all_was_on_its_way(strict: StrictServer, start: Start, next_try: Callable[..., Run]) -> None:
    strict.update(import_faults=[{"times": 1, "bytes_per_s": 100_000}])
    process = start(rows=ROWS)
    until(lambda: strict.uploads_begun == 1)
    process.kill()
    until(lambda: strict.uploads)

    run = next_try(rows=ROWS)

    assert run.state == "success", run.error
    assert len(uploaded(strict)) in (1, 2)  # the network may have had all of it
    assert strict.contacts == as_contacts(ROWS)


@pytest.mark.slow
@pytest.mark.parametrize("hang", ["before", "after"])
def test_killed_between_the_upload_and_its_answer(
    strict: StrictServer, start: Start, next_try: Callable[..., Run], hang: str
) -> None:
    strict.update(import_faults=[{"times": 1, "hang": hang}])
    process = start(rows=ROWS)
    until(lambda: strict.uploads)
    process.kill()

    run = next_try(rows=ROWS)

    assert run.state == "success", run.error
    assert len(uploaded(strict)) == (2 if hang == "after" else 1)
    assert run.summary["imported"] == account(run.summary) == 3000


@pytest.mark.slow
def test_killed_among_several_files(
    strict: StrictServer, start: Start, next_try: Callable[..., Run], remembering: dict[str, Any]
) -> None:
    strict.update(import_faults=[{"nth": [3, 3], "times": 1, "hang": "after"}], import_run_s=0.3)
    process = start(rows=ROWS, max_file_bytes=30_000)
    until(lambda: len(uploaded(strict)) == 3)
    process.kill()

    run = next_try(rows=ROWS, max_file_bytes=30_000)

    assert run.state == "success", run.error
    assert account(run.summary) == 3000
    digests = uploaded(strict)
    if remembering:  # but for the third file, whose upload got no response
        assert len(digests) <= len(set(digests)) + 1
        assert sum(upload["total"] for upload in strict.uploads) <= 3000 + strict.uploads[2]["total"]
    assert strict.contacts == as_contacts(ROWS)


@pytest.mark.slow
def test_killed_twice(strict: StrictServer, start: Start, next_try: Callable[..., Run], once: int) -> None:
    strict.update(import_hold="queued")
    for tries_before in range(2):
        process = start(rows=ROWS, tries_before=tries_before)
        process.wait_until_it_says(("Uploaded 1 file", "000001")[tries_before])
        process.kill()
    strict.update(import_hold=None)
    assert next_try(rows=ROWS).state == "success"
    assert len(strict.uploads) == once


@pytest.mark.slow
def test_told_to_stop_it_leaves_imports_alone_and_names_them(
    strict: StrictServer, start: Start, next_try: Callable[..., Run], once: int
) -> None:
    strict.update(import_hold="inProgress")
    process = start(rows=ROWS)
    process.wait_until_it_says("Uploaded 1 file")
    process.kill(signal.SIGTERM)
    run = process.end()
    assert run.state == "up_for_retry"
    assert process.says(f"imports still running at Connectif: {run.summary['imports'][0]}")
    strict.update(import_hold=None)
    assert next_try(rows=ROWS).state == "success"
    assert [entry["method"] for entry in strict.log].count("DELETE") == 0
    assert len(strict.uploads) == once


@pytest.mark.slow
def test_told_to_stop_during_an_upload_there_is_none(
    strict: StrictServer, start: Start, next_try: Callable[..., Run]
) -> None:
    strict.update(import_faults=[{"times": 1, "bytes_per_s": 2_000_000}])
    process = start(rows=large_rows())
    until(lambda: strict.uploads_begun == 1)
    process.kill(signal.SIGTERM)
    assert process.end().state == "up_for_retry"
    assert next_try(rows=large_rows()).state == "success"
    assert len(uploaded(strict)) == 1


@pytest.mark.slow
def test_told_to_stop_it_does_not_wait_ten_minutes_for_the_response_to_an_upload(
    strict: StrictServer, start: Start, next_try: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_sink, "_LAST_RESPONSE_S", 0.5)
    strict.update(import_faults=[{"times": 1, "hang": "after"}])
    process = start(rows=ROWS)
    until(lambda: strict.uploads)
    process.kill(signal.SIGTERM)
    run = process.end()
    assert (run.state, run.summary["undelivered"]) == ("up_for_retry", 3000)

    again = next_try(rows=ROWS)
    assert again.state == "success", again.error
    assert len(uploaded(strict)) == 2
    assert again.summary["imported"] == account(again.summary) == 3000


@pytest.mark.slow
def test_rows_that_have_changed_between_two_tries(
    strict: StrictServer, start: Start, next_try: Callable[..., Run], remembering: dict[str, Any]
) -> None:
    strict.update(import_run_s=0.5)
    process = start(rows=ROWS)
    process.wait_until_it_says("Uploaded 1 file")
    process.kill()
    newer = [*ROWS[:-1], {**ROWS[-1], "visits": 77}, *rows(1, begin=9000)]

    run = next_try(rows=newer)

    assert run.state == "success", run.error
    if remembering:  # all was uploaded, so the try ends with that; the next run has the change
        assert run.summary["imported"] == 3000
        summary = import_rows("next night", rows=newer, **remembering).summary
        assert (summary["created"], summary["updated"]) == (1, 1)  # by PATCH, which takes less than two files
        assert strict.contacts == as_contacts(newer)
        return
    assert strict.contacts == as_contacts(newer)
    ends = [upload["t"] for upload in strict.uploads]
    assert len(ends) == 2, [(u.get("total"), u.get("import_id"), u["status"]) for u in strict.uploads]
    assert ends[1] - ends[0] >= 0.5  # not before the older import has finished


@pytest.mark.slow
def test_killed_while_it_was_deferred_and_went_on(
    strict: StrictServer, start: Start, next_try: Callable[..., Run], once: int
) -> None:
    first = next_try(rows=ROWS, deferrable=True)
    assert first.state == "deferred"
    event = event_of(first)
    strict.update(import_faults=[{"on": "GET", "hang": "before", "times": 1}])
    before = len(strict.log)
    process = start(rows=ROWS, deferrable=True, method="execute_complete", event=event, tries_before=1)
    until(lambda: len(strict.log) > before)
    process.kill()

    run = next_try(rows=ROWS)
    assert run.state == "success", run.error
    assert run.summary["imported"] == 3000
    assert len(strict.uploads) == once


@pytest.mark.slow
def test_an_attempt_that_airflow_begins_with_an_earlier_deferral_is_one_of_its_own(
    strict: StrictServer, remembering: dict[str, Any], once: int
) -> None:
    """Airflow 3.0 does so when the process after a deferral has failed."""
    strict.update(import_hold="inProgress")
    arguments: dict[str, Any] = {"rows": ROWS, "timeout": timedelta(seconds=1), "deferrable": True, **remembering}
    first = import_rows("night", **arguments)
    assert first.state == "deferred"
    arguments |= {"method": "execute_complete", "event": event_of(first)}
    arguments["carried"] = first.error.kwargs  # type: ignore[union-attr]
    assert import_rows("night", **arguments).state == "up_for_retry"
    strict.update(import_hold=None)

    arguments |= {"timeout": timedelta(seconds=20), "deferrable": False}
    run = import_rows("night", tries_before=1, **arguments)
    assert run.state == "success", run.error
    assert run.summary["imported"] == account(run.summary) == 3000
    assert len(strict.uploads) == once


@pytest.mark.slow
@pytest.mark.parametrize("event", [None, "nonsense", {"carried": {"files": 7}}, {"carried": None, "requests": "x"}])
def test_an_event_that_is_none_loses_no_row(
    strict: StrictServer, next_try: Callable[..., Run], event: Any, once: int
) -> None:
    first = next_try(rows=ROWS, deferrable=True)
    assert first.state == "deferred"
    run = next_try(rows=ROWS, method="execute_complete", event=event)
    assert run.state == "success", run.error
    assert run.summary["imported"] == account(run.summary) == 3000
    assert len(strict.uploads) == once


@pytest.mark.slow
def test_after_success_the_same_task_begins_anew(strict: StrictServer, remembering: dict[str, Any]) -> None:
    """A user's Clear: another try, but the first one for its end."""
    assert import_rows("night", rows=ROWS, **remembering).state == "success"
    again = import_rows("night", rows=ROWS, full_refresh=bool(remembering), **remembering)
    assert again.state == "success"
    assert len(strict.uploads) == 2


@pytest.mark.slow
def test_a_file_that_only_looks_like_ours_is_not_taken_for_it(
    strict: StrictServer, remembering: dict[str, Any]
) -> None:
    """Mapped tasks whose files have as many rows: the second upload is lost before it arrived, and has no response."""
    other = rows(3000, begin=5000)
    assert import_rows("night", rows=other, map_index=0, **remembering).state == "success"
    strict.update(import_faults=[{"times": 1, "drop": "before"}])
    run = import_rows("night", rows=ROWS, map_index=1, **remembering)
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(other) | as_contacts(ROWS)


@pytest.mark.slow
def test_the_time_limit_counts_over_a_deferral(strict: StrictServer, remembering: dict[str, Any]) -> None:
    strict.update(import_hold="queued")
    limit = timedelta(seconds=4)
    first = import_rows("night", rows=rows(20), deferrable=True, execution_timeout=limit, **remembering)
    assert first.state == "deferred"
    assert first.error.timeout <= limit + timedelta(minutes=1)  # type: ignore[union-attr]
    event = event_of(first)
    assert event["why"] == "deadline"
    arguments = {"deferrable": True, "method": "execute_complete", "event": event, "execution_timeout": limit}
    run = import_rows("night", rows=rows(20), **(remembering | arguments))
    assert run.state == "up_for_retry"
    assert "execution_timeout has passed" in str(run.error)


INVALID_ROWS = [{"email": f"nobody {n}", "_name": "Nobody"} for n in range(2)]


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


@pytest.mark.parametrize("amid", [False, True], ids=["after its uploads", "amid its uploads"])
def test_the_history_of_a_run_whose_first_attempt_was_killed_adds_up(
    amid: bool, strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    """Killed when all is uploaded: the next attempt reads no row. Killed between uploads: it reads them again."""
    arguments = {
        "journal_conn_id": "journal",
        "rows": [*rows(300), *INVALID_ROWS],
        "failure_budget": 2,
        "max_file_bytes": 5_000,
    }
    strict.update(import_hold="inProgress")
    process = Process(tmp_path, "night", import_rows, **arguments)
    if amid:
        until(lambda: strict.uploads_begun == 2)
    else:
        process.wait_until_it_says("Uploaded")
    process.kill()
    strict.update(import_hold=None)

    run = import_rows("night", tries_before=1, **arguments)

    assert run.state == "success", run.error
    counts = {name: run.summary[name] for name in ("imported", "invalid")}
    listed = journal.query("select outcome, count(*) from connectif_journal_outcomes group by outcome")
    assert dict(listed) == counts == {"imported": 300, "invalid": 2}


@pytest.mark.parametrize("is_new", [True, False], ids=["new contacts", "known contacts"])
def test_what_a_killed_attempt_has_imported_counts_where_the_next_one_settles_it(
    is_new: bool, strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    """Surely amid its uploads: the response to the second one never comes, so that the rows are read again."""
    arguments = {"journal_conn_id": "journal", "rows": rows(300, visits=2), "max_file_bytes": 5_000}
    if not is_new:
        assert import_rows("night before", journal_conn_id="journal", rows=rows(300)).state == "success"
    before = len(uploaded(strict))
    strict.update(import_faults=[{"times": 1, "nth": [before + 2, before + 2], "hang": "after"}])
    process = Process(tmp_path, "night", import_rows, **arguments)
    until(lambda: len(uploaded(strict)) == before + 2)
    process.kill()

    run = import_rows("night", tries_before=1, **arguments)

    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["unchanged"]) == (300, 0)
    night = "select outcome, count(*) from connectif_journal_outcomes where run_id = 'dag/night' group by outcome"
    assert dict(journal.query(night)) == {"imported": 300}


@pytest.mark.parametrize("files", ["one file", "several files"])
def test_told_to_stop_while_an_error_report_is_fetched(
    files: str, strict: StrictServer, journal: JournalDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import counts as settled only when its contacts are accounted for: the next attempt does that."""
    asked, download = tmp_path / "asked", ConnectifClient.download_error_report

    def noted(client: ConnectifClient, *args: Any, **kwargs: Any) -> int:
        asked.touch()
        return download(client, *args, **kwargs)

    monkeypatch.setattr(ConnectifClient, "download_error_report", noted)
    source = [{**row, "visits": row["visits"] if n not in (3, 5) else 0} for n, row in enumerate(rows(300))]
    arguments = {"journal_conn_id": "journal", "rows": source, "failure_budget": 2}
    if files == "several files":
        arguments["max_file_bytes"] = 5_000
    held = [{"from_import": 2, "hold": "inProgress"}]
    strict.update(import_zero=False, report_dead_addresses=1, import_faults=held)
    with monkeypatch.context() as patch:
        patch.setattr(report, "_BETWEEN_ADDRESSES_S", 20.0)
        process = Process(tmp_path, "night", import_rows, **arguments)
        until(asked.exists)
        process.kill(signal.SIGTERM)
    strict.update(import_faults_hold=False, report_dead_addresses=0)

    run = import_rows("night", tries_before=1, **arguments)

    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["rejected"]) == (298, 2)
    assert len(uploaded(strict)) == (2 if files == "several files" else 1)  # each file once, also after the stop
    assert len(journal.acknowledged()) == 298
