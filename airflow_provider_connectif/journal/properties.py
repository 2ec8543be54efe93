"""Digests of single properties. They show which values Connectif has accepted for a contact, without storing values.

A line of the journal has them in its column ``properties``. The column has an entry of 12 bytes for each property: four
for the property, and eight for its value. If a property has no entry, its value at Connectif is not known. Then it is
sent with the contact's next change.

A property whose values have ranks may also have marks, which are entries under names that no property has:

- *kept*: the property belongs to the person from now on.
- *before*: the value before a request whose response has not arrived.
- *refused*: the row for which the property was sent alone and rejected.
- *unseen*: this sync created the contact or imported the value, and no response has shown the value since. A property
  with a write mode has this mark, too, while its own request is to follow the request that created the contact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import compress, count
from operator import ne
from struct import Struct
from types import MappingProxyType
from typing import Any, NamedTuple

from airflow_provider_connectif.records.changes import Standing

_NAME_BYTES = 4  # two of 150 properties share a name with a probability of 3e-6; both are then sent with each change
_VALUE_BYTES = 8  # a changed value looks like the old one with a probability of 5e-20
_ENTRY_BYTES = _NAME_BYTES + _VALUE_BYTES


def entries_of(column: bytes) -> list[bytes]:
    """Return the entries of a column."""
    return [column[start : start + _ENTRY_BYTES] for start in range(0, len(column), _ENTRY_BYTES)]


def updated(column: bytes, entries: Sequence[bytes]) -> bytes:
    """Return a column with new entries, and with its existing entries of other properties."""
    names = {entry[:_NAME_BYTES] for entry in entries}
    others = [entry for entry in entries_of(column) if entry[:_NAME_BYTES] not in names]
    return b"".join([*others, *entries])


def compared(column: bytes, entries: Sequence[bytes]) -> tuple[list[int], bytes]:
    """Compare the entries of a patch with a column.

    :return: the indexes of those entries that the column does not have, and the result of :func:`updated`.
    """
    joined = b"".join(entries)
    start = len(column) - len(joined)
    if start >= 0:  # a column for the same properties ends with their entries, in the same order
        before = _form_of(len(entries)).unpack_from(column, start)
        differing = list(compress(count(), map(ne, before, entries)))
        for place in differing:
            if before[place][:_NAME_BYTES] != entries[place][:_NAME_BYTES]:
                break
        else:
            return differing, column[:start] + joined
    accepted = frozenset(entries_of(column))
    return [place for place, entry in enumerate(entries) if entry not in accepted], updated(column, entries)


@lru_cache(maxsize=256)
def _form_of(entries: int) -> Struct:
    """Return the struct of a column with so many entries. Unpacking takes a tenth of the time of slicing."""
    return Struct(f"{_ENTRY_BYTES}s" * entries)


def are_more(column: bytes, entries: int) -> bool:
    """Whether a column has more than a number of entries. The others are marks, or entries of other properties."""
    return len(column) > entries * _ENTRY_BYTES


def without(column: bytes, property_ids: Iterable[str]) -> bytes:
    """Return a column without the entries of some properties. Their values then count as not known."""
    names = {_name(property_id) for property_id in property_ids}
    return b"".join([entry for entry in entries_of(column) if entry[:_NAME_BYTES] not in names])


def only(column: bytes, property_ids: Iterable[str]) -> bytes:
    """Return a column with only the entries of some properties."""
    names = {_name(property_id) for property_id in property_ids}
    return b"".join([entry for entry in entries_of(column) if entry[:_NAME_BYTES] in names])


def changed(before: bytes, after: bytes, property_ids: Iterable[str]) -> set[str]:
    """Return those of some properties whose entry is in the column ``after`` and not in the column ``before``."""
    names = {entry[:_NAME_BYTES] for entry in frozenset(entries_of(after)).difference(entries_of(before))}
    return {property_id for property_id in property_ids if _name(property_id) in names}


class Mark(StrEnum):
    """The marks of properties. The value is the end of the mark's name, after the property id."""

    KEPT = "\0kept"
    BEFORE = "\0before"
    REFUSED = "\0refused"
    UNSEEN = "\0unseen"


