"""The files of refused rows that a task keeps, and removes when they are old."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_connectif.operators.rejects_file import remove_file

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.rejects_files import RejectsFiles
    from airflow_provider_connectif.journal.store import Journal

_LONGEST_TASK = 250  # in the journal's tables


class KeptRejects:
    """The files of refused rows that a task has written, as far as a journal remembers them.

    :param journal: that the run writes to; without one, or with one that is only read, no file is remembered
        or removed.
    :param dag_id: of the task.
    :param task_id: of the task.
    """

    def __init__(self, journal: Journal | None, dag_id: str, task_id: str) -> None:
        self._files: RejectsFiles | None = None
        if journal is not None and not journal.read_only:
            from airflow_provider_connectif.journal.rejects_files import RejectsFiles

            task = f"{dag_id}.{task_id}"[:_LONGEST_TASK]
            self._files = RejectsFiles(journal.database, journal.settings.sync_id, task)

    def note(self, path: str) -> None:
        """Remember a file before it is written.

        :param path: of the file, as passed to :class:`~airflow_provider_connectif.operators.rejects_file.RejectsFile`.
        """
        if self._files is not None:
            self._files.note(path)

    def remove_old(self, retention: timedelta | None) -> int:
        """Remove the files of earlier runs of this task that are older than a time.

        :param retention: ``None`` keeps all.
        :return: the number of files that were removed.
        """
        return 0 if self._files is None or retention is None else self._files.remove_old(retention, remove_file)
