"""Changes: the properties that a run sends for one key, with what the journal knows of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from airflow_provider_connectif.records.rows import Row

_NOTHING: Mapping[str, Any] = MappingProxyType({})

Removal = Literal["patch", "delete"]
"""The change for a key that has left the source: set properties, or delete it."""

JsonValue = bool | int | float | str | list[str] | None
"""A value in the JSON of the API."""


class Digests(NamedTuple):
    """The digests that the journal stores for a change.

    ``row``: of the row it came from; empty if it came from several. ``patch``: of all properties of that row.
    ``mapping``: of the mapping. ``properties``: of each property that Connectif holds once the change is delivered.
    ``before``: of each property that it holds until then. Both are ``None`` if the properties are not known one by one.
    """

    row: str
    patch: str
    mapping: str
    properties: bytes | None = None
    before: bytes | None = None


class Standing(NamedTuple):
    """The journal's knowledge of a property whose values have ranks, or of one with a write mode.

    ``rank``: of the value that Connectif accepted last, 0 is the lowest; ``None``: not known. ``is_kept``: a response
    has shown a lower rank than the one that was sent or planned; since then the value belongs to the person.
    ``is_unseen``: no response has shown the value since then, or the response to a later request was lost.
    ``is_created``: this sync created the thing, and what became of the property's own request is not known.
    """

    rank: int | None = None
    is_kept: bool = False
    is_unseen: bool = False
    is_created: bool = False


_UNKNOWN = Standing()


class Patch(NamedTuple):
    """The properties to set for one contact.

    ``number``: the row's number in the source, from 1. ``key``: the contact key, e-mail or external id. ``properties``:
    JSON-ready values by property id; in a plan, those to send. ``row``: the row from the source. ``digests``: for the
    journal, if there is one. ``place``: its place in the plan that the journal's database keeps until the whole plan is
    settled; ``None``: it is in no such plan. ``is_new``: the journal knew nothing of the contact when the plan was
    made. ``was_delivered``: the journal knew that Connectif had accepted something of the contact. ``others``: the
    row's other properties, which Connectif has accepted before. ``later``: properties that wait for the next response.
    ``looks_up``: the next request reads the contact and sets nothing. ``standings``: the journal's knowledge of the
    row's ranked properties, by id, and of those that were to follow after the sync had created the contact. ``kept``:
    ranked properties that responses have shown to be the person's own since the plan was made. ``counted_as``: the
    outcome (invalid or held) that the row already has; only the urgent part is sent. ``removal``: the key has left the
    source, so there is no row: ``patch`` sets the properties, ``delete`` deletes. ``sent_before``: the key as Connectif
    accepted it before, if the row has another spelling; it is then also ``key``. ``created_as``: the change is the rest
    of one whose first request has created the thing: ``created`` or ``recreated``. ``was_removed``: the contact left
    the source, ``on_removed`` was carried out, and it has come back. ``named``: other keys of the person in the row, by
    property id, if only a part of the row is sent, without them.
    """

    number: int
    key: str
    properties: Mapping[str, JsonValue]
    row: Row
    digests: Digests | None = None
    place: int | None = None
    is_new: bool = False
    others: Mapping[str, JsonValue] = _NOTHING
    was_delivered: bool = False
    later: Mapping[str, JsonValue] = _NOTHING
    looks_up: bool = False
    standings: Mapping[str, Standing] = _NOTHING
    kept: frozenset[str] = frozenset()
    counted_as: str | None = None
    removal: Removal | None = None
    sent_before: str | None = None
    created_as: Literal["created", "recreated"] | None = None
    was_removed: bool = False
    named: Mapping[str, str] = _NOTHING

    @property
    def whole(self) -> Mapping[str, JsonValue]:
        """All properties of the row, sent or not."""
        if not self.others and not self.later:
            return self.properties
        return {**self.others, **self.later, **self.properties}

    @property
    def naming(self) -> Mapping[str, JsonValue]:
        """The properties that may name the person, sent or not."""
        return {**self.named, **self.whole} if self.named else self.whole

    # The next two run for each changed row, and are faster than ``_replace``.

    def planned(
        self, digests: Digests, standings: Mapping[str, Standing], *, is_new: bool, was_delivered: bool
    ) -> Patch:
        """Return the change with the journal's knowledge of it."""
        known = (digests, self.place, is_new, self.others, was_delivered)
        return Patch._make((*self[:4], *known, *self[9:11], standings, *self[12:]))

    def split(
        self,
        properties: Mapping[str, JsonValue],
        others: Mapping[str, JsonValue],
        later: Mapping[str, JsonValue] = _NOTHING,
        *,
        looks_up: bool = False,
    ) -> Patch:
        """Return the change with its properties divided into these three parts."""
        known = (self.row, self.digests, self.place, self.is_new)
        return Patch._make((*self[:2], properties, *known, others, self.was_delivered, later, looks_up, *self[11:]))

    def stands(self, property_id: str) -> Standing:
        """Return the journal's knowledge of a ranked property."""
        return self.standings.get(property_id, _UNKNOWN)


def conditions_of(patch: Patch) -> dict[str, Any] | None:
    """Return the parts of a patch that wait for a response or were decided by one, JSON-ready; ``None`` if there are
    none.
    """
    conditions = {
        "later": dict(patch.later),
        "looks_up": patch.looks_up,
        "standings": {property_id: list(standing) for property_id, standing in patch.standings.items()},
        "kept": sorted(patch.kept),
        "counted_as": patch.counted_as,
        "was_delivered": patch.was_delivered,
        "removal": patch.removal,
        "sent_before": patch.sent_before,
        "created_as": patch.created_as,
        "was_removed": patch.was_removed,
        "named": dict(patch.named),
    }
    return {name: value for name, value in conditions.items() if value} or None


def with_conditions(patch: Patch, conditions: Mapping[str, Any] | None) -> Patch:
    """Return a patch with the parts from :func:`conditions_of`."""
    if not conditions:
        return patch
    sent_before = conditions.get("sent_before")
    return patch._replace(
        key=patch.key if sent_before is None else sent_before,
        sent_before=sent_before,
        later=conditions.get("later", _NOTHING),
        looks_up=conditions.get("looks_up", False),
        standings={name: Standing(*standing) for name, standing in conditions.get("standings", {}).items()},
        kept=frozenset(conditions.get("kept", ())),
        counted_as=conditions.get("counted_as"),
        was_delivered=conditions.get("was_delivered", False),
        removal=conditions.get("removal"),
        created_as=conditions.get("created_as"),
        was_removed=conditions.get("was_removed", False),
        named=conditions.get("named", _NOTHING),
    )
