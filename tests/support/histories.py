"""The journal's history, read from outside, and compared with what a run says in its summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Query = Callable[[str], list[tuple[Any, ...]]]
_DELIVERED = ("created", "updated", "imported")
_REFUSED = ("invalid", "rejected", "held")
OUTCOMES = (*_DELIVERED, *_REFUSED, "not_taken", "skipped", "merged", "suppressed", "undelivered")
_SUMMED = (*OUTCOMES, "unchanged")
_BESIDE = ("recreated", "consent_kept", "unconfirmed", "drifted", "new_refusals", "requests", "rate_limited")


def sums(query: Query, run_id: str, task: str | None = None) -> dict[str, int]:
    """The lines of a run by outcome, without those that are zero."""
    one = "" if task is None else f" and run_key = (select run_key from connectif_journal_runs where task = '{task}')"
    where = f"run_id = '{run_id}'{one}"
    found = query(f"select outcome, count(*) from connectif_journal_outcomes where {where} group by outcome")
    return {outcome: int(count) for outcome, count in found}


def of_summary(summary: Mapping[str, Any]) -> dict[str, int]:
    """What the lines of a run must add up to."""
    return {outcome: count for outcome in OUTCOMES if (count := int(summary.get(outcome) or 0))}


def run_line(query: Query, run_id: str) -> dict[str, Any]:
    """The counts of a run's own line, by column."""
    names = ("rows_read", *_SUMMED, *_BESIDE, "stored_differently", "verdict", "tries", "way", "dag_id", "task_id")
    (values,) = query(f"select {', '.join(names)} from connectif_journal_runs where run_id = '{run_id}'")
    return dict(zip(names, values, strict=True))


def assert_agrees(query: Query, run_id: str, summary: Mapping[str, Any]) -> None:
    """The lines of a run, and its own line, say what its summary says.

    :param run_id: with the DAG's id before it, as the journal has it.
    """
    assert sums(query, run_id) == of_summary(summary), run_id
    line = run_line(query, run_id)
    for name in (*_SUMMED, *_BESIDE):
        assert line[name] == int(summary.get(name) or 0), (run_id, name, line[name], summary)
    assert line["rows_read"] == summary["read"], run_id
    assert line["stored_differently"] == sum(summary.get("stored_differently", {}).values())
