"""A sink that sends nothing: it says what a run would do, and what that costs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop, StopKind
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.progress import describe_seconds, plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import Verdict
from airflow_provider_connectif.runs.plan import Plan

_EXAMPLES = 3
_DIGIT = re.compile(r"\d")
_NOT_PUNCTUATION = re.compile(r"[A-Za-z]|[^\x00-\x7f]")
_LONGEST_MASKED = 60


class CheckSink:
    """Takes a plan and sends none of it; the only requests of a check are those for definitions.

    :param resource: what would be sent.
    :param report: of the run.
    :param journal: opened to be read only.
    :param quota: knows the account's allowance.
    :param longest_wait_s: a delay of more seconds that Connectif asks for ends the check.
    """

    summary_is_complete = True
    overwrites = True
    troubles = ()
    unaccounted = 0
    is_early = False
    deferral = None

    def __init__(
        self,
        resource: Resource,
        report: Report,
        journal: Journal | None,
        quota: Quota,
        *,
        longest_wait_s: float,
    ) -> None:
        self.scope = resource.definitions_scope
        self.stop: Stop | None = None
        self.longest_pause_s = longest_wait_s
        self._noun = resource.noun
        self._report = report
        self._journal = journal
        self._quota = quota
        self._plan: Plan | None = None
        self._examples: list[Patch] = []

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, without holding up another run of the sync."""
        if self._journal is not None:
            self._journal.open(is_to_stop, self._report.log.info)

    def resume(self) -> bool:
        """A check has nothing to come back to."""
        return False

    def deliver(self, changes: PendingChanges, resource: Resource) -> None:
        """Look at the plan.

        :param changes: what a run would send.
        :param resource: not needed here.
        """
        self._plan = Plan(len(changes), self._quota.requests_per_minute)
        for batch in changes.batches():
            self._examples = list(batch[:_EXAMPLES])
            break

    def check_columns(self, columns: Sequence[str] | None, resource: Resource) -> None:
        """A request takes every column that the resource takes."""

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Close the journal, which a check does not write."""
        if self._journal is not None:
            self._journal.close()

    def kill(self) -> str:
        """Nothing is under way."""
        return ""

    def look_at_the_clock(self) -> None:
        """A check waits for nothing."""

    def leave_alone(self, error: Error | None, asked_s: float) -> None:
        """Connectif asks for a pause of so many seconds: a check does not wait for one that is too long."""
        if asked_s > self.longest_pause_s:
            self.stop = Stop(StopKind.LEFT_ALONE, error, asked_s, self.longest_pause_s)

    @property
    def checked_only(self) -> int:
        """Rows that are valid and would be sent."""
        return 0 if self._plan is None else self._plan.requests

    def summary(self) -> dict[str, Any]:
        """``check_only``, ``valid``, ``merged`` (and ``duplicates``), ``run_requests``, ``run_duration_s``."""
        plan = self._plan or Plan(0, self._quota.requests_per_minute)
        merged = self._report.tally.outcomes[Outcome.MERGED]
        return {
            "check_only": True,
            "valid": plan.requests,
            "duplicates": merged,
            "run_requests": plan.requests,
            "run_duration_s": plan.seconds,
        }

    def log_end(self, how: str, notes: str, reasons_in_exception: Collection[str]) -> None:
        """Log the plan, its cost, examples with masked values, and all reasons."""
        report, tally = self._report, self._report.tally
        plan = self._plan or Plan(0, self._quota.requests_per_minute)
        begin = "Checked" if self._plan is not None else "Stopped early, checked"
        parts = [f"{plan.requests:,} to send"]
        for outcome, words in _SHOWN:
            if tally.outcomes[outcome] or outcome is Outcome.INVALID:
                parts.append(f"{tally.outcomes[outcome]:,} {words.format(noun=self._noun)}")
        report.log.info(
            "%s %s in %s, no %s sent: %s%s",
            begin,
            plural(tally.read, "row"),
            describe_seconds(report.effort.duration_s),
            self._noun,
            ", ".join(parts),
            notes,
        )
        report.log.info(
            "A run takes %s: at %s a minute %s",
            plural(plan.requests, "request"),
            f"{plan.requests_per_minute:,}",
            f"about {describe_seconds(plan.seconds)}" if plan.seconds else "less than a minute",
        )
        for patch in self._examples:
            masked = {property_id: masked_value(value) for property_id, value in patch.properties.items()}
            report.log.info("Example, row %d, values masked: %s", patch.number, json.dumps(masked, ensure_ascii=False))
        report.progress.log_reasons(most=len(tally.reasons))


_SHOWN = (
    (Outcome.UNCHANGED, "unchanged"),
    (Outcome.MERGED, "merged with another row of their {noun}"),
    (Outcome.INVALID, "invalid"),
    (Outcome.HELD, "held"),
)


def masked_value(value: Any) -> Any:
    """The form of a value without the value: letters as ``x``, digits as ``9``."""
    if value is None:
        return None
    if isinstance(value, list):
        return [masked_value(item) for item in value[:_EXAMPLES]]
    text = value if isinstance(value, str) else json.dumps(value)
    return _NOT_PUNCTUATION.sub("x", _DIGIT.sub("9", text))[:_LONGEST_MASKED]
