"""A server that sends exactly the bytes that a test chooses, and a client that takes it for Connectif."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.quota import Quota

KEY_ID, SECRET = "threat-key-id", "threat-key-secret"
KEY = ApiKey(KEY_ID, SECRET)
EMAIL = "joerg.quittenbaum@privat.example"

Script = Callable[[socket.socket, bytes], None]


@dataclass
class Hostile:
    """``requests`` are heads and bodies as they arrived."""

    url: str
    requests: list[bytes] = field(default_factory=list)


def http(status: int = 200, body: bytes = b"{}", *headers: str) -> bytes:
    """Return a whole response."""
    lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def always(answer: bytes) -> Script:
    return lambda connection, _: connection.sendall(answer)


@contextmanager
def serving(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """A server on this machine until the end of the block; each request has a connection of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Hostile(f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}")

    def answer(connection: socket.socket) -> None:
        # A client that leaves is what these tests are about.
        with contextlib.suppress(OSError), connection:
            stream = tls.wrap_socket(connection, server_side=True) if tls else connection
            request = _request(stream)
            server.requests.append(request)
            script(stream, request)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def client(server: Hostile, read_timeout: float = 5.0) -> ConnectifClient:
    return ConnectifClient(KEY, server.url, read_timeout=read_timeout, quota=Quota(1_000_000))


def target(request: bytes) -> str:
    """What the request line asks for."""
    return request.split(b" ", 2)[1].decode()


def _request(stream: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        part = stream.recv(65536)
        if not part:
            return received
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length and (part := stream.recv(65536)):
        body += part
    return head + b"\r\n\r\n" + body
