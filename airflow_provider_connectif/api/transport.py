"""Sends one request through the quota and reads its response; every endpoint uses it."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol
from urllib.parse import SplitResult

import requests
import urllib3.exceptions

from airflow_provider_connectif.api.bodies import decoded_json, describe_body, hides_an_error, http_error
from airflow_provider_connectif.api.connections import Adapter
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.decoding import pieces_of
from airflow_provider_connectif.api.errors import (
    NoResponseError,
    NotConnectifError,
    describe_status,
)
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.rate_headers import RateSignal, read_rate_headers
from airflow_provider_connectif.api.response import Answer as Answer
from airflow_provider_connectif.api.response import IsOwn, Response
from airflow_provider_connectif.api.session import KeyScrubber, Session, open_session

LARGEST_BODY = 8 * 1024 * 1024
"""The largest response body, in bytes. Documented bodies are much smaller; an endless one must not fill the memory."""
_ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")

# All errors that requests, urllib3 and http.client raise for a broken connection or response.
TRANSPORT_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


@dataclass(frozen=True)
class Timeouts:
    """The time limits of one request, in seconds.

    :param connect: for opening the connection; when a file is sent, also for each part of it.
    :param read: until the response begins, and again until it is complete.
    """

    connect: float
    read: float


class Body(Protocol):
    """A body that is read while it is sent, in the form of ``requests``."""

    @property
    def len(self) -> int:
        """Number of bytes that are left."""

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; none at the end."""


class Transport:
    """Sends requests with one key to one address, each once and paced by a quota. Threads may share it.

    :param key: sent to ``base_url`` and nowhere else: redirects are not followed.
    :param timeouts: the timeouts of requests that have none of their own.
    :param verify: ``True``, ``False``, or the path of a CA bundle.
    :param connections: number of connections to keep open.
    """

    def __init__(
        self, key: ApiKey, base_url: str, *, timeouts: Timeouts, quota: Quota, verify: bool | str, connections: int
    ) -> None:
        self.base_url = base_url
        self.quota = quota
        self.verify = verify
        self._timeouts = timeouts
        self._open_session = partial(open_session, key, base_url, verify)
        self._session = self._open_session(connections)
        self._without_key = KeyScrubber(key)

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def abort(self) -> None:
        """Close the connections, including those that other threads use: their requests get no response.

        No further request is sent. A connection that is still being opened ends at ``timeouts.connect``; requests
        outside the pool (on a new connection, for an error report) end by their own timeouts.
        """
        self.quota.close()
        for adapter in self._session.adapters.values():
            if isinstance(adapter, Adapter):
                adapter.abort()
        self.close()

    def get_object(self, path: str) -> Mapping[str, Any]:
        """``GET`` a JSON object.

        :raises NotConnectifError: there is no body, or it is not a JSON object, or it is an error document.
        """
        body = self.request("GET", path, read_body=True, only_objects=True).body
        if not isinstance(body, Mapping):
            raise NotConnectifError("the response has no body")
        return body

    def send_object(
        self, method: str, path: str, body: bytes, *, is_own: IsOwn = lambda _: True, on_fresh_connection: bool = False
    ) -> Response:
        """Send a JSON body; the response must have a JSON object, or no body.

        :param is_own: decides whether the response's object belongs to this request.
        :param on_fresh_connection: use none of the pooled connections.
        :raises NotConnectifError: a 2xx with any other body.
        """
        if on_fresh_connection:
            with closing(self._open_session(1)) as session:
                return self.request(
                    method, path, body=body, read_body=True, only_objects=True, is_own=is_own, session=session
                )
        return self.request(method, path, body=body, read_body=True, only_objects=True, is_own=is_own)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Body | None = None,
        content_type: str = "application/json",
        read_body: bool = False,
        only_objects: bool = False,
        is_own: IsOwn = lambda _: True,
        timeouts: Timeouts | None = None,
        session: Session | None = None,
    ) -> Response:
        """Send one request when the quota allows it, and wait for the whole response.

        :param path: below the base URL, encoded.
        :param body: bytes, or a stream whose ``read`` may raise :class:`RunStopped` to end the request.
        :param read_body: decode the response's JSON; ``Response.body`` is ``None`` if it is not JSON.
        :param only_objects: a 2xx must have a JSON object that is not an error document, or no body.
        :param is_own: decides whether the decoded body of a 2xx is the response to this request.
        :param session: replaces the pooled one.
        :raises NotConnectifError: with ``only_objects``, a 2xx with another body.
        :raises ConnectifHttpError: the subclass of the status.
        :raises NoResponseError: no complete response; the request may or may not have been carried out.
        :raises RunStopped: the run must stop; the request waited for the window, and was not sent.
        """
        patience = timeouts or self._timeouts
        sent_at = self.quota.acquire()
        signal: RateSignal | None = None
        status = 0
        failure, was_sent = "", True
        decoded: Any = None
        is_odd = is_another = False
        try:
            with (session or self._session).send_once(
                method,
                self.base_url + path,
                {} if body is None else {"Content-Type": content_type},
                body,
                (patience.connect, patience.read),
            ) as response:
                status = response.status_code
                signal = read_rate_headers(response.headers, time.time())
                # The connection stays out of the pool until this response is known to be the right one: otherwise the
                # next request on it would read the rest of a wrong response.
                raw: Any = response.raw
                release, raw.release_conn = raw.release_conn, _not_yet
                content = _read(response, patience.read)
                if 200 <= status < 300:
                    decoded = decoded_json(content) if read_body else None
                    is_object = isinstance(decoded, Mapping) and not hides_an_error(decoded)
                    is_odd = only_objects and bool(content.strip()) and not is_object
                    is_another = not is_odd and not is_own(decoded)
                if not (is_odd or is_another):
                    release()
        except TRANSPORT_ERRORS as error:
            failure = describe_failure(error, patience)
            was_sent = not is_without_connection(error)
        finally:
            self.quota.release(sent_at, signal, refused=status == 429)
        # Raised outside the handler: otherwise its context would be the transport's exception, whose text has the URL
        # and so the contact key.
        if failure:
            raise NoResponseError(failure, was_sent=was_sent)
        if not 200 <= status < 300:
            raise http_error(status, content, signal, self._without_key)
        if is_odd:
            words = describe_body(content, decoded)
            raise NotConnectifError(
                f"{describe_status(status)} with {words}: the response is not a JSON object of Connectif's"
            )
        return Response(status, decoded, not is_another)


