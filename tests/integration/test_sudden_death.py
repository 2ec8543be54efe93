"""Tasks killed with SIGKILL at random moments, a disk that is full, sources that never end.

``CONNECTIF_KILLS`` is the number of nights; each kills three attempts: one that reads, one that plans, one that sends.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run

NIGHTS = int(os.environ.get("CONNECTIF_KILLS", "2"))
ROWS, IN_FLIGHT = 600, 8
SENT_TWICE_AT_MOST = IN_FLIGHT + 50  # for each kill, see docs/journal.md


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def work_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__CONNECTIF__WORK_FOLDER", str(folder))
    return folder


def rows(count: int = ROWS) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": n, "tier": "x" * 200} for n in range(count)]


def killed_at(row: int) -> Iterator[dict[str, Any]]:
    yield from rows(row)
    os.kill(os.getpid(), signal.SIGKILL)


def says_when_read(read: Path) -> Iterator[dict[str, Any]]:
    yield from rows()
    read.touch()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(NIGHTS))
def test_after_kills_at_random_moments_all_is_delivered_and_little_twice(
    seed: int, journal: JournalDatabase, strict: StrictServer, tmp_path: Path, work_folder: Path
) -> None:
    moments, read = random.Random(seed), tmp_path / "read"
    attempts = itertools.count()

    def attempt(source: Any) -> Process:
        return Process(tmp_path, "night", rows=source, max_in_flight=IN_FLIGHT, tries_before=next(attempts))

    reading = attempt(killed_at(moments.randrange(1, ROWS)))
    until(reading.has_ended, within_s=60)
    assert strict.received == 0
    planning = attempt(says_when_read(read))
    until(read.exists, within_s=60)
    time.sleep(moments.uniform(0.0, 0.05))  # no moment is meant in particular
    planning.kill()
    already = strict.received
    sending = attempt(rows())
    enough = already + moments.randrange(1, ROWS - already) if already < ROWS - 1 else already
    until(lambda: strict.received >= enough or sending.has_ended(), within_s=60)
    sending.kill()
    assert list(work_folder.iterdir()) == []

    run = deliver("night", rows=rows(), max_in_flight=IN_FLIGHT, tries_before=next(attempts))

    assert run.state == "success", run.error
    wanted = {row["email"]: {"visits": row["visits"], "tier": row["tier"]} for row in rows()}
    assert strict.contacts == wanted
    assert journal.acknowledged() == wanted.keys()
    assert len(strict.log) - ROWS <= 2 * SENT_TWICE_AT_MOST
    assert list(work_folder.iterdir()) == []


def _on_a_small_disk(run_id: str, before: Callable[[Any], None] | None = None, **arguments: Any) -> Run:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    return deliver(run_id, before, **arguments)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_before_anything_is_sent(
    request: pytest.FixtureRequest, airflow_db: None, strict: StrictServer, tmp_path: Path, work_folder: Path
) -> None:
    database = journal_database("postgres", request)  # which writes in another process
    large = [{**row, "tier": str(number) * 2_000} for number, row in enumerate(rows(5_000))]

    end = Process(tmp_path, "night", _on_a_small_disk, rows=large).end(within_s=60)

    assert end.state == "up_for_retry"
    assert "the disk is full" in str(end.error)
    assert str(work_folder) in str(end.error)
    assert " MB in " in str(end.error)
    assert strict.received == 0
    assert list(work_folder.iterdir()) == []
    assert database.acknowledged() == set()
    assert database.query("select verdict, ended_at is null from connectif_journal_runs") == [("try_again", False)]
    assert deliver("night", rows=rows(10), tries_before=1).state == "success"


@pytest.fixture
def small_disk(work_folder: Path) -> Iterator[Path]:
    """The work folder as a file system of its own, of one megabyte: only there a full disk tears SQLite's file."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(work_folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("only root can mount a file system")
    yield work_folder
    subprocess.run(["umount", "--lazy", str(work_folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "count", "what"),
    [
        ({}, 8_000, "the pending changes"),
        ({"kind": "ContactSyncOperator"}, 8_000, "the pending changes"),
        ({"kind": "ContactImportOperator"}, 8_000, "the pending changes"),
        ({"kind": "ContactImportOperator"}, 1_400, "the import's files"),
        ({"kind": "ContactSyncOperator", "via": "import"}, 1_400, "the import's files"),
    ],
)
def test_a_disk_that_is_really_full_ends_the_run_with_its_own_error_and_a_verdict(
    arguments: dict[str, Any],
    count: int,
    what: str,
    request: pytest.FixtureRequest,
    airflow_db: None,
    strict: StrictServer,
    tmp_path: Path,
    small_disk: Path,
) -> None:
    database = journal_database("sqlite", request)

    wide = [{"email": f"user{n}@example.com", "_points": n, "_name": "x" * 150} for n in range(count)]

    end = Process(tmp_path, "night", rows=wide, **arguments).end(within_s=60)

    assert (end.state, strict.contacts) == ("up_for_retry", {}), end.error
    assert f"the disk is full: {what} take " in str(end.error)
    assert f" in {str(small_disk)!r} so far; nothing was sent. Free space there" in str(end.error)
    assert list(small_disk.iterdir()) == []
    assert database.query("select verdict, ended_at is null, rows_read = undelivered from connectif_journal_runs") == [
        ("try_again", False, True)
    ]
    assert database.query("select count(*) from connectif_journal_claims") == [(0,)]


def never_ends() -> Iterator[dict[str, Any]]:
    for number in itertools.count():
        yield {"email": f"user{number}@example.com", "tier": "x" * 1_000}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("limit", "state", "words"),
    [
        ({"read_timeout": timedelta(seconds=1)}, "up_for_retry", "within read_timeout, 1 s"),
        ({"pending_limit": 5_000_000}, "failed", "reach pending_limit, 0.005 GB"),
    ],
)
@pytest.mark.parametrize("journal_conn_id", [None, "journal"])
def test_a_source_that_never_ends_is_given_up_before_anything_is_sent(
    limit: dict[str, Any],
    state: str,
    words: str,
    journal_conn_id: str | None,
    request: pytest.FixtureRequest,
    airflow_db: None,
    strict: StrictServer,
    work_folder: Path,
) -> None:
    journal_database("sqlite", request)

    run = deliver("night", rows=never_ends(), journal_conn_id=journal_conn_id, **limit)

    assert (run.state, strict.received) == (state, 0)
    assert words in str(run.error)
    assert "nothing was sent" in str(run.error) or "reach pending_limit" in str(run.error)
    assert list(work_folder.iterdir()) == []
