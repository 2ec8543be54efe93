"""The second opinion itself: what it accepts, what it holds against a client, and the harm it does on request."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.support.strict_server import API_KEY, DEFAULTS, StrictServer, until

AUTHORIZATION = {"Authorization": f"apiKey {API_KEY}"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def server(_strict_process: StrictServer) -> StrictServer:
    """Without the check for violations, which are what is tested here."""
    _strict_process.reset()
    return _strict_process


class Wire:
    """A connection on which every byte is ours."""

    def __init__(self, server: StrictServer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5)
        self.file = self.socket.makefile("rb")

    def send(self, target: str, content: bytes, method: str = "PATCH", headers: dict[str, str] | None = None) -> None:
        shown = {"Host": "x", "Content-Length": str(len(content))} | (headers or AUTHORIZATION | JSON)
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in shown.items())
        self.socket.sendall(head.encode() + b"\r\n" + content)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body. Status 0: the connection ended before a whole response had come."""
        start = self.file.readline().split(b" ")
        if len(start) < 2:
            return 0, {}, b""
        headers = {}
        while line := self.file.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name] = value
        length = int(headers.get("Content-Length", 0))
        content = self.file.read(length)
        return int(start[1]) if len(content) == length else 0, headers, content

    def ask(self, target: str, body: Any = None, **more: Any) -> tuple[int, dict[str, str], bytes]:
        self.send(target, json.dumps({} if body is None else body).encode(), **more)
        return self.answer()


@pytest.fixture
def wire(server: StrictServer) -> Iterator[Wire]:
    connection = Wire(server)
    yield connection
    connection.socket.close()


VIOLATIONS: dict[str, dict[str, Any]] = {
    "Authorization is not of the form apiKey {keyId}:{keySecret}": {"headers": JSON | {"Authorization": "Bearer x:y"}},
    "content type is not application/json": {"headers": AUTHORIZATION | {"Content-Type": "text/plain"}},
    "header cookie has no place here": {"headers": AUTHORIZATION | JSON | {"Cookie": "a=b"}},
    "contact key is not percent-encoded whole": {"target": "/contacts/a@example.com"},
    "contact key is not UTF-8": {"target": "/contacts/%E9%40example.com"},
    "body holds NaN, which is not JSON": {"content": b'{"spent": NaN}'},
    "body is not JSON in UTF-8: JSONDecodeError": {"content": b"{"},
    "body is no JSON object but list": {"content": b"[]"},
    "body names a property twice": {"content": b'{"_name": "a", "_name": "b"}'},
    "no documented endpoint": {"target": "/contacts/a%40example.com/"},
    "a GET has a body": {"method": "GET"},
}


@pytest.mark.parametrize("words", VIOLATIONS)
def test_what_no_client_may_send_is_remembered(server: StrictServer, wire: Wire, words: str) -> None:
    wire.send(**{"target": "/contacts/a%40example.com", "content": b"{}"} | VIOLATIONS[words])
    wire.answer()
    assert [violation.partition(" (")[0] for violation in server.violations] == [words]
    with pytest.raises(AssertionError):
        server.check()


def test_two_requests_of_one_contact_in_flight_together_are_remembered(server: StrictServer) -> None:
    server.reset(delay_s=0.2)
    wires = [Wire(server), Wire(server)]
    for target, wire in zip(("/contacts/a%40example.com", "/contacts/A%40example.com"), wires, strict=True):
        wire.send(target, b"{}")
    assert [wire.answer()[0] for wire in wires] == [201, 200]
    assert server.violations == ["two requests of one contact key were in flight together"]


