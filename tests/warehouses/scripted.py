"""Results that fake servers of warehouses give, by statement."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.local_http import LocalHttpServer

PAGE_ROWS = 1_000


@dataclass
class Result:
    """What a statement gives.

    :param columns: of the result, as the server's protocol describes them.
    :param rows: makes them, in the protocol's form.
    :param size: how many there are.
    :param error: of the statement, in the protocol's form; ``None``: it is right.
    :param dies_at: the page at which the server ends the connection without a response.
    """

    columns: Sequence[Any] = ()
    rows: Callable[[], Iterable[Any]] = tuple
    size: int = 0
    error: Mapping[str, Any] | None = None
    dies_at: int | None = None


class ScriptedServer(LocalHttpServer):
    """A server of HTTP that knows some statements.

    :param handler: speaks the protocol.
    """

    def __init__(self, handler: type[ScriptedHandler]) -> None:
        super().__init__(handler)
        self.results: dict[str, Result] = {}
        self.statements: list[str] = []
        self.turn = threading.Condition()
        self.open: dict[str, tuple[Result, Iterator[Any], int]] = {}

    def begin(self, sql: str) -> tuple[str, Result]:
        """A query begins: its id and result."""
        self.statements.append(sql)
        key = f"query_{len(self.statements)}"
        result = self.results[sql]
        self.open[key] = (result, iter(result.rows()), 0)
        return key, result

    def page(self, key: str) -> tuple[Result, list[Any], bool] | None:
        """The next page of a query, and whether another follows; ``None``: the server dies."""
        result, rows, number = self.open[key]
        if number == result.dies_at:
            return None
        page = list(itertools.islice(rows, PAGE_ROWS))
        self.open[key] = (result, rows, number + 1)
        return result, page, (number + 1) * PAGE_ROWS < result.size


class ScriptedHandler(BaseHTTPRequestHandler):
    """Responds with JSON."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def respond(self, document: Any, status: int = 200) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def die(self) -> None:
        """End the connection without a response."""
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: Any) -> None:
        """Nothing of it is wanted."""
