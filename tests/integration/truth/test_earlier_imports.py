"""Imports that an earlier run of a sync has left open.

The kind of fault: a run gives up on an import that is still queued, the next run delivers newer values, the older
import ends last, and the journal names the newer values for ever. A later run, by import or by PATCH, waits for it
first.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.imports import rules as rules_of_imports
from airflow_provider_connectif.imports.rules import ImportRules
from tests.support.import_runs import account, as_contacts, event_of, import_rows, rows, uploaded
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import run_in_airflow

JOURNAL: dict[str, Any] = {"journal_conn_id": "journal"}
SHORT, LONG = timedelta(seconds=0.4), timedelta(seconds=40)
OLD, NEW = rows(20), rows(20, visits=500)


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery by PATCH looks at earlier imports every 20 seconds; here more often."""
    monkeypatch.setattr(rules_of_imports, "ImportRules", partial(ImportRules, poll_interval_s=0.2))


@pytest.fixture
def left_open(strict: StrictServer, journal: JournalDatabase) -> JournalDatabase:
    """The first night's import is still in the queue when its run ends for good."""
    strict.update(import_hold="queued")
    first = import_rows("first night", rows=OLD, timeout=SHORT, **JOURNAL)
    assert first.state == "up_for_retry"
    return journal


def release_when_waited_for(strict: StrictServer, process: Process) -> None:
    process.wait_until_it_says("until the imports of an earlier run")
    assert len(uploaded(strict)) == 1
    strict.update(import_hold=None)


def second_night(tmp_path: Path, kind: str) -> Process:
    if kind == "import":
        return Process(tmp_path, "second night", import_rows, rows=NEW, timeout=LONG, **JOURNAL)
    return Process(tmp_path, "second night", deliver, rows=NEW, fields="live", max_in_flight=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["import", "patch"])
def test_a_later_run_waits_for_it_and_delivers_the_newer_values_last(
    strict: StrictServer, left_open: JournalDatabase, tmp_path: Path, kind: str
) -> None:
    process = second_night(tmp_path, kind)
    release_when_waited_for(strict, process)
    run = process.end(60)
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(NEW)
    assert account(run.summary) == run.summary["read"] == 20  # rows of the earlier run are in no count of this one
    assert import_rows("third night", rows=NEW, **JOURNAL).summary["unchanged"] == 20
    assert left_open.pending() == 0


# The task's operator was exchanged since, and the same run is tried again or cleared.
@pytest.mark.slow
def test_a_task_that_imported_and_delivers_by_patch_now_waits_for_it(
    strict: StrictServer, left_open: JournalDatabase, tmp_path: Path
) -> None:
    process = Process(tmp_path, "first night", deliver, rows=NEW, fields="live", tries_before=1, retries=2)
    release_when_waited_for(strict, process)
    run = process.end(60)
    assert (run.state, account(run.summary)) == ("success", 20), run.error
    assert strict.contacts == as_contacts(NEW)
    assert left_open.pending() == 0


# The same without a worker: the task looks now and then, reads nothing meanwhile, and begins when nothing is left.
@pytest.mark.slow
@pytest.mark.versions
@pytest.mark.parametrize("end", ["finished", "gone"])
@pytest.mark.parametrize(("kind", "run_id"), [("import", "second"), ("patch", "second"), ("patch", "first night")])
def test_a_later_run_that_may_be_deferred_holds_no_worker_while_it_waits(
    strict: StrictServer, left_open: JournalDatabase, kind: str, run_id: str, end: str
) -> None:
    night: dict[str, Any] = {"fields": "live", "deferrable": True, **JOURNAL}
    night |= {"timeout": LONG} if kind == "import" else {"max_in_flight": 1}
    if run_id == "first night":
        night |= {"tries_before": 1, "retries": 2}
    run_once = partial(import_rows if kind == "import" else deliver, run_id, **night)
    before = strict.requests

    runs = [run_once(rows=never_read())]
    for look in (1, 2):
        assert (runs[-1].state, strict.requests - before) == ("deferred", look)  # the open import was polled once
        trigger = runs[-1].error.trigger
        assert 55 <= trigger.until - time.time() <= 60 or kind == "import"
        if look == 2:
            strict.update(import_hold=None)
            if end == "gone":
                strict.update(import_faults=[{"on": "GET", "status": 404}])
        rows_now = NEW if look == 2 else never_read()
        event = {"start": json.loads(json.dumps(trigger.start))}
        runs.append(run_once(rows=rows_now, method="execute_complete", event=event))
        strict.update(import_faults=[])

    assert runs[-1].state == ("success" if kind == "patch" else "deferred"), runs[-1].error
    if kind == "import":
        event = event_of(runs[-1])
        runs.append(run_once(rows=never_read(), method="execute_complete", event=event))
    assert runs[-1].state == "success", runs[-1].error
    assert strict.contacts == as_contacts(NEW)
    assert account(runs[-1].summary) == runs[-1].summary["read"] == 20
    assert runs[-1].summary["requests"] == strict.requests - (before if run_id != "first night" else 0)
    assert runs[-1].summary["tries"] == (2 if run_id == "first night" else 1)
    assert left_open.pending() == 0


