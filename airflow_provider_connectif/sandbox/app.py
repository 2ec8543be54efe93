"""The ASGI application: checks the key and the window of a request, responds to the request, and counts it.

It is a plain ASGI callable without a framework's middleware. Routing needs the path as the client sent it, and the
sandbox must be faster than the client when a test sends ten thousand contacts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from airflow_provider_connectif.sandbox.control import control_response
from airflow_provider_connectif.sandbox.endpoints import MAX_BODY_BYTES, ApiRequest
from airflow_provider_connectif.sandbox.errors import ClientGoneError
from airflow_provider_connectif.sandbox.faults import FaultAction
from airflow_provider_connectif.sandbox.import_endpoints import REPORT_PATH, get_error_report
from airflow_provider_connectif.sandbox.refusals import BY_FAULT, NO_SUCH_KEY, WINDOW_USED_UP
from airflow_provider_connectif.sandbox.responses import empty_response, http_error
from airflow_provider_connectif.sandbox.routes import UNKNOWN_PATH, Route, resolve
from airflow_provider_connectif.sandbox.state import SandboxState
from airflow_provider_connectif.sandbox.uploads import Upload, read_upload
from airflow_provider_connectif.sandbox.window import HEADER_STYLES

TRANSPORT = "sandbox.transport"
"""The name in an ASGI scope's state under which the server puts the connection's asyncio transport."""


class _Response(NamedTuple):
    """The response to a request.

    ``response``: None: the request gets no response. ``cause``: the cause of a refusal, if the response does not name
    it; otherwise empty.
    """

    response: Response | None
    cause: str = ""


class SandboxApp:
    """One account as an ASGI application. The server sets ``stopping`` when it stops, which ends delays early."""

    def __init__(self, state: SandboxState) -> None:
        self.state = state
        self.stopping = asyncio.Event()
        self._window_headers = HEADER_STYLES[state.settings.header_style]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one HTTP request. The server calls it for nothing else."""
        raw_path: bytes = scope["raw_path"]
        route, key = resolve(raw_path)
        body: bytes | None = b""
        upload: Upload | None = None
        try:
            if route is not None and route.template == "/imports/" and _is_multipart(scope):
                upload = await read_upload(Headers(scope=scope), receive)
            else:
                body = await _read_body(receive)
        except ClientGoneError:
            return
        if raw_path == b"/" or raw_path.startswith(b"/_sandbox"):
            query = scope["query_string"].decode("latin-1")
            own = control_response(self.state, scope["method"], scope["path"], query, body)
            await own(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request = _api_request(scope, headers, key, body, upload)
        template = UNKNOWN_PATH if route is None else route.template
        if template == REPORT_PATH:
            response, cause = await self._report_response(request, headers.get(b"authorization"))
        else:
            response, cause = await self._response(route, request, headers.get(b"authorization"))
        self.state.log.add(request.method, template, None if response is None else response.status_code)
        self.state.refusals.note(request.method, template, request.key, response, cause)
        if response is None:
            await _drop_connection(scope, receive)
        else:
            await response(scope, receive, send)

    async def _response(self, route: Route | None, request: ApiRequest, authorization: bytes | None) -> _Response:
        """Return the response to a request."""
        scopes = self.state.keys.scopes_of(authorization)
        if scopes is None:
            # Assumption: a request without a valid key does not count against the account's window.
            return _Response(empty_response(401), NO_SUCH_KEY)
        window = self.state.window.take()
        window_headers = self._window_headers(window) if window.limit else {}
        if window.refused:
            return _Response(_with_headers(empty_response(429), window_headers), WINDOW_USED_UP)
        template = UNKNOWN_PATH if route is None else route.template
        action = self.state.faults.action_for(request.method, template, request.key)
        if action is not None and action.fate is not None:
            request = replace(request, fate=action.fate)
        perform = partial(self._perform, route, request, scopes)
        response, cause = _Response(perform()) if action is None else await self._strike(action, perform)
        return _Response(None if response is None else _with_headers(response, window_headers), cause)

    async def _report_response(self, request: ApiRequest, authorization: bytes | None) -> _Response:
        """Return the response to a request for an error report. It needs no key and counts against no window.

        Faults apply to it, too.
        """
        action = self.state.faults.action_for(request.method, REPORT_PATH, request.key)
        perform = partial(get_error_report, self.state, request, authorization)
        return _Response(perform()) if action is None else await self._strike(action, perform)

    async def _strike(self, action: FaultAction, perform: Callable[[], Response]) -> _Response:
        """Carry out a fault. ``perform`` carries out the request and returns its normal response."""
        performed = perform() if action.apply else None
        if action.delay_s:
            await self._pause(action.delay_s)
        if action.drop:
            return _Response(None, BY_FAULT)
        if action.status is not None:
            return _Response(Response(action.body, action.status, headers=action.headers), BY_FAULT)
        return _Response(perform() if performed is None else performed)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return

    def _perform(self, route: Route | None, request: ApiRequest, scopes: frozenset[str]) -> Response:
        if self.state.blocked:
            return http_error(403, "The account is blocked")
        if route is None:
            return http_error(404, "There is no such endpoint")
        endpoint = route.endpoints.get(request.method)
        if endpoint is None:
            # Assumption: 405 is documented nowhere. RFC 9110 demands the header.
            allowed = ", ".join(route.endpoints)
            return _with_headers(http_error(405, f"The endpoint takes {allowed}"), {"Allow": allowed})
        if route.scope_for(request.method) not in scopes:
            return http_error(403, f"The API key does not have the scope {route.scope_for(request.method)}")
        return endpoint(self.state, request)


def _is_multipart(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0]
    return scope["method"] == "POST" and kind.strip().lower() == "multipart/form-data"


def _api_request(
    scope: Scope, headers: Mapping[bytes, bytes], key: str | None, body: bytes | None, upload: Upload | None
) -> ApiRequest:
    return ApiRequest(
        method=scope["method"],
        key=key,
        query=scope["query_string"].decode("latin-1"),
        content_type=headers.get(b"content-type", b"").decode("latin-1"),
        body=body,
        base_url=f"http://{headers.get(b'host', b'').decode('latin-1')}",
        upload=upload,
    )


def _with_headers(response: Response, headers: Mapping[str, str]) -> Response:
    # A header that a fault has set stays unchanged, so that a test can send an unexpected one.
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response


async def _read_body(receive: Receive) -> bytes | None:
    """Return the request's body, or None if it is longer than MAX_BODY_BYTES. Raises ClientGoneError."""
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        length += len(chunk)
        if length <= MAX_BODY_BYTES:
            chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks) if length <= MAX_BODY_BYTES else None


async def _drop_connection(scope: Scope, receive: Receive) -> None:
    scope["state"][TRANSPORT].abort()
    # Wait until the server has noticed: if the application returned now, the server would report a missing response.
    while (await receive())["type"] != "http.disconnect":
        pass
