"""Reduces a row's patch to the properties that differ from what Connectif has accepted: only these are sent."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from airflow_provider_connectif.journal.digests import patch_digest
from airflow_provider_connectif.journal.properties import (
    Known,
    Mark,
    PropertyDigester,
    are_more,
    compared,
    doubted,
    entries_of,
    marked_kept,
    of_ranked,
    only,
    refused_marks,
    updated,
    without,
    without_marks,
)
from airflow_provider_connectif.records.changes import Digests, JsonValue, Patch, Removal, Standing
from airflow_provider_connectif.records.resource import Resource

_SIZE = 16  # bytes


def is_above(values: Sequence[str], value: JsonValue, patch: Patch, property_id: str) -> bool:
    """Whether the value of a ranked property is above the accepted one, if that is known.

    :param values: from the lowest rank to the highest.
    """
    accepted = patch.stands(property_id).rank
    return accepted is not None and value in values[accepted + 1 :]


def raises(ranks: Mapping[str, Sequence[str]], patch: Patch) -> bool:
    """Whether a change has a ranked property above its accepted value, sent or waiting for a response."""
    if not patch.standings:
        return False
    sent = (patch.properties, patch.later)
    names = (name for name in ranks if name in patch.standings)
    return any(name in part and is_above(ranks[name], part[name], patch, name) for name in names for part in sent)


class Difference(NamedTuple):
    """A patch with the properties to send, and the journal's knowledge of it.

    ``is_held``: Connectif has accepted all of it, so there is nothing to send. ``is_refused``: the same patch, from
    several rows, was rejected before.
    """

    patch: Patch
    is_held: bool
    is_refused: bool


class Differences:
    """Compares patches with the journal's lines of their contacts.

    :param resource: decides whether a change may carry a part of its properties.
    :param mapping_digest: of the run's mapping.
    :param way: of delivery, as in :func:`airflow_provider_connectif.journal.digests.mapping_digest`.
    :param secret: of the contact keys in the journal.
    :param sends_all: whether every property is sent, changed or not.
    """

    def __init__(
        self, resource: Resource, mapping_digest: str, way: str, secret: bytes | None, *, sends_all: bool
    ) -> None:
        self._resource = resource
        self._mapping_digest = mapping_digest
        self._way = way
        self.sends_all = sends_all
        self._takes_parts = resource.takes_parts
        self._ranks = resource.ranks
        self._ranked = resource.ranks.keys()
        self._moded = resource.modes.keys()
        self._conditional = resource.ranks.keys() | resource.modes.keys()
        self._digester = PropertyDigester(way if secret is None else f"{way}\n{secret.hex()}", resource.modes)
        self._seed = hashlib.blake2b(digest_size=_SIZE)

    def of(
        self,
        patch: Patch,
        contact: str,
        known: Known,
        row_digest: str,
        refused: str | None = None,
        *,
        is_new: bool | None = None,
        was_delivered: bool | None = None,
    ) -> Difference:
        """Return the part of a patch to send.

        :param patch: of one row, or of several rows together.
        :param contact: the contact's key in the journal's form.
        :param known: the journal's knowledge of the contact's properties.
        :param row_digest: of the row; empty for several rows.
        :param refused: the digest of the last refusal.
        :param is_new: as in :class:`Patch`. Default: that of the patch; likewise ``was_delivered``.
        """
        whole = patch.whole
        entries = self._digester.entries(contact, whole)
        column = known.column
        differing: Collection[str]
        if column is not None:
            places, after = compared(column, entries)
            ids = [*whole]
            differing = dict.fromkeys([ids[place] for place in places]).keys() if places else ()
        else:
            after = b"".join(entries)
            differing = () if self._is_sent_before(whole, contact, known.whole) else whole.keys()
        is_known = column is not None or known.whole is not None
        has_more = are_more(after, len(whole))
        ranked = [] if self._ranked.isdisjoint(whole) else [name for name in self._ranks if name in whole]
        of_patch = self._seed.copy()
        of_patch.update(b"".join(sorted(entries)))
        digests = Digests(
            row_digest,
            of_patch.hexdigest(),
            self._mapping_digest,
            without_marks(after, ranked, Mark.BEFORE, Mark.REFUSED) if ranked and has_more else after,
            without_marks(column, ranked, Mark.REFUSED) if self.sends_all and column and ranked else column,
        )
        standings = patch.standings
        if self._ranks and (ranked or has_more):
            # Also those that are no longer in the mapping: a response may show that the person has lowered one.
            before = column or b""
            known_ids = dict.fromkeys([*ranked, *(self._digester.are_known(before, self._ranks) if has_more else ())])
            standings = self._standings(whole, contact, known_ids, differing, before)
        if has_more and not self._moded.isdisjoint(differing):
            standings = {**standings, **self._left_of_creation(contact, self._moded & differing, column or b"")}
        patch = patch.planned(
            digests,
            standings,
            is_new=patch.is_new if is_new is None else is_new,
            was_delivered=patch.was_delivered if was_delivered is None else was_delivered,
        )
        wanted: Collection[str] = differing if is_known else whole.keys()
        if self.sends_all:
            sent = (name for name in whole if name in differing or name not in self._conditional)
            wanted = dict.fromkeys(sent).keys()
        elif is_known and differing and not self._takes_parts:
            wanted = whole.keys()
        patch = self._resource.arrange(patch, wanted)
        is_held = is_known and not (patch.properties or patch.later)
        if is_held and patch.was_removed:  # somebody may have deleted the contact while it was away
            # A row without properties creates it by its key; otherwise a request would set nothing.
            patch, is_held = patch._replace(looks_up=bool(whole)), False
        is_refused = bool(refused and not row_digest) and refused in (digests.patch, self._of_before(whole, contact))
        return Difference(patch, is_held, is_refused)

    def beside(self, patch: Patch, contact: str, known: Known, row_digest: str) -> Difference | None:
        """Return the part of a row's urgent part to send although the row is not sent; ``None``: all of it was rejected
        before.

        :param patch: the urgent part, as its only properties.
        :param row_digest: of the row. An urgent part that was rejected with this row is not sent again.
        """
        noted = frozenset(() if self.sends_all else entries_of(known.column or b""))
        marks = zip(patch.properties, refused_marks(patch.properties, row_digest), strict=True)
        properties = {name: patch.properties[name] for name, mark in marks if mark not in noted}
        if not properties:
            return None
        found = self.of(patch._replace(properties=properties), contact, known, row_digest)
        return found._replace(is_held=not found.patch.properties)

    def unraised(self, patch: Patch) -> Patch:
        """Return a change without the values of ranked properties that are above the accepted ones, as of several rows:
        without the digest of its row.
        """
        sent = {**patch.properties, **patch.later}
        raised = [name for name in self._ranked & sent.keys() if is_above(self._ranks[name], sent[name], patch, name)]
        properties = {name: value for name, value in patch.properties.items() if name not in raised}
        later = {name: value for name, value in patch.later.items() if name not in raised}
        patch = patch._replace(properties=properties, later=later)
        if patch.digests is None or patch.digests.properties is None:
            return patch
        kept = entries_of(only(patch.digests.before or b"", raised))
        after = updated(without(patch.digests.properties, raised), kept)
        return patch._replace(digests=patch.digests._replace(row="", properties=after))

    def contradicts(self, contact: str, column: bytes, properties: Mapping[str, JsonValue]) -> bool:
        """Whether Connectif has accepted another value of one of these properties for a contact.

        Ranked properties and those with a write mode do not count: they may have another value than their row.

        :param contact: its key in the journal's form.
        :param column: digests of the accepted properties.
        """
        accepted = {name: value for name, value in properties.items() if name not in self._conditional}
        return self._digester.contradicts(contact, column, accepted)

    def removal(
        self, contact: str, key: str, column: bytes | None, kind: Removal, properties: Mapping[str, JsonValue]
    ) -> Patch:
        """Return the change for a contact that has left the source.

        :param contact: its key in the journal's form.
        :param key: its key for the request.
        :param column: digests of the properties that Connectif has accepted.
        :param kind: the action.
        :param properties: the properties to send, unless it is deleted.
        """
        before = column or b""
        ranked = list(self._ranks)  # a consent may be kept without a value that is known
        standings = self._standings(properties, contact, ranked, set(properties), before)
        if kind == "delete":
            # The person's own decisions stay known: a row that comes back must not raise them. The values do not, since
            # they were deleted with the contact.
            after = marked_kept(before, ranked)
        else:
            sent = {name: value for name, value in properties.items() if name in self._ranks}
            after = updated(of_ranked(before, ranked), self._digester.entries(contact, sent))
            after = without_marks(after, sent, Mark.BEFORE)
            # A row that comes back sends these again: somebody may have deleted the contact in the meantime.
            lowest = [name for name in ranked if name in sent or standings[name].rank == 0]
            after = doubted(after, lowest, ranked)
        digests = Digests("", "", self._mapping_digest, after, before)
        # A PATCH would create a contact again that somebody has deleted. A deletion would hide that the person has
        # lowered a consent since.
        looks_up = kind == "patch" or any(standing.rank and not standing.is_kept for standing in standings.values())
        patch = Patch(0, key, properties, {}, digests, was_delivered=True, looks_up=looks_up, standings=standings)
        return patch._replace(removal=kind)

    def _standings(
        self,
        whole: Mapping[str, JsonValue],
        contact: str,
        ranked: Iterable[str],
        differing: Collection[str],
        column: bytes,
    ) -> dict[str, Standing]:
        """Return the knowledge of a contact's ranked properties."""
        standings = {}
        for name in ranked:
            standing = self._digester.standing(contact, name, self._ranks[name], column)
            if (
                name in whole and name not in differing and standing.rank is None
            ):  # of a line of an earlier version, which covers them all
                standing = standing._replace(rank=self._rank_of(name, whole[name]))
            standings[name] = standing
        return standings

    def _left_of_creation(self, contact: str, property_ids: Iterable[str], column: bytes) -> dict[str, Standing]:
        """Return the knowledge of properties with a write mode that were to follow when the sync created the thing."""
        standings = {name: self._digester.standing(contact, name, (), column) for name in property_ids}
        return {name: standing for name, standing in standings.items() if standing.is_created}

    def _rank_of(self, property_id: str, value: JsonValue) -> int | None:
        values = self._ranks[property_id]
        return values.index(value) if isinstance(value, str) and value in values else None

    def _of_before(self, whole: Mapping[str, JsonValue], contact: str) -> str:
        """Return the digest of all properties in the form of earlier versions."""
        return patch_digest(whole, self._way, contact)

    def _is_sent_before(self, whole: Mapping[str, JsonValue], contact: str, digest: str | None) -> bool:
        """Whether a line of an earlier version, with one digest for all properties, matches these."""
        if digest is None or digest == self._of_before(whole, contact):
            return digest is not None
        # Digests of still earlier versions contain no key, and may be another contact's whose key had the same form
        # then.
        return not self._resource.is_of_another_before(contact) and digest == patch_digest(whole, self._way)
