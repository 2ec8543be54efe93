"""The results of a journal's queries for people: a sync, a run, a row's outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

REFUSED = ("invalid", "rejected", "held")
DELIVERED = ("created", "updated", "imported", "deleted")
NOT_IN_STEP = (*REFUSED, "undelivered", "skipped", "not_taken")
"""The outcomes of rows whose values Connectif may not have."""


@dataclass(frozen=True, kw_only=True)
class RunTotals:
    """The verdict and the counts of one task of a run, or of several tasks together.

    :param run_id: Airflow's run id, without the DAG id.
    :param map_index: -1 if the task is not mapped.
    :param verdict: the verdict; ``None`` while the task is running or waiting, or if its process was killed.
    :param counts: the counts, by the names of :data:`airflow_provider_connectif.journal.record_tables.RUN_COUNTS`.
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
    """The journal's record of one task of a run.

    :param run_key: identifies the outcomes of the task and its run within the sync.
    :param tries: number of attempts so far.
    :param waited_s: seconds for which the task waited for the rate limit.
    :param way: the way of delivery; ``None`` if it is not recorded.
    :param plan: the numbers of the plan, by name.
    :param reasons: number of rows by reason, the commonest reason first.
    """

    run_key: str
    tries: int
    waited_s: float
    way: str | None
    plan: Mapping[str, Any]
    reasons: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class DagRunRecord(RunTotals):
    """The tasks of one DAG run that belong to a sync: their worst verdict, and the sums of their counts.

    ``task_id`` and ``map_index`` are those of a task with the worst verdict.

    :param tasks: number of tasks that have begun.
    """

    tasks: int

    @property
    def is_in_step(self) -> bool:
        """Whether Connectif had the values of every row of the source when the run ended."""
        return self.verdict == "success" and not any(self.counts[name] for name in NOT_IN_STEP)


@dataclass(frozen=True)
class SyncOverview:
    """A sync and its last runs.

    :param runs: the DAG runs, the newest first, 30 at most.
    :param in_step_at: the end of the last DAG run that delivered every row; ``None`` if no recorded run did.
    :param pending: number of changes that deferred tasks still have to send.
    """

    sync_id: str
    runs: Sequence[DagRunRecord]
    in_step_at: datetime | None
    pending: int


@dataclass(frozen=True)
class RowOutcome:
    """The outcome of one row.

    :param contact_key: the key in the form of the tables, possibly an HMAC; ``None`` if the row has no valid key.
    :param properties: the property ids that were sent or planned.
    """

    id: int
    run_id: str
    contact_key: str | None
    outcome: str
    properties: tuple[str, ...]
    status_code: int | None
    reason: str | None
    at: datetime