@pytest.mark.slow
def test_waiting_without_a_worker_ends_with_the_timeout(strict: StrictServer, left_open: JournalDatabase) -> None:
    night: dict[str, Any] = {"deferrable": True, "timeout": 2, **JOURNAL}
    first = import_rows("second", rows=never_read(), **night)
    assert first.state == "deferred"
    start = first.error.trigger.start  # type: ignore[union-attr]
    until(lambda: time.time() > first.error.trigger.until)  # type: ignore[union-attr]
    run = import_rows("second", rows=never_read(), method="execute_complete", event={"start": start}, **night)
    assert (run.state, left_open.pending()) == ("up_for_retry", 20)
    assert "imports of the earlier run dag/first night" in str(run.error)


def never_read() -> Iterator[dict[str, Any]]:
    raise AssertionError("the source was read before the earlier import had ended")
    yield {}


@pytest.mark.slow
def test_in_airflow_a_later_run_settles_it(
    strict: StrictServer, left_open: JournalDatabase, run_dag: Callable[..., Any]
) -> None:
    strict.update(import_faults=[{"on": "GET", "times": 3, "status": 503}], import_hold=None, import_run_s=0.5)
    run = run_in_airflow(
        run_dag,
        rows=OLD,
        kind="ContactImportOperator",
        sync_id="nightly",
        poll_interval=timedelta(seconds=0.2),
        **JOURNAL,
    )
    assert run.state == "success"
    # What the first night has sent is acknowledged, so the second night finds it unchanged.
    assert (run.summary["read"], run.summary["unchanged"], run.summary["files"]) == (20, 20, 0)
    assert len(strict.uploads) == 1


@pytest.mark.slow
def test_what_it_refused_is_held(strict: StrictServer, journal: JournalDatabase, tmp_path: Path) -> None:
    strict.update(import_hold="queued", import_zero=False)
    source = [*rows(9), {**rows(1, begin=9)[0], "visits": 0}]
    assert import_rows("first night", rows=source, timeout=SHORT, **JOURNAL).state == "up_for_retry"
    path = tmp_path / "rejects.jsonl"
    process = Process(tmp_path, "second", import_rows, rows=source, timeout=LONG, rejects_path=str(path), **JOURNAL)
    release_when_waited_for(strict, process)
    summary = process.end(60).summary
    assert (summary["unchanged"], summary["held"], summary["rejected"]) == (9, 1, 0)
    assert len(path.read_text().splitlines()) == 1  # the held row of this run, and no row number of the earlier one


