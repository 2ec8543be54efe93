"""Contacts of which the source has several rows: they are merged before anything of them is sent."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_connectif.journal.differences import raises
from airflow_provider_connectif.journal.pending import PendingChanges, Rank
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.resource import Resource

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.shown_keys import ShownKeys
    from airflow_provider_connectif.journal.store import Journal


class JoinedRows:
    """Watches for contacts with both changed and unchanged rows, and with several rows no longer.

    :param shown: has the key of every row of the read; ``None``: rows with nothing to send are not looked for.
    :param are_keys_plain: whether ``shown`` has keys as they are in changes, and not their digests.
    """

    def __init__(self, journal: Journal, resource: Resource, shown: ShownKeys | None, *, are_keys_plain: bool) -> None:
        self._lines = journal.lines
        self._ranks = resource.ranks
        self._shown = shown
        self._are_keys_plain = are_keys_plain
        self._changed = array("q")  # hashes of the contacts of changed rows, and of those that raise a consent
        self._rises = array("q")

    def note(self, contact: str, patch: Patch) -> None:
        """Note a changed row of a contact that Connectif has."""
        if self._shown is None:
            return
        self._changed.append(self._hash(contact))
        if raises(self._ranks, patch):
            self._rises.append(self._changed[-1])

    def withdraw_raises(self, pending: PendingChanges) -> None:
        """Let no change raise a consent if an unchanged row of its contact came before it.

        Such a row is settled before the other one is read, so its values cannot be merged. The next run compares and
        merges all rows of the contact, since its line gets no row digest: now, or with the response to what is sent.
        """
        shown = self._shown.repeated(self._rises) if self._shown is not None and self._rises else Counter[int]()
        joined = shown - Counter(filter(shown.__contains__, self._changed))
        if not joined:
            return
        for contact in [contact for contact in pending.contacts() if self._hash(contact) in joined]:
            if (digests := pending.unraise(contact)) is not None:
                self._lines.confirm(contact, digests)
                self._lines.commit_if_due()

    def take_single(self, pending: PendingChanges) -> Iterator[str]:
        """Take out the changes that Connectif holds of contacts that may have had several rows and have one now, and
        the urgent parts that it holds.

        :return: the contacts of these changes; the rows of urgent parts already have an outcome.
        """
        for change in pending.take_single():
            if change.rank is Rank.BESIDE:
                continue
            if change.patch.digests is not None:
                self._lines.confirm(change.contact, change.patch.digests)
                self._lines.commit_if_due()
            yield change.contact

    def _hash(self, contact: str) -> int:
        return hash(contact if self._are_keys_plain else self._lines.written_key(contact))
