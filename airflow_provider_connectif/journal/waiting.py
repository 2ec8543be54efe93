"""Counts the changes of stored plans that wait for a deferred task to send them, or for the result of an import."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.journal.tables import JournalTables


class WaitingChanges(NamedTuple):
    """The numbers of waiting changes of one plan. Changes that an import has rejected do not count.

    ``to_send``: changes that a deferred task still has to send. ``in_imports``: changes in imports whose results are
    not recorded yet.
    """

    sync_id: str
    to_send: int
    in_imports: int


def waiting_query(tables: JournalTables, *which: Any) -> sa.Select[Any]:
    """Return the query whose result :func:`waiting_changes` needs.

    :param which: conditions for the changes. Default: all changes.
    """
    plans, pending = tables.plans.c, tables.pending.c
    # The column "file" is NULL until a task has written the change into a file, and negative for a rejected contact.
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
        # If a plan is parked, some of its files are not uploaded: the task sends them when it continues.
        to_send = in_files if in_files and json.loads(row.state).get("is_parked") else 0
        yield WaitingChanges(row.sync_id, int(row.in_no_file) + to_send, in_files - to_send)
