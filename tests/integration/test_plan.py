"""The plan of a deferred delivery: nobody's patches stay in the database, and none is forgotten in it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_logs import provider_lines

LIMIT, WINDOW_S = 20, 2.0
DEFERRABLE: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.5)}


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def small_windows(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=LIMIT, window_s=WINDOW_S, headers="fraction")


def rows(count: int, visits: int = 0) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": visits + n} for n in range(count)]


def come_back(strict: StrictServer, **arguments: Any) -> Any:
    """The process after a deferral, once the window is open."""
    until(lambda: time.time() > strict.windows[-1]["ends"])
    return deliver("night", method="execute_complete", **(DEFERRABLE | arguments))


def plans(journal: JournalDatabase) -> tuple[int, int]:
    """How many plans and how many pending patches there are."""
    ((count,),) = journal.query("select count(*) from connectif_journal_plans")
    return count, journal.pending()


@pytest.mark.slow
def test_an_orphan_that_still_reads_leaves_no_patch_behind(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    assert deliver("first", rows=[]).state == "success"  # so that the tables are there
    strict.update(window_s=60.0)
    gate, is_reading = tmp_path / "gate", tmp_path / "reading"

    def source() -> Iterator[dict[str, Any]]:
        yield from rows(2500)
        is_reading.touch()
        until(gate.exists, within_s=60)
        yield from ({"email": f"late{n}@example.com", "visits": n} for n in range(1500))

    orphan = Process(tmp_path, "night", rows=source(), **DEFERRABLE)
    until(is_reading.exists)
    strict.update(limit=0)
    assert deliver("night", rows=rows(LIMIT)).state == "success"  # its retry, which takes its claim
    gate.touch()

    end = orphan.end()

    assert end.state == "up_for_retry"
    assert "has taken over" in str(end.error)
    assert plans(journal) == (0, 0)


@pytest.mark.slow
def test_a_plan_that_is_taken_away_is_no_success(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None], tmp_path: Path
) -> None:
    assert deliver("night", rows=rows(1500), **DEFERRABLE).state == "deferred"
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5))
    strict.update(limit=0, delay_s=0.01)
    process = Process(tmp_path, "night", method="execute_complete", rows=rows(1500), **DEFERRABLE)
    process.wait_until_it_says("Continuing")
    for table in ("connectif_journal_plans", "connectif_journal_pending"):
        journal.query(f"delete from {table}")

    end = process.end()

    assert end.state == "up_for_retry"
    assert deliver("night", rows=rows(1500)).state == "success"
    assert len(strict.contacts) == 1500


@pytest.mark.slow
def test_mapped_tasks_that_wait_together_have_a_plan_each(journal: JournalDatabase, strict: StrictServer) -> None:
    source = rows(60)
    tasks = {index: {"map_index": index, "rows": source[index::2]} for index in (0, 1)}
    runs = {index: deliver("night", **(DEFERRABLE | task)) for index, task in tasks.items()}
    assert [run.state for run in runs.values()] == ["deferred"] * 2
    # However many windows the two have met: what has not arrived is pending.
    assert plans(journal) == (2, 60 - len(strict.contacts))
    while any(run.state == "deferred" for run in runs.values()):
        for index in [index for index, run in runs.items() if run.state == "deferred"]:
            runs[index] = come_back(strict, **tasks[index])
    assert [run.state for run in runs.values()] == ["success"] * 2
    assert [run.summary["created"] for run in runs.values()] == [30, 30]
    assert strict.contacts == {row["email"]: {"visits": row["visits"]} for row in source}
    assert plans(journal) == (0, 0)


@pytest.mark.slow
def test_rejects_are_written_once_where_the_plan_was_gone(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    strict.update(faults=[{"keys": ["user3@example.com"], "status": 422}])
    path = tmp_path / "rejects.jsonl"
    arguments: dict[str, Any] = {
        "rows": [{"email": "nobody", "visits": 1}, *rows(30)],
        "rejects_path": str(path),
        "failure_budget": 2,
    }
    assert deliver("night", **(DEFERRABLE | arguments)).state == "deferred"
    for table in ("connectif_journal_plans", "connectif_journal_pending"):
        journal.query(f"delete from {table}")

    run = come_back(strict, **arguments)

    assert run.state == "success"
    assert (run.summary["invalid"], run.summary["rejected"]) == (1, 1)
    written = [json.loads(line)["row_number"] for line in path.read_text().splitlines()]
    assert sorted(written) == [1, 5]


@pytest.mark.slow
def test_a_contact_that_changes_back_while_the_answer_to_a_planned_patch_is_lost_is_sent_again(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    source = [*rows(300), {"email": "user100@example.com", "visits": 77}]
    assert deliver("night", rows=source, **DEFERRABLE).state == "deferred"
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))
    strict.update(limit=0, faults=[{"nth": [102, 102], "drop": "after"}])  # what comes behind the first row of user100
    assert come_back(strict, rows=source, max_in_flight=1).state == "up_for_retry"
    assert strict.contacts["user100@example.com"] == {"visits": 77}
    strict.update(faults=[])

    assert deliver("next night", rows=rows(300)).state == "success"
    assert strict.contacts["user100@example.com"] == {"visits": 100}


# What makes a database refuse the last thing that is written before a deferral.
REFUSES_STATES = {
    "sqlite": [
        "create trigger refuse before update of state on connectif_journal_plans begin select raise(abort, 'no'); end"
    ],
    "postgres": ["alter table connectif_journal_plans add constraint refuse check (state = '{}')"],
    "mysql": ["alter table connectif_journal_plans add constraint refuse check (state = '{}')"],
}


def test_a_database_that_fails_while_the_task_is_being_deferred_fails_it_in_words(
    journal: JournalDatabase, strict: StrictServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert deliver("first", rows=[]).state == "success"
    for statement in REFUSES_STATES[journal.kind]:
        journal.query(statement)

    run = deliver("night", rows=rows(30), **DEFERRABLE)

    assert run.state == "up_for_retry"
    assert "the journal's database failed" in str(run.error)
    told = provider_lines(capfd.readouterr().out)
    assert not any("deferred until" in line for line in told)
    assert told[-1].startswith("Failed: ")
    assert len(journal.acknowledged()) == LIMIT
    assert journal.query("select 1 from connectif_journal_claims") == []  # which holds up nobody
    assert plans(journal) == (0, 0)


def test_a_task_that_is_told_to_end_while_it_is_being_deferred_leaves_nothing_behind(
    request: pytest.FixtureRequest, strict: StrictServer, tmp_path: Path, airflow_db: None
) -> None:
    import psycopg

    database = journal_database("postgres", request)
    assert deliver("first", rows=[]).state == "success"
    with psycopg.connect(request.getfixturevalue("postgres").info.dsn) as other:
        other.execute("lock table connectif_journal_pending")  # until the transaction ends
        process = Process(tmp_path, "night", rows=rows(30), **DEFERRABLE)
        until(lambda: database.query("select 1 from pg_locks where not granted"))
        os.kill(process.pid, signal.SIGTERM)

    assert process.end().state == "up_for_retry"
    assert plans(database) == (0, 0)
    assert database.query("select 1 from connectif_journal_claims") == []


@pytest.mark.slow
@pytest.mark.parametrize(("secret", "journal_key"), [("two", "sha256"), ("one", "plain")])
def test_a_secret_or_form_of_keys_that_was_changed_meanwhile_fails_in_words_and_leaves_no_patch(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None, secret: str, journal_key: str
) -> None:
    database = journal_database("sqlite", request, connectif_journal_secret="one")
    assert deliver("night", rows=rows(30), journal_key="sha256", **DEFERRABLE).state == "deferred"
    journal_database("sqlite", request, connectif_journal_secret=secret)

    run = come_back(strict, rows=rows(30), journal_key=journal_key)

    assert (run.state, plans(database)) == ("failed", (0, 0))
    assert "connectif_journal_secret or journal_key was changed: restore it" in str(run.error)


@pytest.mark.slow
def test_rejects_go_on_in_a_store_that_cannot_append(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath
    from fsspec.implementations.memory import MemoryFileSystem

    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2.11
        from airflow.io.store import attach

    attach("memory", fs=MemoryFileSystem())
    journal_database("sqlite", request)
    strict.update(faults=[{"keys": [f"user{n}@example.com" for n in (1, 25, 45)], "status": 422}])
    path = f"memory://rejects-{time.time_ns()}/rejects.jsonl"
    arguments: dict[str, Any] = {"rows": rows(50), "rejects_path": path, "failure_budget": 3}
    run = deliver("night", **(DEFERRABLE | arguments))
    while run.state == "deferred":
        run = come_back(strict, **arguments)
    assert run.state == "success"
    written = [json.loads(line)["row_number"] for line in ObjectStoragePath(path).read_text().splitlines()]
    assert written == [2, 26, 46]