def _not_yet() -> None:
    """Replaces a response's ``release_conn`` until the connection may go back to the pool."""


def check_encoding(response: requests.Response) -> None:
    """Refuse a response that is compressed more than once, or in a way that cannot be decompressed piece by piece.

    No compression was requested. One layer of gzip can turn a byte into a thousand, two layers into a million: a piece
    of 64 KB could become 64 GB before it is counted.

    :raises requests.exceptions.ContentDecodingError: the response has such an encoding.
    """
    if response.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS:
        raise requests.exceptions.ContentDecodingError("an encoding that was not asked for")


def _read(response: requests.Response, within_s: float) -> bytes:
    check_encoding(response)
    content = bytearray()
    deadline = time.monotonic() + within_s
    # Piece by piece: a plain read would wait for the end of a response that arrives slowly.
    for piece in pieces_of(response):
        content += piece
        if len(content) > LARGEST_BODY:
            raise requests.ConnectionError(f"response larger than {LARGEST_BODY} bytes")
        if time.monotonic() > deadline:
            raise requests.ReadTimeout
    return bytes(content)


def describe_failure(error: Exception, timeouts: Timeouts) -> str:
    """Describe a transport error without its own text, which has the URL and so the contact key."""
    for kind, words in (
        (requests.exceptions.ConnectTimeout, f"no connection within {timeouts.connect:g} s"),
        (requests.exceptions.SSLError, "the TLS certificate was not accepted"),
        (requests.exceptions.ProxyError, "the proxy refused or failed"),
        (requests.exceptions.Timeout, f"no response within {timeouts.read:g} s"),
        (requests.exceptions.ContentDecodingError, "the response could not be decoded"),
        (urllib3.exceptions.DecodeError, "the response could not be decoded"),
    ):
        if isinstance(error, kind):
            return words
    causes = repr(error)
    for mark, words in (
        ("NewConnectionError", "the connection was refused"),
        ("NameResolutionError", "the host name was not found"),
        ("Read timed out", f"no response within {timeouts.read:g} s"),
    ):
        if mark in causes:
            return words
    return "the connection broke"


def is_without_connection(error: Exception) -> bool:
    """Whether a transport error means that there was no connection, so that nothing of the request was sent."""
    # Not every ProxyError: urllib3 also raises it if a tunnel breaks after the request was sent.
    marks = ("NewConnectionError", "NameResolutionError", "CERTIFICATE_VERIFY_FAILED", "Tunnel connection failed")
    return isinstance(error, requests.exceptions.ConnectTimeout) or any(mark in repr(error) for mark in marks)


def origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port. A missing port is the scheme's default; an invalid one is -1."""
    try:
        port = url.port
    except ValueError:
        port = -1
    return url.scheme, url.hostname, port or {"https": 443, "http": 80}.get(url.scheme)
