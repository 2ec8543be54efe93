"""Records the rejects files that a task has written, and removes old ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase


class RejectsFiles:
    """The rejects files of one task.

    :param database: the journal's database.
    :param sync_id: the id of the sync.
    :param task: identifies the task by its DAG and its id, in every run.
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
        """Remove the files that are older than the retention, and their records; return the number of removed files.

        A file that another task has written since belongs to that task, and stays.

        :param remove: a function that removes one file. It gets the path of the file, the time when the file was
            recorded, and the time before which its last change must be; both in seconds since the epoch. It returns
            ``True`` if it has removed the file, ``False`` if this task has no file at the path, ``None`` if the file
            must stay for now.
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
        """Whether another task has written a file with the same path since."""
        files = self._files.c
        by_another = sa.and_(files.path == line.path, sa.not_(self._is_mine), files.at >= line.at)
        return bool(self._database.rows(sa.select(sa.func.count()).where(by_another))[0][0])

    @property
    def _is_mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(self._files.c.sync_id == self._sync_id, self._files.c.task == self._task)
