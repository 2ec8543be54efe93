"""Journals with records that a test has made up, row by row, through the package's own tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.contacts.named_people import people_named
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.record_tables import RUN_COUNTS
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.journal.tables import VERSION, JournalTables

BEGAN = datetime(2026, 11, 1, 3, tzinfo=UTC)


class RecordedJournal:
    """A journal in a database.

    :param engine: of the database; the tables are created.
    """

    def __init__(self, engine: sa.Engine, table: str = "connectif_journal") -> None:
        self.engine = engine
        self.tables = JournalTables(table, None)
        self.tables.metadata.create_all(engine)
        self._runs = 0
        self._insert(self.tables.meta, {"name": "version", "value": VERSION})

    def add_run(
        self,
        dag_id: str = "nightly",
        run_id: str = "scheduled__1",
        sync_id: str | None = None,
        *,
        verdict: str | None = "success",
        reasons: Mapping[str, int] | None = None,
        map_index: int = -1,
        is_old: bool = False,
        **counts: int,
    ) -> str:
        """Record a run of the task ``contacts``, a day after the one before; returns its key.

        :param is_old: whether version 2 of the tables has recorded it, without the DAG.
        """
        self._runs += 1
        key = f"key{self._runs}"
        began = BEGAN + timedelta(days=self._runs)
        self._insert(
            self.tables.runs,
            {
                "sync_id": sync_id or f"{dag_id}.contacts",
                "run_key": key,
                "run_id": f"{dag_id}/{run_id}",
                "task": f"contacts[{map_index}]",
                "dag_id": None if is_old else dag_id,
                "task_id": "contacts",
                "map_index": map_index,
                "tries": 1,
                "verdict": verdict,
                "started_at": began,
                "ended_at": began + timedelta(minutes=5) if verdict else None,
                "generation": self._runs,
                "generations": "[]",
                "counts": "{}",
                "waited_s": 61.0,
                "reasons": json.dumps(dict(reasons or {})),
                **{name: counts.get(name, 0) for name in RUN_COUNTS},
            },
        )
        return key

    def add_outcomes(
        self,
        run_key: str,
        sync_id: str,
        rows: Sequence[tuple[str | None, str, str | None]],
        run_id: str = "nightly/scheduled__1",
    ) -> None:
        """Record outcomes: contact key, outcome and reason of each."""
        more = {"attempt": 1} if "attempt" in self.tables.outcomes.c else {}
        lines = [
            {
                "sync_id": sync_id,
                "run_id": run_id,
                "run_key": run_key,
                "contact_key": key,
                "outcome": outcome,
                "properties": json.dumps(["_name", "tier"]),
                "status_code": 422 if outcome == "rejected" else None,
                "reason": reason,
                "at": BEGAN,
                **more,
            }
            for key, outcome, reason in rows
        ]
        self._insert(self.tables.outcomes, lines)

    def add_line(self, sync_id: str, contact_key: str, state: str, reason: str | None = None, **more: Any) -> None:
        """Write a contact's line.

        :param more: columns of runs, such as ``run_id="nightly/scheduled__1"``.
        """
        self._insert(
            self.tables.lines,
            {
                "sync_id": sync_id,
                "contact_key": contact_key,
                "state": state,
                "reason": reason,
                "run_id": "nightly/scheduled__1",
                "generation": 1,
                "outcome_at": BEGAN,
                "delivered_at": BEGAN,
                **more,
            },
        )

    def suppress(self, email: str, run_id: str, secret: bytes) -> None:
        """Put a person on the suppression list."""
        database = JournalDatabase(self.engine, self.tables.lines.name)
        database.note_open()
        suppressions = SuppressionList(database, secret)
        suppressions.is_there = True
        suppressions.add(people_named(email)[:1], run_id)
        database.close()

    def add_pending(self, sync_id: str, keys: Sequence[str]) -> None:
        """Put changes off, as a task does that waits without a worker."""
        plan = {"plan_id": f"plan of {sync_id}", "run_id": "r", "task": "t", "kept_until": 0.0, "state": "{}"}
        self._insert(self.tables.plans, {**plan, "sync_id": sync_id})
        changes = [{"plan_id": plan["plan_id"], "number": place, "contact_key": key} for place, key in enumerate(keys)]
        self._insert(self.tables.pending, changes)

    def _insert(self, table: sa.Table, rows: dict[str, Any] | list[dict[str, Any]]) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.insert(table), rows)
