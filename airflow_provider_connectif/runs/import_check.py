"""A run that only looks: files are written and thrown away, nothing is uploaded."""

from __future__ import annotations

from typing import Any

from airflow_provider_connectif.imports.files import ImportSet
from airflow_provider_connectif.imports.memory import NoMemory
from airflow_provider_connectif.imports.rules import QUEUE_LENGTH, ImportRules
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.protocols import Source
from airflow_provider_connectif.reporting.progress import describe_seconds, plural
from airflow_provider_connectif.runs.import_run import ContactImport


class ImportCheck(ContactImport):
    """Checks the rows of a source as an import would; the only requests are those for field definitions.

    :param arguments: as of :class:`ContactImport`.
    """

    _reasons_in_failure = 0  # they are what somebody has asked for, and stand in the log, all of them

    def __init__(self, *arguments: Any, rules: ImportRules, **named_arguments: Any) -> None:
        super().__init__(*arguments, rules=rules, memory=NoMemory(), **named_arguments)
        self._made = ImportSet([], 0, 0, 0)

    def _process(self, source: Source) -> None:
        with work_folder("connectif-check-") as folder, self._files(folder / "files") as files:
            self._write(files, source)
            if not self.stop:
                self._made = files.close()

    @property
    def _checked_only(self) -> int:
        return self._made.rows + self._made.duplicates

    def _more_in_summary(self) -> dict[str, Any]:
        return {
            "check_only": True,
            "valid": self._made.rows,
            "merged": self._made.duplicates,
            "duplicates": self._made.duplicates,
            "files": len(self._made.files),
        }

    def _log_end(self) -> None:
        files = len(self._made.files)
        self._log.info(
            "%s %s in %s, nothing uploaded: %s can be imported, in %s; %s invalid, %s superseded%s",
            self._check_words,
            plural(self._tally.read, "row"),
            describe_seconds(self._effort.duration_s),
            plural(self._made.rows, "row"),
            plural(files, "file"),
            f"{self._tally.outcomes[Outcome.INVALID]:,}",
            f"{self._made.duplicates:,}",
            self._end_notes,
        )
        if files > QUEUE_LENGTH:
            self._log.warning(
                "%d sets of filled columns make more files than the queue of %d takes: patch_leftovers=True sends the "
                "smallest by PATCH",
                files,
                QUEUE_LENGTH,
            )
        self._progress.log_reasons(most=len(self._tally.reasons))
