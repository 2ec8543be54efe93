"""Distinguishes Connectif's own response bodies from those of a proxy or gateway in between."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_connectif.api.errors import ConnectifHttpError, describe_status, error_class
from airflow_provider_connectif.api.rate_headers import RateSignal


def decoded_json(content: bytes) -> Any:
    """Return a body's JSON, or ``None`` if it is not JSON."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def is_error_document(body: object, status: int) -> bool:
    """Whether a body is the API's ``HttpError`` or ``HttpUnprocessableEntityError``.

    It is an object with an integer ``status`` equal to the response's, a text ``title`` or ``detail``, and no
    ``_email``, which a contact has. A gateway's own format (also that of RFC 9457 without a ``status``) is not an error
    document.

    :param status: the response's HTTP status.
    """
    return _has_error_texts(body) and isinstance(body, Mapping) and _is_number(body.get("status"), status, status)


def hides_an_error(body: object) -> bool:
    """Whether the body of a 2xx is an error document, from a gateway that turns every status into 200.

    A contact may have custom fields of any name, also ``title`` and ``status``. It is recognised by its system
    properties, whose names begin with an underscore.
    """
    if not isinstance(body, Mapping) or not _has_error_texts(body):
        return False
    if any(isinstance(name, str) and name.startswith("_") for name in body):
        return False
    return _is_number(body.get("status"), 200, 599)


def describe_body(content: bytes, body: object) -> str:
    """Describe the kind of a body that is not Connectif's, without quoting it."""
    if hides_an_error(body):
        return "an error document"
    if isinstance(body, list):
        return "a JSON list"
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start == b"<":
        return "an HTML or XML page"
    if start in (b"{", b"["):
        return "broken JSON"
    return "a text" if body is None or isinstance(body, str) else "a JSON value that is no object"


def http_error(
    status: int, content: bytes, signal: RateSignal | None, without_key: Callable[[Any], Any]
) -> ConnectifHttpError:
    """Return the exception for a response outside 2xx.

    :param without_key: removes the API key from the server's words.
    """
    body = without_key(decoded_json(content))
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    errors = fields.get("validationErrors")
    return error_class(status)(
        status,
        title=_text(fields.get("title")) or describe_status(status),
        detail=_text(fields.get("detail")),
        code=_text(fields.get("code")),
        validation_errors=tuple(e for e in errors if isinstance(e, Mapping)) if isinstance(errors, list) else (),
        retry_after=signal.retry_after if signal else None,
        is_error_document=is_error_document(body, status),
    )


def _has_error_texts(body: object) -> bool:
    if not isinstance(body, Mapping) or "_email" in body:
        return False
    return _text(body.get("title")) is not None or _text(body.get("detail")) is not None


def _is_number(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
