"""The contacts of files: finds them by the keys in an error report, and yields them for files to write again."""

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
    """A contact of a file.

    ``number``: of its row in the source. ``group``: of contacts in the same files. ``contact``: its key as stored in
    the journal. ``key``: its key in readable form. ``row``: the row from the source, if it is still known. ``digest``:
    for the journal, if the contact is refused.
    """

    number: int
    group: int
    contact: str
    key: str
    row: Row | None
    digest: str | None


class ContactsOfFiles(Protocol):
    """The contacts of a run's files."""

    def find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        """Return the contacts of a file, by key.

        :param keys: texts, some of which are keys of the file's contacts.
        :param file: its number.
        """

    def batches(self) -> Iterable[Sequence[Patch]]:
        """Yield at least the contacts of files that are not uploaded yet, with their values."""

    def group_of(self, number: int) -> int:
        """Return the group of a row that :meth:`batches` has yielded, by its number; :data:`NO_GROUP` for a row that is
        in no file.
        """

    def keep_values(self) -> None:
        """Store what another process needs to write files again that are not uploaded yet."""


class PlannedContacts:
    """The contacts of files that this process has written, from its plan.

    :param split: of the plan.
    :param state: with the groups of contacts.
    :param files: know the group of each row.
    :param lines: the journal's; ``None`` without a journal.
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
    """The contacts of an earlier process's files, from the journal's database: rows are not known any more, and values
    only of files that were left to upload.

    :param lines: the journal's lines, as written by the run that made the files.
    :param mapping: decides when two keys are the same.
    :param state: with the groups of contacts.
    """

    def __init__(self, lines: RunLines, mapping: ContactMapping, state: ImportState) -> None:
        self._lines = lines
        self._mapping = mapping
        self._state = state
        self._groups: dict[int, int] = {}

    def find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        """See :meth:`ContactsOfFiles.find`."""
        # No key has a NUL character, with which PostgreSQL fails.
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
        """Do nothing: the values are stored."""
