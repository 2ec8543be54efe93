"""Reads the recorded runs of a journal, with their counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.overview_records import DELIVERED, REFUSED
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.verdict import Verdict


@dataclass(frozen=True)
class PastRun:
    """One task of one run, its retries included. A value is ``None`` if the record does not have it.

    :param sync_id: the id of the sync.
    :param run_id: the DAG id and Airflow's run id, joined by a slash.
    :param task: the task id, with the map index in brackets if the task is mapped.
    :param tries: number of attempts.
    :param verdict: the verdict on the last attempt; ``None`` if it has not ended, or its process was killed.
    :param cause: why the last attempt failed; empty if it did not, or if its process was killed. An attempt that ends
        before the journal is open, for example for a wrong connection, changes neither verdict nor cause.
    :param started_at: start of the first attempt.
    :param ended_at: end of the last attempt.
    :param duration_s: seconds from ``started_at`` to ``ended_at``.
    :param read: number of rows that were read.
    :param delivered: number of rows that Connectif has accepted, deletions included.
    :param refused: number of rows that were invalid, rejected or held.
    :param undelivered: number of rows whose attempts all failed, or that were not sent.
    :param requests: number of HTTP requests.
    :param outcomes: number of rows by outcome, without zeros.
    :param reasons: number of rows by reason; empty if no reasons are recorded.
    """

    sync_id: str
    run_id: str
    task: str
    tries: int
    verdict: str | None
    cause: str
    started_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    read: int | None
    delivered: int
    refused: int
    undelivered: int
    requests: int | None
    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return all values by name."""
        return asdict(self)


def past_runs(database: JournalDatabase, sync_id: str | None, most: int, *, not_green: bool = False) -> list[PastRun]:
    """Return the last runs, the newest first.

    :param database: the journal's database, open for reading; its tables have the version of this package.
    :param sync_id: only runs of this sync; ``None``: of all syncs.
    :param most: largest number of runs.
    :param not_green: leave out runs that succeeded or were skipped. Runs that have not ended stay.
    :raises JournalError: the database failed.
    """
    runs = database.tables.runs
    query = sa.select(runs).order_by(runs.c.started_at.desc(), runs.c.generation.desc()).limit(most)
    if sync_id is not None:
        query = query.where(runs.c.sync_id == sync_id)
    if not_green:
        green = (Verdict.SUCCESS.value, Verdict.SKIPPED.value)
        query = query.where(sa.or_(runs.c.verdict.is_(None), runs.c.verdict.not_in(green)))
    return [_run_of(row._mapping) for row in database.rows(query)]


def _run_of(row: Mapping[str, Any]) -> PastRun:
    started_at, ended_at = _in_utc(row["started_at"]), _in_utc(row["ended_at"])
    # Records of an earlier version have no columns for the counts, only a text with the counts of all their attempts.
    counts = json.loads(row["counts"] or "{}")
    counted = counts.get("outcomes", {}) if row["rows_read"] is None else row
    outcomes: dict[str, int] = {name: counted[name] for name in Outcome if counted.get(name)}
    return PastRun(
        row["sync_id"],
        row["run_id"],
        row["task"].removesuffix("[-1]"),
        row["tries"],
        row["verdict"],
        counts.get("cause", "") if row["verdict"] else "",  # a killed attempt leaves that of the one before
        started_at or datetime.min,
        ended_at,
        None if started_at is None or ended_at is None else round((ended_at - started_at).total_seconds(), 1),
        _first(row["rows_read"], counts.get("read")),
        sum(outcomes.get(name, 0) for name in DELIVERED),
        sum(outcomes.get(name, 0) for name in REFUSED),
        outcomes.get("undelivered", 0),
        _first(row["requests"], counts.get("requests")),
        outcomes,
        json.loads(row["reasons"] or "{}"),
    )


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _in_utc(moment: datetime | None) -> datetime | None:
    """Return a moment of the database in UTC; SQLite and MySQL store no zone."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
