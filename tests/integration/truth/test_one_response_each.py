"""One request, one response: what is read for a request was sent for it, on bare sockets with pooled connections."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.errors import ConnectifHttpError, ErrorReportError, NoResponseError
from airflow_provider_connectif.api.quota import Quota
from tests.integration.conftest import FAST
from tests.support.journals import deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_in_airflow

Respond = Callable[[socket.socket, str, int], bool | None]
"""Gets the connection, the contact key and how often the connection was used before; ``False`` closes it."""


class KeepAliveServer:
    """Responds to request after request on each connection, with bytes that the test chooses."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.keys: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            stream = connection.makefile("rb")
            used = 0
            while line := stream.readline():
                length = 0
                while (header := stream.readline()) not in (b"\r\n", b""):
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                stream.read(length)
                key = unquote(line.split(b" ")[1].decode().rpartition("/")[2])
                self.keys.append(key)
                if self._respond(connection, key, used) is False:
                    return
                used += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def keeping_alive(respond: Respond) -> Iterator[KeepAliveServer]:
    server = KeepAliveServer(respond)
    try:
        yield server
    finally:
        server.close()


def message(status: int, body: bytes = b"", *headers: str, length: int | None = -1) -> bytes:
    """A response; ``length``: of its body, as it stands in the head (``None``: not at all)."""
    lines = [f"HTTP/1.1 {status} So", *headers]
    if length is not None:
        lines.append(f"Content-Length: {len(body) if length == -1 else length}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def contact(key: str) -> bytes:
    return json.dumps({"id": "1", "_email": key}).encode()


def refusal(status: int = 422) -> bytes:
    return json.dumps({"status": status, "title": "Unprocessable entity", "detail": "no"}).encode()


def client(server: KeepAliveServer, **more: Any) -> ConnectifClient:
    return ConnectifClient(ApiKey("id", "secret"), server.url, read_timeout=2.0, quota=Quota(FAST), **more)


def outcome(sender: ConnectifClient, key: str) -> str:
    """The status of a PATCH, and whose contact the response showed."""
    try:
        answer = sender.patch_contact(key, {})
    except ConnectifHttpError as error:
        return str(error.status)
    except NoResponseError:
        return "none"
    shown = answer.body.get("_email") if isinstance(answer.body, dict) else None
    return f"{answer.status} {shown}"


# Interim responses (1xx) come before the response. Taken for it, they end the run; and the response, left on the
# connection, is taken for that of the next contact: a rejected contact counts as updated.


@pytest.mark.slow
@pytest.mark.parametrize("interim", [[103], [102, 102], [100, 103, 102], [199] * 30])
def test_interim_responses_change_nothing(
    interim: list[int], request: pytest.FixtureRequest, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    journal = journal_database("sqlite", request)
    rejected = ["user1@example.com", "user4@example.com"]
    strict.reset(faults=[{"keys": rejected, "status": 422, "interim": interim}, {"interim": interim}])
    rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(6)]
    end = run_in_airflow(
        run_dag, rows=rows, max_in_flight=1, failure_budget=2, fields="builtin", journal_conn_id="journal"
    )
    assert end.state == "success"
    assert (end.summary["created"], end.summary["rejected"], end.summary["requests"]) == (4, 2, 6)
    assert journal.acknowledged() == {row["email"] for row in rows} - set(rejected)


@pytest.mark.parametrize("at_once", [True, False])
def test_the_response_after_an_interim_one_belongs_to_its_request(at_once: bool) -> None:
    def respond(connection: socket.socket, key: str, _: int) -> None:
        final = message(422, refusal()) if key == "bad@example.com" else message(200, contact(key))
        hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        if at_once:
            connection.sendall(hint + final)
        else:
            connection.sendall(hint)
            time.sleep(0.05)
            connection.sendall(final)

    with keeping_alive(respond) as server:
        sender = client(server)
        keys = ["a@example.com", "bad@example.com", "b@example.com"]
        assert [outcome(sender, key) for key in keys] == ["200 a@example.com", "422", "200 b@example.com"]
        assert server.connections == 1


def test_a_switch_of_protocols_is_no_response() -> None:
    def respond(connection: socket.socket, key: str, used: int) -> None:
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")
        connection.sendall(message(200, contact("other@example.com")))

    with keeping_alive(respond) as server:
        sender = client(server)
        assert [outcome(sender, key) for key in ("a@example.com", "b@example.com")] == ["none", "none"]


def test_interim_responses_without_an_end_have_one() -> None:
    def respond(connection: socket.socket, key: str, _: int) -> None:
        for _ in range(600):
            connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
            time.sleep(0.05)

    with keeping_alive(respond) as server:
        began_at = time.monotonic()
        assert outcome(client(server), "a@example.com") == "none"
        assert time.monotonic() - began_at < 20  # of the 30 that they would take


# A connection on which something is left must not be used again: the rest is taken for the next contact's response.

SURPLUS: dict[str, Callable[[str], list[bytes]]] = {
    "a length that is too short": lambda key: [
        message(200, contact(key) + message(422, refusal()), length=len(contact(key)))
    ],
    "a second response at once": lambda key: [message(200, contact(key)) + message(422, refusal())],
    "a 204 with a body": lambda key: [message(204, message(422, refusal()))],
    "a 204 with a body that comes later": lambda key: [message(204, length=500), message(422, refusal())],
    "a 204 with a chunked body": lambda key: [
        message(204, b"", "Transfer-Encoding: chunked", length=None),
        b"5\r\nabcde\r\n0\r\n\r\n" + message(422, refusal()),
    ],
    "a 304 with a body": lambda key: [message(304, length=500), message(422, refusal())],
    "chunks with something behind": lambda key: [
        message(200, b"2\r\n{}\r\n0\r\n\r\n" + message(422, refusal()), "Transfer-Encoding: chunked", length=None)
    ],
    "a body that is too large": lambda key: [message(200, b'"' + b"x" * 9_000_000 + b'"') + message(422, refusal())],
    "an encoding that nobody asked for": lambda key: [
        message(200, contact(key), "Content-Encoding: br") + message(422, refusal())
    ],
    "two lengths": lambda key: [message(200, contact(key), "Content-Length: 2") + message(422, refusal())],
    "a body that is no JSON": lambda key: [message(200, b"<html>") + message(422, refusal())],
}


@pytest.mark.parametrize("kind", SURPLUS)
def test_nothing_that_was_left_on_a_connection_is_read_for_a_later_request(kind: str) -> None:
    def respond(connection: socket.socket, key: str, used: int) -> None:
        parts = SURPLUS[kind](key) if key == "odd@example.com" else [message(200, contact(key))]
        for part in parts:
            connection.sendall(part)
            time.sleep(0.05 if len(parts) > 1 else 0)

    with keeping_alive(respond) as server:
        sender = client(server)
        outcome(sender, "odd@example.com")
        # At once, so that the rest may still be on its way.
        assert [outcome(sender, f"{n}@example.com") for n in range(5)] == [f"200 {n}@example.com" for n in range(5)]


def test_a_well_behaved_connection_is_kept() -> None:
    bodies = iter(
        [
            message(200, contact("k")),
            message(200, b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked", length=None),
            message(204, length=None),
            message(204),
            message(201, gzip.compress(b"{}"), "Content-Encoding: gzip"),
            message(200, gzip.compress(b""), "Content-Encoding: gzip"),
            message(200, zlib.compress(b"{}"), "Content-Encoding: deflate"),
            message(200, zlib.compress(b"{}")[2:-4], "Content-Encoding: deflate"),
            message(422, refusal()),
            message(400),
            message(200),
        ]
    )
    with keeping_alive(lambda connection, *_: connection.sendall(next(bodies))) as server:
        sender = client(server)
        assert [outcome(sender, "k")[:3] for _ in range(11)] == [
            *("200", "200", "204", "204", "201", "200", "200", "200", "422", "400", "200")
        ]
        assert server.connections == 1


# A response that did not come whole is none.

_GZIP = "Content-Encoding: gzip"
CUT_OFF: dict[str, bytes] = {
    "a length that is too long": message(200, b"{}", length=20),
    "a chunk cut off": message(200, b"20\r\n{}", "Transfer-Encoding: chunked", length=None),
    "chunks without an end": message(200, b"2\r\n{}\r\n", "Transfer-Encoding: chunked", length=None),
    "a body without a length, cut off": message(200, b'{"_email": "a@exa', length=None),
    "HTTP/1.0, cut off": b'HTTP/1.0 200 OK\r\n\r\n{"_email": ',
    "gzip cut off": message(200, gzip.compress(contact("a@example.com") * 50)[:40], _GZIP),
    "gzip cut off before any content": message(200, gzip.compress(contact("a@example.com"))[:10], _GZIP),
    "gzip cut off before its end": message(200, gzip.compress(contact("a@example.com"))[:-4], _GZIP),
    "deflate cut off": message(200, zlib.compress(contact("a@example.com"))[:2], "Content-Encoding: deflate"),
    "not packed as it says": message(200, contact("a@example.com"), _GZIP),
    "a head cut off": b"HTTP/1.1 200 OK\r\nX-A",
    "two hundred headers": message(200, b"{}", *[f"X-{n}: {n}" for n in range(200)]),
    "a header of 100 KB": message(200, b"{}", "X-Long: " + "x" * 100_000),
    "no HTTP": b"220 smtp ready\r\n",
}


@pytest.mark.parametrize("kind", CUT_OFF)
def test_a_response_that_is_not_whole_is_none(kind: str) -> None:
    def respond(connection: socket.socket, key: str, _: int) -> bool:
        connection.sendall(CUT_OFF[kind] if key == "odd@example.com" else message(200, contact(key)))
        return key != "odd@example.com"

    with keeping_alive(respond) as server:
        sender = client(server)
        assert [outcome(sender, key) for key in ("odd@example.com", "b@example.com")] == ["none", "200 b@example.com"]


# The same through a whole run: a proxy that repeats its last response on the connection mixes up contacts for good.


def test_a_proxy_that_mixes_up_responses_does_not_get_a_rejected_contact_acknowledged(
    request: pytest.FixtureRequest, connection: Callable[..., None], airflow_db: None
) -> None:
    journal = journal_database("sqlite", request)

    def respond(stream: socket.socket, key: str, used: int) -> None:
        # The response to "bad" comes twice, the second time in the place of the next one's.
        if key == "user1@example.com":
            stream.sendall(message(422, refusal()))
            time.sleep(0.02)
        else:
            stream.sendall(message(200, contact(key)))
            time.sleep(0.02)
            stream.sendall(message(200, contact(key)))

    with keeping_alive(respond) as server:
        connection(
            "connectif_default",
            conn_type="connectif",
            host=server.url,
            password="id:secret",
            extra={"requests_per_minute": FAST, "timeout": 2},
        )
        rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(4)]
        end = deliver("night", rows=rows, max_in_flight=1, failure_budget=1)
    assert (end.state, end.summary["rejected"], end.summary["updated"]) == ("success", 1, 3)
    assert journal.acknowledged() == {"user0@example.com", "user2@example.com", "user3@example.com"}


# An error report: the same connections, and a report that is too large is left alone on its connection.


def test_an_interim_response_before_an_error_report_is_no_report() -> None:
    def respond(connection: socket.socket, key: str, _: int) -> None:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.02)
        connection.sendall(message(200, b"email,error\r\n"))

    with keeping_alive(respond) as server:
        sink = io.BytesIO()
        client(server).download_error_report(f"{server.url}/report.csv", sink)
        assert sink.getvalue() == b"email,error\r\n"


def test_a_report_that_is_too_large_leaves_no_open_connection() -> None:
    closed = threading.Event()

    def respond(connection: socket.socket, key: str, _: int) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(message(200, b"x" * 1000, length=10**9))
            if connection.recv(1) == b"":
                closed.set()

    with keeping_alive(respond) as server:
        with pytest.raises(ErrorReportError, match="larger"):
            client(server).download_error_report(f"{server.url}/report.csv", io.BytesIO(), max_bytes=10)
        assert closed.wait(5)
