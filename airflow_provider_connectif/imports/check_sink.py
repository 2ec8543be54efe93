"""A sink that only looks: files are written and thrown away, nothing is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.files import ImportFiles, ImportSet
from airflow_provider_connectif.imports.import_sink import check_import_columns
from airflow_provider_connectif.imports.rules import QUEUE_LENGTH, ImportRules
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop, StopKind
from airflow_provider_connectif.records.rows import InvalidRow
from airflow_provider_connectif.reporting.progress import describe_seconds, plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import Verdict


class ImportCheckSink:
    """Takes a plan as an import would; the only requests of a check are those for field definitions.

    :param report: of the run.
    :param journal: opened to be read only.
    :param rules: of the import.
    :param longest_wait_s: a delay of more seconds that Connectif asks for ends the check.
    """

    scope = "Contact fields: Read"
    summary_is_complete = True
    troubles = ()
    unaccounted = 0
    is_early = False
    deferral = None

    def __init__(self, report: Report, journal: Journal | None, rules: ImportRules, *, longest_wait_s: float) -> None:
        self.stop: Stop | None = None
        self.longest_pause_s = longest_wait_s
        self._report = report
        self._journal = journal
        self._rules = rules
        self.overwrites = rules.on_existing == "update"
        self._made: ImportSet | None = None

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, without holding up another run of the sync."""
        if self._journal is not None:
            self._journal.open(is_to_stop, self._report.log.info)

    def resume(self) -> bool:
        """A check has nothing to come back to."""
        return False

    def check_columns(self, columns: Sequence[str] | None, resource: ContactResource) -> None:
        """Refuse columns that cannot be a column of a file."""
        check_import_columns(columns, resource.mapping)

    def deliver(self, changes: PendingChanges, resource: ContactResource) -> None:
        """Write the files of an import, and throw them away."""
        with (
            work_folder("connectif-check-") as folder,
            ImportFiles(
                folder / "files",
                resource.mapping,
                delimiter=self._rules.delimiter,
                max_file_bytes=self._rules.max_file_bytes,
                keep_properties=self._rules.patch_leftovers,
            ) as files,
        ):
            for batch in changes.batches():
                for patch in batch:
                    try:
                        files.add(patch)
                    except InvalidRow as invalid:
                        self._report.refuse(patch.number, patch.row, Outcome.INVALID, None, invalid.reasons)
            self._made = files.close()

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Close the journal, which a check does not write."""
        if self._journal is not None:
            self._journal.close()

    def kill(self) -> str:
        """Nothing is under way."""
        return ""

    def look_at_the_clock(self) -> None:
        """A check waits for nothing."""

    def leave_alone(self, error: Error | None, asked_s: float) -> None:
        """Connectif asks for a pause of so many seconds: a check does not wait for one that is too long."""
        if asked_s > self.longest_pause_s:
            self.stop = Stop(StopKind.LEFT_ALONE, error, asked_s, self.longest_pause_s)

    @property
    def checked_only(self) -> int:
        """Rows that are valid and would be imported."""
        return 0 if self._made is None else self._made.rows

    def summary(self) -> dict[str, Any]:
        """``check_only``, ``valid``, ``merged``, ``duplicates``, ``files``."""
        merged = self._report.tally.outcomes[Outcome.MERGED]
        files = 0 if self._made is None else len(self._made.files)
        rows = {"valid": self.checked_only, "duplicates": merged}
        return {"check_only": True, **rows, "files": files}

    def log_end(self, how: str, notes: str, reasons_in_exception: Collection[str]) -> None:
        """Log what would be imported, and all reasons."""
        report, tally = self._report, self._report.tally
        files = 0 if self._made is None else len(self._made.files)
        report.log.info(
            "%s %s in %s, nothing uploaded: %s can be imported, in %s; %s invalid, %s merged%s",
            "Stopped early, checked" if self._made is None else "Checked",
            plural(tally.read, "row"),
            describe_seconds(report.effort.duration_s),
            plural(self.checked_only, "row"),
            plural(files, "file"),
            f"{tally.outcomes[Outcome.INVALID]:,}",
            f"{tally.outcomes[Outcome.MERGED]:,}",
            notes,
        )
        if files > QUEUE_LENGTH:
            report.log.warning(
                "%d sets of filled columns make more files than the queue of %d takes: patch_leftovers=True sends the "
                "smallest by PATCH",
                files,
                QUEUE_LENGTH,
            )
        report.progress.log_reasons(most=len(tally.reasons))
