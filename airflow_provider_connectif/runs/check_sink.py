"""A sink that sends nothing: it logs the plan of a run, and its cost."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop, StopKind
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.requests import Cost, Requests
from airflow_provider_connectif.reporting.verdict import End, Verdict
from airflow_provider_connectif.runs.sink import ResourceT

_EXAMPLES = 3
_DIGIT = re.compile(r"\d")
_NOT_PUNCTUATION = re.compile(r"[A-Za-z]|[^\x00-\x7f]")
_LONGEST_MASKED = 60


class Preview(Protocol[ResourceT]):
    """Examines a plan for a check, for one kind of delivery."""

    @property
    def valid(self) -> int | None:
        """Rows that would be delivered; ``None`` before :meth:`look`."""

    @property
    def overwrites(self) -> bool:
        """Whether existing contacts would get the whole patch."""

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Refuse columns that this kind of delivery cannot use.

        :raises RunFailed: final; the text names the columns.
        """

    def look(self, changes: PendingChanges, resource: ResourceT) -> None:
        """Examine the plan."""

    @property
    def cost(self) -> Cost:
        """Return the cost of the plan, after :meth:`look`."""

    def summary(self) -> dict[str, Any]:
        """Return the entries of the summary."""

    def describe(self) -> str:
        """Describe what would be sent, as the beginning of a list of counts."""

    def log_cost(self) -> None:
        """Log the cost of a run."""


class CheckSink(Generic[ResourceT]):
    """Accepts a plan and sends nothing; the only requests of a check are those for definitions.

    :param resource: the resource of the changes.
    :param report: the report of the run.
    :param journal: the journal, which is opened only for reading.
    :param preview: examines the plan.
    :param longest_wait_s: the check ends if Connectif asks for a longer pause, in seconds.
    """

    summary_is_complete = True
    failures = ()
    unaccounted = 0
    is_early = False
    deferral = None

    def __init__(
        self,
        resource: Resource,
        report: Report,
        journal: Journal | None,
        preview: Preview[ResourceT],
        *,
        longest_wait_s: float,
    ) -> None:
        self.scope = resource.definitions_scope
        self.stop: Stop | None = None
        self.longest_pause_s = longest_wait_s
        self.overwrites = preview.overwrites
        self._noun = resource.noun
        self._report = report
        self._journal = journal
        self._preview = preview

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal without a claim, so that other runs of the sync need not wait."""
        if self._journal is not None:
            self._journal.open(is_to_stop, self._report.log.info)

    def resume(self) -> bool:
        """Return ``False``: a check has nothing to continue."""
        return False

    def deliver(self, changes: PendingChanges, resource: ResourceT) -> None:
        """Do nothing: :meth:`cost` has examined the plan."""

    def cost(self, changes: PendingChanges, resource: ResourceT) -> Cost:
        """Examine the plan, and return its cost."""
        self._preview.look(changes, resource)
        return self._preview.cost

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Refuse columns that the delivery cannot use."""
        self._preview.check_columns(columns, resource)

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Close the journal, which a check does not write."""
        if self._journal is not None:
            self._journal.close()

    def kill(self) -> str:
        """Do nothing: no request is running."""
        return ""

    def check_time_limits(self) -> None:
        """Do nothing: a check waits for nothing."""

    def react_to_pause(self, error: Error | None, asked_s: float) -> None:
        """End the check if Connectif asks for a pause that is too long."""
        if asked_s > self.longest_pause_s:
            self.stop = Stop(StopKind.LEFT_ALONE, error, asked_s, self.longest_pause_s)

    @property
    def checked_only(self) -> int:
        """Number of rows that are valid and would be delivered."""
        return self._preview.valid or 0

    def summary(self) -> dict[str, Any]:
        """Return ``check_only``, ``valid``, ``duplicates`` (the number of merged rows), and the preview's entries."""
        merged = self._report.tally.outcomes[Outcome.MERGED]
        return {"check_only": True, "valid": self.checked_only, "duplicates": merged, **self._preview.summary()}

    def log_end(self, end: End) -> None:
        """Log the cost of a run, all reasons of refusals, and the counts."""
        report, tally = self._report, self._report.tally
        parts = [] if self._preview.valid is None else [self._preview.describe()]
        for outcome, words in _SHOWN:
            if tally.outcomes[outcome] or outcome is Outcome.INVALID:
                parts.append(f"{tally.outcomes[outcome]:,} {words.format(noun=self._noun)}")
        self._preview.log_cost()
        report.progress.log_reasons(len(tally.reasons), wording.NOT_TO_DELIVER)
        log = report.log.warning if end.is_failure else report.log.info
        log(
            (wording.CHECK_STOPPED if self._preview.valid is None else wording.CHECKED) + "%s",
            plural(tally.read, "row"),
            self._noun,
            ", ".join(parts),
            report.progress.ending(end.notes),
        )


class RequestPreview:
    """The preview of a plan that goes by request.

    :param log: the log of the task.
    :param quota: knows the account's allowance.
    """

    overwrites = True

    def __init__(self, log: Log, quota: Quota) -> None:
        self._log = log
        self._quota = quota
        self._examples: list[Patch] = []
        self.valid: int | None = None
        """Rows that would be delivered; ``None`` before :meth:`look`."""
        self._cost = Cost(Requests(), 0, 0.0, "patch", "")

    def check_columns(self, columns: Sequence[str] | None, resource: Resource) -> None:
        """Accept every column: the resource has already checked them."""

    def look(self, changes: PendingChanges, resource: Resource) -> None:
        """Count the changes, and keep some examples.

        :param changes: the changes of the plan.
        :param resource: gives the number of requests for a change that needs a response.
        """
        self.valid = len(changes) - changes.beside - changes.counts.removals
        self._examples = [patch for patch in next(changes.batches(), []) if patch.removal is None][:_EXAMPLES]
        self._cost = changes.counts.by_request(self._quota.allowance)

    @property
    def cost(self) -> Cost:
        """Return the cost: at least one request for each change."""
        return self._cost

    def summary(self) -> dict[str, Any]:
        """Return ``requests_least``, ``requests_most``, ``run_requests`` (as the first), ``run_duration_s``."""
        least, most = self._cost.requests
        requests = {"run_requests": least, "requests_least": least, "requests_most": most}
        return {**requests, "run_duration_s": self._cost.seconds}

    def describe(self) -> str:
        """Describe the number of rows to send."""
        return f"{self.valid or 0:,} to send"

    def log_cost(self) -> None:
        """Log examples with masked values. The log lines of the plan have the cost already."""
        for patch in self._examples:
            masked = {property_id: masked_value(value) for property_id, value in patch.properties.items()}
            self._log.info(wording.EXAMPLE, patch.number, json.dumps(masked, ensure_ascii=False))


_SHOWN = (
    (Outcome.UNCHANGED, "unchanged"),
    (Outcome.MERGED, "merged with another row of their {noun}"),
    (Outcome.INVALID, "invalid"),
    (Outcome.HELD, "held"),
    (Outcome.SUPPRESSED, "suppressed"),
)


def masked_value(value: Any) -> Any:
    """Return a value with its letters replaced by ``x`` and its digits by ``9``."""
    if value is None:
        return None
    if isinstance(value, list):
        return [masked_value(item) for item in value[:_EXAMPLES]]
    text = value if isinstance(value, str) else json.dumps(value)
    return _NOT_PUNCTUATION.sub("x", _DIGIT.sub("9", text))[:_LONGEST_MASKED]
