"""A 2xx response. A DAG file needs this class, so the module loads no HTTP library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

IsOwn = Callable[[Any], bool]


OK, CREATED = 200, 201
"""``CREATED`` means that the thing did not exist before."""


@dataclass(frozen=True)
class Response:
    """A 2xx response.

    :param status: HTTP status code.
    :param body: the decoded JSON, or ``None`` if the body was not requested or is not JSON.
    :param is_own: ``False`` if the caller's check finds that the response belongs to another request. The connection is
        closed then.
    """

    status: int
    body: Any = None
    is_own: bool = True


Answer = Response  # its former name
