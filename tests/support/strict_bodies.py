"""Bodies of responses: the documented error, and what a fault puts in the place of a body."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any


def fault_content(fault: dict[str, Any], key: str, content: bytes) -> bytes:
    """The body of a fault; ``KEY`` and ``BODY`` in it stand for what was sent."""
    if "text" in fault:
        text = fault["text"]
    elif "json" in fault:
        text = json.dumps({"status": fault["status"], "title": phrase(fault["status"])} | fault["json"])
    else:  # no resource is documented for 401 and 429, and a gateway's 5xx has none of the API's
        return b"" if fault["status"] in (401, 429) or fault["status"] >= 500 else error(fault["status"])
    sent = json.dumps(content.decode())[1:-1]
    return text.replace("KEY", key).replace("BODY", sent).encode()


def error(status: int, **more: Any) -> bytes:
    return json.dumps({"status": status, "title": phrase(status), "detail": "Strictly no.", **more}).encode()


def phrase(status: int) -> str:
    if status == 422:  # as the API words it; the standard has another word, and Python one for each version
        return "Unprocessable entity"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
