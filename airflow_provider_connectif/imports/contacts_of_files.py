"""Finds a file's contacts by the keys in its error report.

It also yields the contacts of files that are not uploaded yet, for a process that must write these files again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import NO_GROUP, ImportFiles
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.rows import Row

if TYPE_CHECKING:
    from airflow_provider_connectif.imports.writing import Split


class Found(NamedTuple):
    """A contact that was found in a file.

    ``number``: the number of its row in the source. ``group``: the number of its group; the contacts of a group are in
    the same files. ``contact``: its key as the journal stores it. ``key``: its key for the rejects file. ``row``: its
    row from the source; ``None`` if an earlier process has read it. ``digest``: the digest that the journal stores if
    the contact is refused; ``None`` if there is none.
    """

    number: int
    group: int
    contact: str
    key: str
    row: Row | None
    digest: str | None


class ContactsOfFiles(Protocol):
    """Interface: finds the contacts of a run's files by key, and yields those of files that are not uploaded yet."""

    def find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        """Return the contacts of a file whose keys are among some texts, by these texts.

        :param keys: the texts, such as the cells of an error report.
        :param file: the number of the file.
        """

    def batches(self) -> Iterable[Sequence[Patch]]:
        """Yield the contacts of files that are not uploaded yet, with their values. Others may be among them."""

    def group_of(self, number: int) -> int:
        """Return the number of a row's group; :data:`NO_GROUP` if the row is in no file.

        :param number: the number of a row that :meth:`batches` has yielded.
        """

    def keep_values(self) -> None:
        """Store the values of contacts in files that are not uploaded yet, so that another process can write these."""


class PlannedContacts:
    """The contacts of files that this process has written from its plan.

    :param split: the contacts of the plan, split into files and PATCH.
    :param state: has the groups of contacts.
    :param files: has the group of each row.
    :param lines: the journal's lines; ``None`` without a journal.
    """

    def __init__(self, split: Split, state: ImportState, files: ImportFiles, lines: RunLines | None) -> None:
        self._split = split
        self._state = state
        self._lines = lines
        self.batches = split.changes.batches
        self.group_of = files.group_of

    def find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        """See :meth:`ContactsOfFiles.find`."""
        same = {key: self._split.mapping.same_contact(key) for key in keys}
        there, found = self._split.changes.patches_of(set(same.values())), {}
        for key, contact in same.items():
            patch = there.get(contact)
            group = NO_GROUP if patch is None else self.group_of(patch.number)
            if patch is not None and group != NO_GROUP and file in self._state.groups[group].files:
                digest = None if patch.digests is None else patch.digests.row or patch.digests.patch
                written = contact if self._lines is None else self._lines.written_key(contact)
                found[key] = Found(patch.number, group, written, patch.key, patch.row, digest)
        return found

    def keep_values(self) -> None:
        """See :meth:`ContactsOfFiles.keep_values`."""
        if self._lines is not None:
            left = self._state.groups_left
            for batch in self._split.by_file():
                kept = [patch for patch in batch if self.group_of(patch.number) in left]
                self._lines.plan.import_lines.keep_values(kept)
            self._state.is_parked = True


class StoredContacts:
    """The contacts of files that an earlier process has written, from the journal's database.

    Their rows are no longer known. Their values are known only for files that are not uploaded yet.

    :param lines: the journal's lines, as written by the run that made the files.
    :param mapping: decides when two keys are the same.
    :param state: has the groups of contacts.
    """

    def __init__(self, lines: RunLines, mapping: ContactMapping, state: ImportState) -> None:
        self._lines = lines
        self._mapping = mapping
        self._state = state
        self._groups: dict[int, int] = {}

    def find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        """See :meth:`ContactsOfFiles.find`."""
        # No key has a NUL character, and PostgreSQL fails with one.
        written = {key: self._lines.written_key(self._mapping.same_contact(key)) for key in keys if "\0" not in key}
        there = self._lines.plan.import_lines.find(set(written.values()), self._state.groups_in(file))
        return {
            key: Found(row.number, row.group, row.written_key, row.written_key, None, row.digest)
            for key, contact in written.items()
            if (row := there.get(contact)) is not None
        }

    def batches(self) -> Iterator[Sequence[Patch]]:
        """See :meth:`ContactsOfFiles.batches`."""
        for batch in self._lines.plan.import_lines.kept_values(self._state.groups_left):
            self._groups.update((patch.number, group) for group, patch in batch)
            yield [patch for _, patch in batch]

    def group_of(self, number: int) -> int:
        """See :meth:`ContactsOfFiles.group_of`."""
        return self._groups.get(number, NO_GROUP)

    def keep_values(self) -> None:
        """Do nothing: the values are stored already."""
