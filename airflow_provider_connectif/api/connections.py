"""Connections that read exactly one response to each request, limit the time for its head, and print nothing.

Another thread can end the running requests, see :meth:`Adapter.abort`.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import threading
import time
import weakref
from functools import partial
from http import HTTPStatus
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


def give_up(sock: Any) -> None:
    """Make a connection unusable for later requests: the pool finds it closed and opens another.

    This is harmless if the connection is already closed. It is safe while another thread uses the connection: that
    thread's request ends without a response.
    """
    with contextlib.suppress(OSError):
        if hasattr(sock, "shutdown"):
            sock.shutdown(socket.SHUT_RDWR)
        else:  # urllib3's TLS inside TLS, to a proxy
            sock.close()


class _Deadline(io.RawIOBase):
    """Bytes read from a socket, up to a deadline.

    A socket's own timeout restarts with each byte: a head that trickles in, or an endless series of
    "100 Continue", would never end.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, within_s: float | None) -> None:
        self._raw, self._sock, self._within_s = raw, sock, within_s
        self._until: float | None = None if within_s is None else time.monotonic() + within_s
        self._is_over = False
        self.has_ended = False
        """Whether the other side has closed the connection."""

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        if self._is_over:
            return 0
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        self.has_ended = self.has_ended or count == 0
        return count

    def end(self) -> None:
        """End the deadline: the head is complete, and the reader of the body has a deadline of its own."""
        self._until = None
        self._sock.settimeout(self._within_s)

    def give_up_connection(self) -> None:
        """Make the connection unusable for later requests."""
        give_up(self._sock)

    def stop(self) -> None:
        """Read nothing more from the socket; bytes that were read ahead can still be inspected."""
        self._is_over = True

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """The final response to a request.

    Its head must be complete within the timeout for its first byte. Interim responses (1xx, RFC 9110, 15.2) are
    skipped. A connection that has received more bytes than this response is not used again: the next request on it
    would take the rest for its response.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._deadline = _Deadline(self.fp.detach(), sock, sock.gettimeout())
        self.fp = io.BufferedReader(self._deadline)

    def begin(self) -> None:
        super().begin()
        if self._deadline.has_ended:
            # The standard library would treat the end of the connection as the end of the head, and then as an empty
            # body.
            raise http.client.IncompleteRead(b"")
        if not self._deadline.closed:
            self._deadline.end()
        if self.length == 0 and self._announces_a_body():
            # A 204 with a body: the body is not read, and may still arrive.
            self._deadline.give_up_connection()

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]  # http.client has it, its stubs do not
            if not 100 <= status < 200:
                return version, status, reason
            if status == HTTPStatus.SWITCHING_PROTOCOLS:
                # No other protocol was requested, so the following bytes are not HTTP.
                raise http.client.BadStatusLine("101")
            http.client.parse_headers(self.fp)

    def _close_conn(self) -> None:
        # Called at the end of the body, and when the response is abandoned.
        if self.fp is not None and not self._deadline.closed:
            self._deadline.stop()
            if self.fp.peek(1):
                self._deadline.give_up_connection()
        super()._close_conn()  # type: ignore[misc]  # likewise

    def _announces_a_body(self) -> bool:
        if self.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            return False
        return self.headers.get("Content-Length", "0").strip() != "0" or "Transfer-Encoding" in self.headers


class _Abortable:
    """A connection that another thread can end, also while it is being opened."""

    sock: Any
    _is_aborted = False

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # of the connection that this is mixed into
        if self._is_aborted:
            give_up(self.sock)

    def abort(self) -> None:
        self._is_aborted = True
        if self.sock is not None:
            give_up(self.sock)


class _Connection(_Abortable, HTTPConnection):
    response_class = _Response
    # Its own attribute: with ``http.client.HTTPConnection.debuglevel = 1``, the usual switch for debugging requests,
    # heads would be printed to standard output with the API key, past every logger and every mask.
    debuglevel = 0


class _TlsConnection(_Abortable, HTTPSConnection):
    response_class = _Response
    debuglevel = 0


class _Connections:
    """The connections of an adapter, including those in use, which urllib3's pools do not track."""

    def __init__(self) -> None:
        self._known: weakref.WeakSet[_Abortable] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._is_aborted = False

    def add(self, connection: _Abortable) -> None:
        with self._guard:
            self._known.add(connection)
            if self._is_aborted:
                connection.abort()

    def abort(self) -> None:
        with self._guard:
            self._is_aborted = True
            for connection in self._known:
                connection.abort()


class _Registering:
    """A pool that registers its connections."""

    def __init__(self, connections: _Connections, *args: Any, **kwargs: Any) -> None:
        self._connections = connections
        super().__init__(*args, **kwargs)

    def _new_conn(self) -> Any:
        connection = super()._new_conn()  # type: ignore[misc]  # of the pool that this is mixed into
        self._connections.add(connection)
        return connection


class _Pool(_Registering, HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(_Registering, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class Adapter(HTTPAdapter):
    """An adapter for ``requests`` that uses the connections of this module, also through a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools of this module's connections; the constructor of ``HTTPAdapter`` calls this."""
        super().init_poolmanager(*args, **kwargs)
        self._connections = _Connections()
        self._pools = {"http": partial(_Pool, self._connections), "https": partial(_TlsPool, self._connections)}
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Return the pools for a proxy; ``requests`` calls this for each request that goes through a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def abort(self) -> None:
        """End the requests of other threads, without a response, and let no later connection work. Final."""
        self._connections.abort()
