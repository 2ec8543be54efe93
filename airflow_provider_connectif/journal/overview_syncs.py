"""Queries a journal for the overview of its syncs. The tasks of one DAG run, such as mapped tasks, count together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.overview import dag_of, in_utc, place_of_task
from airflow_provider_connectif.journal.overview_records import NOT_IN_STEP, DagRunRecord, SyncOverview
from airflow_provider_connectif.journal.record_tables import RUN_COUNTS
from airflow_provider_connectif.journal.tables import JournalTables
from airflow_provider_connectif.journal.waiting import waiting_changes, waiting_query

MOST_RUNS_OF_A_CHART = 30
_WORST = ("failed", "try_again", None, "skipped", "success")
"""The verdicts from the worst to the best; ``None``: the run has not ended."""


def syncs(connection: sa.Connection, tables: JournalTables, sync_ids: Collection[str]) -> list[SyncOverview]:
    """Return the overviews of some syncs, in the order of their ids. Syncs without a recorded run are left out."""
    if not sync_ids:
        return []
    of_these = tables.runs.c.sync_id.in_(sorted(sync_ids))
    by_sync: dict[str, list[DagRunRecord]] = {}
    for row in connection.execute(_last_runs(tables, of_these)):
        if len(of_sync := by_sync.setdefault(row.sync_id, [])) < MOST_RUNS_OF_A_CHART:
            of_sync.append(_dag_run(row))
    in_step = {sync_id: at for sync_id, runs in by_sync.items() if (at := _last_in_step(runs)) is not None}
    if others := sorted(by_sync.keys() - in_step.keys()):
        in_step |= _in_step_at(connection, tables, tables.runs.c.sync_id.in_(others))
    pending: Counter[str] = Counter()
    for waiting in waiting_changes(connection.execute(waiting_query(tables))):
        pending[waiting.sync_id] += waiting.to_send
    return [
        SyncOverview(sync_id, by_sync[sync_id], in_step.get(sync_id), pending[sync_id]) for sync_id in sorted(by_sync)
    ]


def _last_runs(tables: JournalTables, of_these: Any) -> Any:
    """Return a query for the last DAG runs of each sync. A DAG run has one row; the rows are by sync, the newest first.

    The result may have more DAG runs of a sync: those that are among the last ones of another sync.
    """
    runs = tables.runs
    begun = sa.func.max(runs.c.started_at).label("begun")
    dated = sa.select(runs.c.sync_id, runs.c.run_id, begun).where(of_these)
    dag_runs = dated.group_by(runs.c.sync_id, runs.c.run_id).subquery().c
    newest_first = (dag_runs.begun.desc(), dag_runs.run_id)
    place = sa.func.row_number().over(partition_by=dag_runs.sync_id, order_by=newest_first).label("place")
    ranked = sa.select(dag_runs.run_id, place).subquery().c
    last = sa.select(ranked.run_id).where(ranked.place <= MOST_RUNS_OF_A_CHART)
    # The wide rows are read only for the runs that are shown.
    shown = sa.select(
        runs.c.sync_id,
        runs.c.run_id,
        begun,
        sa.func.max(runs.c.dag_id).label("dag_id"),
        *(sa.func.max(sa.case((_is(runs, verdict), runs.c.task))).label(_task_label(verdict)) for verdict in _WORST),
        sa.func.count().label("tasks"),
        sa.func.min(runs.c.started_at).label("started_at"),
        sa.func.max(runs.c.ended_at).label("ended_at"),
        *(sa.func.sum(runs.c[name]).label(name) for name in RUN_COUNTS),
    )
    grouped = shown.where(of_these, runs.c.run_id.in_(last)).group_by(runs.c.sync_id, runs.c.run_id)
    return grouped.order_by(runs.c.sync_id, begun.desc(), runs.c.run_id)


def _is(runs: sa.Table, verdict: str | None) -> Any:
    return runs.c.verdict.is_(None) if verdict is None else runs.c.verdict == verdict


def _task_label(verdict: str | None) -> str:
    return f"task_{verdict or 'open'}"


def _last_in_step(runs: Iterable[DagRunRecord]) -> datetime | None:
    return max((run.ended_at for run in runs if run.is_in_step and run.ended_at is not None), default=None)


def _in_step_at(connection: sa.Connection, tables: JournalTables, of_these: Any) -> dict[str, datetime]:
    """Return, for each sync, the end of its last DAG run whose tasks all were in step."""
    runs = tables.runs.c
    nothing = [sa.func.coalesce(runs[name], 0) == 0 for name in NOT_IN_STEP]
    is_in_step = sa.and_(runs.verdict == "success", *nothing)
    ended = sa.select(runs.sync_id, sa.func.max(runs.ended_at).label("ended_at")).where(of_these)
    ended = ended.group_by(runs.sync_id, runs.run_id).having(sa.func.count(sa.case((is_in_step, 1))) == sa.func.count())
    each = ended.subquery().c
    last = sa.select(each.sync_id, sa.func.max(each.ended_at)).group_by(each.sync_id)
    found = {sync_id: in_utc(at) for sync_id, at in connection.execute(last)}
    return {sync_id: at for sync_id, at in found.items() if at is not None}


def _dag_run(row: Any) -> DagRunRecord:
    dag_id = row.dag_id if row.dag_id is not None else dag_of(row.run_id)
    verdict, task = next((verdict, task) for verdict in _WORST if (task := getattr(row, _task_label(verdict))))
    task_id, map_index = place_of_task(task)
    return DagRunRecord(
        sync_id=row.sync_id,
        run_id=row.run_id.removeprefix(f"{dag_id}/"),
        dag_id=dag_id,
        task_id=task_id,
        map_index=map_index,
        verdict=verdict,
        started_at=in_utc(row.started_at) or datetime.min.replace(tzinfo=UTC),
        ended_at=None if row.task_open else in_utc(row.ended_at),
        counts={name: int(getattr(row, name) or 0) for name in RUN_COUNTS},
        tasks=int(row.tasks),
    )
