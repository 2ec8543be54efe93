"""The states of a journal's line: the last outcome of its contact."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_connectif.journal.record_tables import LONGEST_REASON

ACKNOWLEDGED = "acknowledged"
"""Connectif has accepted the contact's row, or the part of the row that should be sent."""
REJECTED = "rejected"
"""Connectif has rejected the row."""
INVALID = "invalid"
"""The row was refused before sending."""
UNDELIVERED = "undelivered"
"""Every attempt of a run failed, or the run ended early; the next attempt sends the row again."""
IN_DOUBT = "in_doubt"
"""The row was sent, or about to be sent, and no response was recorded."""
LEFT = "left"
"""The contact is no longer in the source; ``on_removed`` was not carried out.

If the line has a reason, Connectif has rejected the request of ``on_removed``, and the next complete read repeats it.
"""
REMOVED = "removed"
"""The contact is no longer in the source, and ``on_removed`` was carried out.

If the line has a reason, ``on_response`` has skipped the response: that counts as carried out.
"""
GONE = (LEFT, REMOVED)
"""The states of contacts that are no longer in the source."""

OUTCOME_COLUMNS = ("state", "status_code", "reason", "outcome_at")
"""The columns with a line's last outcome. The column ``run_id`` belongs to it, too."""


def outcome_columns(state: str, status: int | None = None, reason: str | None = None) -> dict[str, Any]:
    """Return the values of :data:`OUTCOME_COLUMNS` for an outcome at this moment.

    :param status: the HTTP status of the response; ``None`` if no response decided.
    :param reason: the reason, without personal data. It is cut at 500 characters.
    """
    return {
        "state": state,
        "status_code": status,
        "reason": reason[:LONGEST_REASON] if reason else None,
        "outcome_at": datetime.now(UTC),
    }
