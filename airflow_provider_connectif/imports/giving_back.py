"""Gives a plan back that Connectif has forbidden to import, so that it can go another way."""

from __future__ import annotations

from collections.abc import Set

from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.files import NO_GROUP, ImportFiles
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.records.changes import Patch


def give_back(context: ImportContext, split: Split, files: ImportFiles, taken_out: Set[str]) -> None:
    """Remove the contacts that have an outcome from a plan, and undo what was written down for its files.

    Contacts that went by PATCH have an outcome, those that no file can contain, and suppressed ones.

    :param context: of the run.
    :param split: the contacts of the plan by the way they go.
    :param files: written; none was taken by Connectif.
    :param taken_out: suppressed contacts that were removed from the files.
    """
    journal, changes, mapping = context.journal, split.changes, split.mapping

    def is_left(patch: Patch) -> bool:
        if patch.removal is not None:
            return not split.is_patched(patch)
        return files.group_of(patch.number) != NO_GROUP and mapping.same_contact(patch.key) not in taken_out

    for batch in changes.batches():
        left = {mapping.same_contact(patch.key): patch for patch in batch if is_left(patch)}
        changes.drop({mapping.same_contact(patch.key) for patch in batch} - left.keys())
        for contact, patch in left.items():
            # The journal says that they may be under way.
            if journal is not None and patch.digests and not patch.is_new and patch.removal is None:
                journal.lines.restore_properties(contact, patch.digests.before)
        if journal is not None:
            journal.lines.commit()  # batch by batch, since a plan may have a million contacts
    if journal is not None:
        journal.plan.drop()
