"""Settles imports that have ended: counts their contacts, and writes them into the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.imports.contacts_of_files import ContactsOfFiles, Found
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.report import NamedContacts, fetch_report, read_report
from airflow_provider_connectif.imports.rules import Fate, Numbers, numbers_of
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.import_settlement import GIVEN_UP, GroupsAlike, settle_files
from airflow_provider_connectif.journal.import_state import Group, ImportState, SentFile
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict

REFUSED = "rejected during the import; see the import's error report"
NOT_TAKEN = "not taken by an import with on_existing='keep': the contact exists, or its row was rejected"

TROUBLES: dict[Fate, tuple[Verdict, str]] = {
    Fate.BROKEN: (Verdict.TRY_AGAIN, "import {id} ended in error after {done:,} of {rows}"),
    Fate.CANCELLED: (
        Verdict.FAILED,
        "import {id} was cancelled in the app after {done:,} of {rows}; clear the task to import the file again",
    ),
    Fate.GONE: (Verdict.TRY_AGAIN, "import {id} no longer exists: it was deleted before this task saw its result"),
}
"""The verdict on a run with an import that did not finish."""


@dataclass
class Account:
    """The account of the contacts of a run's imports.

    :param report: receives their outcomes, and the rejected rows.
    :param failures: failures that keep the run from success.
    :param unaccounted: contacts without a known outcome, of imports that have finished.
    """

    report: Report
    failures: list[ImportFailed] = field(default_factory=list)
    unaccounted: int = 0


class Settlement:
    """Settles the imports of one run.

    A contact is counted and acknowledged when every file that contains a part of it is settled. It is rejected if one
    of the files rejected it.

    :param context: of the run that uploaded the files.
    :param watch: polls imports.
    :param state: of that run's files and groups.
    :param contacts: of the files; ``None`` if they are no longer known.
    :param lines: the journal's lines, as written by that run; ``None`` without a journal.
    :param account: receives the outcomes of the contacts.
    :param folder: for error reports.
    :param as_saved: returns the run's state, to be stored after an import is counted.
    """

    def __init__(
        self,
        context: ImportContext,
        watch: Watch,
        state: ImportState,
        contacts: ContactsOfFiles | None,
        lines: RunLines | None,
        account: Account,
        folder: Path,
        as_saved: Callable[[], dict[str, Any]],
    ) -> None:
        self._context = context
        self._watch = watch
        self._state = state
        self._contacts = contacts
        self._lines = lines
        self._account = account
        self._as_saved = as_saved
        self._report_path = folder / "report.csv"
        self._is_keep = context.rules.on_existing == "keep"
        self._refusal = (Outcome.NOT_TAKEN, NOT_TAKEN) if self._is_keep else (Outcome.REJECTED, REFUSED)
        self._refused: set[int] = set()  # numbers of rows, for a run without a journal

    def settle_all(self) -> int:
        """Poll the imports until all are settled, each as soon as it has ended; return their number."""
        count = 0
        while left := self._open:
            sent = left[self._watch.next_of(left)]
            self._poll(sent)
            count += sent.is_settled
        return count

    def settle_once(self) -> int:
        """Poll each import once; return how many have ended."""
        left = self._open.values()
        for sent in left:
            self._poll(sent)
        return sum(sent.is_settled for sent in left)

    def settle_ended(self) -> bool:
        """Settle the imports that have ended, without waiting; return whether others are still running."""
        self.settle_once()
        while doubtful := [import_id for import_id in self._open if self._watch.is_doubtful(import_id)]:
            self._poll(self._open[self._watch.next_of(doubtful)])
        return bool(self._open)

    def settle_due(self) -> None:
        """Poll the imports that are due, without waiting."""
        for import_id, sent in self._open.items():
            if self._watch.due_in(import_id, sent.since or 0.0) <= 0:
                self._poll(sent)

    @property
    def _open(self) -> dict[str, SentFile]:
        """The files whose imports are not settled, by import id."""
        return {sent.import_id: sent for sent in self._state.files if sent.is_open and sent.import_id is not None}

    def _poll(self, sent: SentFile) -> None:
        one, fate = self._watch.poll(sent)
        if fate is not Fate.WAIT:
            self._settle(sent, one, fate)

    def _settle(self, sent: SentFile, one: Import, fate: Fate) -> None:
        numbers = Numbers(0, 0, sent.rows, False) if fate is Fate.GONE else numbers_of(one, sent.rows)
        self._note_trouble(sent, one, fate, numbers)
        sent.missing, sent.unnamed = numbers.missing, 0
        sent.is_settled, sent.is_finished = True, fate is Fate.FINISHED
        sent.is_failed = fate in (Fate.BROKEN, Fate.GONE)
        if sent.is_finished:
            sent.began_at, sent.ended_at = self._watch.times_of(one, sent)
        if self._is_keep and sent.is_finished and numbers.is_trusted:
            sent.unnamed, sent.missing = numbers.missing, 0  # it is not documented how existing contacts are counted
        with self._named(sent, one, numbers.refused) as contacts:
            if contacts is None:
                sent.unnamed += numbers.refused
                self._end(sent, (), is_whole=not numbers.refused)
            else:
                self._count_named(sent, contacts)
                self._end(sent, contacts.numbers(), is_whole=True)
        self._context.log.debug(
            wording.IMPORT_ENDED,
            one.id,
            "gone" if fate is Fate.GONE else one.status,
            plural(sent.rows, "row"),
            f"{numbers.taken:,}",
            f"{numbers.refused:,}",
            f", {numbers.missing:,} unaccounted for" if numbers.missing else "",
        )

    def _note_trouble(self, sent: SentFile, one: Import, fate: Fate, numbers: Numbers) -> None:
        """Note a failure of an import that keeps the run from success."""
        if fate in TROUBLES:
            verdict, words = TROUBLES[fate]
            done, rows = numbers.taken + numbers.refused, plural(sent.rows, "row")
            self._account.failures.append(ImportFailed(verdict, words.format(id=one.id, done=done, rows=rows)))
        elif numbers.missing and not (self._is_keep and numbers.is_trusted):
            words = (
                f"import {one.id} is finished, but {numbers.missing:,} of {plural(sent.rows, 'row')} could not be "
                f"accounted for: it reports total {one.total}, success {one.success}, errors {one.errors}"
            )
            self._account.failures.append(ImportFailed(Verdict.FAILED, words))

    @contextmanager
    def _named(self, sent: SentFile, one: Import, refused: int) -> Iterator[NamedContacts | None]:
        """Yield the rejected contacts of a file, if the error report names as many as were rejected."""
        is_there = refused and (sent.is_finished or one.error_report_url)
        pause = self._watch.waiting.pause
        if not is_there or not fetch_report(self._context, one, self._report_path, pause) or self._contacts is None:
            yield None
            return
        with read_report(
            self._report_path,
            self._context.rules.delimiter,
            sent.rows,
            lambda keys: {key: found.number for key, found in self._find(keys, sent.file).items()},
        ) as contacts:
            if contacts.count == refused:
                yield contacts
                return
        self._context.log.warning(
            "Import %s: its error report does not show the keys of its %s; no contact of the file is acknowledged",
            one.id,
            plural(refused, "rejected row"),
        )
        yield None

    def _count_named(self, sent: SentFile, contacts: NamedContacts) -> None:
        (outcome, reason), tally, lines = self._refusal, self._account.report.tally, self._lines
        for said in contacts.batches():
            named = self._find(said, sent.file)
            new = {key: found for key, found in named.items() if self._is_first_refusal(found)}
            digests = {
                found.contact: found.digest
                for found in new.values()
                if found.digest is not None and self._state.groups[found.group].counted_as is None
            }
            for key, found in new.items():
                group = self._state.groups[found.group]
                group.refused += 1
                if group.counted_as is None:
                    tally.count(outcome, found.number, [reason])
                    if (history := self._account.report.history) is not None:
                        history.add(outcome.value, found.contact, reason=reason, is_written=True)
                reasons = [said[key] or reason]
                self._account.report.rejects.write(
                    found.number, found.key, outcome.value, None, reasons, found.row or {}
                )
            if lines is not None and outcome is Outcome.REJECTED:
                tally.note_known(len(lines.refused_before(digests, is_written=True)), reason)
                for contact, digest in digests.items():
                    lines.reject(contact, digest, None, reason, is_written=True)
                lines.commit()

    def _find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        return {} if self._contacts is None else self._contacts(keys, file)

    def _is_first_refusal(self, found: Found) -> bool:
        """Whether no other file's report has named the contact before."""
        if found.number in self._refused or found.group < 0:
            return False
        if len(self._state.groups[found.group].files) > 1:
            self._refused.add(found.number)
        return True

    def _end(self, sent: SentFile, refused: Iterable[Sequence[int]], *, is_whole: bool) -> None:
        """Count the groups whose last file this was, and write their outcomes into the journal."""
        is_unclear = sent.missing or (sent.unnamed and not self._is_keep)
        sent.is_whole = is_whole and sent.is_finished and not is_unclear
        by_number = {other.file: other for other in self._state.files}
        acknowledged: dict[str | None, list[int]] = {}
        given_up: list[int] = []
        alike: dict[Outcome, list[int]] = {}
        for number in self._state.groups_in(sent.file):
            group = self._state.groups[number]
            files = [by_number[file] for file in group.files]
            if not group.is_counted and all(file.is_settled for file in files):
                is_known = all(file.is_whole for file in files)
                if (outcome := self._count(group, files, is_known=is_known)) is not None:
                    alike.setdefault(outcome, []).append(number)
                (acknowledged.setdefault(group.counted_as, []) if is_known else given_up).append(number)
        saved = self._as_saved()
        if self._lines is not None:
            of_report = self._account.report.history is not None
            rows = {
                outcome.value: {number: self._left_in(self._state.groups[number]) for number in numbers}
                for outcome, numbers in alike.items()
            }
            reasons = {self._refusal[0].value: self._refusal[1], Outcome.UNDELIVERED.value: GIVEN_UP}
            settle_files(
                self._lines,
                acknowledged,
                given_up,
                refused,
                saved,
                alike=GroupsAlike(rows, reasons) if of_report else None,
            )

    def _count(self, group: Group, files: Sequence[SentFile], *, is_known: bool) -> Outcome | None:
        """Count the contacts of a group that no report has named.

        If rows were rejected but it is not known which, as many contacts count as rejected.

        :param is_known: whether the outcome of each contact is known.
        :return: the outcome, if all have the same; it is not in the history yet.
        """
        group.is_counted = True
        outcome, reason = self._refusal
        tally, left = self._account.report.tally, group.rows - group.refused
        if group.counted_as is not None:
            self._count_alone(Outcome(group.counted_as), files[0], left)
            return None
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
                self._account.unaccounted += missing
                left_out += missing
            else:
                tally.count_many(Outcome.UNDELIVERED, missing)
                counted[Outcome.UNDELIVERED] += missing
        counted[Outcome.IMPORTED] += left
        tally.outcomes[Outcome.IMPORTED] += left
        self._account.report.shown.unconfirmed += min(left, group.filled)
        self._account.report.shown.consent_kept += group.kept if left else 0
        alike = [each for each, rows in counted.items() if rows]
        if len(alike) == 1 and not left_out and (is_known or alike[0] is Outcome.UNDELIVERED):
            return alike[0]
        if (history := self._account.report.history) is not None:
            for each, rows in counted.items():
                history.add_many(each.value, rows, reason if each is outcome else "")
        return None

    @staticmethod
    def _left_in(group: Group) -> int:
        """Return the number of contacts of a group that no report has named."""
        return group.rows - group.refused

    def _count_alone(self, counted_as: Outcome, file: SentFile, left: int) -> None:
        """Count contacts whose rows already have an outcome; it changes if they are undelivered."""
        missing = min(file.missing, left)
        unnamed = min(file.unnamed, left - missing)
        file.missing -= missing
        file.unnamed -= unnamed
        self._account.report.tally.outcomes[counted_as] -= missing
        self._account.report.tally.count_many(Outcome.UNDELIVERED, missing)
        self._account.report.shown.lowered_alone += left - missing - unnamed
