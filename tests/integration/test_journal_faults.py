"""A sync that is killed, or whose databases and servers go away, goes on where it stopped and loses nothing.

Scaled for CI; by hand: ``CONNECTIF_KILLS=20 CONNECTIF_CONTACTS=5000 pytest -s -k 'killed_again or goes_away'``.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from airflow_provider_connectif.journal import lease
from airflow_provider_connectif.journal.line_writer import COMMIT_LINES
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.servers import postgres_server
from tests.support.strict_server import StrictServer, until

KILLS = int(os.environ.get("CONNECTIF_KILLS", "5"))
CONTACTS = int(os.environ.get("CONNECTIF_CONTACTS", "600"))
IN_FLIGHT = 8


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def start(tmp_path: Path, journal: JournalDatabase) -> Iterator[Callable[..., Process]]:
    """Start a try in a process of its own."""
    processes = []

    def _start(run_id: str, **arguments: Any) -> Process:
        processes.append(Process(tmp_path, run_id, **arguments))
        return processes[-1]

    yield _start
    for process in processes:
        process.kill()


def rows(count: int = CONTACTS, first: int = 0, visits: int = 0) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": visits + n} for n in range(first, first + count)]


def silent(
    gate: Path, before: Iterable[dict[str, Any]] = (), after: Iterable[dict[str, Any]] = ()
) -> Iterator[dict[str, Any]]:
    """A source that gives nothing between some rows and others, until a file is there; it leaves one, too."""
    yield from before
    gate.with_suffix(".read").touch()
    until(gate.exists, within_s=60)
    yield from after


def has(strict: StrictServer, source: list[dict[str, Any]]) -> bool:
    return strict.contacts == {row["email"]: {"visits": row["visits"]} for row in source}


def nothing_is_invented(journal: JournalDatabase, strict: StrictServer) -> bool:
    """Whether every acknowledgement in the journal is one that the server gave."""
    return journal.acknowledged() <= {entry["key"] for entry in strict.log if entry["status"] in (200, 201)}


def sent_twice_at_most(tries: int) -> int:
    return tries * (IN_FLIGHT + COMMIT_LINES)


# What else goes wrong while the task is killed again and again.
TROUBLES: dict[str, list[dict[str, Any]]] = {
    "nothing else": [],
    "connections that drop": [
        {"keys": [f"user{n}@example.com" for n in range(0, CONTACTS, 9)], "attempts": 1, "drop": "after"}
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_task_that_is_killed_again_and_again_ends_with_what_the_source_has(
    trouble: str, journal: JournalDatabase, strict: StrictServer, start: Callable[..., Process]
) -> None:
    strict.update(faults=TROUBLES[trouble], delay_s=0.002)
    chance = random.Random(trouble)
    source = rows()
    for _ in range(KILLS):
        process = start("night", rows=source)
        # Some die before their first request, some with requests in flight, some between two commits.
        goal = strict.received + chance.choice([0, 1, chance.randint(2, 2 * CONTACTS // KILLS)])
        until(lambda goal=goal, process=process: strict.received >= goal or process.has_ended(), within_s=60)
        process.kill()
        assert nothing_is_invented(journal, strict)

    last = start("night", rows=source).end(120)

    assert last.state == "success"
    assert has(strict, source)
    dropped = len(TROUBLES[trouble][0]["keys"]) if TROUBLES[trouble] else 0
    print(f"{KILLS} kills, {CONTACTS} contacts: {strict.received} requests, {dropped} of them dropped")
    assert strict.received <= CONTACTS + dropped + sent_twice_at_most(KILLS)
    assert deliver("night", rows=source).summary["requests"] == 0


@pytest.mark.slow
def test_nothing_is_sent_while_a_source_is_still_read(
    journal: JournalDatabase, strict: StrictServer, start: Callable[..., Process], tmp_path: Path
) -> None:
    source = rows(2500)
    process = start("night", rows=silent(tmp_path / "never", before=source))
    until(lambda: (tmp_path / "never.read").exists())
    process.kill()
    assert strict.received == 0
    assert deliver("night", rows=source).state == "success"
    assert has(strict, source)
    assert strict.received == len(source)


@pytest.mark.slow
def test_a_task_that_is_told_to_end_writes_down_every_answer(
    journal: JournalDatabase, strict: StrictServer, start: Callable[..., Process]
) -> None:
    strict.update(delay_s=0.01)
    process = start("night", rows=rows())
    until(lambda: strict.received > 100)
    process.kill(signal.SIGTERM)

    answered = {entry["key"] for entry in strict.log if entry["status"] == 201}
    assert len(answered) < CONTACTS
    assert answered - journal.acknowledged() == set()
    before = strict.received
    assert deliver("night", rows=rows()).summary["created"] == CONTACTS  # by both attempts of the run
    assert strict.received - before == CONTACTS - len(answered)


@pytest.fixture
def own_postgres(connection: Callable[..., None]) -> Iterator[Any]:
    """A server that may be stopped; the connection ``journal`` goes to it."""
    with postgres_server() as server:
        info = psycopg.conninfo.conninfo_to_dict(server.get_uri())
        connection("journal", conn_type="postgres", host=info["host"], login=info["user"], schema=info["dbname"])
        yield server


UNREACHABLE = "the journal's database, connection 'journal', cannot be reached or opened ("


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_a_journal_that_is_not_reached_says_where_it_should_be_and_that_nothing_is_sent(
    kind: str, strict: StrictServer, connection: Callable[..., None], airflow_db: None
) -> None:
    connection("journal", conn_type="postgres", host="127.0.0.1", login="x", port=9)
    end = deliver("night", kind=kind, rows=rows())
    assert end.state == "up_for_retry"
    assert str(end.error) == f"{UNREACHABLE}OperationalError), so nothing is sent"
    assert strict.received == 0


def stop_and_start(server: Any) -> None:
    server.stop()
    server.ensure_postgres_running()


def end_all_sessions(server: Any) -> None:
    with psycopg.connect(server.get_uri(), autocommit=True) as database:
        database.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")


@pytest.mark.slow
@pytest.mark.parametrize("trouble", [stop_and_start, end_all_sessions])
def test_when_the_journals_database_goes_away_the_retry_goes_on(
    trouble: Callable[[Any], None], own_postgres: Any, strict: StrictServer, tmp_path: Path, airflow_db: None
) -> None:
    strict.update(delay_s=0.002)
    source = rows()
    ends, process = [], Process(tmp_path, "night", rows=source)
    for goal in range(CONTACTS // (KILLS + 1), CONTACTS, CONTACTS // (KILLS + 1)):
        while strict.received < goal:
            if process.has_ended():
                ends.append(process.end())
                process = Process(tmp_path, "night", rows=source)
            until(lambda goal=goal, process=process: strict.received >= goal or process.has_ended(), within_s=60)
        trouble(own_postgres)
    ends.append(process.end(60))
    ends.append(deliver("night", rows=source))

    for end in ends:
        assert end.state == "success" or (
            end.state == "up_for_retry" and str(end.error).startswith(("the journal's database failed", UNREACHABLE))
        )
    assert ends[-1].state == "success"
    assert has(strict, source)
    assert strict.received <= CONTACTS + sent_twice_at_most(len(ends))
    print(f"{KILLS} times, {CONTACTS} contacts: {strict.received} requests, {[end.state for end in ends]}")
    with psycopg.connect(own_postgres.get_uri()) as database:
        (lines,) = database.execute("select count(*) from connectif_journal where state = 'acknowledged'").fetchone()
    assert lines == CONTACTS


@pytest.mark.slow
def test_four_tasks_at_once_create_one_journal_and_deliver_everything_once(
    journal: JournalDatabase, strict: StrictServer, start: Callable[..., Process]
) -> None:
    quarter = CONTACTS // 4
    processes = [start("night", map_index=n, rows=rows(quarter, n * quarter)) for n in range(4)]
    assert [process.end(60).state for process in processes] == ["success"] * 4
    assert set(Counter(entry["key"] for entry in strict.log).values()) == {1}
    assert has(strict, rows(4 * quarter))
    assert journal.acknowledged() == strict.contacts.keys()
    assert deliver("next night", rows=rows(4 * quarter)).summary["requests"] == 0


def claims(journal: JournalDatabase) -> list[str]:
    """The runs that have a claim."""
    return [run_id for (run_id,) in journal.query("select run_id from connectif_journal_claims")]


@pytest.mark.slow
def test_another_run_waits_until_the_first_has_ended(
    journal: JournalDatabase, strict: StrictServer, start: Callable[..., Process], tmp_path: Path
) -> None:
    assert deliver("before", rows=[]).state == "success"  # so that the tables are there
    first = start("first night", rows=silent(tmp_path / "gate", after=rows(50, visits=1)))
    until(lambda: claims(journal) == ["dag/first night"])
    second = start("second night", rows=rows(50, visits=2))
    impatient = start("third night", rows=rows(50, visits=3))
    for process in (second, impatient):
        process.wait_until_it_says("another run: waiting until it ends\n  Held by: dag/first night, task patch\n")
    impatient.kill(signal.SIGTERM)
    assert impatient.end().state == "up_for_retry"

    (tmp_path / "gate").touch()

    assert first.end().state == second.end().state == "success"
    visits = [entry["body"]["visits"] - int(entry["key"][4:].partition("@")[0]) for entry in strict.log]
    assert visits == [1] * 50 + [2] * 50
    assert re.search(r"Done: .*(\n  .*)*\n  Waited \d[\w. ]* s for another run of the sync", second.output())
    assert "for another run of the sync" not in first.output()


@pytest.mark.slow
def test_a_run_whose_processes_are_gone_holds_up_no_other_for_ever(
    journal: JournalDatabase, strict: StrictServer, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 1.5)
    strict.update(delay_s=0.05)
    first = start("first night", rows=rows())
    until(lambda: strict.received >= 20)
    first.kill()
    strict.update(delay_s=0)

    began_at = time.monotonic()
    assert start("second night", rows=rows()).end().state == "success"
    assert time.monotonic() - began_at > 1
    assert has(strict, rows())


@pytest.mark.slow
def test_a_run_that_waits_for_its_source_keeps_its_claim(
    journal: JournalDatabase,
    strict: StrictServer,
    start: Callable[..., Process],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)
    assert deliver("before", rows=[]).state == "success"  # so that the tables are there
    first = start("first night", rows=silent(tmp_path / "gate", after=rows(1, visits=1)))
    until(lambda: claims(journal) == ["dag/first night"])
    second = start("second night", rows=rows(1, visits=2))
    second.wait_until_it_says("is held by another run")
    ((ends_at,),) = journal.query("select lease_until from connectif_journal_claims where run_id = 'dag/first night'")
    until(lambda: time.time() > ends_at + 0.5)  # the claim would have ended

    assert not second.has_ended()
    (tmp_path / "gate").touch()
    assert first.end().state == second.end().state == "success"
    assert [entry["body"]["visits"] for entry in strict.log] == [1, 2]


@pytest.mark.slow
def test_what_an_orphan_does_late_is_mended_by_the_next_run(
    journal: JournalDatabase, strict: StrictServer, start: Callable[..., Process], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    strict.update(faults=[{"keys": ["user0@example.com"], "attempts": 1, "gate": str(gate)}])
    orphan = start("night", rows=rows(1, visits=1))
    until(lambda: strict.received == 1)
    assert deliver("night", rows=rows(1, visits=2)).state == "success"  # its retry, with a row that has changed since
    gate.unlink()
    end = orphan.end()
    assert (end.state, "has taken over" in str(end.error)) == ("up_for_retry", True)

    # The journal cannot know whose patch came last, so the next run sends the source's row once more.
    assert deliver("next night", rows=rows(1, visits=2)).summary["requests"] == 1
    assert has(strict, rows(1, visits=2))
    assert deliver("night after", rows=rows(1, visits=2)).summary["requests"] == 0
    strict.reset()  # two requests of one contact were in flight together, as here they must
