"""The refused requests, each with its reason, for the page."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.responses import Response

from airflow_provider_connectif.sandbox.request_log import utc_timestamp

KEPT_REFUSALS = 200

BY_FAULT = "by a fault that was asked for"
NO_SUCH_KEY = "no such API key"
WINDOW_USED_UP = "the window's requests are used up"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request.

    ``path``: the path template. ``key``: the decoded key in the path; None: the path has no key. ``status``: None: the
    connection was closed without a response. ``reason``: it may quote names, but no values.
    """

    time: str
    method: str
    path: str
    key: str | None
    status: int | None
    reason: str


class RefusalList:
    """Counts all refused requests, and keeps the last 200."""

    def __init__(self) -> None:
        self.total = 0
        self._latest: deque[Refusal] = deque(maxlen=KEPT_REFUSALS)

    def note(self, method: str, path: str, key: str | None, response: Response | None, cause: str) -> None:
        """Record a request if its status is 400 or more, or if it got no response.

        :param path: the path template.
        :param response: the response; None: the request got no response.
        :param cause: the cause, if the response does not name it; otherwise empty.
        """
        status = None if response is None else response.status_code
        if status is not None and status < 400:
            return
        self.total += 1
        reasons = [cause, "no response" if response is None else _detail(response)]
        reason = ": ".join(filter(None, reasons)) or "no reason given"
        self._latest.append(Refusal(utc_timestamp(), method, path, key, status, reason))

    def latest_first(self) -> Iterator[Refusal]:
        """Return the refused requests that are kept, the latest first."""
        return reversed(self._latest)

    def clear(self) -> None:
        """Remove all records, and count from 0 again."""
        self.total = 0
        self._latest.clear()


def _detail(response: Response) -> str:
    """Return the reasons in a response's body: the reason of each property, the detail of an HttpError, or the text."""
    text = bytes(response.body).decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(content, dict):
        return text
    errors = content.get("validationErrors")
    named = [f"{error.get('name')}: {error.get('reason')}" for error in errors or () if isinstance(error, dict)]
    code = content.get("code")
    detail = "; ".join(named) or str(content.get("detail", content.get("title", "")))
    return f"{detail} ({code})" if code else detail
