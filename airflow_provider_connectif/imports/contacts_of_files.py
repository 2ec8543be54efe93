"""Finds the contacts of a file by what an error report calls them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import NO_GROUP
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.records.rows import Row


class Found(NamedTuple):
    """A contact of a file.

    ``number``: its row's in the source. ``group``: of contacts in the same files. ``contact``: its key in the journal's
    form. ``key``: the same for people. ``row``: as it came, where it is still known. ``digest``: what the journal holds
    if the contact is refused.
    """

    number: int
    group: int
    contact: str
    key: str
    row: Row | None
    digest: str | None


class PlannedContacts:
    """Those of the plan of this process.

    :param changes: the plan.
    :param mapping: tells when two keys are the same.
    :param state: with the groups of contacts.
    :param group_of: the group of a row by its number.
    """

    is_written = False

    def __init__(
        self, changes: PendingChanges, mapping: ContactMapping, state: ImportState, group_of: Callable[[int], int]
    ) -> None:
        self._changes = changes
        self._mapping = mapping
        self._state = state
        self._group_of = group_of

    def find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        """The contacts of a file, by those of these texts that are their keys."""
        same = {key: self._mapping.same_contact(key) for key in keys}
        there, found = self._changes.patches_of(set(same.values())), {}
        for key, contact in same.items():
            patch = there.get(contact)
            group = NO_GROUP if patch is None else self._group_of(patch.number)
            if patch is not None and group != NO_GROUP and file in self._state.groups[group].files:
                digest = None if patch.digests is None else patch.digests.row or patch.digests.patch
                found[key] = Found(patch.number, group, contact, patch.key, patch.row, digest)
        return found


class StoredContacts:
    """Those of an earlier process, as the plan in the journal's database has them: without their values.

    :param lines: of the run that has made the files.
    :param mapping: tells when two keys are the same.
    :param state: with the groups of contacts.
    """

    is_written = True

    def __init__(self, lines: RunLines, mapping: ContactMapping, state: ImportState) -> None:
        self._lines = lines
        self._mapping = mapping
        self._state = state

    def find(self, keys: Collection[str], file: int) -> Mapping[str, Found]:
        """The contacts of a file, by those of these texts that are their keys."""
        written = {key: self._lines.written_key(self._mapping.same_contact(key)) for key in keys}
        there = self._lines.plan.import_lines.find(set(written.values()), self._state.groups_in(file))
        return {
            key: Found(row.number, row.group, row.written_key, row.written_key, None, row.digest)
            for key, contact in written.items()
            if (row := there.get(contact)) is not None
        }


ContactsOfFiles = PlannedContacts | StoredContacts
"""The contacts of a run's files. ``is_written``: keys are as they stand in the journal's tables."""