@pytest.mark.slow
def test_an_upload_without_a_response_is_waited_for_as_well(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(import_hold="queued", import_faults=[{"times": 1, "hang": "after"}])
    process = Process(tmp_path, "first night", import_rows, rows=OLD, **JOURNAL)
    until(lambda: uploaded(strict))
    process.kill()
    expire_claims(journal)
    process = second_night(tmp_path, "import")
    process.wait_until_it_says("Waiting for 1 open import")
    strict.update(import_hold=None)
    assert process.end(60).state == "success"
    assert strict.contacts == as_contacts(NEW)


def expire_claims(journal: JournalDatabase) -> None:
    """A minute after a kill a claim has ended by itself."""
    journal.query("update connectif_journal_claims set lease_until = 0")


# The run that was killed is long dead: nobody comes back for its plan, and it is settled all the same.
@pytest.mark.slow
def test_a_run_that_was_killed(strict: StrictServer, journal: JournalDatabase, tmp_path: Path) -> None:
    strict.update(import_hold="queued")
    process = Process(tmp_path, "first night", import_rows, rows=OLD, **JOURNAL)
    process.wait_until_it_says("Uploaded 1 file")
    process.kill()
    expire_claims(journal)
    process = second_night(tmp_path, "import")
    release_when_waited_for(strict, process)
    assert process.end(60).state == "success"
    assert strict.contacts == as_contacts(NEW)


# An earlier run's rows never overwrite what the journal has learnt since: such a contact is in doubt and sent again.
@pytest.mark.slow
def test_newer_lines_of_the_journal_are_not_overwritten(
    strict: StrictServer, left_open: JournalDatabase, tmp_path: Path
) -> None:
    # Somebody has delivered newer values meanwhile, with the plan out of sight.
    plan = "connectif_journal_plans"
    left_open.query(f"update {plan} set sync_id = 'elsewhere'")
    assert deliver("meanwhile", rows=NEW, fields="live").state == "success"
    left_open.query(f"update {plan} set sync_id = 'nightly'")
    process = Process(tmp_path, "second night", import_rows, rows=NEW, timeout=LONG, **JOURNAL)
    release_when_waited_for(strict, process)
    run = process.end(60)
    assert (run.state, run.summary["unchanged"], run.summary["imported"]) == ("success", 0, 20)
    assert strict.contacts == as_contacts(NEW)


# A stuck import of the past must not be passed by in silence, nor for ever: the run ends with what it waits for.
def test_a_later_run_that_waits_in_vain_says_so_and_sends_nothing(
    strict: StrictServer, left_open: JournalDatabase
) -> None:
    run = import_rows("second night", rows=NEW, timeout=SHORT, **JOURNAL)
    assert run.state == "up_for_retry"
    assert "imports of the earlier run dag/first night" in str(run.error)
    assert (run.summary["read"], len(strict.uploads)) == (0, 1)
    assert left_open.pending() == 20


@pytest.mark.slow
def test_a_key_that_may_not_read_imports_is_named(strict: StrictServer, left_open: JournalDatabase) -> None:
    strict.update(import_faults=[{"on": "GET", "status": 403}])
    run = deliver("second night", rows=NEW, fields="live")
    assert run.state == "failed"
    assert "Imports: Read, needed for the open import of an earlier run" in str(run.error)
    assert (strict.received, left_open.pending()) == (0, 20)


# An author's policy is about contacts: it does not decide what becomes of an import's requests.
@pytest.mark.slow
def test_on_response_does_not_apply_to_imports(
    strict: StrictServer, left_open: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(import_faults=[{"on": "GET", "times": 2, "status": 503}])
    process = Process(tmp_path, "second night", deliver, rows=NEW, fields="live", on_response={503: "fail"})
    release_when_waited_for(strict, process)
    assert process.end(60).state == "success"
    assert strict.contacts == as_contacts(NEW)


# Mapped tasks share a sync: each of them waits for the earlier run, and the first one settles it.
@pytest.mark.slow
def test_two_tasks_of_a_later_run(strict: StrictServer, left_open: JournalDatabase, tmp_path: Path) -> None:
    halves = [NEW[:10], NEW[10:]]
    processes = [
        Process(tmp_path, "second night", import_rows, rows=half, map_index=index, timeout=LONG, **JOURNAL)
        for index, half in enumerate(halves)
    ]
    for process in processes:
        process.wait_until_it_says("until the imports of an earlier run")
    strict.update(import_hold=None)
    runs = [process.end(60) for process in processes]
    assert [run.state for run in runs] == ["success", "success"], [run.error for run in runs]
    assert strict.contacts == as_contacts(NEW)
    assert left_open.pending() == 0


# A check looks and changes nothing: neither does it wait, nor does it settle what belongs to others.
def test_a_check_leaves_it_alone(strict: StrictServer, left_open: JournalDatabase) -> None:
    run = import_rows("check", rows=NEW, check_only=True, **JOURNAL)
    assert (run.state, run.summary["valid"], left_open.pending()) == ("success", 20, 20)


def test_a_check_makes_no_tables(strict: StrictServer, journal: JournalDatabase) -> None:
    assert import_rows("check", rows=NEW, check_only=True, **JOURNAL).state == "success"


# Nobody waits for ever for a plan that nobody may keep any longer.
@pytest.mark.slow
def test_a_plan_beyond_its_retention_is_deleted(strict: StrictServer, left_open: JournalDatabase) -> None:
    left_open.query("update connectif_journal_plans set kept_until = 1")
    strict.update(import_hold=None)
    run = import_rows("second night", rows=NEW, timeout=LONG, **JOURNAL)
    assert (run.state, run.summary["imported"], left_open.pending()) == ("success", 20, 0)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["error", "cancelled"])
def test_an_earlier_import_that_failed_delivers_nothing_and_stops_nobody(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path, end: str
) -> None:
    strict.update(import_faults=[{"times": 1, "hold": "inProgress", "end": end, "at_rows": 5}])
    assert import_rows("first night", rows=OLD, timeout=SHORT, **JOURNAL).state == "up_for_retry"
    process = Process(tmp_path, "second night", import_rows, rows=OLD, timeout=LONG, **JOURNAL)
    process.wait_until_it_says("until the imports of an earlier run")
    strict.update(import_faults_hold=False)
    run = process.end(60)
    assert (run.state, run.summary["imported"]) == ("success", 20), run.error
    assert strict.contacts == as_contacts(OLD)
