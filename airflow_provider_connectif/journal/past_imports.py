"""Reads from earlier runs of a sync: the ids and the speed of their imports, and the rate limit that they met."""

from __future__ import annotations

import json
import statistics

import sqlalchemy as sa

from airflow_provider_connectif.api.window import Allowance
from airflow_provider_connectif.journal.database import JournalDatabase

_RUNS = 5
_LARGEST_STEP = 10


class PastImports:
    """Reads imports and measurements of the earlier runs of a sync from the journal's table of runs.

    :param database: the database of the journal.
    :param sync_id: the id of the sync.
    """

    def __init__(self, database: JournalDatabase, sync_id: str) -> None:
        self._database = database
        self._runs = database.tables.runs
        self._is_of_sync = self._runs.c.sync_id == sync_id
        self.is_there = True
        """Whether the tables have the columns that are needed here. Tables of an older version do not."""

    def rows_per_second(self, rows: int) -> float | None:
        """Return the speed of imports in lines per second: the median of the last five comparable runs.

        The time of an import includes its time in Connectif's queue, so small imports look slow. Therefore a run is
        comparable only if it imported at least a tenth of ``rows``.

        :param rows: number of lines in all files of the plan.
        :return: ``None`` if there is no comparable run.
        :raises JournalError: the journal's database failed.
        """
        runs = self._runs.c
        is_measured = sa.and_(self._is_of_sync, runs.import_seconds > 0, runs.import_rows * _LARGEST_STEP >= rows)
        query = sa.select(runs.import_rows, runs.import_seconds).where(is_measured, runs.import_rows > 0)
        found = self._last(query)
        return statistics.median(line.import_rows / line.import_seconds for line in found) if found else None

    def ids(self) -> set[str]:
        """Return the ids of the imports of the last five runs that imported.

        :raises JournalError: the journal's database failed.
        """
        runs = self._runs.c
        found = self._last(sa.select(runs.counts).where(self._is_of_sync, runs.way == "import"))
        return {import_id for line in found for import_id in json.loads(line.counts).get("imports", ())}

    def window(self) -> Allowance | None:
        """Return the account's rate limit as the last run has met it that waited for it; ``None`` if no run did.

        :raises JournalError: the journal's database failed.
        """
        runs = self._runs.c
        is_seen = sa.and_(self._is_of_sync, runs.window_seconds > 0, runs.window_requests > 0)
        found = self._last(sa.select(runs.window_requests, runs.window_seconds).where(is_seen))
        return Allowance(found[0].window_requests, found[0].window_seconds) if found else None

    def _last(self, query: sa.Select[tuple[object, ...]]) -> list[sa.Row[tuple[object, ...]]]:
        runs = self._runs.c
        newest = query.order_by(runs.started_at.desc(), runs.generation.desc()).limit(_RUNS)
        return list(self._database.rows(newest)) if self.is_there else []
