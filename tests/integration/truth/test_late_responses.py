"""A task that lives on beside its retry: what reaches Connectif late must not stay there unnoticed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_connectif.journal import lease
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.scripted_server import Exchange, serving
from tests.support.strict_server import until
from tests.support.task_runs import Run

OLD, NEW = 1, 2


def row(name: str, visits: int) -> dict[str, Any]:
    return {"email": f"{name}@example.com", "visits": visits}


@dataclass
class LateConnectif:
    """A server that holds requests before it applies them, or responses after that, until the test lets them go.

    ``contacts`` is what it holds, ``received`` the requests in the order of their coming: name and visits. ``lost``:
    a gateway responds in its place, though it has taken the request.
    """

    contacts: dict[str, int] = field(default_factory=dict)
    received: list[tuple[str, int]] = field(default_factory=list)
    held_requests: dict[tuple[str, int], threading.Event] = field(default_factory=dict)
    held_responses: dict[tuple[str, int], threading.Event] = field(default_factory=dict)
    applied: list[tuple[str, int]] = field(default_factory=list)
    lost: set[tuple[str, int]] = field(default_factory=set)
    url: str = ""

    def script(self, exchange: Exchange) -> None:
        exchange.take()
        name = unquote(exchange.path.rsplit("/", 1)[-1]).partition("@")[0]
        patch = name, json.loads(exchange.seen.body)["visits"]
        self.received.append(patch)
        if patch in self.held_requests:
            self.held_requests[patch].wait(60)
        self.contacts[name] = patch[1]
        self.applied.append(patch)
        if patch in self.held_responses:
            self.held_responses[patch].wait(60)
        exchange.reply(502 if patch in self.lost else 200, {"_email": f"{name}@example.com"})

    def hold_request(self, name: str, visits: int) -> threading.Event:
        return self.held_requests.setdefault((name, visits), threading.Event())

    def hold_response(self, name: str, visits: int) -> threading.Event:
        return self.held_responses.setdefault((name, visits), threading.Event())


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def server(connection: Callable[..., None]) -> Iterator[LateConnectif]:
    late = LateConnectif()

    def answer(exchange: Exchange) -> None:
        late.script(exchange)

    with serving(answer) as running:
        late.url = running.url
        extra = {"requests_per_minute": 1_000_000, "timeout": 20}
        connection("connectif_default", conn_type="connectif", host=running.url, password="id:secret", extra=extra)
        yield late
        for gate in (*late.held_requests.values(), *late.held_responses.values()):
            gate.set()


@pytest.fixture
def start(tmp_path: Path, journal: JournalDatabase) -> Iterator[Callable[..., Process]]:
    processes = []

    def _start(run_id: str, **arguments: Any) -> Process:
        processes.append(Process(tmp_path, run_id, **arguments))
        return processes[-1]

    yield _start
    for process in processes:
        process.kill()


def is_settled(server: LateConnectif, *names: str) -> None:
    """The next run sends these contacts once more, and then no run does."""
    rows = [row(name, NEW) for name in names]
    assert deliver("next night", rows=rows).summary["requests"] == len(names)
    assert server.contacts == dict.fromkeys(names, NEW)
    assert deliver("night after", rows=rows).summary["requests"] == 0


# The late response was dropped where the lost claim had been noticed before it came: no doubt was ever written.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("noticed", ["early", "late"])
def test_a_late_response_is_written_as_a_doubt_before_the_task_ends(
    noticed: str,
    journal: JournalDatabase,
    server: LateConnectif,
    start: Callable[..., Process],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if noticed == "early":
        monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.1)
    gate = server.hold_request("ana", OLD)
    orphan = start("night", rows=[row("ana", OLD)])
    until(lambda: server.received == [("ana", OLD)])
    assert deliver("night", rows=[row("ana", NEW)]).state == "success"  # its retry
    time.sleep(0.5 if noticed == "early" else 0)  # several renewals
    gate.set()
    end = orphan.end()
    assert (end.state, "has taken over" in str(end.error)) == ("up_for_retry", True)
    assert server.applied == [("ana", NEW), ("ana", OLD)]
    is_settled(server, "ana")


# A gateway's 502, a timeout or a page: Connectif may have taken the old value all the same, after the new one.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("attempts", [1, 5])
def test_a_request_of_which_nobody_knows_whether_it_arrived_is_a_doubt(
    attempts: int,
    journal: JournalDatabase,
    server: LateConnectif,
    start: Callable[..., Process],
    connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.1)
    extra = {"requests_per_minute": 1_000_000, "timeout": 20, "retries": attempts}
    connection("connectif_default", conn_type="connectif", host=server.url, password="id:secret", extra=extra)
    server.lost.add(("ana", OLD))
    gate = server.hold_request("ana", OLD)
    orphan = start("night", rows=[row("ana", OLD)])
    until(lambda: server.received == [("ana", OLD)])
    assert deliver("night", rows=[row("ana", NEW)]).state == "success"
    time.sleep(0.5)
    gate.set()
    assert "has taken over" in str(orphan.end().error)
    assert server.applied == [("ana", NEW), ("ana", OLD)]
    is_settled(server, "ana")


# The response of one contact ends the old task, while requests of others are still on their way.


@pytest.mark.slow
def test_what_is_in_flight_when_the_claim_is_lost_is_in_doubt(
    journal: JournalDatabase, server: LateConnectif, start: Callable[..., Process]
) -> None:
    ana, bea = server.hold_request("ana", OLD), server.hold_request("bea", OLD)
    orphan = start("night", rows=[row("ana", OLD), row("bea", OLD)])
    until(lambda: len(server.received) == 2)
    assert deliver("night", rows=[row("ana", NEW), row("bea", NEW)]).state == "success"
    bea.set()
    # It writes down what it has two seconds after, though ana's response has not come.
    end = orphan.end()
    assert (end.state, "has taken over" in str(end.error)) == ("up_for_retry", True)
    assert server.contacts == {"ana": NEW, "bea": OLD}
    ana.set()
    until(lambda: server.contacts.get("ana") == OLD)
    is_settled(server, "ana", "bea")


# The old task's response comes between the new one's PATCH and the response to that.


@pytest.mark.slow
def test_a_late_response_is_not_undone_by_the_response_to_the_newer_patch(
    journal: JournalDatabase, server: LateConnectif, start: Callable[..., Process]
) -> None:
    older, newer = server.hold_request("ana", OLD), server.hold_response("ana", NEW)
    orphan = start("night", rows=[row("ana", OLD)])
    until(lambda: server.received == [("ana", OLD)])
    retry = start("night", rows=[row("ana", NEW)])
    until(lambda: server.applied == [("ana", NEW)])
    older.set()
    assert orphan.end().state == "up_for_retry"
    newer.set()
    assert retry.end().state == "success"
    assert server.contacts == {"ana": OLD}
    is_settled(server, "ana")


# Claims that went by the workers' clocks: one that was behind let another run in, one ahead shut others out for long.


def with_a_clock(seconds: float) -> Callable[..., Run]:
    """Run the operator on a worker whose clock is so many seconds ahead."""

    def run(run_id: str, before: Callable[[Any], None], **arguments: Any) -> Run:
        right = time.time
        time.time = lambda: right() + seconds
        return deliver(run_id, before=before, **arguments)

    return run


@pytest.mark.slow
def test_a_run_on_a_worker_whose_clock_is_behind_is_waited_for(
    journal: JournalDatabase, server: LateConnectif, start: Callable[..., Process]
) -> None:
    gate = server.hold_request("ana", OLD)
    first = start("first night", run=with_a_clock(-3600.0), rows=[row("ana", OLD)])
    until(lambda: server.received == [("ana", OLD)])
    second = start("second night", rows=[row("ana", NEW)])
    second.wait_until_it_says("is held by another run")
    assert server.received == [("ana", OLD)]
    gate.set()
    assert first.end().state == second.end().state == "success"
    assert server.applied == [("ana", OLD), ("ana", NEW)]


def test_a_killed_run_on_a_worker_whose_clock_was_ahead_shuts_out_no_other_for_long(
    journal: JournalDatabase, server: LateConnectif, start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 2.0)
    server.hold_request("ana", OLD)
    first = start("first night", run=with_a_clock(3600.0), rows=[row("ana", OLD)])
    until(lambda: server.received == [("ana", OLD)])
    first.kill()
    assert start("second night", rows=[row("ana", NEW)]).end(20).state == "success"