_NOTHING = bytes(_VALUE_BYTES)


def kept_marks(property_ids: Iterable[str]) -> list[bytes]:
    """Return the marks that these properties are kept for the person."""
    return [_mark_name(property_id, Mark.KEPT) + _NOTHING for property_id in property_ids]


def unseen_marks(property_ids: Iterable[str]) -> list[bytes]:
    """Return the marks that no response has shown the values of these properties."""
    return [_mark_name(property_id, Mark.UNSEEN) + _NOTHING for property_id in property_ids]


def marked_kept(column: bytes, property_ids: Iterable[str]) -> bytes:
    """Return only the marks *kept* of some properties that a column has."""
    return only(column, [property_id + Mark.KEPT for property_id in property_ids])


def refused_marks(property_ids: Iterable[str], row_digest: str) -> list[bytes]:
    """Return the marks that some properties were rejected when they were sent alone for a row.

    :param row_digest: the digest of that row.
    """
    value = hashlib.blake2b(row_digest.encode(), digest_size=_VALUE_BYTES).digest()
    return [_mark_name(property_id, Mark.REFUSED) + value for property_id in property_ids]


def value_digest(column: bytes, property_id: str, mark: Mark | None = None) -> bytes | None:
    """Return the value in the entry of a property, or in one of its marks; ``None`` if a column does not have it."""
    name = _name(property_id) if mark is None else _mark_name(property_id, mark)
    return next((entry[_NAME_BYTES:] for entry in entries_of(column) if entry[:_NAME_BYTES] == name), None)


def without_marks(column: bytes, property_ids: Iterable[str], *marks: Mark) -> bytes:
    """Return a column without some marks of some properties."""
    return without(column, [property_id + mark for property_id in property_ids for mark in marks])


def doubted(column: bytes, property_ids: Iterable[str], ranked: Collection[str]) -> bytes:
    """Return a column without the entries of properties that are in flight, whose values are not known.

    :param ranked: properties whose entries become marks *before*. Later, these still show whether a value is raised or
        lowered.
    """
    ids = list(property_ids)
    entries = {entry[:_NAME_BYTES]: entry[_NAME_BYTES:] for entry in entries_of(column)}
    marks = [
        _mark_name(property_id, Mark.BEFORE) + entries[name]
        for property_id in ids
        if property_id in ranked and (name := _name(property_id)) in entries
    ]
    return updated(without(column, ids), marks) if marks else without(column, ids)


def of_ranked(column: bytes, property_ids: Iterable[str]) -> bytes:
    """Return a column with only the entries and marks of some ranked properties, without marks *refused*."""
    named = [[name, name + Mark.KEPT, name + Mark.BEFORE, name + Mark.UNSEEN] for name in property_ids]
    return only(column, [name for names in named for name in names])


class Known(NamedTuple):
    """The journal's knowledge of a contact's properties at Connectif.

    ``column``: digests of single properties; ``None`` if these are not known one by one, as in lines of earlier
    versions. ``whole``: in that case, one digest of all properties that were sent together; ``None`` if there is none.
    """

    column: bytes | None = None
    whole: str | None = None


