"""Removes suppressed people from import files, also from files that are written already."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence, Set

from airflow_provider_connectif.contacts.identity import people_of
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.contacts_of_files import ContactsOfFiles
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.files import ImportFile
from airflow_provider_connectif.imports.work_folder import guarded_files
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome

_QUOTED = re.compile(rb'"((?:[^"]|"")*)"')


def suppressed_in(context: ImportContext, mapping: ContactMapping, batch: Sequence[Patch]) -> set[int]:
    """Return the indexes of a batch's contacts that are on the suppression list now."""
    if context.journal is None or not batch or context.journal.suppressions.is_empty():
        return set()
    people = [people_of(mapping.key, patch) for patch in batch]
    found = context.journal.suppressions.among(person for named in people for person in named)
    return {place for place, named in enumerate(people) if not found.isdisjoint(named)}


def without_suppressed(context: ImportContext, mapping: ContactMapping, batch: Sequence[Patch]) -> list[Patch]:
    """Count the suppressed contacts of a batch, and return the other contacts."""
    places = suppressed_in(context, mapping, batch)
    if places and context.journal is not None:
        rows = [patch for patch in map(batch.__getitem__, places) if patch.counted_as is None and patch.removal is None]
        context.report.tally.count_many(Outcome.SUPPRESSED, len(rows))
        context.journal.lines.forget([mapping.same_contact(batch[place].key) for place in places])
    return [patch for place, patch in enumerate(batch) if place not in places]


class SuppressedContacts:
    """Removes people from a run's files if they were suppressed after the files were written.

    :param context: the context of the run.
    :param mapping: decides when two keys are the same.
    :param state: the state of the run's imports.
    :param contacts: yields the contacts of the files; used only if somebody was suppressed.
    """

    def __init__(
        self, context: ImportContext, mapping: ContactMapping, state: ImportState, contacts: ContactsOfFiles
    ) -> None:
        self._context = context
        self._mapping = mapping
        self._state = state
        self.in_files = contacts
        """The contacts of the files."""
        self._stamp = self._stamp_now()
        self._contacts: dict[str, Patch] = {}
        self._taken_out: set[str] = set()
        self._looked_at: dict[int, int] = {}

    @property
    def taken_out(self) -> Set[str]:
        """The contacts that were removed, and are counted."""
        return self._taken_out

    def take_out(self, sent: SentFile, file: ImportFile) -> None:
        """Write a file again without suppressed people, if it has any.

        Before this call, the start of the upload must be stored. Later erasures wait for the upload.
        """
        if (stamp := self._stamp_now()) != self._stamp:
            self._look()
            self._stamp = stamp
        if self._looked_at.get(sent.file, 0) == len(self._contacts):
            return
        self._looked_at[sent.file] = len(self._contacts)
        found = rewrite_without(file, self._contacts.keys(), self._mapping, self._context.rules.delimiter)
        sent.rows = file.rows
        for contact in found - self._taken_out:
            self._count(self._contacts[contact], sent)
        self._taken_out |= found

    def _stamp_now(self) -> object:
        return None if self._context.journal is None else self._context.journal.suppressions.stamp()

    def _look(self) -> None:
        for batch in self.in_files.batches():
            for place in suppressed_in(self._context, self._mapping, batch):
                self._contacts.setdefault(self._mapping.same_contact(batch[place].key), batch[place])

    def _count(self, patch: Patch, sent: SentFile) -> None:
        """Count a contact that was removed, unless another file with a part of it was uploaded before."""
        if self._context.journal is None or (number := self.in_files.group_of(patch.number)) < 0:
            return
        group = self._state.groups[number]
        others = [file for file in self._state.files if file.file in group.files and file is not sent]
        if any(file.import_id is not None for file in others):
            return
        group.rows -= 1
        if group.counted_as is None:
            self._context.report.tally.count(Outcome.SUPPRESSED, patch.number)
        self._context.journal.plan.import_lines.remove([patch.number])
        self._context.journal.lines.forget([self._mapping.same_contact(patch.key)])


def rewrite_without(file: ImportFile, contacts: Collection[str], mapping: ContactMapping, delimiter: str) -> set[str]:
    """Write a file again without some contacts; return the keys of those that were in it.

    :param contacts: the keys of the contacts, in one form for all spellings.
    """
    found: set[str] = set()
    if not contacts or not file.rows:
        return found
    again, rows = file.path.with_suffix(".again"), 0
    with guarded_files(file.path.parent), file.path.open("rb") as read, again.open("wb") as written:
        records = _records(read)
        written.write(next(records))
        for record in records:
            contact = mapping.same_contact(_first_cell(record, delimiter))
            if contact in contacts:
                found.add(contact)
            else:
                written.write(record)
                rows += 1
    if found:
        again.replace(file.path)
        file.rows, file.size = rows, file.path.stat().st_size
    else:
        again.unlink()
    return found


def _records(file: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the records of a file that :class:`ImportFile` has written, unchanged.

    A cell may have line ends, and may be too long for the csv module.
    """
    lines: list[bytes] = []
    is_quoted = False
    for line in file:
        lines.append(line)
        is_quoted ^= line.count(b'"') % 2 == 1
        if not is_quoted:
            yield b"".join(lines)
            lines.clear()


def _first_cell(record: bytes, delimiter: str) -> str:
    if (quoted := _QUOTED.match(record)) is not None:
        return quoted[1].replace(b'""', b'"').decode()
    return record.split(delimiter.encode(), 1)[0].rstrip(b"\r\n").decode()


def account_for_removed(context: ImportContext, state: ImportState, files: dict[int, ImportFile]) -> None:
    """Count contacts as suppressed if an erasure has removed them from the stored plan before their upload.

    :param files: the rewritten files, by number.
    """
    if context.journal is None:
        return
    left = context.journal.plan.import_lines.counts()
    begun = {sent.file for sent in state.files if sent.import_id is not None}
    for number in state.groups_left:
        group = state.groups[number]
        if begun.isdisjoint(group.files) and (removed := group.rows - left.get(number, 0)) > 0:
            group.rows -= removed
            if group.counted_as is None:
                context.report.tally.count_many(Outcome.SUPPRESSED, removed)
    for sent in state.files:
        if sent.file in files:
            sent.rows = files[sent.file].rows
