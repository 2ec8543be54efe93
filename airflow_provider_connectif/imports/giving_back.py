"""Gives back a plan that Connectif has forbidden to import, so that another sink can deliver it."""

from __future__ import annotations

from collections.abc import Set

from airflow_provider_connectif.contacts.by_import import withdrawn_part
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.files import NO_GROUP, ImportFiles
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.journal.pending import PendingChange, Rank
from airflow_provider_connectif.records.changes import Patch


def give_back(context: ImportContext, split: Split, files: ImportFiles, taken_out: Set[str]) -> None:
    """Remove the contacts with an outcome from a plan, and restore the journal's digests of the other contacts.

    These contacts have an outcome: those sent by PATCH, those that no file can contain, and suppressed ones.

    :param context: the context of the run.
    :param split: the contacts of the plan, split into files and PATCH.
    :param files: the written files; Connectif has accepted none of them.
    :param taken_out: suppressed contacts that were removed from the files.
    """
    journal, changes, mapping = context.journal, split.changes, split.mapping

    def is_left(patch: Patch) -> bool:
        if patch.removal is not None:
            return not split.is_patched(patch)
        return files.group_of(patch.number) != NO_GROUP and mapping.same_contact(patch.key) not in taken_out

    def only_left(patch: Patch) -> Patch:
        """Return only the withdrawn consents of a contact if no file can contain its row, which counts as invalid."""
        group = files.group_of(patch.number)
        is_whole = group == NO_GROUP or files.groups[group].counted_as is None
        return patch if is_whole else withdrawn_part(patch) or patch

    alone: list[PendingChange] = []
    for batch in changes.batches():
        left = {mapping.same_contact(patch.key): patch for patch in batch if is_left(patch)}
        changes.drop({mapping.same_contact(patch.key) for patch in batch} - left.keys())
        parts = [(contact, only_left(patch)) for contact, patch in left.items()]
        alone += [PendingChange(part, contact, Rank.BESIDE) for contact, part in parts if part is not left[contact]]
        for contact, patch in left.items():
            # Before the upload, the journal recorded these changes as in doubt.
            if journal is not None and patch.digests and not patch.is_new and patch.removal is None:
                journal.lines.restore_properties(contact, patch.digests.before)
        if journal is not None:
            journal.lines.commit()  # batch by batch, since a plan may have a million contacts
    for change in alone:
        changes.replace(change)
    if journal is not None:
        journal.plan.drop()
