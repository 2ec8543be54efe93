"""Imports with a journal: what is acknowledged, what a nightly run finds unchanged, what deferrals and deaths leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
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
from tests.support.journals import JournalDatabase, deliver, journal_database, unreachable, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

WITH_JOURNAL: dict[str, Any] = {"journal_conn_id": "journal"}
Importer = Callable[..., Run]


def _deferring(run_id: str, **arguments: Any) -> Run:
    return import_over_deferral(run_id, **arguments)[-1]


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(params=[pytest.param("with a worker", marks=pytest.mark.full_size), "deferred"])
def run_import(request: pytest.FixtureRequest) -> Importer:
    chosen = import_rows if request.param == "with a worker" else _deferring
    return lambda run_id, **arguments: chosen(run_id, **(WITH_JOURNAL | arguments))


def nightly(run_id: str, **arguments: Any) -> Run:
    return deliver(run_id, fields="live", **arguments)


def patched(strict: StrictServer) -> set[str]:
    """The contacts that were sent by PATCH."""
    return {entry["key"].lower() for entry in strict.log if entry["method"] == "PATCH"}


@pytest.mark.slow
def test_a_first_load_and_a_nightly_run_agree(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer
) -> None:
    def source(changed: int = 0) -> list[dict[str, Any]]:
        return [
            {
                "email": f"User{n}@Example.com",
                "_name": None if n % 3 == 0 else f"Name {n}",
                "_birthdate": date(1980, 1, 1) + timedelta(days=n),
                "last_visit": datetime(2026, 1, 1, 8, 30, n % 60) if n % 2 else None,
                "spent": Decimal(n) / 4,
                "visits": n + (1 if n < changed else 0),
                "vip": n % 2 == 0,
                "segment": "new",
                "interests": ["hats", "books"] if n % 5 else None,
                "_mobilePhone": f"+3460000{n:04}",
            }
            for n in range(200)
        ]

    load = run_import("load", rows=source())
    assert load.state == "success", load.error
    assert (load.summary["imported"], load.summary["unchanged"]) == (200, 0)
    assert len(journal.acknowledged()) == 200
    assert journal.pending() == 0

    same = nightly("first night", rows=source())
    assert (same.state, same.summary["unchanged"], patched(strict)) == ("success", 200, set())
    assert nightly("second night", rows=source(changed=7)).summary["updated"] == 7
    assert patched(strict) == {f"user{n}@example.com" for n in range(7)}
    again = run_import("load again", rows=source(changed=7))
    assert (again.summary["unchanged"], again.summary["files"]) == (200, 0)
    third = run_import("a big change", rows=source(changed=90))
    assert (third.summary["unchanged"], third.summary["imported"]) == (117, 83)
    assert nightly("third night", rows=source(changed=90)).summary["unchanged"] == 200


@pytest.mark.slow
def test_what_was_refused_is_held(journal: JournalDatabase, strict: StrictServer, run_import: Importer) -> None:
    strict.update(import_zero=False)
    source = [{**row, "visits": row["visits"] if n % 10 else 0} for n, row in enumerate(rows(100))]
    load = run_import("load", rows=source, failure_budget=10)
    assert (load.state, load.summary["rejected"]) == ("success", 10)
    assert len(journal.acknowledged()) == 90
    again = run_import("again", rows=source)
    assert (again.state, again.summary["unchanged"], again.summary["held"]) == ("failed", 90, 10)
    assert nightly("night", rows=source).summary["held"] == 10
    assert nightly("next night", rows=source, retry_rejected=True).summary["created"] == 10


def test_where_the_refused_cannot_be_told_apart_nothing_is_acknowledged(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer
) -> None:
    strict.update(import_zero=False, report_columns="none")
    source = [{**row, "visits": row["visits"] if n else 0} for n, row in enumerate(rows(50))]
    load = run_import("load", rows=source, failure_budget=1)
    assert (load.state, load.summary["imported"], load.summary["rejected"]) == ("success", 49, 1)
    assert journal.acknowledged() == set()
    assert journal.pending() == 0


def test_refused_rows_are_written_also_after_a_deferral(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer, tmp_path: Path
) -> None:
    strict.update(import_zero=False)
    path = tmp_path / "rejects.jsonl"
    source = [*rows(10), {**rows(1, begin=10)[0], "visits": 0}, {"email": "nobody", "_name": "x", "visits": 1}]
    run = run_import("load", rows=source, rejects_path=str(path), failure_budget=2)
    assert run.state == "success"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["row_number"], line["outcome"]) for line in lines) == [(11, "rejected"), (12, "invalid")]
    assert next(line["key"] for line in lines if line["row_number"] == 11) == "user10@example.com"


def test_a_report_in_utf_16_without_a_mark_names_nobody(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer
) -> None:
    """Its cells have NUL characters, which no PostgreSQL takes; after a deferral they are looked up in the journal."""
    text = "_email,reason\r\nuser3@example.com,no\r\n".encode("utf-16-le").decode()
    strict.update(import_zero=False, import_faults=[{"on": "REPORT", "text": text}])
    source = [{**row, "visits": row["visits"] if n != 3 else 0} for n, row in enumerate(rows(20))]
    run = run_import("load", rows=source, failure_budget=1)
    assert (run.state, run.summary["imported"], run.summary["rejected"]) == ("success", 19, 1), run.error


@pytest.mark.slow
@pytest.mark.parametrize("on_existing", ["fill_empty", "keep"])
def test_what_need_not_be_at_connectif_is_not_taken_for_delivered_by_patch(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer, on_existing: str
) -> None:
    run_import("another", rows=rows(5, visits=1000), sync_id="another")
    load = run_import("load", rows=rows(10), on_existing=on_existing)
    assert load.state == "success", load.error
    assert account(load.summary) == 10
    assert strict.contacts == as_contacts(rows(10)) | as_contacts(rows(5, visits=1000))
    # The same import again has nothing to do; a PATCH does.
    assert run_import("again", rows=rows(10), on_existing=on_existing).summary["unchanged"] == 10
    assert nightly("night", rows=rows(10)).summary["updated"] == 10
    assert strict.contacts == as_contacts(rows(10))


@pytest.mark.slow
@pytest.mark.parametrize("existing", ["success", "errors", None])
def test_keep_reports_numbers_whatever_existing_contacts_count_as(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer, existing: str | None
) -> None:
    run_import("another", rows=rows(5, visits=1000), sync_id="another")
    strict.update(import_existing=existing)
    load = run_import("load", rows=rows(10), on_existing="keep")
    assert load.state == "success", load.error
    taken = 10 if existing == "success" else 5
    assert (load.summary["imported"], load.summary["not_taken"]) == (taken, 10 - taken)
    assert account(load.summary) == 10


def test_blank_texts_are_left_to_a_patch(journal: JournalDatabase, strict: StrictServer, run_import: Importer) -> None:
    source = [{"email": f"u{n}@example.com", "_name": "" if n < 3 else "N", "visits": n} for n in range(10)]
    assert run_import("load", rows=source).summary["imported"] == 10
    assert len(journal.acknowledged()) == 10
    again = run_import("load again", rows=source, patch_leftovers=False)
    assert (again.summary["unchanged"], again.summary["files"]) == (10, 0)
    assert nightly("night", rows=source).summary["updated"] == 3
    assert patched(strict) == {f"u{n}@example.com" for n in range(3)}
    assert [entry["body"] for entry in strict.log if entry["method"] == "PATCH"] == [{"_name": ""}] * 3
    assert run_import("load once more", rows=source).summary["unchanged"] == 10


@pytest.mark.slow
def test_the_last_row_of_a_contact_is_what_the_journal_knows(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer
) -> None:
    first, last = rows(2500), rows(2500, visits=7)
    assert run_import("load", rows=first).summary["imported"] == 2500
    # Changed and back again, within a batch and beyond it.
    both = [*last[:5], *first[:5], *last[5:2500], *first[5:2500]]
    run = run_import("again", rows=both)
    assert account(run.summary) == run.summary["read"] == 5000
    assert strict.contacts == as_contacts(first)
    assert nightly("night", rows=first).summary["unchanged"] == 2500


@pytest.mark.slow
def test_sha256_keeps_no_email_and_still_knows_who_was_refused(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    database = journal_database("postgres", request, connectif_journal_secret="a secret")
    strict.update(import_zero=False)
    source = [{**row, "visits": row["visits"] if n else 0} for n, row in enumerate(rows(20))]
    held: list[str] = []
    runs = import_over_deferral(
        "load",
        rows=source,
        failure_budget=1,
        journal_key="sha256",
        between=lambda _: held.append(database.text()),
        **WITH_JOURNAL,
    )
    assert [run.state for run in runs] == ["deferred", "success"]
    assert "@" not in held[0] + database.text()
    again = import_rows("again", rows=source, journal_key="sha256", **WITH_JOURNAL)
    assert (again.summary["unchanged"], again.summary["held"]) == (19, 1)


def test_a_journal_that_is_gone_at_the_return_leaves_the_account_alone(
    journal: JournalDatabase, strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        first, second = import_over_deferral(
            rows=rows(10),
            between=lambda _: patch.setenv("AIRFLOW_CONN_JOURNAL", json.dumps(unreachable(journal))),
            **WITH_JOURNAL,
        )
    assert (first.state, first.summary["read"]) == ("deferred", 10)
    assert (second.state, second.summary) == ("up_for_retry", {})  # what was pushed at the deferral stays
    again = import_rows(rows=rows(10), tries_before=1, **WITH_JOURNAL)
    assert (again.state, again.summary["imported"], len(uploaded(strict))) == ("success", 10, 1)


@pytest.mark.slow
def test_full_refresh_imports_everything(journal: JournalDatabase, strict: StrictServer, run_import: Importer) -> None:
    run_import("load", rows=rows(10))
    run = run_import("again", rows=rows(10), full_refresh=True)
    assert (run.summary["imported"], run.summary["unchanged"]) == (10, 0)


@pytest.mark.slow
def test_a_file_that_failed_is_imported_by_the_next_try_and_the_others_are_not(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer
) -> None:
    strict.update(import_faults=[{"nth": [2, 2], "end": "error", "at_rows": 0}])
    run = run_import("night", rows=rows(600), max_file_bytes=9000)
    assert run.state == "up_for_retry"
    acknowledged = len(journal.acknowledged())
    assert 0 < acknowledged == run.summary["imported"] < 600
    again = run_import("night", rows=rows(600), max_file_bytes=9000, tries_before=1)
    assert again.state == "success"
    # Both attempts of the run together; only what had failed was uploaded again.
    assert (again.summary["unchanged"], again.summary["imported"], again.summary["tries"]) == (0, 600, 2)
    assert sum(upload["total"] for upload in strict.uploads[-1:]) == 600 - acknowledged
    assert strict.contacts == as_contacts(rows(600))


@pytest.mark.slow
@pytest.mark.parametrize("end", ["error", "cancelled"])
def test_one_import_fails_and_another_is_stuck(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer, end: str
) -> None:
    strict.update(import_faults=[{"nth": [1, 1], "end": end, "at_rows": 0}, {"nth": [2, 2], "hold": "queued"}])
    source = [*rows(60), *[{**row, "_surname": "x"} for row in rows(40, begin=100)]]
    run = run_import("night", rows=source, timeout=timedelta(seconds=4))
    assert run.state == ("up_for_retry" if end == "error" else "failed")
    assert ". The imports did not finish within timeout (4.0 s): 1 of 2 imports ended" in str(run.error)
    assert ("ended in error" if end == "error" else "was cancelled") in str(run.error)
    assert run.summary["imported"] == 0
    strict.update(import_faults_hold=False)
    if end == "cancelled":  # somebody clears the task, and so wants it to be imported
        again = import_rows("night", rows=source, **WITH_JOURNAL)
        assert again.state == "success", again.error
        assert strict.contacts == as_contacts(source)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["journal", "nothing"])
def test_a_file_that_failed_is_not_forgotten_over_one_that_was_stuck(
    journal: JournalDatabase, strict: StrictServer, memory: str
) -> None:
    with_memory = WITH_JOURNAL if memory == "journal" else {}
    strict.update(import_faults=[{"nth": [1, 1], "end": "error", "at_rows": 0}, {"nth": [2, 2], "hold": "queued"}])
    source = [*rows(60), *[{**row, "_surname": "x"} for row in rows(40, begin=100)]]
    run = import_rows("night", rows=source, timeout=timedelta(seconds=4), **with_memory)
    assert run.state == "up_for_retry"
    assert (len(strict.uploads), run.summary["imported"]) == (2, 0)

    strict.update(import_faults_hold=False)
    again = import_rows("night", rows=source, tries_before=1, **with_memory)

    assert again.state == "success", again.error
    assert strict.contacts == as_contacts(source)
    assert account(again.summary) == 100
    assert len(strict.uploads) == (3 if memory == "journal" else 4)


def test_a_stuck_import_is_acknowledged_by_the_next_try_without_reading_a_row(
    journal: JournalDatabase, strict: StrictServer, run_import: Importer
) -> None:
    strict.update(import_hold="queued")
    run = run_import("night", rows=[*rows(10), {"email": "x"}], timeout=timedelta(seconds=0.5), failure_budget=1)
    assert (run.state, journal.pending()) == ("up_for_retry", 10)
    strict.update(import_hold=None)
    again = run_import("night", rows=iter(()), tries_before=1, failure_budget=1)
    assert again.state == "success"
    assert (again.summary["read"], again.summary["imported"], again.summary["invalid"]) == (11, 10, 1)
    assert len(journal.acknowledged()) == 10
    assert len(uploaded(strict)) == 1


def test_a_plan_that_is_gone_after_a_deferral_is_made_again(journal: JournalDatabase, strict: StrictServer) -> None:
    def forget(_: Run) -> None:
        for table in ("connectif_journal_pending", "connectif_journal_plans"):
            journal.query(f"delete from {table}")

    first = import_rows(rows=rows(10), deferrable=True, **WITH_JOURNAL)
    assert first.state == "deferred"
    forget(first)
    arguments = {**WITH_JOURNAL, "deferrable": True, "method": "execute_complete"}
    second = import_rows(rows=rows(10), **arguments)
    assert second.state == "deferred"
    assert import_rows(rows=rows(10), **arguments).state == "success"
    assert strict.contacts == as_contacts(rows(10))


@pytest.mark.slow
def test_leftovers_go_by_patch(journal: JournalDatabase, strict: StrictServer, run_import: Importer) -> None:
    columns = ("_name", "_surname", "visits", "spent")
    source = [
        {"email": f"u{n}@example.com", **{name: n + 1 if n & 1 << bit else None for bit, name in enumerate(columns)}}
        for n in range(160)
    ]
    source = [{**row, **{name: str(row[name]) for name in columns[:2] if row[name]}} for row in source]
    source += source[:40]  # the same rows once more
    run = run_import("load", rows=[*source, *rows(30, begin=500)], patch_leftovers=True, file_layout="shape")
    assert run.state == "success", run.error
    assert run.summary["files"] == 10
    assert run.summary["created"] == len(patched(strict)) > 0
    assert account(run.summary) == run.summary["read"] == 230
    assert len(strict.contacts) == 190
    assert nightly("night", rows=[*source, *rows(30, begin=500)]).summary["created"] == 0


def test_the_journal_is_left_alone_by_a_check(journal: JournalDatabase, strict: StrictServer) -> None:
    import_rows("load", rows=rows(10), **WITH_JOURNAL)
    run = import_rows("check", rows=rows(20), check_only=True, **WITH_JOURNAL)
    assert run.state == "success"
    assert (run.summary["valid"], run.summary["unchanged"], run.summary["files"]) == (10, 10, 1)
    assert len(strict.uploads) == 1
