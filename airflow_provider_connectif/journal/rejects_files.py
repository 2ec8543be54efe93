"""Records the rejects files that a task has written, so that old ones can be removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase


class RejectsFiles:
    """The files of one task.

    :param database: the journal's.
    :param sync_id: of the task's rows.
    :param task: its DAG and its id, the same in every run.
    """

    def __init__(self, database: JournalDatabase, sync_id: str, task: str) -> None:
        self._database = database
        self._files = database.tables.rejects_files
        self._sync_id, self._task = sync_id, task

    def note(self, path: str) -> None:
        """Record a file that is about to be written."""
        files = self._files.c

        def write(connection: sa.Connection) -> None:
            connection.execute(sa.delete(self._files).where(self._is_mine, files.path == path))
            line = {"sync_id": self._sync_id, "task": self._task, "path": path, "at": datetime.now(UTC)}
            connection.execute(sa.insert(self._files), line)

        self._database.write(write)

    def remove_old(self, retention: timedelta, remove: Callable[[str, float, float], bool | None]) -> int:
        """Remove the files that are older, and forget them; how many were removed.

        A file that another task has written since is that task's own.

        :param remove: removes one, given its path, the moment when it was begun, and the moment before which it must
            have been changed last, both in seconds since the epoch. ``True``: it is removed. ``False``: this task has
            no file there. ``None``: it stays for now.
        """
        files, removed, before = self._files.c, 0, datetime.now(UTC) - retention
        query = sa.select(files.id, files.path, files.at).where(self._is_mine, files.at < before)
        for line in self._database.rows(query):
            at = line.at if line.at.tzinfo else line.at.replace(tzinfo=UTC)
            is_removed = False if self._is_of_another(line) else remove(line.path, at.timestamp(), before.timestamp())
            if is_removed is not None:
                self._database.execute(sa.delete(self._files).where(files.id == line.id))
                removed += is_removed
        return removed

    def _is_of_another(self, line: Any) -> bool:
        """Whether another task has written a file since."""
        files = self._files.c
        by_another = sa.and_(files.path == line.path, sa.not_(self._is_mine), files.at >= line.at)
        return bool(self._database.rows(sa.select(sa.func.count()).where(by_another))[0][0])

    @property
    def _is_mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(self._files.c.sync_id == self._sync_id, self._files.c.task == self._task)
