"""Imports that are over are settled: counted, written into the journal, and told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.imports.account import Numbers, Refused, Reports, numbers_of
from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.rules import Fate, ImportRules
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.import_state import SentFile
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.progress import Log, plural
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.summary import Tally
from airflow_provider_connectif.reporting.verdict import Trouble, Verdict

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

REFUSED = "refused by Connectif in an import; why stands in its error report"
NOT_TAKEN = "not taken by an import with on_existing='keep': the contact is there, or the row was refused"
_AT_ONCE = 1000  # refusals that are written to the journal together

TROUBLES: dict[Fate, tuple[Verdict, str]] = {
    Fate.BROKEN: (Verdict.TRY_AGAIN, "import {id} ended in error after {done:,} of {rows}"),
    Fate.CANCELLED: (
        Verdict.FAILED,
        "import {id} was cancelled in the app after {done:,} of {rows}; clear the task to import the file again",
    ),
    Fate.GONE: (Verdict.TRY_AGAIN, "import {id} is gone: somebody has deleted it before its end was seen here"),
}
"""How a run ends with an import that did not finish."""

FileOf = Callable[[SentFile], tuple[ImportFile, bool] | None]
"""The rows of a file, and whether their keys are as the journal writes them; ``None`` where nobody has them."""


class Settlement:
    """Settles the imports of one run.

    :param rules: of the run.
    :param reports: fetches and matches error reports.
    :param rejects: where refused rows are written.
    :param journal: what Connectif has acknowledged.
    :param file_of: the rows of a file.
    :param log: where ends are told.
    """

    def __init__(
        self,
        rules: ImportRules,
        reports: Reports,
        rejects: Rejects,
        journal: Journal | None,
        file_of: FileOf,
        log: Log,
    ) -> None:
        self._rules = rules
        self._reports = reports
        self._rejects = rejects
        self._journal = journal
        self._file_of = file_of
        self._log = log

    def settle_all(
        self,
        files: Sequence[SentFile],
        watch: Watch,
        tally: Tally,
        state: Callable[[], Mapping[str, Any]],
        note: Callable[[Trouble, int], None],
    ) -> None:
        """Wait for the imports of files, and settle each as soon as it has finished.

        :param tally: gets their rows.
        :param state: the run's, as it is to be saved once an import is counted.
        :param note: is told of each import that does not let the run succeed, and of how many rows it leaves without
            an outcome.
        """
        while waiting := [sent for sent in files if sent.is_open and sent.import_id is not None]:
            for sent in waiting:
                one, fate = watch.poll(sent)
                if fate is Fate.WAIT:
                    watch.pause(len(waiting))
                    continue
                if trouble := self.trouble(sent, one, fate):
                    note(trouble, self._unaccounted(sent, one, fate))
                self.settle(sent, one, fate, tally, state)

    def settle(
        self, sent: SentFile, one: Import, fate: Fate, tally: Tally, state: Callable[[], Mapping[str, Any]]
    ) -> None:
        """Settle one import.

        :param tally: gets its rows.
        :param state: the run's, as it is to be saved once this import is counted.
        """
        numbers = _numbers(sent, one, fate)
        is_known = self._count_refused(sent, one, fate, numbers, tally)
        tally.outcomes[Outcome.IMPORTED] += numbers.taken
        if fate is not Fate.FINISHED:
            tally.count_many(Outcome.UNDELIVERED, numbers.missing)
        sent.is_settled, sent.is_failed = True, fate in (Fate.BROKEN, Fate.GONE)
        saved = state()
        if self._journal is not None:
            write = self._journal.acknowledge_file if is_known else self._journal.give_up_file
            write(sent.file, saved)
        self._log.info(
            "Import %s: %s; of %s %s taken, %s refused%s",
            one.id,
            "gone" if fate is Fate.GONE else one.status,
            plural(sent.rows, "row"),
            f"{numbers.taken:,}",
            f"{numbers.refused:,}",
            f", {numbers.missing:,} neither" if numbers.missing else "",
        )

    def trouble(self, sent: SentFile, one: Import, fate: Fate) -> Trouble | None:
        """What keeps the run from success after the end of an import."""
        numbers = _numbers(sent, one, fate)
        if fate in TROUBLES:
            verdict, words = TROUBLES[fate]
            return Trouble(
                verdict, words.format(id=one.id, done=numbers.taken + numbers.refused, rows=plural(sent.rows, "row"))
            )
        if self._unaccounted(sent, one, fate):
            return Trouble(
                Verdict.FAILED,
                f"import {one.id} is finished and {numbers.missing:,} of {plural(sent.rows, 'row')} could not be "
                f"accounted for: it says total {one.total}, success {one.success}, errors {one.errors}",
            )
        return None

    def _unaccounted(self, sent: SentFile, one: Import, fate: Fate) -> int:
        """Rows of a finished import that are in none of its numbers; these may be anything."""
        numbers = _numbers(sent, one, fate)
        is_explained = fate is not Fate.FINISHED or (numbers.is_trusted and self._rules.on_existing == "keep")
        return 0 if is_explained else numbers.missing

    def _count_refused(self, sent: SentFile, one: Import, fate: Fate, numbers: Numbers, tally: Tally) -> bool:
        """Count what was not taken; whether it is known of every row of the file what became of it."""
        is_keep = self._rules.on_existing == "keep"
        outcome, reason = (Outcome.NOT_TAKEN, NOT_TAKEN) if is_keep else (Outcome.REJECTED, REFUSED)
        is_whole = fate is Fate.FINISHED and numbers.is_trusted
        if is_keep and is_whole:
            tally.count_many(outcome, numbers.missing, reason)
        is_whole = is_whole and (is_keep or not numbers.missing)
        if not numbers.refused:
            return is_whole
        report = self._reports.fetch(one) if fate is Fate.FINISHED or one.error_report_url else None
        found = self._file_of(sent) if report is not None else None
        if report is None or found is None:
            tally.count_many(outcome, numbers.refused, reason)
            return False
        file, is_written = found
        named = self._reports.refused(report, file, numbers.refused)
        if named is None:
            tally.count_many(outcome, numbers.refused, reason)
            return False
        rows, close = named
        try:
            self._write_refused(rows, is_written, outcome, reason, tally)
        finally:
            close()
        return is_whole

    def _write_refused(
        self, rows: Iterator[Refused], is_written: bool, outcome: Outcome, reason: str, tally: Tally
    ) -> None:
        numbers: list[int] = []
        digests: dict[str, str] = {}
        for row, cells, reasons in rows:
            tally.count(outcome, row.number, [reason])
            self._rejects.write(row.number, row.written_key, outcome.value, None, reasons or [reason], cells)
            if self._journal is None:
                continue
            numbers.append(row.number)
            if row.digests is not None and outcome is Outcome.REJECTED:
                digests[row.key] = row.digests.row or row.digests.patch  # of several rows in one change
            if len(numbers) >= _AT_ONCE:
                self._flush(numbers, digests, is_written, reason, tally)
        self._flush(numbers, digests, is_written, reason, tally)

    def _flush(self, numbers: list[int], digests: dict[str, str], is_written: bool, reason: str, tally: Tally) -> None:
        if self._journal is None or not numbers:
            return
        tally.note_known(len(self._journal.refused_before(digests, is_written=is_written)), reason)
        for key, digest in digests.items():
            self._journal.reject(key, digest, None, reason, is_written=is_written)
        self._journal.plan.refuse(numbers)
        self._journal.commit()
        numbers.clear()
        digests.clear()


def _numbers(sent: SentFile, one: Import, fate: Fate) -> Numbers:
    return Numbers(0, 0, sent.rows, False) if fate is Fate.GONE else numbers_of(one, sent.rows)
