"""A second resource, to show that no stage knows contacts: things, by ``PUT /things/{id}``, and their own server.

A thing is what ``docs/architecture.md`` describes: not idempotent, without an import. Nothing of the package was
changed for it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from airflow_provider_connectif.api.client import path_segment
from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.operators.requests import RequestOperator
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import InvalidRow, Row

API_KEY = "things-key-id:things-key-secret"


class ThingResource(Resource):
    """Things with a size."""

    noun = "thing"
    method = "PUT"
    scope = "Things: Write"
    is_idempotent = False

    def __init__(self, size_column: str = "size") -> None:
        self.key_column = "id"
        self.size_column = size_column

    @property
    def columns(self) -> Sequence[str]:
        return (self.key_column, self.size_column)

    @property
    def definition(self) -> tuple[object, ...]:
        return ("thing", self.size_column)

    def describe(self) -> str:
        return f'things by column "{self.key_column}", size from column "{self.size_column}"'

    def check(self, columns: Sequence[Any] | None = None) -> None:
        missing = [column for column in self.columns if columns is not None and column not in columns]
        if missing:
            raise RunFailed(f"no column {', '.join(missing)}", final=True)

    def key_of(self, row: Row) -> str | None:
        key = row.get(self.key_column)
        return key if isinstance(key, str) and key.isalnum() else None

    def prepare(self, number: int, row: Row) -> Patch:
        key, size = self.key_of(row), row.get(self.size_column)
        if key is None or not isinstance(size, int):
            raise InvalidRow([f'column "{self.key_column if key is None else self.size_column}" does not fit'])
        return Patch(number, key, {"size": size}, row)

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Response:
        path = f"/things/{path_segment(change.key)}"
        return client.send("PUT", path, change.properties, on_fresh_connection=on_fresh_connection)


class ThingOperator(RequestOperator):
    """Puts a thing for each row that changed."""

    def __init__(self, *, size_column: str = "size", **kwargs: Any) -> None:
        self.size_column = size_column
        super().__init__(**kwargs)

    def make_resource(self) -> ThingResource:
        return ThingResource(self.size_column)


class ThingServer(ThreadingHTTPServer):
    """Takes things and remembers every request.

    :attr:`things`: sizes by id. :attr:`puts`: the id of each request that the window let pass, in their order.
    :attr:`faults`: by id, what happens to its next requests, in turn: a status, or ``lost`` (carried out without a
    response), ``hangs`` (likewise, until the client leaves). :attr:`limit`: requests in a window of
    :attr:`window_s`; 0: no limit.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.lock = threading.Lock()
        self.things: dict[str, int] = {}
        self.puts: list[str] = []
        self.faults: dict[str, list[int | str]] = {}
        self.limit, self.window_s = 0, 60.0
        self.is_over = threading.Event()
        self._window_began, self._in_window = 0.0, 0

    def connection(self, **extra: Any) -> dict[str, Any]:
        """The fields of an Airflow connection to it."""
        return {"conn_type": "connectif", "host": self.url, "password": API_KEY, "extra": {"timeout": 2, **extra}}

    def rate_headers(self) -> tuple[bool, Mapping[str, str]]:
        """Whether the window lets a request pass, and the headers of its response."""
        if not self.limit:
            return True, {}
        now = time.monotonic()
        if now - self._window_began >= self.window_s:
            self._window_began, self._in_window = now, 0
        passes = self._in_window < self.limit
        self._in_window += passes
        left = self._window_began + self.window_s - now
        remaining = self.limit - self._in_window
        return passes, {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": f"{left:.3f}",
        }

    def handle_error(self, *_: Any) -> None:
        """A client that leaves is what some tests are about."""


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ThingServer

    def do_PUT(self) -> None:
        server, key = self.server, self.path.rpartition("/")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == f"/things/{key}", self.path
        with server.lock:
            passes, headers = server.rate_headers()
            if not passes:
                self._reply(429, {}, headers)
                return
            server.puts.append(key)
            turns = server.faults.get(key, [])
            fault = turns.pop(0) if turns else 200
            is_new = key not in server.things
            if not isinstance(fault, int) or fault < 300:
                server.things[key] = body["size"]
        if fault == "hangs":
            server.is_over.wait(60)
        if not isinstance(fault, int):
            self.close_connection = True
            return
        status = 201 if fault == 200 and is_new else fault
        shown = {"status": status, "title": "No"} if status >= 300 else {"id": key, "size": body["size"]}
        self._reply(status, shown, {"Retry-After": "0", **headers} if status == 429 else headers)

    def _reply(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving_things() -> Iterator[ThingServer]:
    """Serve until the end of the block."""
    server = ThingServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