class PropertyDigester:
    """Digests the properties of contacts.

    :param salt: the salt of the digests. Digests with another salt do not count, such as those of another way of
        delivery or another secret.
    :param modes: the write modes of properties. In another mode, the same value has another digest.
    """

    def __init__(self, salt: str, modes: Mapping[str, str] = MappingProxyType({})) -> None:
        self._seeds = _Seeds(hashlib.blake2b(salt.encode(), digest_size=32).digest(), modes)

    def entries(self, contact: str, properties: Mapping[str, Any]) -> list[bytes]:
        """Return the entries of a contact's properties, in the order of ``properties``.

        :param contact: the contact's key, in one form for all spellings.
        :param properties: JSON-ready values by property id.
        """
        prefix, seeds, entries = f"{contact}\n".encode("utf-8", "surrogatepass"), self._seeds.known, []
        for property_id, value in properties.items():
            try:
                name, seeded = seeds[property_id]
            except KeyError:
                name, seeded = self._seeds.of(property_id)
            digest = seeded()
            digest.update(prefix + repr(value).encode())  # a repr has no lone surrogate
            entries.append(name + digest.digest())
        return entries

    def contradicts(self, contact: str, column: bytes, properties: Mapping[str, Any]) -> bool:
        """Whether a column has an entry for another value of one of some properties.

        :param contact: as in :meth:`entries`.
        """
        known = {entry[:_NAME_BYTES]: entry for entry in entries_of(column)}
        for property_id, value in properties.items():
            (entry,) = self.entries(contact, {property_id: value})
            if known.get(entry[:_NAME_BYTES], entry) != entry:
                return True
        return False

    def are_known(self, column: bytes, property_ids: Iterable[str]) -> list[str]:
        """Return those of some properties that have an entry, or a mark *before* or *kept*, in a column."""
        names = {entry[:_NAME_BYTES] for entry in entries_of(column)}
        return [
            property_id
            for property_id in property_ids
            if _name(property_id) in names
            or _mark_name(property_id, Mark.BEFORE) in names
            or _mark_name(property_id, Mark.KEPT) in names
        ]

    def standing(self, contact: str, property_id: str, values: Sequence[str], column: bytes) -> Standing:
        """Return what a column shows about a property with ranks or a write mode.

        :param values: the values of the property, from the lowest rank to the highest; empty without ranks.
        """
        known = {entry[:_NAME_BYTES]: entry[_NAME_BYTES:] for entry in entries_of(column)}
        entry = known.get(_name(property_id))
        accepted = known.get(_mark_name(property_id, Mark.BEFORE)) if entry is None else entry
        ranked = enumerate(values) if accepted is not None else ()
        found = [rank for rank, value in ranked if self._value(contact, property_id, value) == accepted]
        is_unseen = _mark_name(property_id, Mark.UNSEEN) in known
        return Standing(
            found[0] if found else None,
            _mark_name(property_id, Mark.KEPT) in known,
            is_unseen=accepted is not None and (is_unseen or entry is None),
            is_created=accepted is None and is_unseen,
        )

    def _value(self, contact: str, property_id: str, value: str) -> bytes:
        (entry,) = self.entries(contact, {property_id: value})
        return entry[_NAME_BYTES:]


class _Seeds:
    """By property id: the beginning of the property's entries, and a function that begins the digest of a value.

    ``known``: those that were made. An exact ``dict``, since reading a subclass takes longer.

    :param key: the key of the digests.
    :param modes: the write modes of properties.
    """

    def __init__(self, key: bytes, modes: Mapping[str, str]) -> None:
        self.known: dict[str, tuple[bytes, Callable[[], Any]]] = {}
        self._key = key
        self._modes = modes

    def of(self, property_id: str) -> tuple[bytes, Callable[[], Any]]:
        """Make the seed of a property."""
        seed = hashlib.blake2b(key=self._key, digest_size=_VALUE_BYTES)
        mode = self._modes.get(property_id)
        named = property_id if mode is None else f"{property_id}\0{mode}"
        seed.update(f"{named}\n".encode("utf-8", "surrogatepass"))
        made = self.known[property_id] = _name(property_id), seed.copy
        return made


@lru_cache(maxsize=4096)  # more than the properties of a mapping and their marks
def _name(property_id: str) -> bytes:
    return hashlib.blake2b(property_id.encode("utf-8", "surrogatepass"), digest_size=_NAME_BYTES).digest()


def _mark_name(property_id: str, mark: Mark) -> bytes:
    return _name(property_id + mark)
