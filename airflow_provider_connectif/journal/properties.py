"""Digests of single properties: which of a contact's properties Connectif has accepted, without keeping a value.

A line of the journal holds them in one column, an entry of 12 bytes for each property: four that name the property, and
eight of its value. A property without an entry is not known, so it is sent with the contact's next change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_NAME_BYTES = 4  # two of 150 properties share a name with a probability of 3e-6; both are then sent with each change
_VALUE_BYTES = 8  # a changed value is taken for the old one with a probability of 5e-20
_ENTRY_BYTES = _NAME_BYTES + _VALUE_BYTES


def entries_of(column: bytes) -> list[bytes]:
    """The entries of a column."""
    return [column[start : start + _ENTRY_BYTES] for start in range(0, len(column), _ENTRY_BYTES)]


def updated(column: bytes, entries: Sequence[bytes]) -> bytes:
    """A column with these entries, and those of other properties that it had before."""
    names = {entry[:_NAME_BYTES] for entry in entries}
    others = [entry for entry in entries_of(column) if entry[:_NAME_BYTES] not in names]
    return b"".join([*others, *entries])


def compared(column: bytes, entries: Sequence[bytes]) -> tuple[list[int], bytes]:
    """Compare the entries of a patch with a column.

    :return: the places of the entries that the column does not have, and the column as :func:`updated` makes it.
    """
    joined = b"".join(entries)
    start = len(column) - len(joined)
    if start >= 0:  # a column that was written for the same properties ends with their entries, in the same order
        differing, begin = [], start
        for place, entry in enumerate(entries):
            if not column.startswith(entry, begin):
                if not column.startswith(entry[:_NAME_BYTES], begin):
                    break
                differing.append(place)
            begin += _ENTRY_BYTES
        else:
            return differing, column[:start] + joined
    accepted = frozenset(entries_of(column))
    return [place for place, entry in enumerate(entries) if entry not in accepted], updated(column, entries)


def without(column: bytes, property_ids: Iterable[str]) -> bytes:
    """A column without the entries of some properties: what Connectif holds of them is not known."""
    names = {_name(property_id) for property_id in property_ids}
    return b"".join([entry for entry in entries_of(column) if entry[:_NAME_BYTES] not in names])


def only(column: bytes, property_ids: Iterable[str]) -> bytes:
    """A column with the entries of some properties only."""
    names = {_name(property_id) for property_id in property_ids}
    return b"".join([entry for entry in entries_of(column) if entry[:_NAME_BYTES] in names])


class Known(NamedTuple):
    """What the journal knows of a contact's properties at Connectif.

    ``column``: digests of single properties. ``None``: they are not known one by one, as in lines of earlier versions;
    then ``whole`` is the digest of all that was sent together, where that is known.
    """

    column: bytes | None = None
    whole: str | None = None


class PropertyDigester:
    """Digests the properties of contacts.

    :param salt: of the digests. Other digests mean nothing here: those of another way of delivery, or another secret.
    """

    def __init__(self, salt: str) -> None:
        self._salt = hashlib.blake2b(salt.encode(), digest_size=32).digest()
        self._seeds: dict[str, tuple[bytes, Callable[[], Any]]] = {}

    def entries(self, contact: str, properties: Mapping[str, Any]) -> list[bytes]:
        """The entries of a contact's properties, in their order.

        :param contact: whose they are, in one form for all spellings of the key.
        :param properties: JSON-ready values by property id.
        """
        prefix, seeds, entries = f"{contact}\n".encode("utf-8", "surrogatepass"), self._seeds, []
        for property_id, value in properties.items():
            name, seeded = seeds.get(property_id) or self._seed(property_id)
            digest = seeded()
            digest.update(prefix + repr(value).encode())  # a repr has no lone surrogate
            entries.append(name + digest.digest())
        return entries

    def _seed(self, property_id: str) -> tuple[bytes, Callable[[], Any]]:
        seed = hashlib.blake2b(key=self._salt, digest_size=_VALUE_BYTES)
        seed.update(f"{property_id}\n".encode("utf-8", "surrogatepass"))
        self._seeds[property_id] = _name(property_id), seed.copy
        return self._seeds[property_id]


def _name(property_id: str) -> bytes:
    return hashlib.blake2b(property_id.encode("utf-8", "surrogatepass"), digest_size=_NAME_BYTES).digest()
