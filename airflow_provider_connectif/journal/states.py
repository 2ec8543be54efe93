"""The states of a journal's line: the last outcome of its contact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_connectif.journal.record_tables import LONGEST_REASON

ACKNOWLEDGED = "acknowledged"
"""Connectif holds the contact's row, or the part of it that should be sent."""
REJECTED = "rejected"
"""Connectif has rejected the row."""
INVALID = "invalid"
"""The row was rejected here, before sending."""
UNDELIVERED = "undelivered"
"""Every attempt of a run failed, or the run ended early; the next attempt sends the row again."""
IN_DOUBT = "in_doubt"
"""The row was sent, and its response is not known."""
LEFT = "left"
"""The contact is no longer in the source; nothing was done at Connectif."""
REMOVED = "removed"
"""The contact is no longer in the source, and that was carried out at Connectif."""
GONE = (LEFT, REMOVED)
"""The states of contacts that are no longer in the source."""

OUTCOME_COLUMNS = ("state", "status_code", "reason", "outcome_at")
"""The columns with a line's last outcome; ``run_id`` has the run."""


def outcome_columns(state: str, status: int | None = None, reason: str | None = None) -> dict[str, Any]:
    """Return the values of :data:`OUTCOME_COLUMNS` for this moment.

    :param status: the HTTP status of the response, if one decided.
    :param reason: without personal data; cut at 500 characters.
    """
    return {
        "state": state,
        "status_code": status,
        "reason": reason[:LONGEST_REASON] if reason else None,
        "outcome_at": datetime.now(UTC),
    }
