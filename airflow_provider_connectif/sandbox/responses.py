"""Responses in the forms that the API documents: plain JSON, HttpError and HttpUnprocessableEntityError."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response


def json_response(status: int, content: object) -> Response:
    """Return a response with ``content`` as JSON. The JSON is ASCII, so that it can have a lone surrogate."""
    return Response(json.dumps(content, separators=(",", ":")), status, media_type="application/json")


def empty_response(status: int) -> Response:
    """Return a response without a body, such as 401 and 429: the documentation names no resource for them."""
    return Response(status_code=status)


def http_error(status: int, detail: str, code: str | None = None) -> Response:
    """Return an HttpError ``{status, title, detail, code?}``: the shape of 400, 403, 404, 413 and 415."""
    content = {"status": status, "title": HTTPStatus(status).phrase, "detail": detail}
    return json_response(status, content if code is None else content | {"code": code})


def unprocessable(errors: list[dict[str, str]]) -> Response:
    """Return a 422 with ``validationErrors`` ``[{name, path, reason}]``."""
    return json_response(
        422,
        {
            "status": 422,
            "title": "Unprocessable entity",
            "detail": "The request has invalid properties",
            "validationErrors": errors,
        },
    )
