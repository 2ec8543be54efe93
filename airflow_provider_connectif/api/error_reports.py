"""Fetches the error report of an import: a file at its own address, which is not part of the API and gets no API
key.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import BinaryIO
from urllib.parse import SplitResult, urljoin, urlsplit

import requests

from airflow_provider_connectif.api.credentials import is_loopback
from airflow_provider_connectif.api.decoding import pieces_of
from airflow_provider_connectif.api.errors import ErrorReportError, RunStopped, describe_status
from airflow_provider_connectif.api.rate_headers import RateSignal, read_rate_headers
from airflow_provider_connectif.api.session import hidden_in_logs, open_keyless_session
from airflow_provider_connectif.api.transport import (
    TRANSPORT_ERRORS,
    Timeouts,
    Transport,
    check_encoding,
    describe_failure,
    origin,
)

LARGEST_REPORT_BYTES = 256 * 1024 * 1024
DEFAULT_REPORT_TIMEOUT_S = 300.0

_MOST_REDIRECTS = 3
_LASTING_ERRORS = (requests.exceptions.ContentDecodingError, requests.exceptions.SSLError)
_STEP_TIMEOUTS = Timeouts(connect=10.0, read=30.0)


def fetch_error_report(transport: Transport, url: str, sink: BinaryIO, *, max_bytes: int, timeout: float) -> int:
    """Write the report at ``url`` to ``sink``, in parts.

    The request goes without the API key and without cookies, in a session of its own. Only https is allowed; plain http
    only for a report on this machine, if the API is on this machine, too. Up to three redirects are followed, each
    under the same rules, since the file may be kept on another host. Requests to the API's own host go through its
    quota.

    :raises ErrorReportError: the address cannot be used, or the response is not a 2xx, too large, too late or
        incomplete.
    :raises RunStopped: the run must stop.
    :raises OSError: ``sink`` cannot be written.
    """
    deadline = time.monotonic() + timeout
    written = 0
    with closing(_parts(transport, url)) as parts:
        for part in parts:
            if transport.quota.closed:
                raise RunStopped("the run was asked to stop")
            if time.monotonic() > deadline:
                raise ErrorReportError(f"the error report was not complete within {timeout:g} s")
            written += len(part)
            if written > max_bytes:
                raise ErrorReportError(f"the error report is larger than {max_bytes} bytes")
            sink.write(part)
    return written


def _parts(transport: Transport, url: str) -> Generator[bytes, None, None]:
    """Yield the content of the report. Each redirect yields an empty part, so that the caller checks its deadline."""
    address, link = transport.base_url + "/", url
    for _ in range(_MOST_REDIRECTS + 1):
        target = _checked(address, link, transport.base_url)
        address = target.geturl()
        with (
            hidden_in_logs(target._replace(scheme="", netloc="", fragment="").geturl()),
            closing(open_keyless_session(address, transport.verify)) as session,
            _response(transport, session, target) as response,
        ):
            if not response.is_redirect:
                yield from _content(response)
                return
            link = response.headers["location"]
        yield b""
    raise ErrorReportError(f"the error report is behind more than {_MOST_REDIRECTS} redirects")


def _checked(address: str, link: str, base_url: str) -> SplitResult:
    """Return a link as a whole address, if the report may be requested there.

    :param address: the page that has the link, which may be relative to it.
    :raises ErrorReportError: the link is not valid, names a user, or is not https.
    """
    try:
        target = urlsplit(urljoin(address, link))
        usable = bool(target.hostname) and target.username is None and target.password is None
    except ValueError:
        usable = False
    if not usable:
        raise ErrorReportError("the address of the error report is not valid, or has a user name in it")
    on_this_machine = is_loopback(target.hostname or "") and is_loopback(urlsplit(base_url).hostname or "")
    if target.scheme != "https" and not (target.scheme == "http" and on_this_machine):
        raise ErrorReportError("the address of the error report is not https")
    return target


def _response(transport: Transport, session: requests.Session, target: SplitResult) -> requests.Response:
    """Request the target, and return the response before its body is read; it is a 2xx or a redirect."""
    is_own_host = origin(target) == origin(urlsplit(transport.base_url))
    sent_at = transport.quota.acquire() if is_own_host else 0.0
    signal: RateSignal | None = None
    failure, status, is_passing = "", 0, False
    try:
        response = session.get(
            target._replace(fragment="").geturl(),
            timeout=(_STEP_TIMEOUTS.connect, _STEP_TIMEOUTS.read),
            allow_redirects=False,
            stream=True,
        )
        status = response.status_code
        signal = read_rate_headers(response.headers, time.time())
    except TRANSPORT_ERRORS as error:
        failure, is_passing = describe_failure(error, _STEP_TIMEOUTS), not isinstance(error, _LASTING_ERRORS)
    finally:
        if is_own_host:
            transport.quota.release(sent_at, signal, refused=status == 429)
    # Raised outside the handler: otherwise its context would be the transport's exception, whose text has the address.
    if failure:
        raise ErrorReportError(failure, is_passing=is_passing)
    if not (200 <= status < 300 or response.is_redirect):
        response.close()
        raise ErrorReportError(describe_status(status), status, is_passing=True)
    return response


def _content(response: requests.Response) -> Iterator[bytes]:
    pieces = pieces_of(response)
    while True:
        failure, is_passing = "", False
        part = b""
        try:
            check_encoding(response)
            part = next(pieces, b"")
        except TRANSPORT_ERRORS as error:
            failure, is_passing = describe_failure(error, _STEP_TIMEOUTS), not isinstance(error, _LASTING_ERRORS)
        if failure:
            raise ErrorReportError(failure, is_passing=is_passing)
        if not part:
            return
        yield part
