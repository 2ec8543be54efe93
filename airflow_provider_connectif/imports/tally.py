"""Counts the contacts of a run's imports by outcome, and notes the failures of imports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.imports.rules import Fate, Numbers
from airflow_provider_connectif.journal.import_state import Group, SentFile
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict

FAILURES_BY_FATE: dict[Fate, tuple[Verdict, str]] = {
    Fate.BROKEN: (
        Verdict.TRY_AGAIN,
        "import {id} ended in error{done}; the next attempt or run sends its rows again",
    ),
    Fate.CANCELLED: (
        Verdict.FAILED,
        "import {id} was cancelled in the app{done}; the next run sends its rows again, or clear the task",
    ),
    Fate.GONE: (
        Verdict.TRY_AGAIN,
        "import {id} no longer exists (404), so its result is not known; the next attempt or run sends its rows again",
    ),
}
"""The verdict on a run and its message, if an import did not finish: by the fate of that import.

What follows the semicolon is not said about the imports of an earlier run or attempt."""


@dataclass
class ImportTally:
    """Counts the contacts of a run's imports by outcome, and collects the failures of these imports.

    :param report: receives the outcomes and the rejected rows.
    :param failures: failures of imports; with one of them the run does not succeed.
    :param unaccounted: number of contacts in finished imports whose outcome is not known.
    :param is_earlier: whether these imports are those of an earlier run or attempt. The messages of their failures have
        no step: this run sends the rows again.
    """

    report: Report
    failures: list[ImportFailed] = field(default_factory=list)
    unaccounted: int = 0
    is_earlier: bool = False

    def note_end(self, sent: SentFile, one: Import, fate: Fate, numbers: Numbers, *, is_keep: bool) -> None:
        """Note a failure, if the run cannot succeed with this end of an import.

        :param sent: the file of the import.
        :param is_keep: whether the import leaves existing contacts as they are.
        """
        if fate in FAILURES_BY_FATE:
            verdict, words = FAILURES_BY_FATE[fate]
            if self.is_earlier:
                words = words.partition(";")[0]
            done = ""
            if numbers.is_trusted:
                done = f" after {numbers.taken + numbers.refused:,} of {plural(sent.rows, 'row')}"
            self.failures.append(ImportFailed(verdict, words.format(id=one.id, done=done)))
        elif numbers.missing and not (is_keep and numbers.is_trusted):
            words = (
                f"import {one.id} is finished, but {numbers.missing:,} of {plural(sent.rows, 'row')} could not be "
                f"accounted for: it reports total {one.total}, success {one.success}, errors {one.errors}; look at it "
                "in the app, then clear the task to send its rows again"
            )
            self.failures.append(ImportFailed(Verdict.FAILED, words))

    def count(
        self, group: Group, files: Sequence[SentFile], refusal: tuple[Outcome, str], *, is_known: bool
    ) -> Outcome | None:
        """Count the contacts of a group that no error report has named. Their rows have no outcome yet.

        If it is not known which rows were rejected, the same number of contacts counts as rejected.

        :param files: all files with a part of these contacts; their imports are settled.
        :param refusal: outcome and reason of a contact that an import did not take.
        :param is_known: whether the outcome of each contact is known.
        :return: the outcome of all these contacts, which the caller adds to the history. ``None`` if their outcomes
            differ, or are only known as numbers: then they are in the history already.
        """
        group.is_counted = True
        outcome, reason = refusal
        tally, left = self.report.tally, group.left
        if len(files) > 1 and not all(file.is_finished for file in files):
            tally.count_many(Outcome.UNDELIVERED, left)
            return Outcome.UNDELIVERED
        counted: Counter[Outcome] = Counter()
        left_out = 0
        for file in files:
            unnamed = min(file.unnamed, left)
            missing = min(file.missing, left - unnamed)
            file.unnamed -= unnamed
            file.missing -= missing
            left -= unnamed + missing
            tally.count_many(outcome, unnamed, reason)
            counted[outcome] += unnamed
            if file.is_finished:
                self.unaccounted += missing
                left_out += missing
            else:
                tally.count_many(Outcome.UNDELIVERED, missing)
                counted[Outcome.UNDELIVERED] += missing
        counted[Outcome.IMPORTED] += left
        tally.outcomes[Outcome.IMPORTED] += left
        self.report.shown.unconfirmed += min(left, group.filled)
        self.report.shown.consent_kept += group.kept if left else 0
        alike = [each for each, rows in counted.items() if rows]
        if len(alike) == 1 and not left_out and (is_known or alike[0] is Outcome.UNDELIVERED):
            return alike[0]
        if (history := self.report.history) is not None:
            for each, rows in counted.items():
                history.add_many(each.value, rows, reason if each is outcome else "")
        return None

    def count_alone(self, group: Group, counted_as: Outcome, file: SentFile) -> int:
        """Count the contacts of a group that no error report has named, and whose rows already have an outcome.

        Undelivered contacts change the counts: their rows count as undelivered from now on.

        :param counted_as: the outcome that the rows have.
        :param file: the only file with these contacts; its import is settled.
        :return: number of undelivered contacts, which the caller corrects in the history.
        """
        group.is_counted, left = True, group.left
        missing = min(file.missing, left)
        unnamed = min(file.unnamed, left - missing)
        file.missing -= missing
        file.unnamed -= unnamed
        self.report.tally.outcomes[counted_as] -= missing
        self.report.tally.count_many(Outcome.UNDELIVERED, missing)
        taken = left - missing - unnamed
        self.report.shown.lowered_alone += taken
        self.report.shown.consent_kept += group.kept if taken else 0
        return missing
