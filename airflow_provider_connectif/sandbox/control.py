"""The sandbox's own endpoints under ``/_sandbox/``: they show its state, reset it, and add faults.

They need no API key and do not count against the window.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import islice
from urllib.parse import parse_qs

from starlette.responses import Response

from airflow_provider_connectif.sandbox.faults import FaultError, parse_fault
from airflow_provider_connectif.sandbox.import_list import QUEUE_LENGTH, QUEUED, ImportFate, ImportOptions
from airflow_provider_connectif.sandbox.page import View, overview_page
from airflow_provider_connectif.sandbox.responses import empty_response, http_error, json_response
from airflow_provider_connectif.sandbox.state import SandboxState


class ControlError(ValueError):
    """A request to the sandbox's own endpoints cannot be carried out. The message says why."""


def control_response(state: SandboxState, method: str, path: str, query: str, body: bytes | None) -> Response:
    """Respond to a request to ``/`` or ``/_sandbox/...``. The body of 400, 404 and 405 is an HttpError."""
    methods = CONTROLS.get(path.rstrip("/") or "/")
    if methods is None:
        return http_error(404, f"The sandbox has no {path}")
    control = methods.get(method)
    if control is None:
        return http_error(405, f"{path} takes {', '.join(methods)}")
    try:
        return control(state, query, body or b"")
    except (ControlError, FaultError) as error:
        return http_error(400, str(error))


def _page(state: SandboxState, query: str, body: bytes) -> Response:
    # The page loads nothing from elsewhere. If a value of a contact were not escaped by mistake, this header would keep
    # it from running as a script.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return Response(
        overview_page(state, _view(query)).encode("utf-8", "replace"),
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
    )


def _view(query: str) -> View:
    return View(query) if query in {view.value for view in View} else View.LIVE


def _contacts(state: SandboxState, query: str, body: bytes) -> Response:
    asked = parse_qs(query)
    offset = _count(asked, "offset") or 0
    limit = _count(asked, "limit")
    end = None if limit is None else offset + limit
    contacts = list(islice(state.account, offset, end))
    return json_response(200, {"count": len(state.account), "contacts": contacts})


def _requests(state: SandboxState, query: str, body: bytes) -> Response:
    return json_response(200, state.log.as_json())


def _window(state: SandboxState, query: str, body: bytes) -> Response:
    window = state.window.peek()
    reset_in_s = round(window.reset_in_s, 3)
    return json_response(200, {"limit": window.limit, "remaining": window.remaining, "reset_in_s": reset_in_s})


def _faults(state: SandboxState, query: str, body: bytes) -> Response:
    return json_response(200, {"faults": state.faults.as_json()})


def _add_fault(state: SandboxState, query: str, body: bytes) -> Response:
    state.faults.add(parse_fault(_json(body)))
    return json_response(201, {"faults": state.faults.as_json()})


def _clear_faults(state: SandboxState, query: str, body: bytes) -> Response:
    state.faults.clear()
    return empty_response(204)


def _imports(state: SandboxState, query: str, body: bytes) -> Response:
    return json_response(200, {"imports": [one.as_json() for one in state.imports.latest_first()]})


def _queue_imports(state: SandboxState, query: str, body: bytes) -> Response:
    content = _json(body)
    count = content.get("queued") if isinstance(content, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= QUEUE_LENGTH:
        raise ControlError(f'the body must be {{"queued": n}}, n from 1 to {QUEUE_LENGTH}')
    for _ in range(count):
        state.imports.add(None, ImportOptions(), ImportFate(stuck=QUEUED), origin="app")
    return empty_response(204)


def _release_imports(state: SandboxState, query: str, body: bytes) -> Response:
    state.imports.release()
    return empty_response(204)


def _reset(state: SandboxState, query: str, body: bytes) -> Response:
    state.reset()
    return empty_response(204)


def _set_account(state: SandboxState, query: str, body: bytes) -> Response:
    content = _json(body)
    blocked = content.get("blocked") if isinstance(content, dict) else None
    if not isinstance(blocked, bool):
        raise ControlError('the body must be {"blocked": true} or {"blocked": false}')
    state.blocked = blocked
    return empty_response(204)


def _json(body: bytes) -> object:
    try:
        content: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ControlError("the body is not valid JSON") from error
    return content


def _count(asked: Mapping[str, list[str]], name: str) -> int | None:
    if name not in asked:
        return None
    text = asked[name][-1]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise ControlError(f"{name} must be a whole number from 0 up")
    return int(text)


CONTROLS: Mapping[str, Mapping[str, Callable[[SandboxState, str, bytes], Response]]] = {
    "/": {"GET": _page},
    "/_sandbox/contacts": {"GET": _contacts},
    "/_sandbox/requests": {"GET": _requests},
    "/_sandbox/window": {"GET": _window},
    "/_sandbox/faults": {"GET": _faults, "POST": _add_fault, "DELETE": _clear_faults},
    "/_sandbox/imports": {"GET": _imports, "POST": _queue_imports},
    "/_sandbox/imports/release": {"POST": _release_imports},
    "/_sandbox/reset": {"POST": _reset},
    "/_sandbox/account": {"POST": _set_account},
}
"""The sandbox's own endpoints, by path and method."""
