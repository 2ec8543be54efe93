"""The counts of a run in words."""

from __future__ import annotations

from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.summary import Tally

NOT_SENT = "not sent"
NOT_SENT_OR_UNKNOWN = "not sent or without an outcome"
NOT_UPLOADED = "not uploaded"


def describe_counts(tally: Tally, effort: Effort, *, by_import: bool = False, is_planned: bool = False) -> str:
    """Return the counts of a run in words, without zeros except for the rows read and delivered.

    :param by_import: whether the rows are imported: the imported rows are then named even if there are none.
    :param is_planned: leave out the rows that are not sent yet, since the caller shows them.
    """
    outcomes = tally.outcomes
    parts = [f"{plural(tally.read, 'row')} read"]
    if by_import or outcomes[Outcome.IMPORTED]:
        parts.append(f"{outcomes[Outcome.IMPORTED]:,} imported")
    if tally.delivered or not (by_import or tally.erased):
        created, updated = outcomes[Outcome.CREATED], outcomes[Outcome.UPDATED]
        parts.append(f"{tally.delivered:,} delivered")
        if tally.delivered:
            parts[-1] += f" ({created:,} created, {updated:,} updated)"
    for outcome in (
        Outcome.DELETED,
        Outcome.ABSENT,
        Outcome.MERGED,
        Outcome.NOT_TAKEN,
        Outcome.UNCHANGED,
        Outcome.HELD,
        Outcome.SUPPRESSED,
        Outcome.SKIPPED,
        Outcome.INVALID,
        Outcome.REJECTED,
        Outcome.UNDELIVERED,
    ):
        if outcomes[outcome]:
            parts.append(f"{outcomes[outcome]:,} {outcome.value.replace('_', ' ')}")
    if followed := tally.removals[Outcome.UPDATED]:
        parts.append(f"{followed:,} removed")
    if tally.known_refusals:
        parts.append("no new refusal" if not tally.new_refusals else plural(tally.new_refusals, "new refusal"))
    unsettled = tally.read - tally.accounted
    if unsettled and not is_planned:
        going_on = "without a known outcome" if by_import else "not settled yet"
        parts.append(f"{unsettled:,} {tally.unsettled_at_end or going_on}")
    requests = plural(effort.requests, "request")
    parts.append(f"{requests} ({effort.rate_limited:,} rejected with 429)" if effort.rate_limited else requests)
    return ", ".join(parts)
