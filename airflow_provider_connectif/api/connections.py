"""Connections that wait for an answer's head only so long, and print nothing."""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _Deadline(io.RawIOBase):
    """What comes out of a socket, until a moment at the latest.

    A socket's own timeout begins anew with each byte: a head that trickles in, or one "100 Continue" after the
    other, would never end.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, within_s: float) -> None:
        self._raw, self._sock, self._within_s = raw, sock, within_s
        self._until: float | None = time.monotonic() + within_s

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def end(self) -> None:
        """The head is complete; what follows has the deadline of who reads it."""
        self._until = None
        self._sock.settimeout(self._within_s)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose head must be complete within the timeout for its first byte."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        within_s = sock.gettimeout()
        self._deadline: _Deadline | None = None
        if within_s is not None:
            self._deadline = _Deadline(self.fp.detach(), sock, within_s)
            self.fp = io.BufferedReader(self._deadline)

    def begin(self) -> None:
        super().begin()
        if self._deadline is not None and not self._deadline.closed:
            self._deadline.end()


class _Connection(HTTPConnection):
    response_class = _Response
    # Of its own: with ``http.client.HTTPConnection.debuglevel = 1``, the usual switch for a look at requests, heads
    # are printed to standard output, the API key among them, past every logger and every mask.
    debuglevel = 0


class _TlsConnection(HTTPSConnection):
    response_class = _Response
    debuglevel = 0


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class Adapter(HTTPAdapter):
    """As requests' own, with these connections, also through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Called by the constructor."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Called for each request that goes by a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
