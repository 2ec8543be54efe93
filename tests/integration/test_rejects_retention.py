"""Old files of refused rows: only those that the task wrote itself are removed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem

from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import FakeTI

REFUSED = [{"email": "nobody", "_name": "x"}]
GOOD = [{"email": "ana@example.com", "_name": "x"}]
DAY_S = 86_400.0


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(params=["", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, or a place in a store that is no disk."""
    if not request.param:
        return str(tmp_path)
    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2.11
        from airflow.io.store import attach

    attach("memory", fs=MemoryFileSystem())
    return f"memory://rejects-{time.time_ns()}"


def is_there(path: str) -> bool:
    return bool(ObjectStoragePath(path).exists())


def refused(path: str, run_id: str = "earlier", *, map_index: int = -1, **arguments: Any) -> None:
    """A run that writes a file."""
    ti = FakeTI(map_index)
    context: dict[str, Any] = {"ti": ti, "run_id": run_id, "dag": SimpleNamespace(dag_id="dag")}
    run = deliver(run_id, rows=REFUSED, rejects_path=path, more_context=context, **arguments)
    assert run.state == "failed"
    assert is_there(path)


def grow_older(journal: JournalDatabase, path: str, days: float = 40) -> None:
    """A file, and what the journal knows of it, were written so long ago."""
    hours, is_sqlite = round(days * 24), journal.kind == "sqlite"
    moment = f"strftime('%Y-%m-%d %H:%M:%f000', at, '-{hours} hours')" if is_sqlite else f"at - interval '{hours}' hour"
    journal.query(f"update connectif_journal_rejects_files set at = {moment} where path = '{path}'")
    written = time.time() - days * DAY_S
    if path.startswith("memory://"):
        found: Any = ObjectStoragePath(path)
        stored = found.fs.store[found.fs._strip_protocol(found.path)]
        stored.modified -= timedelta(days=days)
    else:
        os.utime(path, (written, written))


def noted(journal: JournalDatabase) -> list[str]:
    return [path for (path,) in journal.query("select path from connectif_journal_rejects_files order by id")]


@pytest.fixture
def later(folder: str) -> Callable[..., None]:
    """A run without refused rows."""

    def run(**arguments: Any) -> None:
        arguments = {"rejects_path": f"{folder}/later.jsonl"} | arguments
        ended = deliver("later", rows=[{**GOOD[0], "_surname": str(time.time())}], **arguments)
        assert ended.state == "success", ended.error

    return run


@pytest.mark.sampled(1)
def test_an_old_file_of_the_task_is_removed(
    folder: str, later: Callable[..., None], strict: StrictServer, journal: JournalDatabase
) -> None:
    old, young = f"{folder}/old.jsonl", f"{folder}/young.jsonl"
    for path in (old, young):
        refused(path, path)
    grow_older(journal, old)
    grow_older(journal, young, days=29)
    later(rejects_retention=None)
    assert is_there(old)
    later()
    assert (is_there(old), is_there(young), noted(journal)) == (False, True, [young])


@pytest.mark.sampled(1)
def test_a_file_that_another_task_has_written_since_is_its_own(
    folder: str, later: Callable[..., None], strict: StrictServer, journal: JournalDatabase
) -> None:
    shared = f"{folder}/rejects.jsonl"
    refused(shared)
    refused(shared, "another", sync_id="another")
    grow_older(journal, shared)
    later()
    assert (is_there(shared), noted(journal)) == (True, [shared])
    later(sync_id="another")
    assert (is_there(shared), noted(journal)) == (False, [])


def test_a_file_that_somebody_else_has_written_since_stays(
    folder: str, later: Callable[..., None], strict: StrictServer, journal: JournalDatabase
) -> None:
    path = f"{folder}/rejects.jsonl"
    refused(path)
    grow_older(journal, path)
    ObjectStoragePath(path).write_text("somebody else's")
    later()
    assert ObjectStoragePath(path).read_text() == "somebody else's"
    assert noted(journal) == []


@pytest.mark.sampled(1)
def test_a_file_of_another_instance_of_a_mapped_task_is_removed(
    folder: str, later: Callable[..., None], strict: StrictServer, journal: JournalDatabase
) -> None:
    """There may be fewer instances now: nobody else would remove them."""
    paths = [f"{folder}/rejects-{map_index}.jsonl" for map_index in range(3)]
    for map_index, path in enumerate(paths):
        refused(path, map_index=map_index)
        grow_older(journal, path)
    foreign = f"{folder}/rejects-3.jsonl"
    ObjectStoragePath(foreign).write_text("not ours")
    later()
    assert [is_there(path) for path in (*paths, foreign)] == [False, False, False, True]


def test_a_file_that_is_gone_is_forgotten(
    folder: str, later: Callable[..., None], strict: StrictServer, journal: JournalDatabase
) -> None:
    path = f"{folder}/rejects.jsonl"
    refused(path)
    grow_older(journal, path)
    found: Any = ObjectStoragePath(path)
    found.unlink()
    later()
    assert noted(journal) == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("hours", [1, 72])
def test_the_file_that_a_run_writes_stays(
    hours: int, folder: str, strict: StrictServer, journal: JournalDatabase
) -> None:
    """The same path in every run, with a retention that is shorter than the time between two runs."""
    path = f"{folder}/rejects.jsonl"
    refused(path)
    grow_older(journal, path, days=5 if hours == 72 else 0.25)
    refused(path, "again", rejects_retention=timedelta(hours=hours))
    assert "email" in ObjectStoragePath(path).read_text()
    assert noted(journal) == [path]


@pytest.mark.parametrize("retention", [timedelta(), timedelta(days=-1), 30])
def test_a_retention_is_a_time_above_zero(retention: Any, strict: StrictServer, journal: JournalDatabase) -> None:
    with pytest.raises(ValueError, match="rejects_retention must be None or a timedelta above zero"):
        deliver("night", rows=GOOD, rejects_path="x", rejects_retention=retention)
