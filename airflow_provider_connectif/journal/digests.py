"""Digests of rows and patches: how the journal knows that nothing changed without keeping a value."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Protocol

from airflow_provider_connectif.api.credentials import DEFAULT_BASE_URL
from airflow_provider_connectif.records.raw_rows import RawBatch, joined
from airflow_provider_connectif.records.rows import Batch, Row, RowBatch

_SIZE = 16  # bytes; a hundred million lines collide with a probability below 1e-22

_in_one_form = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # json.dumps would make one for each

Values = Sequence[Any]


class Mapped(Protocol):
    """What digests need of a :class:`airflow_provider_connectif.records.resource.Resource`, and mean by a mapping."""

    @property
    def columns(self) -> Sequence[str] | None:
        """All that is read of a row, the key's first; ``None``: every column."""

    @property
    def definition(self) -> tuple[object, ...]:
        """What else decides what is sent for a row."""

    @property
    def rules_version(self) -> bytes:
        """Changes when the same row is sent otherwise."""


def digest_salt(base_url: str, way: str = "") -> str:
    """A way of delivery to one host: what another one has acknowledged, such as a sandbox, says nothing of this one.

    :param base_url: where patches are sent to.
    :param way: as of :func:`mapping_digest`.
    """
    if base_url == DEFAULT_BASE_URL:
        return way
    return hashlib.blake2b(f"{way} {base_url}".encode(), digest_size=_SIZE).hexdigest()


def mapping_digest(mapping: Mapped, way: str = "") -> str:
    """The digest of the mapping and of the definitions that it uses.

    :param way: of delivery, where it is one after which Connectif need not hold what was sent.
    """
    parts = (*mapping.definition, way) if way else mapping.definition
    return hashlib.blake2b(
        repr(parts).encode("utf-8", "surrogatepass"), key=mapping.rules_version, digest_size=_SIZE
    ).hexdigest()


class RowDigester:
    """Digests the columns of a row that a mapping uses, and its key, before any of their values is looked at closely.

    Two rows of the same digest are sent alike. The reverse need not hold: a driver that hands over the same value
    in another type changes the digest, and then the patch decides. So does a source whose rows come as texts of its
    database, as those of PostgreSQL: the digests of its batches are not those of its rows one by one.

    :param mapping: with the definitions that the run checks against.
    :param way: as of :func:`mapping_digest`.
    """

    def __init__(self, mapping: Mapped, way: str = "") -> None:
        key = bytes.fromhex(mapping_digest(mapping, way))
        self._seed = hashlib.blake2b(key=key, digest_size=_SIZE)
        self._seed_of_texts = hashlib.blake2b(key=key, digest_size=_SIZE, person=b"texts")
        self._columns = mapping.columns

    def __call__(self, row: Row) -> str:
        """The digest of one row's values.

        :raises Exception: whatever a value's class raises when it is asked for its text.
        """
        if self._columns is None:
            return _digest(self._seed, f"{tuple(row)}{tuple(row.values())}".encode("utf-8", "surrogatepass"))
        values = tuple([row.get(column, ...) for column in self._columns])
        return _digest(self._seed, repr(values).encode("utf-8", "surrogatepass"))

    def of_batch(self, batch: Batch) -> list[str]:
        """The digests of a batch: of its texts, if it has some that always become the same values, or else of those.

        :raises Exception: as for one row.
        """
        if isinstance(batch, RawBatch) and batch.converted.types is not None:
            return self._of_texts(batch, batch.converted.types)
        if not isinstance(batch, RowBatch):
            return [self(row) for row in batch]
        texts: Iterable[str]
        if self._columns is None:
            names = repr(batch.columns)
            texts = (f"{names}{tuple(values)}" for values in batch.values)
        else:
            pick = _picker([batch.position(column) for column in self._columns])
            texts = map(repr, map(pick, batch.values))
        return [_digest(self._seed, text.encode("utf-8", "surrogatepass")) for text in texts]

    def _of_texts(self, batch: RawBatch, types: Sequence[int]) -> list[str]:
        names = batch.columns if self._columns is None else self._columns
        places = {name: place for name in names if (place := batch.position(name)) is not None}
        pick = _picker(list(places.values()))
        seed = self._seed_of_texts.copy()
        # What decides which values the texts are. Its form ends with the only NUL in it.
        seed.update(f"{[(name, types[place]) for name, place in places.items()]}{batch.converted.settings}\0".encode())
        seeded, join, digests = seed.copy, b"\0".join, []
        for texts in map(pick, batch.texts):  # a call for each row would cost a fifth of the digest
            digest = seeded()
            digest.update(join(texts) if all(texts) else joined(texts))
            digests.append(digest.hexdigest())
        return digests


def _digest(seed: Any, text: bytes) -> str:
    digest = seed.copy()
    digest.update(text)
    return str(digest.hexdigest())


def _picker(positions: Sequence[int | None]) -> Callable[[Values], tuple[Any, ...]]:
    """A function that takes the values at some positions out of a row; ``...`` stands for a missing one."""
    known = [position for position in positions if position is not None]
    if len(known) == len(positions) > 1:
        return itemgetter(*known)
    return lambda values: tuple([... if position is None else values[position] for position in positions])


def patch_digest(properties: Mapping[str, Any], way: str = "", key: str = "") -> str:
    """A digest of what is sent; the order of properties does not matter.

    :param way: as of :func:`mapping_digest`.
    :param key: whose patch it is, in one form for all spellings. Blank: nobody's, as lines of earlier versions have it.
    """
    text = _in_one_form(properties)
    if key:
        text += f"\n{key}"  # JSON in this form has no line break
    return hashlib.blake2b(text.encode(), key=way.encode(), digest_size=_SIZE).hexdigest()


def key_digester(secret: bytes | None) -> Callable[[str], str]:
    """How a contact key is written into the journal: as it is, or as HMAC-SHA256 with a secret."""
    if secret is None:
        return lambda key: key
    return lambda key: hmac.digest(secret, key.encode(), "sha256").hex()
