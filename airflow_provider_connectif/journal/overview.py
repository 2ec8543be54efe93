"""Queries a journal for people: the DAGs of its syncs, single runs, the rows of a run that were not delivered.

Each function uses a connection that the caller has opened, and writes nothing. Moments are in UTC.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.faults import check_not_newer
from airflow_provider_connectif.journal.overview_records import REFUSED, RowOutcome, RunRecord
from airflow_provider_connectif.journal.record_tables import RUN_COUNTS
from airflow_provider_connectif.journal.tables import VERSION, JournalTables

NOT_DELIVERED = (*REFUSED, "undelivered")
_FACTS = (
    *(
        "sync_id",
        "run_key",
        "run_id",
        "task",
        "dag_id",
        "task_id",
        "map_index",
        "tries",
        "verdict",
        "started_at",
        "ended_at",
    ),
    *("waited_s", "way", "plan", "reasons"),
)


def version_of(connection: sa.Connection, tables: JournalTables) -> int | None:
    """Return the version of the tables; ``None`` if there are none."""
    if not sa.inspect(connection).has_table(tables.meta.name, schema=tables.meta.schema):
        return None
    query = sa.select(tables.meta.c.value).where(tables.meta.c.name == "version")
    found = connection.execute(query).scalar()
    return None if found is None else int(found)


def has_history(connection: sa.Connection, tables: JournalTables) -> bool:
    """Whether the tables exist and have the version of this package.

    :raises JournalError: a newer version of the package made the tables.
    """
    version = version_of(connection, tables) or 0
    check_not_newer(tables.lines.fullname, version)
    return version == VERSION


def dags_of_syncs(connection: sa.Connection, tables: JournalTables) -> dict[str, set[str]]:
    """Return the DAGs with recorded runs, by sync."""
    runs = tables.runs.c
    # Records of an earlier version have no DAG id, but their run id begins with it.
    old_run_id = sa.case((runs.dag_id.is_(None), runs.run_id))
    found: dict[str, set[str]] = {}
    for sync_id, dag_id, run_id in connection.execute(
        sa.select(runs.sync_id, runs.dag_id, old_run_id.label("old_run_id")).distinct()
    ):
        found.setdefault(sync_id, set()).add(dag_id if dag_id is not None else dag_of(run_id))
    return found


def run_of(
    connection: sa.Connection, tables: JournalTables, dag_id: str, run_id: str, task_id: str, map_index: int
) -> RunRecord | None:
    """Return the record of a task instance; ``None`` if there is none.

    :param run_id: Airflow's run id, without the DAG id.
    :param map_index: -1 if the task is not mapped.
    """
    runs = tables.runs.c
    query = sa.select(*_columns(tables)).where(
        runs.run_id == f"{dag_id}/{run_id}", runs.task == f"{task_id}[{map_index}]"
    )
    row = connection.execute(query.order_by(runs.started_at.desc()).limit(1)).first()
    return None if row is None else _run(row)


def refused_rows(
    connection: sa.Connection,
    tables: JournalTables,
    run: RunRecord,
    *,
    reason: str | None = None,
    after: int = 0,
    most: int = 50,
) -> list[RowOutcome]:
    """Return rows of a run that were not delivered, in the order in which they were recorded.

    :param reason: only rows with this reason; empty: only rows without a reason. ``None``: all.
    :param after: the id of the last row of the previous page.
    :param most: largest number of rows.
    """
    outcomes = tables.outcomes
    query = sa.select(outcomes).where(
        *of_run(tables, run), outcomes.c.outcome.in_(NOT_DELIVERED), outcomes.c.id > after
    )
    if reason is not None:
        query = query.where(sa.func.coalesce(outcomes.c.reason, "") == reason)
    # With a plain order by id, PostgreSQL would search the rows of all runs until it has enough rows of this run.
    in_order: Any = outcomes.c.id + 0 if connection.dialect.name == "postgresql" else outcomes.c.id
    return [_outcome(row) for row in connection.execute(query.order_by(in_order).limit(most))]


def _columns(tables: JournalTables) -> list[sa.Column[Any]]:
    return [tables.runs.c[name] for name in (*_FACTS, *RUN_COUNTS)]


def of_run(tables: JournalTables, run: RunRecord) -> list[Any]:
    """Return the conditions for the outcomes of a run in the history."""
    outcomes = tables.outcomes.c
    return [outcomes.sync_id == run.sync_id, outcomes.run_key == run.run_key]


def _run(row: Any) -> RunRecord:
    dag_id = row.dag_id if row.dag_id is not None else dag_of(row.run_id)
    task_id, map_index = place_of_task(row.task)
    return RunRecord(
        sync_id=row.sync_id,
        run_key=row.run_key,
        run_id=row.run_id.removeprefix(f"{dag_id}/"),
        dag_id=dag_id,
        task_id=task_id,
        map_index=map_index,
        tries=row.tries,
        verdict=row.verdict,
        started_at=in_utc(row.started_at) or datetime.min.replace(tzinfo=UTC),
        ended_at=in_utc(row.ended_at),
        waited_s=float(row.waited_s or 0.0),
        way=row.way,
        counts={name: int(getattr(row, name) or 0) for name in RUN_COUNTS},
        plan=_json(row.plan),
        reasons={str(reason): int(rows) for reason, rows in _json(row.reasons).items()},
    )


def _outcome(row: Any) -> RowOutcome:
    named = json.loads(row.properties) if row.properties else []
    return RowOutcome(
        row.id,
        row.run_id,
        row.contact_key,
        row.outcome,
        tuple(str(name) for name in named),
        row.status_code,
        row.reason,
        in_utc(row.at) or datetime.min.replace(tzinfo=UTC),
    )


def dag_of(run_id: str) -> str:
    """Return the DAG id in a run id of the journal. Airflow's run id may have slashes, a DAG id has none."""
    return run_id.partition("/")[0]


def place_of_task(task: str) -> tuple[str, int]:
    """Return the task id and the map index in a run's column ``task``, which is never empty."""
    task_id, _, place = task.rpartition("[")
    return task_id, int(place.removesuffix("]") or -1)


def _json(text: str | None) -> dict[str, Any]:
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def in_utc(moment: datetime | str | None) -> datetime | None:
    """Return a moment of the database in UTC; SQLite and MySQL store no zone."""
    if moment is None:
        return None
    if isinstance(moment, str):  # the result of an aggregate on SQLite
        moment = datetime.fromisoformat(moment)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
