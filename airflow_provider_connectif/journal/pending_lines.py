"""Pending changes as lines of the file that keeps them, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.raw_rows import RawRow, RowForm, joined, parted
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.reporting.rejects import jsonable

_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one for each

MERGED, HELD, REFUSED_AGAIN, _NEW = 1, 2, 4, 8
"""Bits of the column ``flags``."""
COLUMNS = ("contact", "rank", "number", "flags", "before", "after", "digests", "sent", "form", "texts", "payload")
"""Of a line; ``payload`` or, of a change that is made again, ``digests``, ``sent``, ``form`` and ``texts`` are NULL."""


class Rank(IntEnum):
    """The order in which changes are sent; the lowest first.

    ``URGENT``: must not wait behind the others, whether the contact is new, was rejected before, or neither.
    """

    URGENT = 0
    NEW = 1
    CHANGED = 2
    REJECTED_BEFORE = 3


class PendingChange(NamedTuple):
    """A patch that is to be sent.

    ``patch``: with the digests that the journal gets. ``contact``: the one form of the contact's key
    (:meth:`airflow_provider_connectif.records.resource.Resource.same_key`). ``rank``: when it is sent.
    ``known_whole``: the digest of all that Connectif holds, where its properties are not known one by one.
    ``refused_digest``: of what was refused last. ``is_merged``: the change is made of several rows; then ``is_held``:
    Connectif holds all of it, ``is_refused``: it was refused as it is.
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
    """Packs changes as lines, and makes changes of them again.

    A change of one row that came as texts of its database is kept as these texts, with the ids of the properties that
    are to be sent: to prepare the row once more costs no more than to read JSON, and nothing has to be written as JSON
    while the source is read. Other changes are kept as JSON, with their rows.

    :param resource: prepares rows: the same row gives the same change.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._forms: list[RowForm] = []
        self._last_form: RowForm | None = None
        self._last_number: int | None = None
        self._mapping: str | None = None

    def packed(self, change: PendingChange) -> tuple[Any, ...]:
        """A change as a line of :data:`COLUMNS`."""
        patch, digests = change.patch, change.patch.digests
        flags = change.is_merged | change.is_held << 1 | change.is_refused << 2 | patch.is_new << 3
        before, after = (None, None) if digests is None else (digests.before, digests.properties)
        line = (change.contact.encode("utf-8", "surrogatepass"), int(change.rank), patch.number, flags, before, after)
        row = patch.row
        if isinstance(row, RawRow) and not change.is_merged and self._is_told_by_columns(change):
            form, sent = self._number_of(row.form), "\n".join(patch.properties)
            if form is not None and sent.count("\n") == len(patch.properties) - 1:
                of_change = None if digests is None else f"{digests.row} {digests.patch}"
                return (*line, of_change, sent, form, joined(row.texts), None)
        payload = _encoded(
            [
                patch.key,
                None if change.contact == patch.key else change.contact,
                patch.properties,
                patch.others or None,
                jsonable(row),
                None if digests is None else digests[:3],
                change.known_whole,
                change.refused_digest,
            ]
        )
        return (*line, None, None, None, None, payload.encode("utf-8", "surrogatepass"))

    def unpacked(self, line: Sequence[Any]) -> PendingChange:
        """The change of a line."""
        contact, rank, number, flags, before, after, of_change, sent, form, texts, payload = line
        digests = whole = refused = None
        if payload is None:
            row: Row = RawRow(self._forms[form], parted(texts, len(self._forms[form].columns)))
            made = self._resource.prepare(number, row)
            key, every = made.key, made.properties
            properties: Mapping[str, Any] = {name: every[name] for name in sent.split("\n")} if sent else {}
            others = {name: value for name, value in every.items() if name not in properties}
            if of_change is not None and self._mapping is not None:
                row_digest, patch_digest = of_change.split(" ")
                digests = Digests(row_digest, patch_digest, self._mapping, after, before)
        else:
            key, _, properties, others, row, kept, whole, refused = json.loads(payload)
            if kept is not None:
                row_digest, patch_digest, mapping_digest = kept
                digests = Digests(row_digest, patch_digest, mapping_digest, after, before)
        patch = Patch(number, key, properties, row, digests, is_new=bool(flags & _NEW), others=others or {})
        states = (bool(flags & MERGED), bool(flags & HELD), bool(flags & REFUSED_AGAIN))
        return PendingChange(patch, contact.decode("utf-8", "surrogatepass"), Rank(rank), whole, refused, *states)

    def _is_told_by_columns(self, change: PendingChange) -> bool:
        """Whether the columns beside a row's texts say all of a change: but for merges, others are few."""
        digests = change.patch.digests
        if change.refused_digest is not None:
            return False
        if digests is None:
            return change.known_whole is None
        if self._mapping is None:
            self._mapping = digests.mapping
        # What is known of all properties together counts only where they are not known one by one.
        return digests.mapping == self._mapping and (digests.before is not None or change.known_whole is None)

    def _number_of(self, form: RowForm) -> int | None:
        """The number of the form of a row's texts, if the same texts always become the same values."""
        if form is not self._last_form:  # each batch has its own, and they are equal
            self._last_form, self._last_number = form, None
            if form.converted.types is not None:
                if form not in self._forms:
                    self._forms.append(form)
                self._last_number = self._forms.index(form)
        return self._last_number


def size_of(line: Sequence[Any]) -> int:
    """About how many bytes the values of a line take: those of its row and its patch."""
    return len(line[-1] or line[-2])
