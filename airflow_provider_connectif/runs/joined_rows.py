"""Contacts with several rows in the source: the rows are merged before any of them is sent."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from airflow_provider_connectif.journal.differences import raises
from airflow_provider_connectif.journal.pending import PendingChanges, Rank
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.resource import Resource

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.shown_keys import ShownKeys
    from airflow_provider_connectif.journal.store import Journal


class JoinedRows:
    """Finds contacts with both changed and unchanged rows, and contacts that had several rows and have one now.

    :param journal: the open journal.
    :param shown: has the key of every row of the read. ``None``: contacts with unchanged rows are not searched for.
    :param are_keys_plain: ``True``: ``shown`` has the keys themselves. ``False``: it has their digests.
    """

    def __init__(self, journal: Journal, resource: Resource, shown: ShownKeys | None, *, are_keys_plain: bool) -> None:
        self._lines = journal.lines
        self._ranks = resource.ranks
        self._shown = shown
        self._hash: Callable[[str], int] = hash if are_keys_plain else self._hash_as_written
        self._changed = array("q")  # a hash of the contact for each changed row
        self._rises = array("q")  # the same for each row that raises a consent

    def note(self, contact: str, patch: Patch) -> None:
        """Note a changed row of a contact that Connectif has."""
        if self._shown is None:
            return
        self._changed.append(self._hash(contact))
        if patch.standings and raises(self._ranks, patch):
            self._rises.append(self._changed[-1])

    def withdraw_raises(self, pending: PendingChanges) -> None:
        """Let no change raise a consent if an unchanged row of its contact was read before it.

        An unchanged row is settled before a later row is read, so their values cannot be merged in this run. The next
        run compares and merges all rows of the contact, since the contact's line gets no row digest: now, or with the
        response to the change.
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
        """Remove pending changes that Connectif already holds: those of contacts that may have had several rows and
        have one now, and urgent parts of refused rows.

        :return: the contacts of the former; the rows of urgent parts already have an outcome.
        """
        for change in pending.take_single():
            if change.rank is Rank.BESIDE:
                continue
            if change.patch.digests is not None:
                self._lines.confirm(change.contact, change.patch.digests)
                self._lines.commit_if_due()
            yield change.contact

    def _hash_as_written(self, contact: str) -> int:
        return hash(self._lines.written_key(contact))
