"""What of a row's patch differs from what Connectif has accepted: only that is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from airflow_provider_connectif.journal.digests import patch_digest
from airflow_provider_connectif.journal.properties import Known, PropertyDigester, compared, updated
from airflow_provider_connectif.records.changes import Digests, JsonValue, Patch
from airflow_provider_connectif.records.resource import Resource

_SIZE = 16  # bytes


class Difference(NamedTuple):
    """A patch with the properties that are to be sent, and what is known of it.

    ``is_held``: Connectif has accepted all of it, so there is nothing to send. ``is_refused``: just this was refused
    before, made of several rows.
    """

    patch: Patch
    is_held: bool
    is_refused: bool


class Differences:
    """Compares patches with what the journal knows of their contacts.

    :param resource: says whether a change may carry a part of its properties.
    :param mapping_digest: of the run's mapping.
    :param way: of delivery, as of :func:`airflow_provider_connectif.journal.digests.mapping_digest`.
    :param secret: of the contact keys in the journal.
    :param sends_all: every property is sent, whatever the journal knows.
    """

    def __init__(
        self, resource: Resource, mapping_digest: str, way: str, secret: bytes | None, *, sends_all: bool
    ) -> None:
        self._resource = resource
        self._mapping_digest = mapping_digest
        self._way = way
        self._sends_all = sends_all
        self._takes_parts = resource.takes_parts
        self._digester = PropertyDigester(way if secret is None else f"{way}\n{secret.hex()}")

    def of(self, patch: Patch, contact: str, known: Known, row_digest: str, refused: str | None = None) -> Difference:
        """What of a patch is to be sent.

        :param patch: of one row, or of several in one.
        :param contact: the contact's key in the form of the journal.
        :param known: what the journal knows of the contact's properties.
        :param row_digest: of the row; empty: there are several.
        :param refused: the digest of what was refused last.
        """
        whole = patch.whole
        entries = self._digester.entries(contact, whole)
        if known.column is not None:
            places, column = compared(known.column, entries)
            ids = list(whole)
            differing = [ids[place] for place in places]
        else:
            column = updated(b"", entries)
            differing = [] if self._is_sent_before(whole, contact, known.whole) else list(whole)
        is_known = known.column is not None or known.whole is not None
        is_held = is_known and not differing and not self._sends_all
        digests = Digests(
            row_digest,
            hashlib.blake2b(b"".join(sorted(entries)), digest_size=_SIZE).hexdigest(),
            self._mapping_digest,
            column,
            known.column,
        )
        others: dict[str, JsonValue] = {}
        properties = whole
        if known.column is not None and differing and self._takes_parts and not self._sends_all:
            properties = {property_id: whole[property_id] for property_id in differing}
            others = {property_id: value for property_id, value in whole.items() if property_id not in properties}
        patch = Patch(patch.number, patch.key, properties, patch.row, digests, patch.place, patch.is_new, others)
        is_refused = bool(refused and not row_digest) and refused in (digests.patch, self._of_before(whole, contact))
        return Difference(patch, is_held, is_refused)

    def _of_before(self, whole: Mapping[str, JsonValue], contact: str) -> str:
        """The digest of all properties as earlier versions made it."""
        return patch_digest(whole, self._way, contact)

    def _is_sent_before(self, whole: Mapping[str, JsonValue], contact: str, digest: str | None) -> bool:
        """Whether a line of an earlier version, which has one digest for all properties, stands for these."""
        if digest is None or digest == self._of_before(whole, contact):
            return digest is not None
        # Still earlier ones name no key, and may be another contact's whose key had the same form then.
        return not self._resource.is_of_another_before(contact) and digest == patch_digest(whole, self._way)
