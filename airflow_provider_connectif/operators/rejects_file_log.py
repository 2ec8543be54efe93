"""Records the rejects files that a task writes, and removes the old ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_connectif.operators.rejects_file import remove_file

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.rejects_files import RejectsFiles
    from airflow_provider_connectif.journal.store import Journal

_LONGEST_TASK = 250  # in the journal's tables


class RejectsFileLog:
    """The rejects files that a task has written. The journal stores their paths.

    :param journal: the run's journal. Without a journal, or with one that is only read, no path is stored and no file
        is removed.
    :param dag_id: the id of the task's DAG.
    :param task_id: the id of the task.
    """

    def __init__(self, journal: Journal | None, dag_id: str, task_id: str) -> None:
        self._files: RejectsFiles | None = None
        if journal is not None and not journal.read_only:
            from airflow_provider_connectif.journal.rejects_files import RejectsFiles

            task = f"{dag_id}.{task_id}"[:_LONGEST_TASK]
            self._files = RejectsFiles(journal.database, journal.settings.sync_id, task)

    def note(self, path: str) -> None:
        """Store the path of a file in the journal, before the file is written.

        :param path: as passed to :class:`~airflow_provider_connectif.operators.rejects_file.RejectsFile`.
        """
        if self._files is not None:
            self._files.note(path)

    def remove_old(self, retention: timedelta | None) -> int:
        """Remove old files of earlier runs of this task.

        :param retention: the age at which a file is removed; ``None`` keeps all files.
        :return: the number of files that were removed.
        """
        return 0 if self._files is None or retention is None else self._files.remove_old(retention, remove_file)
