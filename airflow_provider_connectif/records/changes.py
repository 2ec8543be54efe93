"""Changes: the properties that a run sends for one key, and the journal's knowledge of that key."""

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

    :param row: digest of the row; empty if several rows were merged into the change.
    :param patch: digest of all properties of the row.
    :param mapping: digest of the mapping.
    :param properties: digests of the properties that Connectif has once the change is delivered, one for each property;
        ``None``: they are not known one by one.
    :param before: digests of the properties that Connectif has until then; ``None`` likewise.
    """

    row: str
    patch: str
    mapping: str
    properties: bytes | None = None
    before: bytes | None = None


class Standing(NamedTuple):
    """The journal's knowledge of one property: a ranked one, such as a consent, or one with a write mode.

    :param rank: rank of the value that Connectif accepted last; 0 is the lowest, ``None``: not known.
    :param is_kept: a response has shown a lower rank than the one that was sent or planned. From then on, the value
        belongs to the person.
    :param is_unseen: no response has shown the value since Connectif accepted it, or the response to a later request
        was lost.
    :param is_created: this sync created the thing, and it is not known whether Connectif then accepted this property,
        which was to follow.
    """

    rank: int | None = None
    is_kept: bool = False
    is_unseen: bool = False
    is_created: bool = False


_UNKNOWN = Standing()
_patch_of = tuple.__new__


class Patch(NamedTuple):
    """The properties to set for one contact.

    :param number: the row's number in the source, from 1.
    :param key: the contact key, e-mail or external id.
    :param properties: JSON-ready values by property id; in a plan, only those to send.
    :param row: the row from the source.
    :param digests: digests for the journal; ``None``: there is no journal.
    :param place: the change's place in the plan that the journal's database stores until the whole plan is settled;
        ``None``: it is in no such plan.
    :param is_new: the journal knew nothing of the contact when the plan was made.
    :param others: the row's other properties, which Connectif has accepted before.
    :param was_delivered: when the plan was made, the journal knew that Connectif had accepted something of the contact.
    :param later: properties that wait for the next response.
    :param looks_up: the next request reads the contact and sets nothing.
    :param standings: the journal's knowledge by property id: of the row's ranked properties, and of properties with a
        write mode that were to follow after the sync had created the contact.
    :param kept: ids of ranked properties for which a response since the plan has shown that the value belongs to the
        person.
    :param counted_as: the outcome (invalid or held) that the row already has: only its urgent part is sent.
    :param removal: the key has left the source, so there is no row. ``patch`` sets the properties, ``delete`` deletes
        the contact.
    :param sent_before: the spelling of the key that Connectif accepted before, if the row has another one; ``key`` is
        then the same.
    :param created_as: ``created`` or ``recreated``: the first request of the change has created the thing, and this is
        the rest of the change.
    :param was_removed: the contact left the source, ``on_removed`` was carried out, and the contact has come back.
    :param named: other keys of the person, by property id, which the row has and this part of the row does not.
    :param only_differing: an earlier attempt of the run has delivered the contact: only properties that differ are
        sent, even if the run sends all of them.
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
    only_differing: bool = False

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

    # The next two methods run for each changed row. They do not use ``_replace``, which is slower.

    def planned(
        self, digests: Digests, standings: Mapping[str, Standing], *, is_new: bool, was_delivered: bool
    ) -> Patch:
        """Return the change with the journal's knowledge of it."""
        fields = [*self]
        fields[_DIGESTS], fields[_STANDINGS], fields[_IS_NEW] = digests, standings, is_new
        fields[_WAS_DELIVERED] = was_delivered
        return _patch_of(Patch, fields)

    def split(
        self,
        properties: Mapping[str, JsonValue],
        others: Mapping[str, JsonValue],
        later: Mapping[str, JsonValue] = _NOTHING,
        *,
        looks_up: bool = False,
    ) -> Patch:
        """Return the change with its properties divided into three parts.

        :param properties: are sent with the next request.
        :param others: are not sent, since Connectif has accepted them before.
        :param later: wait for the response.
        :param looks_up: the next request reads the contact instead, and sends nothing.
        """
        fields = [*self]
        fields[_PROPERTIES], fields[_OTHERS], fields[_LATER], fields[_LOOKS_UP] = properties, others, later, looks_up
        return _patch_of(Patch, fields)

    def stands(self, property_id: str) -> Standing:
        """Return the journal's knowledge of a property; without any, the default :class:`Standing`."""
        return self.standings.get(property_id, _UNKNOWN)


_PROPERTIES, _OTHERS, _LATER, _LOOKS_UP = map(Patch._fields.index, ("properties", "others", "later", "looks_up"))
_DIGESTS, _STANDINGS, _IS_NEW = map(Patch._fields.index, ("digests", "standings", "is_new"))
_WAS_DELIVERED = Patch._fields.index("was_delivered")


def conditions_of(patch: Patch) -> dict[str, Any] | None:
    """Return the fields of a patch that most patches do not have, to be stored, JSON-ready; ``None``: it has none."""
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
        "only_differing": patch.only_differing,
    }
    return {name: value for name, value in conditions.items() if value} or None


def with_conditions(patch: Patch, conditions: Mapping[str, Any] | None) -> Patch:
    """Return a patch with the fields that :func:`conditions_of` returned."""
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
        only_differing=conditions.get("only_differing", False),
    )
