"""Runs that are killed, and sources that fail half-way: who is in the source is never deleted, who left always is."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_sync import SQL, sync
from tests.support.journals import JournalDatabase, Process, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

CONTACTS = 30
FOREIGN = "of-nobody@example.com"
QUICK = 3
FULL_SIZE = (pytest.mark.full_size, pytest.mark.slow, pytest.mark.timeout(900))


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None]) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path)


def in_a_process(run_id: str, before: Callable[[Any], None], **arguments: Any) -> Run:
    return sync(run_id, before=before, **arguments)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("seed", [*range(QUICK), *(pytest.param(n, marks=FULL_SIZE) for n in range(QUICK, 50))])
def test_a_killed_run_follows_everybody_who_left_and_nobody_else(
    seed: int, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    source = {f"user{number:02}@example.com" for number in range(CONTACTS)}
    strict.change_contacts({FOREIGN: {"_name": "Eva"}})
    warehouse.fill(sorted(source))
    assert sync("0", on_removed="delete").state == "success"
    left_before: set[str] = set()
    for night in range(1, 3):
        left = set(chance.sample(sorted(source), 4))
        source -= left
        source |= {f"new{night}-{number}@example.com" for number in range(4)}
        source |= set(sorted(left_before)[:2])  # two of them come back
        strict.take_log()
        strict.update(delay_s=0.05)
        warehouse.fill(sorted(source))
        at = strict.received + chance.randrange(10)
        process = Process(tmp_path, f"{night}", in_a_process, on_removed="delete", max_in_flight=2)
        until(lambda at=at, process=process: strict.received >= at or process.has_ended())
        if not process.has_ended():
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
        strict.update(delay_s=0.0)
        again = sync(f"{night}", on_removed="delete", tries_before=1)
        assert again.state == "success", again.error
        log = strict.take_log()
        deleted = [entry["key"] for entry in log if entry["method"] == "DELETE"]
        assert set(deleted) == left
        assert max(Counter(deleted).values()) <= 2  # a kill loses the responses of two seconds
        assert strict.contacts.keys() == source | {FOREIGN}
        left_before = left
    strict.take_log()
    assert sync("last", on_removed="delete").state == "success"
    assert [entry for entry in strict.take_log() if "key" in entry] == []


def test_a_source_that_fails_half_way_follows_nobody(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    keys = [f"user{number:02}@example.com" for number in range(CONTACTS)]
    # One text of SQL, which fails where a row says so.
    sql = "select email, case when name = 'fail' then abs(-9223372036854775808) else name end as name from contacts"
    warehouse.fill(keys)
    assert sync("0", sql, on_removed="delete").state == "success"
    strict.take_log()
    warehouse.fill_rows([*((email, "Ana") for email in keys[:10]), ("x@example.com", "fail")])
    failed = sync("1", sql, on_removed="delete")
    assert failed.state in ("failed", "up_for_retry")
    assert [entry for entry in strict.take_log() if "key" in entry] == []
    warehouse.fill(keys[1:])
    assert sync("2", sql, on_removed="delete").summary["removed"] == 1
    assert strict.contacts.keys() == set(keys[1:])


@pytest.mark.slow
def test_a_killed_run_of_another_question_leaves_nobody_to_the_next(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """It has delivered contacts that no complete read of the usual question has shown."""
    keys = [f"user{number:02}@example.com" for number in range(CONTACTS)]
    usual = f"{SQL} where email < 'user15'"
    warehouse.fill(keys)
    assert sync("0", usual, on_removed="delete").state == "success"
    strict.update(faults=[{"nth": [20, None], "status": 401}])
    assert sync("1", on_removed="delete", max_in_flight=1).state == "failed"  # stopped after some of the others
    strict.update(faults=[])
    strict.take_log()
    there = strict.contacts.keys()
    assert len(there) > 15
    for run_id in ("2", "3"):
        assert sync(run_id, usual, on_removed="delete").state == "success"
    assert strict.contacts.keys() == there
    warehouse.fill(keys[1:])
    assert sync("4", usual, on_removed="delete").summary["removed"] == 1
    assert strict.contacts.keys() == there - {keys[0]}
