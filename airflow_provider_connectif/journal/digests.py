"""Digests of rows and patches, by which the journal recognises unchanged rows without storing values."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from airflow_provider_connectif.api.credentials import DEFAULT_BASE_URL
from airflow_provider_connectif.journal.row_texts import is_unstable, row_text, text_of_invalid
from airflow_provider_connectif.records.raw_rows import RawBatch, RawRow, Texts, packed
from airflow_provider_connectif.records.rows import Batch, Row, RowBatch

_SIZE = 16  # bytes; a hundred million lines collide with a probability below 1e-22

_in_one_form = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # built once

Values = Sequence[Any]


class Mapped(Protocol):
    """Interface: the members that digests need of a :class:`airflow_provider_connectif.records.resource.Resource`."""

    @property
    def columns(self) -> Sequence[str] | None:
        """The columns to read, the key column first; ``None``: every column."""

    @property
    def definition(self) -> tuple[object, ...]:
        """Everything besides the columns that decides what is sent for a row."""

    @property
    def rules_version(self) -> bytes:
        """The version of the rules; it changes when the same row would be sent with other values."""


def digest_salt(base_url: str, way: str = "") -> str:
    """Return a salt for digests, which is another one for each host and way of delivery.

    So acknowledgements of another host, such as a sandbox, do not count.

    :param base_url: the address of the host.
    :param way: as in :func:`mapping_digest`.
    """
    if base_url == DEFAULT_BASE_URL:
        return way
    return hashlib.blake2b(f"{way} {base_url}".encode(), digest_size=_SIZE).hexdigest()


def mapping_digest(mapping: Mapped, way: str = "") -> str:
    """Return the digest of the mapping and of the definitions that it uses.

    :param way: a mark of the way of delivery; empty for the ways after which Connectif has the values that were sent.
    """
    parts = (*mapping.definition, way) if way else mapping.definition
    return hashlib.blake2b(
        repr(parts).encode("utf-8", "surrogatepass"), key=mapping.rules_version, digest_size=_SIZE
    ).hexdigest()


class RowDigester:
    """Computes the digest of a row from its key and the columns that a mapping uses, before any value is checked.

    Two rows with the same digest are sent with the same values. The reverse need not hold: if a driver returns the same
    value in another type, the digest changes, and the patches are compared. If a source yields the texts of the
    database, as for PostgreSQL, a batch gives a row another digest than the row alone.

    :param mapping: has the field definitions of the run.
    :param way: as in :func:`mapping_digest`.
    """

    def __init__(self, mapping: Mapped, way: str = "") -> None:
        self._key = key = bytes.fromhex(mapping_digest(mapping, way))
        self._seed = hashlib.blake2b(key=key, digest_size=_SIZE)
        self._seed_of_invalid = hashlib.blake2b(key=key, digest_size=_SIZE, person=b"invalid")
        self._columns = mapping.columns

    def __call__(self, row: Row) -> str:
        """Return the digest of one row's values.

        :raises Exception: any error that the class of a value raises when the value is turned into text.
        """
        if self._columns is None:
            text = f"{tuple(row)}{row_text(tuple(row.values()))}"
        else:
            text = row_text(tuple([row.get(column, ...) for column in self._columns]))
        return _digest(self._seed, text.encode("utf-8", "surrogatepass"))

    def of_invalid(self, row: Row, digest: str) -> str:
        """Return the digest by which the next run recognises an invalid row.

        :param digest: the digest of the row's values. It differs in each process if the text of a value contains an
            address, or if a value cannot be turned into text. Then the result is another digest.
        """
        if isinstance(row, RawRow):
            return digest
        columns = tuple(row) if self._columns is None else self._columns
        values = tuple([row.get(column, ...) for column in columns])
        if not is_unstable(values):
            return digest
        return _digest(self._seed_of_invalid, f"{columns}{text_of_invalid(values)}".encode("utf-8", "surrogatepass"))

    def of_batch(self, batch: Batch) -> list[str]:
        """Return the digests of a batch's rows.

        They are digests of the database's texts, if the same texts always become the same values; otherwise of values.

        :raises Exception: as for one row.
        """
        if isinstance(batch, RawBatch) and batch.converted.types is not None:
            return self._of_texts(batch, batch.converted.types)
        if not isinstance(batch, RowBatch):
            return [self(row) for row in batch]
        texts: Iterable[str]
        if self._columns is None:
            names = repr(batch.columns)
            texts = (f"{names}{row_text(tuple(values))}" for values in batch.values)
        else:
            pick = _picker([batch.position(column) for column in self._columns])
            texts = map(row_text, map(pick, batch.values))
        return [_digest(self._seed, text.encode("utf-8", "surrogatepass")) for text in texts]

    def former_of_texts(self, row: RawRow) -> str | None:
        """Return the digest that a batch of an earlier version gave a row; ``None``: it was a digest of values."""
        types = row.form.converted.types
        if types is None:
            return None
        batch = RawBatch(row.form.columns, [row.texts], row.form.converted)
        places = self._places(batch)
        seed = hashlib.blake2b(_head(batch, types, places), key=self._key, digest_size=_SIZE, person=b"texts")
        return _digests([row.texts], places, seed)[0]

    def _of_texts(self, batch: RawBatch, types: Sequence[int]) -> list[str]:
        places = self._places(batch)
        # A salt takes no time for a row. With a key or a common head in front of each row, a digest takes two thirds
        # more time.
        salt = hashlib.blake2b(_head(batch, types, places), key=self._key, digest_size=_SIZE).digest()
        return _digests(batch.texts, places, hashlib.blake2b(salt=salt, digest_size=_SIZE, person=b"texts"))

    def _places(self, batch: RawBatch) -> dict[str, int]:
        names = batch.columns if self._columns is None else self._columns
        return {name: place for name in names if (place := batch.position(name)) is not None}


def _head(batch: RawBatch, types: Sequence[int], places: Mapping[str, int]) -> bytes:
    """Return everything besides the texts of a row that decides which values they become. It ends with its only NUL."""
    return f"{[(name, types[place]) for name, place in places.items()]}{batch.converted.settings}\0".encode()


def _digests(rows: Iterable[Texts], places: Mapping[str, int], seed: Any) -> list[str]:
    pick = _picker(list(places.values()))
    seeded, join, digests = seed.copy, b"\0".join, []
    for texts in map(pick, rows):  # calling a function for each row would take a fifth more time
        digest = seeded()
        digest.update(join(texts) if all(texts) else packed(texts))
        digests.append(digest.hexdigest())
    return digests


def _digest(seed: Any, text: bytes) -> str:
    digest = seed.copy()
    digest.update(text)
    return str(digest.hexdigest())


def _picker(positions: Sequence[int | None]) -> Callable[[Values], tuple[Any, ...]]:
    """Return a function that returns the values at some positions of a row; ``...`` for a missing one."""
    known = [position for position in positions if position is not None]
    if len(known) == len(positions) > 1:
        return itemgetter(*known)
    return lambda values: tuple([... if position is None else values[position] for position in positions])


def patch_digest(properties: Mapping[str, Any], way: str = "", key: str = "") -> str:
    """Return a digest of the properties of a patch; their order does not matter.

    :param way: as in :func:`mapping_digest`.
    :param key: the key of the patch, in one form for all spellings. Empty for lines of the earliest versions.
    """
    text = _in_one_form(properties)
    if key:
        text += f"\n{key}"  # JSON in this form has no line break
    return hashlib.blake2b(text.encode(), key=way.encode(), digest_size=_SIZE).hexdigest()


def key_digester(secret: bytes | None) -> Callable[[str], str]:
    """Return the function that writes a contact key for the journal: unchanged, or as HMAC-SHA256 with a secret."""
    if secret is None:
        return lambda key: key
    return lambda key: hmac.digest(secret, key.encode(), "sha256").hex()
