"""Finds the contacts of a file by the keys in an error report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import NO_GROUP, ImportFiles
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.records.rows import Row


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


ContactsOfFiles = Callable[[Collection[str], int], Mapping[str, Found]]
"""Finds the contacts of a file, given by number, among texts some of which are their keys; returns them by text."""


def planned_contacts(
    changes: PendingChanges, mapping: ContactMapping, state: ImportState, files: ImportFiles, lines: RunLines | None
) -> ContactsOfFiles:
    """Return a function that finds contacts in the plan of this process.

    :param changes: the plan.
    :param mapping: decides when two keys are the same.
    :param state: with the groups of contacts.
    :param files: know the group of each row.
    """

    def find(keys: Collection[str], file: int) -> Mapping[str, Found]:
        same = {key: mapping.same_contact(key) for key in keys}
        there, found = changes.patches_of(set(same.values())), {}
        for key, contact in same.items():
            patch = there.get(contact)
            group = NO_GROUP if patch is None else files.group_of(patch.number)
            if patch is not None and group != NO_GROUP and file in state.groups[group].files:
                digest = None if patch.digests is None else patch.digests.row or patch.digests.patch
                written = contact if lines is None else lines.written_key(contact)
                found[key] = Found(patch.number, group, written, patch.key, patch.row, digest)
        return found

    return find


def stored_contacts(lines: RunLines, mapping: ContactMapping, state: ImportState) -> ContactsOfFiles:
    """Return a function that finds contacts of an earlier process in the plan of the journal's database, without
    values.

    :param lines: the journal's lines, as written by the run that made the files.
    :param mapping: decides when two keys are the same.
    :param state: with the groups of contacts.
    """

    def find(keys: Collection[str], file: int) -> Mapping[str, Found]:
        written = {key: lines.written_key(mapping.same_contact(key)) for key in keys}
        there = lines.plan.import_lines.find(set(written.values()), state.groups_in(file))
        return {
            key: Found(row.number, row.group, row.written_key, row.written_key, None, row.digest)
            for key, contact in written.items()
            if (row := there.get(contact)) is not None
        }

    return find
