"""The rows of a read without a valid key: each may be of a contact that seems to have left the source."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.records.changes import JsonValue
from airflow_provider_connectif.records.reads import MOST_KEYLESS_DIGESTS, Keyless
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row


class KeylessRows:
    """Collects such rows, and compares them with contacts.

    :param resource: reads the other columns of a row.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._count = 0
        self._digests: list[str] = []
        self._said: dict[str, Mapping[str, JsonValue] | None] = {}

    def note(self, row: Row, digest: str) -> None:
        """Add a row.

        :param digest: of all its values.
        """
        self._count += 1
        if self._count > MOST_KEYLESS_DIGESTS + 1:
            return
        self._digests.append(digest)
        said = self._resource.properties_without_key(row)
        self._said[repr(said)] = said

    @property
    def record(self) -> Keyless:
        """The record of these rows for later reads."""
        return Keyless.of(self._count, self._digests)

    def may_have(self, contact: str, column: bytes | None, differences: Differences) -> bool:
        """Whether one of these rows may be a contact's: nothing that it says differs from what Connectif has accepted.

        Two rows that are alike in all other columns may lose and get their keys in the same night; how many rows have
        no key is the same then, and so is what they say.

        :param contact: its key in the journal's form.
        :param column: digests of the properties that Connectif has accepted.
        """
        if self._count > MOST_KEYLESS_DIGESTS:
            return True
        return any(
            said is None or not differences.contradicts(contact, column or b"", said) for said in self._said.values()
        )
