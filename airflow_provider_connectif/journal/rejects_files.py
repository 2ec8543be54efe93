"""Which files of refused rows a task has written, so that old ones can be removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

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
        """A file is about to be written."""
        files = self._files.c

        def write(connection: sa.Connection) -> None:
            connection.execute(sa.delete(self._files).where(self._is_mine, files.path == path))
            line = {"sync_id": self._sync_id, "task": self._task, "path": path, "at": datetime.now(UTC)}
            connection.execute(sa.insert(self._files), line)

        self._database.write(write)

    def remove_old(self, retention: timedelta, remove: Callable[[str, float], bool]) -> int:
        """Remove the files that are older, and forget them; how many.

        :param remove: removes one, given its path and the moment when it was begun, in seconds since the epoch; whether
            nothing is left to be done.
        """
        files, removed = self._files.c, 0
        is_old = files.at < datetime.now(UTC) - retention
        for line in self._database.rows(sa.select(files.id, files.path, files.at).where(self._is_mine, is_old)):
            at = line.at if line.at.tzinfo else line.at.replace(tzinfo=UTC)
            if remove(line.path, at.timestamp()):
                self._database.execute(sa.delete(self._files).where(files.id == line.id))
                removed += 1
        return removed

    @property
    def _is_mine(self) -> sa.ColumnElement[bool]:
        return sa.and_(self._files.c.sync_id == self._sync_id, self._files.c.task == self._task)
