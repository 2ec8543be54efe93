"""A database that is asked over HTTP, as Trino and others are, whose cursor expires when nobody fetches from it.

The server side runs in a thread of the test's process; :class:`Connection` is the driver (PEP 249).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.local_http import LocalHttpServer


class Error(Exception):
    """The base class of a driver's errors."""


class OperationalError(Error):
    """The server has refused."""


class _Handler(BaseHTTPRequestHandler):
    server: HttpDatabase

    def do_POST(self) -> None:
        self.server.open()
        self.respond(200, {"columns": self.server.columns})

    def do_GET(self) -> None:
        rows = self.server.fetch(int(self.path.rpartition("=")[2]))
        self.respond(410 if rows is None else 200, {"rows": rows})

    def do_DELETE(self) -> None:
        self.server.close_cursor()
        self.respond(200, {})

    def respond(self, status: int, document: dict[str, Any]) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing of it is wanted."""


class HttpDatabase(LocalHttpServer):
    """One query at a time.

    :param columns: of its result.
    :param rows: of its result.
    :param expires_s: for how long a cursor lives without a fetch.
    """

    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], expires_s: float) -> None:
        super().__init__(_Handler)
        self.columns = columns
        self._rows = rows
        self._expires_s = expires_s
        self._fetched: int | None = None
        self._fetched_at = 0.0

    def open(self) -> None:
        self._fetched, self._fetched_at = 0, time.monotonic()

    def fetch(self, count: int) -> Sequence[Any] | None:
        """The next rows; ``None`` where there is no cursor."""
        if not self.has_cursor or self._fetched is None:
            return None
        rows = self._rows[self._fetched : self._fetched + count]
        self._fetched, self._fetched_at = self._fetched + count, time.monotonic()
        return rows

    def close_cursor(self) -> None:
        self._fetched = None

    @property
    def has_cursor(self) -> bool:
        """Whether a cursor is open and has not expired."""
        return self._fetched is not None and time.monotonic() - self._fetched_at < self._expires_s


class Connection:
    """A connection of the driver, and its one cursor.

    :param port: of the server on this machine.
    """

    description: Sequence[Sequence[Any]] | None = None

    def __init__(self, port: int) -> None:
        self._port = port

    def cursor(self) -> Connection:
        return self

    def execute(self, _: str) -> None:
        self.description = [(name, *[None] * 6) for name in self._ask("POST")["columns"]]

    def fetchmany(self, count: int) -> list[Any]:
        return [tuple(row) for row in self._ask("GET", f"/?rows={count}")["rows"]]

    def close(self) -> None:
        self._ask("DELETE")

    def _ask(self, method: str, path: str = "/") -> Any:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request(method, path)
            response = connection.getresponse()
            content = response.read()
        if response.status != 200:
            raise OperationalError(f"the cursor is gone ({response.status})")
        return json.loads(content)
