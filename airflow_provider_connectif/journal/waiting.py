"""The changes of stored plans that wait: for a deferred task that sends them, or for the result of an import."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.journal.tables import JournalTables


class WaitingChanges(NamedTuple):
    """Numbers of changes of one plan. Those that an import has rejected are in neither.

    ``to_send``: a deferred task still has to send them. ``in_imports``: they are in an import whose result is not
    recorded yet.
    """

    sync_id: str
    to_send: int
    in_imports: int


def waiting_query(tables: JournalTables, *which: Any) -> sa.Select[Any]:
    """Return the query for :func:`waiting_changes`.

    :param which: conditions for the changes.
    """
    plans, pending = tables.plans.c, tables.pending.c
    # A change has no file until a task has written it into one; a rejected one has a negative number.
    in_no_file = sa.func.count(sa.case((pending.file.is_(None), 1))).label("in_no_file")
    in_files = sa.func.count(sa.case((pending.file >= 0, 1))).label("in_files")
    counted = sa.select(pending.plan_id, in_no_file, in_files).where(*which).group_by(pending.plan_id).subquery()
    return sa.select(plans.sync_id, plans.state, counted.c.in_no_file, counted.c.in_files).where(
        plans.plan_id == counted.c.plan_id
    )


def waiting_changes(rows: Any) -> Iterator[WaitingChanges]:
    """Yield the waiting changes of each plan.

    :param rows: the result of :func:`waiting_query`.
    """
    for row in rows:
        in_files = int(row.in_files)
        # Files of a parked import are not uploaded: the task sends them when it continues.
        to_send = in_files if in_files and json.loads(row.state).get("is_parked") else 0
        yield WaitingChanges(row.sync_id, int(row.in_no_file) + to_send, in_files - to_send)
