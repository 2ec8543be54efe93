"""The rows of a read that have no valid key: each may belong to a contact that seems to have left the source."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.records.changes import JsonValue
from airflow_provider_connectif.records.reads import MOST_KEYLESS_DIGESTS, Keyless
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row


class KeylessRows:
    """Collects the rows without a valid key, and compares them with contacts.

    :param resource: reads the other columns of a row.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._count = 0
        self._digests: list[str] = []
        self._said: dict[str, Mapping[str, JsonValue] | None] = {}

    def note(self, row: Row, digest: str) -> None:
        """Add a row without a valid key.

        :param digest: the digest of all values of the row.
        """
        self._count += 1
        if self._count > MOST_KEYLESS_DIGESTS + 1:
            return
        self._digests.append(digest)
        said = self._resource.properties_without_key(row)
        self._said[repr(said)] = said

    @property
    def record(self) -> Keyless:
        """The record of the rows without a valid key, for later reads."""
        return Keyless.of(self._count, self._digests)

    def may_have(self, contact: str, column: bytes | None, differences: Differences) -> bool:
        """Whether one of these rows may belong to a contact: no value of it differs from what Connectif has accepted.

        Comparing with the rows of an earlier read is not enough. If a row loses its key in the night in which an
        otherwise equal row gets its key back, the rows without a key look the same in both reads.

        :param contact: the contact's key in the journal's form.
        :param column: digests of the properties that Connectif has accepted; ``None``: none is known.
        :param differences: compares values with these digests.
        """
        if self._count > MOST_KEYLESS_DIGESTS:
            return True
        return any(
            said is None or not differences.contradicts(contact, column or b"", said) for said in self._said.values()
        )
