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
    """Whether a value of a ranked property is above the accepted value; ``False`` if that is not known.

    :param values: the values of the property, from the lowest rank to the highest.
    """
    accepted = patch.stands(property_id).rank
    return accepted is not None and value in values[accepted + 1 :]


def raises(ranks: Mapping[str, Sequence[str]], patch: Patch) -> bool:
    """Whether a change sets a ranked property above its accepted value, at once or after a response."""
    if not patch.standings:
        return False
    sent = (patch.properties, patch.later)
    names = (name for name in ranks if name in patch.standings)
    return any(name in part and is_above(ranks[name], part[name], patch, name) for name in names for part in sent)


class Difference(NamedTuple):
    """The part of a patch to send.

    ``is_held``: whether Connectif has accepted the whole patch already; then nothing is sent. ``is_refused``: whether
    the same patch, made from several rows, was rejected before.
    """

    patch: Patch
    is_held: bool
    is_refused: bool


class Differences:
    """Compares patches with the journal's lines of their contacts.

    :param resource: knows the ranks and write modes of properties, and whether a change may have only a part of them.
    :param mapping_digest: the digest of the run's mapping.
    :param way: the way of delivery, as in :func:`airflow_provider_connectif.journal.digests.mapping_digest`.
    :param secret: the secret with which the journal stores contact keys; ``None``: it stores them unchanged.
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

        :param patch: the patch of one row, or of several rows together.
        :param contact: the contact's key in the journal's form.
        :param known: the journal's knowledge of the contact's properties.
        :param row_digest: the digest of the row; empty for several rows.
        :param refused: the digest of the row or patch that Connectif rejected last.
        :param is_new: as in :class:`Patch`. Default: the value in ``patch``.
        :param was_delivered: as in :class:`Patch`. Default: the value in ``patch``.
        """
        whole = patch.whole
        sends_all = self.sends_all and not patch.only_differing
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
            without_marks(column, ranked, Mark.REFUSED) if sends_all and column and ranked else column,
        )
        standings = patch.standings
        if self._ranks and (ranked or has_more):
            # Also ranked properties that are no longer mapped: a response may show that the person has lowered one.
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
        if sends_all:
            sent = (name for name in whole if name in differing or name not in self._conditional)
            wanted = dict.fromkeys(sent).keys()
        elif is_known and differing and not self._takes_parts:
            wanted = whole.keys()
        patch = self._resource.arrange(patch, wanted)
        is_held = is_known and not (patch.properties or patch.later)
        if is_held and patch.was_removed:  # somebody may have deleted the contact while it was not in the source
            # If it was deleted, a request is needed although nothing differs. A row without properties is sent at once,
            # and creates the contact by its key.
            patch, is_held = patch._replace(looks_up=bool(whole)), False
        is_refused = bool(refused and not row_digest) and refused in (digests.patch, self._of_before(whole, contact))
        return Difference(patch, is_held, is_refused)

    def beside(self, patch: Patch, contact: str, known: Known, row_digest: str) -> Difference | None:
        """Return what to send of the urgent part of a row, although the row itself is not sent.

        :param patch: a patch with only the properties of the urgent part.
        :param row_digest: the digest of the row. A property that was rejected with the same row is not sent again.
        :return: ``None`` if all properties of the urgent part were rejected before.
        """
        noted = frozenset(() if self.sends_all else entries_of(known.column or b""))
        marks = zip(patch.properties, refused_marks(patch.properties, row_digest), strict=True)
        properties = {name: patch.properties[name] for name, mark in marks if mark not in noted}
        if not properties:
            return None
        found = self.of(patch._replace(properties=properties), contact, known, row_digest)
        return found._replace(is_held=not found.patch.properties)

    def unraised(self, patch: Patch) -> Patch:
        """Return a change without those ranked properties whose values are above the accepted ones.

        The result has no row digest, like a change of several rows.
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

        Ranked properties and those with a write mode do not count: their values at Connectif may differ from the row.

        :param contact: the contact's key in the journal's form.
        :param column: the digests of the accepted properties.
        """
        accepted = {name: value for name, value in properties.items() if name not in self._conditional}
        return self._digester.contradicts(contact, column, accepted)

    def removal(
        self, contact: str, key: str, column: bytes | None, kind: Removal, properties: Mapping[str, JsonValue]
    ) -> Patch:
        """Return the change for a contact that has left the source.

        :param contact: the contact's key in the journal's form.
        :param key: the contact's key for the request.
        :param column: the digests of the properties that Connectif has accepted; ``None`` if they are not known.
        :param kind: ``delete`` or ``patch``.
        :param properties: the properties that a PATCH sets.
        """
        before = column or b""
        ranked = list(self._ranks)  # all of them: a consent may be kept although its value is not known
        standings = self._standings(properties, contact, ranked, set(properties), before)
        if kind == "delete":
            # The person's own decisions stay known: if the row comes back, it must not raise these consents. The values
            # are no longer known, since they were deleted with the contact.
            after = marked_kept(before, ranked)
        else:
            sent = {name: value for name, value in properties.items() if name in self._ranks}
            after = updated(of_ranked(before, ranked), self._digester.entries(contact, sent))
            after = without_marks(after, sent, Mark.BEFORE)
            # If the row comes back, these are sent again: somebody may have deleted the contact in the meantime.
            lowest = [name for name in ranked if name in sent or standings[name].rank == 0]
            after = doubted(after, lowest, ranked)
        digests = Digests("", "", self._mapping_digest, after, before)
        # Look up first. A PATCH would create a contact again that somebody has deleted. A deletion would hide that the
        # person has lowered a consent since.
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
        """Return the journal's knowledge of a contact's ranked properties, by property id."""
        standings = {}
        for name in ranked:
            standing = self._digester.standing(contact, name, self._ranks[name], column)
            # In a line of an earlier version, one digest covers all properties.
            if name in whole and name not in differing and standing.rank is None:
                standing = standing._replace(rank=self._rank_of(name, whole[name]))
            standings[name] = standing
        return standings

    def _left_of_creation(self, contact: str, property_ids: Iterable[str], column: bytes) -> dict[str, Standing]:
        """Return the knowledge of properties whose own request was to follow when this sync created the contact.

        These are properties with a write mode. It is not known whether that request was carried out.
        """
        standings = {name: self._digester.standing(contact, name, (), column) for name in property_ids}
        return {name: standing for name, standing in standings.items() if standing.is_created}

    def _rank_of(self, property_id: str, value: JsonValue) -> int | None:
        values = self._ranks[property_id]
        return values.index(value) if isinstance(value, str) and value in values else None

    def _of_before(self, whole: Mapping[str, JsonValue], contact: str) -> str:
        """Return one digest of all properties, in the form that earlier versions stored."""
        return patch_digest(whole, self._way, contact)

    def _is_sent_before(self, whole: Mapping[str, JsonValue], contact: str, digest: str | None) -> bool:
        """Whether these properties match a line of an earlier version, which has one digest of all properties.

        :param digest: the digest in that line; ``None`` if it has none.
        """
        if digest is None or digest == self._of_before(whole, contact):
            return digest is not None
        # Digests of still earlier versions contain no key. Two keys could have the same form then, so the digest may be
        # that of another contact.
        return not self._resource.is_of_another_before(contact) and digest == patch_digest(whole, self._way)
