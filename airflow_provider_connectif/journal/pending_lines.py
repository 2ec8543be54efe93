"""Packs pending changes as lines of their file, and unpacks them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from airflow_provider_connectif.records.changes import Digests, Patch, conditions_of, with_conditions
from airflow_provider_connectif.records.raw_rows import RawRow, RowForm, joined, parted
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.rejects import jsonable

_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # built once

MERGED, HELD, REFUSED_AGAIN, _NEW, _OF_TEXTS, _DELIVERED, WAITS = 1, 2, 4, 8, 16, 32, 64
"""Bits of the column ``flags``."""
COLUMNS = ("contact", "rank", "number", "flags", "payload")
"""The columns of a line: few, since each takes time."""


_CONDITIONS = Patch._fields.index("was_delivered") + 1
_NO_CONDITIONS = Patch(0, "", {}, {})[_CONDITIONS:]
"""The usual values of the fields of :func:`conditions_of`; comparing with them is fast."""


class Rank(IntEnum):
    """The order in which changes are sent; the lowest first.

    ``BESIDE``: the urgent part of a row that is not sent and already has an outcome. ``URGENT``: must not wait for
    others, whether the contact is new, was rejected before, or neither. ``REMOVED``: its contact has left the source.
    """

    BESIDE = 0
    URGENT = 1
    NEW = 2
    CHANGED = 3
    REJECTED_BEFORE = 4
    REMOVED = 5


class PendingChange(NamedTuple):
    """A patch to send.

    ``patch``: with the digests for the journal. ``contact``: the contact's key in one form for all spellings
    (:meth:`airflow_provider_connectif.records.resource.Resource.same_key`). ``rank``: when it is sent.
    ``known_whole``: the digest of everything that Connectif holds, if its properties are not known one by one.
    ``refused_digest``: of the last refusal. ``is_merged``: whether the change comes from several rows; then
    ``is_held``: whether Connectif holds all of it, ``is_refused``: whether it was rejected before and has not changed.
    """

    patch: Patch
    contact: str
    rank: Rank = Rank.NEW
    known_whole: str | None = None
    refused_digest: str | None = None
    is_merged: bool = False
    is_held: bool = False
    is_refused: bool = False


class ChangeLines:
    """Packs changes as lines, and unpacks them.

    A change of one row from the database's texts is stored as these texts, with the ids of the properties to send.
    Preparing the row again costs no more than reading JSON, and nothing must be written as JSON while the source is
    read. Other changes are stored as JSON, with their rows.

    :param resource: prepares rows: the same row gives the same change.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.flags = 0
        """All bits of all lines that were packed."""
        self._forms: list[RowForm] = []
        self._last_form: RowForm | None = None
        self._last_number: int | None = None
        self._mapping: str | None = None

    def packed(self, change: PendingChange) -> tuple[Any, ...]:
        """Return a change as a line of :data:`COLUMNS`."""
        patch = change.patch
        flags = change.is_merged | change.is_held << 1 | change.is_refused << 2 | patch.is_new << 3
        flags |= patch.was_delivered << 5 | bool(patch.later or patch.looks_up) << 6
        payload = self._of_texts(change) if isinstance(patch.row, RawRow) and not change.is_merged else None
        if payload is None:
            payload = _of_values(change)
        else:
            flags |= _OF_TEXTS
        self.flags |= flags
        return change.contact.encode("utf-8", "surrogatepass"), int(change.rank), patch.number, flags, payload

    def unpacked(self, line: Sequence[Any]) -> PendingChange:
        """Return the change of a line."""
        contact, rank, number, flags, payload = line
        whole = refused = None
        if flags & _OF_TEXTS:
            patch = self._patch_of_texts(number, payload)
        else:
            key, properties, others, row, kept, before, after, whole, refused, conditions = json.loads(payload)
            digests = None
            if kept is not None:
                row_digest, patch_digest, mapping_digest = kept
                digests = Digests(row_digest, patch_digest, mapping_digest, _bytes(after), _bytes(before))
            patch = with_conditions(Patch(number, key, properties, row, digests, others=others or {}), conditions)
        patch = patch._replace(is_new=bool(flags & _NEW), was_delivered=bool(flags & _DELIVERED))
        states = (bool(flags & MERGED), bool(flags & HELD), bool(flags & REFUSED_AGAIN))
        return PendingChange(patch, contact.decode("utf-8", "surrogatepass"), Rank(rank), whole, refused, *states)

    def _of_texts(self, change: PendingChange) -> bytes | None:
        """Return a head as text, a blank line, digests before and after, and texts; ``None`` if that is not sufficient.

        The head has the form of the texts and the digests, the conditions as JSON, and the ids that are sent.
        """
        patch, digests = change.patch, change.patch.digests
        row = patch.row
        if not isinstance(row, RawRow) or not self._is_told_by_texts(change):
            return None
        form, sent = self._number_of(row.form), "\n".join(("", *patch.properties))
        if form is None or sent.count("\n") != len(patch.properties) or "\n\n" in f"{sent}\n":
            return None
        conditions = _conditions_of(patch)
        told = "-" if conditions is None else _encoded(conditions)
        if digests is None:
            head, before, after = f"{form}\n{told}{sent}\n\n", b"", b""
        else:
            before, after = digests.before or b"", digests.properties or b""
            sizes = f"{-1 if digests.before is None else len(before)} {len(after)}"
            head = f"{form} {sizes} {digests.row} {digests.patch}\n{told}{sent}\n\n"
        return b"".join((head.encode("utf-8", "surrogatepass"), before, after, joined(row.texts)))

    def _patch_of_texts(self, number: int, payload: bytes) -> Patch:
        head, _, rest = payload.partition(b"\n\n")
        first, told, *sent = head.decode("utf-8", "surrogatepass").split("\n")
        conditions = None if told == "-" else json.loads(told)
        form, *kept = first.split(" ")
        digests = None
        if kept and self._mapping is not None:
            size, end = int(kept[0]), max(0, int(kept[0])) + int(kept[1])
            before, after = (None if size < 0 else rest[:size]), rest[max(0, size) : end]
            digests = Digests(kept[2], kept[3], self._mapping, after, before)
            rest = rest[end:]
        row = RawRow(self._forms[int(form)], parted(rest, len(self._forms[int(form)].columns)))
        made = self._resource.prepare(number, row)
        properties = {name: made.properties[name] for name in sent}
        waiting = {} if conditions is None else conditions.get("later", {})
        left = made.properties.items() if len(properties) < len(made.properties) else ()
        others = {name: value for name, value in left if name not in properties and name not in waiting}
        return with_conditions(Patch(number, made.key, properties, row, digests, others=others), conditions)

    def _is_told_by_texts(self, change: PendingChange) -> bool:
        """Whether texts and digests contain the whole change; except for merged ones, nearly all do."""
        digests = change.patch.digests
        if change.refused_digest is not None or change.patch.counted_as is not None:
            return False
        if digests is None:
            return change.known_whole is None
        if digests.properties is None:
            return False
        if self._mapping is None:
            self._mapping = digests.mapping
        # The digest of all properties together counts only if they are not known one by one.
        is_known = digests.before is not None or change.known_whole is None
        return is_known and digests.mapping == self._mapping

    def _number_of(self, form: RowForm) -> int | None:
        """Return the number of the form of a row's texts, if the same texts always become the same values."""
        if form is not self._last_form:  # each batch has its own form, and all are equal
            self._last_form, self._last_number = form, None
            if form.converted.types is not None:
                if form not in self._forms:
                    self._forms.append(form)
                self._last_number = self._forms.index(form)
        return self._last_number


def size_of(line: Sequence[Any]) -> int:
    """Return the bytes of the row and the patch of a line."""
    return len(line[-1])


def _of_values(change: PendingChange) -> bytes:
    patch, digests = change.patch, change.patch.digests
    before, after = (None, None) if digests is None else (digests.before, digests.properties)
    return _encoded(
        [
            patch.key,
            patch.properties,
            patch.others or None,
            jsonable(patch.row),
            None if digests is None else digests[:3],
            None if before is None else before.hex(),
            None if after is None else after.hex(),
            change.known_whole,
            change.refused_digest,
            _conditions_of(patch),
        ]
    ).encode("utf-8", "surrogatepass")


def _conditions_of(patch: Patch) -> dict[str, Any] | None:
    return None if patch[_CONDITIONS:] == _NO_CONDITIONS else conditions_of(patch)


def _bytes(digits: str | None) -> bytes | None:
    return None if digits is None else bytes.fromhex(digits)