HEADERS = {
    "floor": {"RateLimit-Limit": "3", "RateLimit-Remaining": "0", "RateLimit-Reset": "29"},
    "ceil": {"RateLimit-Limit": "3", "RateLimit-Remaining": "0", "RateLimit-Reset": "30"},
    "fraction": {"RateLimit-Limit": "3", "RateLimit-Remaining": "0", "RateLimit-Reset": ("29.", "30.0")},
    "epoch": {"X-RateLimit-Limit": "3", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"},
    "none": {},
}


@pytest.mark.parametrize("style", HEADERS)
def test_a_window_lets_its_requests_pass_and_tells_in_its_style(server: StrictServer, style: str) -> None:
    server.reset(limit=3, window_s=30, headers=style, retry_after="seconds")
    wire = Wire(server)
    answers = [wire.ask("/contacts/a%40example.com") for _ in range(4)]
    assert [status for status, *_ in answers] == [201, 200, 200, 429]
    refusal, refusal_body = answers[-1][1:]
    assert refusal_body == b""
    assert 29 <= int(refusal["Retry-After"]) <= 30
    told = {name: value for name, value in refusal.items() if "RateLimit" in name}
    assert told.keys() == HEADERS[style].keys()
    assert all(value.startswith(HEADERS[style][name]) for name, value in told.items()), told
    (window,) = server.windows
    assert (window["allowed"], window["refused"]) == (3, 1)
    if style == "epoch":
        assert int(told["X-RateLimit-Reset"]) == int(window["ends"])


def test_a_window_on_the_clock_ends_on_the_clock_and_another_one_follows(server: StrictServer) -> None:
    server.reset(limit=1, window_s=0.5, window_from="clock", retry_after="date", clock_ahead_s=100)
    wire, statuses = Wire(server), []
    until(lambda: statuses.append(wire.ask("/contacts/a%40example.com")) or len(server.windows) == 3)
    assert [window["starts"] % 0.5 for window in server.windows] == [0, 0, 0]
    refusal = next(headers for status, headers, _ in statuses if status == 429)
    assert 98 < parsedate_to_datetime(refusal["Retry-After"]).timestamp() - time.time() < 102
    assert 98 < parsedate_to_datetime(refusal["Date"]).timestamp() - time.time() < 102


FAULTS: dict[str, tuple[dict[str, Any], int, bool]] = {  # fault, status seen, contact changed
    "drop before": ({"drop": "before"}, 0, False),
    "drop after": ({"drop": "after"}, 0, True),
    "half an answer": ({"half": True}, 0, True),
    "another success": ({"status": 202}, 202, True),
    "a refusal": ({"status": 409}, 409, False),
    "a gateway's page": ({"status": 502, "text": "<html>KEY", "content_type": "text/html"}, 502, False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_done_to_the_requests_it_is_meant_for(server: StrictServer, name: str) -> None:
    fault, status, changed = FAULTS[name]
    server.reset(faults=[fault | {"keys": ["a@example.com"], "attempts": 1}])
    assert Wire(server).ask("/contacts/a%40example.com")[0] == status
    assert ("a@example.com" in server.contacts) is changed
    assert Wire(server).ask("/contacts/b%40example.com")[0] == 201
    assert Wire(server).ask("/contacts/a%40example.com")[0] == (200 if changed else 201)


def test_a_lookup_changes_nothing_and_has_faults_of_its_own(server: StrictServer) -> None:
    server.reset(faults=[{"nth": [2, 2], "status": 409}, {"method": "GET", "nth": [2, 2], "status": 502}])
    wire, target = Wire(server), "/contacts/a%40example.com"

    def look_up() -> tuple[int, bytes]:
        wire.send(target, b"", method="GET", headers=AUTHORIZATION)
        status, _, content = wire.answer()
        return status, content

    assert look_up()[0] == 404
    assert wire.ask(target, {"_name": "Ana"})[0] == 201
    assert look_up()[0] == 502
    status, content = look_up()
    assert (status, json.loads(content)["_name"]) == (200, "Ana")
    assert wire.ask(target, {"_name": "Eva"})[0] == 409
    assert server.contacts == {"a@example.com": {"_name": "Ana"}}
    assert [(entry["method"], "body" in entry) for entry in server.log] == [
        ("GET", False),
        ("PATCH", True),
        ("GET", False),
        ("GET", False),
        ("PATCH", True),
    ]


def test_the_log_has_what_a_contact_held_when_somebody_else_changes_it(server: StrictServer) -> None:
    lost = {"nth": [2, 2], "drop": "after"}
    server.reset(log_states=True, faults=[lost, {"nth": [3, 3], "status": 503}], created_with={"tier": "new"})
    wire, target = Wire(server), "/contacts/a%40example.com"
    wire.ask(target, {"_name": "Ana"})
    server.change_contacts({"a@example.com": {"_name": "Eva", "tier": None}, "b@example.com": {"_name": "Bea"}})
    wire.ask(target, {"_points": 1})
    wire = Wire(server)
    wire.ask(target, {"_points": 2})
    wire.send(target, b"", method="GET", headers=AUTHORIZATION)
    wire.answer()
    server.change_contacts({"a@example.com": None})
    ana, eva = {"tier": "new", "_name": "Ana"}, {"_name": "Eva"}
    assert server.contacts == {"b@example.com": {"_name": "Bea"}}
    names = ("before", "after", "applied", "is_shown", "status")
    assert [tuple(entry[name] for name in names) for entry in server.take_log()] == [
        (None, ana, {"_name": "Ana"}, True, 201),
        (eva, eva | {"_points": 1}, {"_points": 1}, False, 0),
        (eva | {"_points": 1}, eva | {"_points": 1}, None, False, 503),
        (eva | {"_points": 1}, eva | {"_points": 1}, None, True, 200),
    ]
    assert server.log == []


def test_a_hanging_request_stays_in_flight_until_the_client_leaves(server: StrictServer) -> None:
    server.reset(faults=[{"hang": "after", "nth": [2, 2]}])
    assert Wire(server).ask("/contacts/a%40example.com")[0] == 201
    wire = Wire(server)
    wire.send("/contacts/b%40example.com", b"{}")
    until(lambda: server.in_flight == 1)
    wire.file.close()
    wire.socket.close()
    until(lambda: server.in_flight == 0)
    assert [entry["status"] for entry in server.log] == [201, 0]


def test_it_carries_more_than_the_client_can_send(server: StrictServer) -> None:
    def ask(name: str) -> None:
        wire = Wire(server)
        for n in range(750):
            wire.ask(f"/contacts/{name}{n}%40example.com", {"visits": n})

    began_at = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, "abcd"))
    assert len(server.contacts) == 3000
    assert time.monotonic() - began_at < 10


def test_requests_of_a_client_that_is_gone_are_none_of_the_next_test(server: StrictServer) -> None:
    commands, pid = server._process.stdin, server._process.pid
    assert commands is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        for n in range(4):
            late = Wire(server)
            late.send(f"/contacts/user{n}@example.com", b"{}")
            late.socket.close()
        commands.write(json.dumps(["reset", DEFAULTS]) + "\n")
        commands.flush()
    finally:
        os.kill(pid, signal.SIGCONT)
    server._line()
    assert server.requests == 0
    assert server.log == []
