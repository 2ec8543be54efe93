"""A PostgreSQL that takes the first message of Redshift's driver: a relay that leaves out what only Redshift knows."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

_KNOWN_TO_POSTGRES = (b"user", b"database", b"application_name", b"client_encoding")


class StartupRelay:
    """Relays connections to a PostgreSQL.

    :param target: the path of its socket.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []

    @contextlib.contextmanager
    def serving(self) -> Iterator[StartupRelay]:
        """Relay while the block runs."""
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.cut()
            thread.join(5)

    def cut(self) -> None:
        """End every connection at once."""
        for side in self._sockets:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            self._sockets += [client, server]
            server.sendall(_without_redshift_s(_startup_of(client)))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _startup_of(client: socket.socket) -> bytes:
    size = struct.unpack("!I", client.recv(4, socket.MSG_WAITALL))[0]
    return client.recv(size - 4, socket.MSG_WAITALL)


def _without_redshift_s(message: bytes) -> bytes:
    version, texts = message[:4], message[4:].rstrip(b"\0").split(b"\0")
    kept = [
        text for pair in zip(texts[::2], texts[1::2], strict=False) if pair[0] in _KNOWN_TO_POSTGRES for text in pair
    ]
    body = version + b"".join(text + b"\0" for text in kept) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
