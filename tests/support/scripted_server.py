"""A small HTTP server whose responses come from a function of the test: for one client, not for a whole run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Seen:
    """A request: its head, and its body as far as it was read."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class Exchange(BaseHTTPRequestHandler):
    """One request in the hands of the test."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_GET(self) -> None:
        self.seen = Seen(self.command, self.path, {name.lower(): value for name, value in self.headers.items()})
        self.server.seen.append(self.seen)
        self.server.script(self)

    do_POST = do_DELETE = do_PATCH = do_GET

    @property
    def length(self) -> int:
        return int(self.headers.get("Content-Length", 0))

    def take(self, most: int | None = None, keep: bool = True) -> int:
        """Read the body, or ``most`` bytes of it, in parts; how many bytes came."""
        left = taken = self.length if most is None else most
        while left > 0 and (part := self.rfile.read1(min(left, 65536))):
            left -= len(part)
            if keep:
                self.seen.body += part
        return taken - left

    def reply(self, status: int, body: Any = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(content))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass
class ScriptedServer(ThreadingHTTPServer):
    """``seen`` has every request, in the order of their coming."""

    script: Callable[[Exchange], None]
    seen: list[Seen] = field(default_factory=list)
    daemon_threads = True

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """A client that leaves is what some tests are about."""


@contextmanager
def serving(script: Callable[[Exchange], None]) -> Iterator[ScriptedServer]:
    """Serve until the end of the block."""
    server = ScriptedServer(script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
