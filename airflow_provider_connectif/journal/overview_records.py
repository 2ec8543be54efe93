"""The results of a journal's queries for people: a sync, a run, a row's outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

REFUSED = ("invalid", "rejected", "held")
DELIVERED = ("created", "updated", "imported", "deleted")
NOT_IN_STEP = (*REFUSED, "undelivered", "skipped", "not_taken")
"""The outcomes of rows that Connectif may not hold."""


@dataclass(frozen=True, kw_only=True)
class RunTotals:
    """The verdict and the counts of one task's run, or of several together.

    :param run_id: of Airflow, without the DAG's id.
    :param map_index: -1 if the task is not mapped.
    :param verdict: ``None`` while it runs or waits, or if its process was killed.
    :param counts: by the names of :data:`airflow_provider_connectif.journal.record_tables.RUN_COUNTS`.
    """

    sync_id: str
    run_id: str
    dag_id: str
    task_id: str
    map_index: int
    verdict: str | None
    started_at: datetime
    ended_at: datetime | None
    counts: Mapping[str, int]

    @property
    def refused(self) -> int:
        """Number of refused rows: invalid, rejected or held."""
        return sum(self.counts[name] for name in REFUSED)

    @property
    def delivered(self) -> int:
        """Number of rows that Connectif has accepted."""
        return sum(self.counts[name] for name in DELIVERED)


@dataclass(frozen=True, kw_only=True)
class RunRecord(RunTotals):
    """The journal's record of one task's run.

    :param run_key: identifies the run's outcomes within its sync.
    :param tries: number of attempts so far.
    :param plan: the numbers of its plan, by name.
    :param reasons: rows by reason, the commonest first.
    """

    run_key: str
    tries: int
    waited_s: float
    way: str | None
    plan: Mapping[str, Any]
    reasons: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DagRunRecord(RunTotals):
    """All tasks of one DAG run that belong to a sync: their worst verdict, and the sums of their counts.

    ``task_id`` and ``map_index`` are those of a task with that verdict.

    :param tasks: number of tasks that have begun.
    """

    tasks: int

    @property
    def is_in_step(self) -> bool:
        """Whether Connectif held every row of the source when the run ended."""
        return self.verdict == "success" and not any(self.counts[name] for name in NOT_IN_STEP)


@dataclass(frozen=True)
class SyncOverview:
    """A sync and its last runs.

    :param runs: of DAGs, the newest first, 30 at most.
    :param in_step_at: when a DAG run last ended with every row delivered; ``None`` if no recorded run did.
    :param pending: number of changes that a deferred task still has to send.
    """

    sync_id: str
    runs: Sequence[DagRunRecord]
    in_step_at: datetime | None
    pending: int


@dataclass(frozen=True)
class RowOutcome:
    """The outcome of one row.

    :param contact_key: in the journal's form, possibly an HMAC; ``None`` if the row has no valid key.
    :param properties: ids that were sent or planned.
    """

    id: int
    run_id: str
    contact_key: str | None
    outcome: str
    properties: tuple[str, ...]
    status_code: int | None
    reason: str | None
    at: datetime
