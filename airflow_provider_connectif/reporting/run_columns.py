"""The values of a run's line in the journal; its counts equal those of the summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.records.outcomes import Outcome

if TYPE_CHECKING:
    from airflow_provider_connectif.reporting.report import Report

_MOST_REASONS = 20


def run_columns(report: Report) -> Mapping[str, Any]:
    """Return the values by column, without personal data.

    The counts are those of the summary. ``rows_read`` is its ``read``, and ``stored_differently`` is the sum over all
    properties.
    """
    tally, shown, effort = report.tally, report.shown, report.effort
    reasons = {reason: tally.reasons[reason] for reason in tally.ranked_reasons[:_MOST_REASONS]}
    imported, window = report.imported_in, report.window
    return {
        "rows_read": tally.read,
        **{outcome.value: tally.outcomes[outcome] for outcome in Outcome},
        "undelivered": tally.outcomes[Outcome.UNDELIVERED] + report.left_behind,
        "recreated": shown.recreated,
        "consent_kept": shown.consent_kept,
        "unconfirmed": shown.unconfirmed,
        "stored_differently": shown.stored_differently.total(),
        "drifted": shown.drifted,
        "removed": tally.removed,
        "new_refusals": tally.new_refusals,
        "requests": effort.requests,
        "rate_limited": effort.rate_limited,
        "waited_s": round(effort.waited_s, 1),
        "mapping_digest": report.mapping_digest,
        "way": report.way,
        "plan": json.dumps(report.plan) if report.plan else None,
        "reasons": json.dumps(reasons, ensure_ascii=False),
        "import_rows": None if imported is None else imported.rows,
        "import_seconds": None if imported is None else round(imported.seconds, 3),
        "window_requests": None if window is None else window.requests,
        "window_seconds": None if window is None else round(window.window_s, 3),
    }
