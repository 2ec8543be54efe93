"""The log of requests and responses, without personal data."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from datetime import UTC, datetime

RECENT_ENTRIES = 200

DROPPED = "dropped"
"""The name under which ``by_status`` counts connections that were closed without a response."""


def utc_timestamp() -> str:
    """Return the current time as ISO 8601 in UTC with milliseconds: ``2024-01-31T09:30:00.123Z``."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request.

    ``path``: the path template, such as ``/contacts/{email}``; it never has the key. ``status``: None: the connection
    was closed without a response.
    """

    time: str
    method: str
    path: str
    status: int | None


class RequestLog:
    """Counts all requests by status and by endpoint, and keeps entries for the last 200."""

    def __init__(self) -> None:
        self.by_status: Counter[str] = Counter()
        self.by_endpoint: Counter[str] = Counter()
        self._recent: deque[LogEntry] = deque(maxlen=RECENT_ENTRIES)

    @property
    def total(self) -> int:
        """The number of requests since the start or the last reset."""
        return self.by_status.total()

    def add(self, method: str, path: str, status: int | None) -> None:
        """Count a request.

        ``path``: the path template. ``status``: None: the request got no response.
        """
        self.by_status[DROPPED if status is None else str(status)] += 1
        self.by_endpoint[f"{method} {path}"] += 1
        self._recent.append(LogEntry(utc_timestamp(), method, path, status))

    def clear(self) -> None:
        """Remove all entries, and count from 0 again."""
        self.by_status.clear()
        self.by_endpoint.clear()
        self._recent.clear()

    def as_json(self) -> dict[str, object]:
        """Return ``{total, by_status: {"200": n}, by_endpoint: {"GET /store/": n}, recent: [...]}``.

        ``recent``: ``{time, method, path, status}`` of the last 200 requests, the oldest first.
        """
        return {
            "total": self.total,
            "by_status": dict(sorted(self.by_status.items())),
            "by_endpoint": dict(sorted(self.by_endpoint.items())),
            "recent": [
                {"time": entry.time, "method": entry.method, "path": entry.path, "status": entry.status}
                for entry in self._recent
            ],
        }
