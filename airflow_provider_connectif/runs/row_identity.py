"""The identity of a row for the journal: its key and the digest of its values."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_connectif.journal.digests import RowDigester
from airflow_provider_connectif.records.raw_rows import RawRow
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Batch, Row


class RowIdentity:
    """Finds keys and digests of rows without converting their values, which may be of any class.

    :param resource: knows the key column and which values are obviously keys.
    :param way: as in :func:`airflow_provider_connectif.journal.digests.mapping_digest`.
    """

    def __init__(self, resource: Resource, way: str) -> None:
        self._resource = resource
        self._digester = RowDigester(resource, way)

    def obvious_keys(self, batch: Sequence[Row]) -> list[str | None]:
        """Return keys in the journal's form if they are obvious from their values; ``None`` for others."""
        column = self._resource.key_column
        values: list[Any]
        if isinstance(batch, Batch):
            position = batch.position(column)
            values = [None] * len(batch) if position is None else batch.values_at(position)
        else:
            values = [row.get(column) if isinstance(row, Mapping) else None for row in batch]
        return self._resource.unconverted_keys(values)

    def digests(self, batch: Sequence[Row]) -> list[str]:
        """Return the digests of the rows of a batch."""
        if isinstance(batch, Batch):
            try:
                return self._digester.of_batch(batch)
            except Exception:  # noqa: BLE001 - a value of any class may raise anything; one by one, the row is found
                return [self.digest(row) for row in batch]
        return [self.digest(row) for row in batch]

    def digest_of_invalid(self, row: Row, digest: str) -> str:
        """Return the digest by which the next run knows an invalid row.

        :param digest: the digest of the row.
        """
        return self._digester.of_invalid(row, digest) if isinstance(row, Mapping) else digest

    def former_digests(self, row: Row) -> Iterator[str]:
        """Yield the digests that earlier versions may have stored for a row of texts."""
        if isinstance(row, RawRow) and (of_texts := self._digester.former_of_texts(row)) is not None:
            yield of_texts
        yield self.digest(row)

    def digest(self, row: Row) -> str:
        """Return the digest of a row. If its values cannot be read, the digest is random and equals no other."""
        try:
            return self._digester(row)
        except Exception:  # noqa: BLE001 - a value's class may raise anything when it is asked for its text
            return secrets.token_hex(16)  # equals no digest, so the row is compared property by property
