"""Packs pending changes as lines of their file, and unpacks them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from airflow_provider_connectif.records.changes import Digests, Patch, conditions_of, with_conditions
from airflow_provider_connectif.records.raw_rows import RawRow, RowForm, packed, unpacked
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.rejects import jsonable

_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # built once

MERGED, HELD, REFUSED_AGAIN, _NEW, _OF_TEXTS, _DELIVERED, WAITS = 1, 2, 4, 8, 16, 32, 64
"""Bits of the column ``flags``."""
COLUMNS = ("contact", "rank", "number", "flags", "payload")
"""The columns of a line. They are few, since each column takes time."""


_JSON_TYPES = frozenset({str, int, float, bool, type(None)})
_MOST_SETS = 1000  # sets of property ids that are kept joined
_CONDITIONS = Patch._fields.index("was_delivered") + 1
_NO_CONDITIONS = Patch(0, "", {}, {})[_CONDITIONS:]
"""The usual values of the fields that :func:`conditions_of` stores. If a patch has these, nothing is stored."""


class Rank(IntEnum):
    """The order in which changes are sent: the lowest rank first.

    ``BESIDE``: the urgent part of a row that has an outcome already; the row itself is not sent. ``URGENT``: a change
    that must not wait for other changes, whether its contact is new or not. ``REMOVED``: the contact has left the
    source.
    """

    BESIDE = 0
    URGENT = 1
    NEW = 2
    CHANGED = 3
    REJECTED_BEFORE = 4
    REMOVED = 5


class PendingChange(NamedTuple):
    """A patch to send.

    ``patch``: the patch, with the digests for the journal. ``contact``: the contact's key in one form for all spellings
    (:meth:`airflow_provider_connectif.records.resource.Resource.same_key`). ``rank``: its place in the order of
    sending. ``known_whole``: one digest of all properties that Connectif has accepted, if these are not known one by
    one. ``refused_digest``: the digest of the row or patch that was rejected last. ``is_merged``: whether the change is
    made from several rows. ``is_held``: whether Connectif has accepted all of it already. ``is_refused``: whether a
    change of several rows was rejected before and has not changed.
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
    """Packs changes as lines, and unpacks the lines.

    If a source yields the texts of its database, a change of one row is stored as these texts, with the ids of the
    properties to send. Then no JSON is written while the source is read, and preparing the row again takes no more time
    than reading JSON. Other changes are stored as JSON, with their rows.

    :param resource: prepares rows. It makes the same change from the same row.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.flags = 0
        """The bits that at least one packed line has had."""
        self._forms: list[RowForm] = []
        self._last_form: RowForm | None = None
        self._last_number: int | None = None
        self._mapping: str | None = None
        self._joined_ids: dict[tuple[str, ...], str | None] = {}

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
        """Return a change as the texts of its row; ``None`` if these are not sufficient.

        The result is a head, a blank line, the digests before and after the change, and the texts. The head has the
        number of the texts' form, the sizes and values of digests, the conditions as JSON, and the ids to send.
        """
        patch, digests = change.patch, change.patch.digests
        row = patch.row
        if not isinstance(row, RawRow) or not self._is_told_by_texts(change):
            return None
        values = patch.properties.values()
        if not _JSON_TYPES.issuperset(map(type, values)) and not all(map(_is_json, values)):
            return None  # as JSON, which names the row and the type
        form, sent = self._number_of(row.form), self._joined(tuple(patch.properties))
        if form is None or sent is None:
            return None
        conditions = _conditions_of(patch)
        told = "-" if conditions is None else _encoded(conditions)
        if digests is None:
            head, before, after = f"{form}\n{told}{sent}\n\n", b"", b""
        else:
            before, after = digests.before or b"", digests.properties or b""
            sizes = f"{-1 if digests.before is None else len(before)} {len(after)}"
            head = f"{form} {sizes} {digests.row} {digests.patch}\n{told}{sent}\n\n"
        return b"".join((head.encode("utf-8", "surrogatepass"), before, after, packed(row.texts)))

    def _joined(self, ids: tuple[str, ...]) -> str | None:
        """Return property ids, each after a line break; ``None`` if one of them is empty or has a line break.

        Most changes of a source have one of few sets of ids, so each set is joined once.
        """
        try:
            return self._joined_ids[ids]
        except KeyError:
            if len(self._joined_ids) >= _MOST_SETS:
                self._joined_ids.clear()
            joined = "\n".join(("", *ids))
            is_clear = joined.count("\n") == len(ids) and "\n\n" not in f"{joined}\n"
            return self._joined_ids.setdefault(ids, joined if is_clear else None)

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
        row = RawRow(self._forms[int(form)], unpacked(rest, len(self._forms[int(form)].columns)))
        made = self._resource.prepare(number, row)
        properties = {name: made.properties[name] for name in sent}
        waiting = {} if conditions is None else conditions.get("later", {})
        left = made.properties.items() if len(properties) < len(made.properties) else ()
        others = {name: value for name, value in left if name not in properties and name not in waiting}
        return with_conditions(Patch(number, made.key, properties, row, digests, others=others), conditions)

    def _is_told_by_texts(self, change: PendingChange) -> bool:
        """Whether the texts and the digests contain the whole change. For nearly all changes of one row they do."""
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
        """Return the number of the form of a row's texts; ``None`` if the same texts may become different values."""
        if form is not self._last_form:  # each batch has an object of its own, and all are equal
            self._last_form, self._last_number = form, None
            if form.converted.types is not None:
                if form not in self._forms:
                    self._forms.append(form)
                self._last_number = self._forms.index(form)
        return self._last_number


def size_of(line: Sequence[Any]) -> int:
    """Return the size in bytes of the payload of a line: its patch and its row."""
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


def _is_json(value: Any) -> bool:
    return type(value) in _JSON_TYPES or (type(value) is list and all(type(item) is str for item in value))


def _bytes(digits: str | None) -> bytes | None:
    return None if digits is None else bytes.fromhex(digits)
