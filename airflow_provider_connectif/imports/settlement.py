"""Settles imports that have ended: counts their contacts, and writes the outcomes to the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.imports.contacts_of_files import ContactsOfFiles, Found
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.report import NamedContacts, fetch_report, read_report
from airflow_provider_connectif.imports.rules import Fate, Numbers, numbers_of
from airflow_provider_connectif.imports.tally import ImportTally
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.import_settlement import GIVEN_UP, GroupsAlike, refuse_contacts, settle_files
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import plural

REFUSED = "rejected during the import; its error report, if there is one, shows why"
NOT_TAKEN = "not taken by an import with on_existing='keep': the contact exists, or its row was rejected"


class Settlement:
    """Settles the imports of one run.

    A contact is counted and acknowledged when every file with a part of it is settled. It counts as rejected if the
    import of one of these files rejected it.

    :param context: the context of the run that uploaded the files.
    :param watch: polls imports.
    :param state: the files and groups of that run.
    :param contacts: finds the contacts of the files; ``None`` if they are no longer known.
    :param lines: the journal's lines, as written by that run; ``None`` without a journal.
    :param tally: counts the contacts by outcome.
    :param folder: the folder for error reports.
    :param as_saved: returns the state of that run, which is stored after an import is counted.
    """

    def __init__(
        self,
        context: ImportContext,
        watch: Watch,
        state: ImportState,
        contacts: ContactsOfFiles | None,
        lines: RunLines | None,
        tally: ImportTally,
        folder: Path,
        as_saved: Callable[[], dict[str, Any]],
    ) -> None:
        self._context = context
        self._watch = watch
        self._state = state
        self._contacts = contacts
        self._lines = lines
        self._tally = tally
        self._as_saved = as_saved
        self._report_path = folder / "report.csv"
        self._is_keep = context.rules.on_existing == "keep"
        self._refusal = (Outcome.NOT_TAKEN, NOT_TAKEN) if self._is_keep else (Outcome.REJECTED, REFUSED)
        self._refused = bytearray()  # a byte for each row: whether a report has named it

    def settle_all(self) -> int:
        """Poll the imports until all are settled, each as soon as it has ended; return their number."""
        count = 0
        while self._open:
            count += self.settle_next(self._open)
        return count

    def settle_next(self, import_ids: Iterable[str]) -> bool:
        """Wait until one of these imports may be polled, and poll it; return whether it has ended."""
        sent = self._open[self._watch.next_of(import_ids)]
        self._poll(sent)
        return sent.is_settled

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

    def settle_empty(self, sent: SentFile) -> None:
        """Settle a file that needs no upload, since all its contacts are suppressed.

        Other parts of these contacts may be in files that are settled already. So no later file would count them.
        """
        sent.since = None
        sent.is_settled = sent.is_finished = True
        self._state.is_all_sent = all(other.is_sent for other in self._state.files)
        self._end_or_undo(sent, is_whole=True)

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
        with self._named(sent, one, fate, numbers.refused) as contacts:
            if contacts is not None:
                self._count_named(sent, contacts)
        self._tally.note_end(sent, one, fate, numbers, is_keep=self._is_keep)
        sent.missing, sent.unnamed = numbers.missing, 0
        if self._is_keep and fate is Fate.FINISHED and numbers.is_trusted:
            sent.unnamed, sent.missing = numbers.missing, 0  # it is not documented how existing contacts are counted
        if contacts is None:
            sent.unnamed += numbers.refused
        if fate is Fate.FINISHED:
            sent.began_at, sent.ended_at = self._watch.times_of(one, sent)
        sent.is_settled, sent.is_finished = True, fate is Fate.FINISHED
        sent.is_failed = fate in (Fate.BROKEN, Fate.GONE)
        self._end_or_undo(sent, is_whole=contacts is not None or not numbers.refused)
        self._context.log.debug(
            wording.IMPORT_ENDED,
            one.id,
            "gone" if fate is Fate.GONE else one.status,
            plural(sent.rows, "row"),
            f"{numbers.taken:,}",
            f"{numbers.refused:,}",
            f", {numbers.missing:,} unaccounted for" if numbers.missing else "",
        )

    @contextmanager
    def _named(self, sent: SentFile, one: Import, fate: Fate, refused: int) -> Iterator[NamedContacts | None]:
        """Yield the rejected contacts of a file; ``None`` if the error report does not name all of them."""
        is_there = refused and (fate is Fate.FINISHED or one.error_report_url)
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
            "Import %s: its error report does not show the keys of its %s\n"
            "  The journal acknowledges no contact of its file, so a later run sends them again",
            one.id,
            plural(refused, "rejected row"),
        )
        yield None

    def _count_named(self, sent: SentFile, contacts: NamedContacts) -> None:
        """Count the contacts that a report names, and record them in batches.

        Each batch is recorded in one transaction with the run's state, so that a process that continues after a kill
        counts none of them again.
        """
        (outcome, reason), tally, lines = self._refusal, self._tally.report.tally, self._lines
        for said in contacts.batches():
            new = {key: found for key, found in self._find(said, sent.file).items() if self._is_first_refusal(found)}
            digests = {
                found.contact: found.digest
                for found in new.values()
                if found.digest is not None and self._state.groups[found.group].counted_as is None
            }
            for key, found in new.items():  # before anything is counted, since the disk may fail
                reasons = [said[key] or reason]
                self._tally.report.rejects.write(found.number, found.key, outcome.value, None, reasons, found.row or {})
            self._tally.report.rejects.flush()
            with self._all_or_nothing():
                for found in new.values():
                    group = self._state.groups[found.group]
                    group.refused += 1
                    if group.counted_as is None:
                        tally.count(outcome, found.number, [reason])
                        if (history := self._tally.report.history) is not None:
                            history.add(outcome.value, found.contact, reason=reason, is_written=True)
                if lines is not None:
                    if outcome is Outcome.REJECTED:
                        tally.note_known(len(lines.refused_before(digests, is_written=True)), reason)
                        for contact, digest in digests.items():
                            lines.reject(contact, digest, None, reason, is_written=True)
                    numbers, alone = [found.number for found in new.values()], self._alone(new.values())
                    refuse_contacts(lines, numbers, self._as_saved(), alone=alone, ranked=RANKS)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Count contacts and record their outcomes as one step.

        If it breaks off, because the journal's database fails or the task is stopped, nothing of the step is stored.
        Another process then finds these imports as they were, and counts them again.
        """
        history = self._tally.report.history
        place = (0, 0) if history is None else history.place
        self._state.is_half_counted = True
        try:
            yield
            self._state.is_half_counted = False
        finally:
            if self._state.is_half_counted and history is not None:
                history.back_to(place)

    def _alone(self, contacts: Iterable[Found]) -> dict[str, list[int]]:
        """Return the row numbers of contacts whose rows already have an outcome, by that outcome."""
        numbers: dict[str, list[int]] = {}
        for found in contacts:
            if (counted_as := self._state.groups[found.group].counted_as) is not None:
                numbers.setdefault(counted_as, []).append(found.number)
        return numbers

    def _find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        return {} if self._contacts is None else self._contacts.find(keys, file)

    def _is_first_refusal(self, found: Found) -> bool:
        """Whether no report has named the contact before, in this process or an earlier one."""
        if found.group < 0:
            return False
        self._refused.extend(bytes(max(0, found.number + 1 - len(self._refused))))
        is_first = not self._refused[found.number]
        self._refused[found.number] = True
        return is_first

    def _end_or_undo(self, sent: SentFile, *, is_whole: bool) -> None:
        try:
            with self._all_or_nothing():
                self._end(sent, is_whole=is_whole)
        finally:
            if self._state.is_half_counted:  # another process must settle the file
                sent.is_settled = sent.is_finished = sent.is_failed = False

    def _end(self, sent: SentFile, *, is_whole: bool) -> None:
        """Count the groups whose last file this was, and write their outcomes into the journal."""
        is_unclear = sent.missing or (sent.unnamed and not self._is_keep)
        sent.is_whole = is_whole and sent.is_finished and not is_unclear
        by_number = {other.file: other for other in self._state.files}
        acknowledged: dict[str | None, list[int]] = {}
        given_up: list[int] = []
        in_part: list[int] = []
        alike: dict[Outcome, list[int]] = {}
        for number in self._state.groups_in(sent.file):
            group = self._state.groups[number]
            files = [by_number[file] for file in group.files]
            if not group.is_counted and all(file.is_settled for file in files):
                is_known = all(file.is_whole for file in files)
                if group.refused and sum(file.is_finished for file in files) > 1:
                    in_part.append(number)
                if group.counted_as is not None:
                    self._count_alone(number, Outcome(group.counted_as), files[0])
                elif (outcome := self._tally.count(group, files, self._refusal, is_known=is_known)) is not None:
                    alike.setdefault(outcome, []).append(number)
                (acknowledged.setdefault(group.counted_as, []) if is_known else given_up).append(number)
        saved = self._as_saved()
        if self._lines is not None:
            of_report = self._tally.report.history is not None
            rows = {
                outcome.value: {number: self._state.groups[number].left for number in numbers}
                for outcome, numbers in alike.items()
            }
            reasons = {self._refusal[0].value: self._refusal[1], Outcome.UNDELIVERED.value: GIVEN_UP}
            settle_files(
                self._lines,
                acknowledged,
                given_up,
                saved,
                in_part=in_part,
                alike=GroupsAlike(rows, reasons) if of_report else None,
            )

    def _count_alone(self, number: int, counted_as: Outcome, file: SentFile) -> None:
        """Count a group of contacts whose rows already have an outcome; correct the history for undelivered ones.

        If only some are undelivered, it is not known which. The history then names the same number of contacts.
        """
        undelivered = self._tally.count_alone(self._state.groups[number], counted_as, file)
        if undelivered and self._lines is not None and (history := self._tally.report.history) is not None:
            for key in self._lines.plan.import_lines.some_keys(number, undelivered):
                history.correct(counted_as.value, Outcome.UNDELIVERED.value, key, reason=GIVEN_UP, is_written=True)
