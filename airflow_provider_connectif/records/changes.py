"""What is to become of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from airflow_provider_connectif.records.rows import Row

_NOTHING: Mapping[str, Any] = MappingProxyType({})

Removal = Literal["patch", "delete"]
"""What is done about a key that has left the source."""

JsonValue = bool | int | float | str | list[str] | None
"""A value as the API's JSON has it."""


class Digests(NamedTuple):
    """What the journal is to know of a change.

    ``row``: the row it came from; empty where it came from several. ``patch``: all properties of that row. ``mapping``:
    the mapping between. ``properties``: digests of the properties that Connectif holds once the change is delivered.
    ``before``: likewise until it is delivered. Of both ``None``: the properties are not known one by one.
    """

    row: str
    patch: str
    mapping: str
    properties: bytes | None = None
    before: bytes | None = None


class Standing(NamedTuple):
    """What the journal knows of a property whose values have ranks.

    ``rank``: of the value that Connectif has accepted last, 0 the lowest; ``None``: not known. ``is_kept``: a response
    has shown a lower rank than the one that was sent or was to be sent: it belongs to the person since.
    """

    rank: int | None = None
    is_kept: bool = False


_UNKNOWN = Standing()


class Patch(NamedTuple):
    """The properties to set for one contact.

    ``number``: the row's number in the source, from 1. ``key``: the contact key, e-mail or external id.
    ``properties``: JSON-ready values by property id; of a plan, those that are to be sent. ``row``: the row as it came.
    ``digests``: what the journal is to know of it, where there is one. ``place``: in the plan that the journal's
    database keeps until all of it is settled; ``None``: it is in none. ``is_new``: the journal knew nothing of the
    contact when the plan was made. ``was_delivered``: the journal knew that Connectif has accepted something of it.
    ``others``: the row's properties that are not to be sent, since Connectif has accepted them before.

    ``later``: properties that the next response decides about. ``looks_up``: the next request asks for the contact and
    sets nothing. ``standings``: what is known of the row's ranked properties, by id. ``kept``: those of them that
    turned out to be the person's own since the plan was made. ``counted_as``: the row has its outcome already (invalid
    or held), and only what must not wait for it is sent. ``removal``: the key has left the source, so that no row
    stands behind it: ``patch`` sets the properties, ``delete`` deletes.
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

    @property
    def whole(self) -> Mapping[str, JsonValue]:
        """All properties of the row, those that are not to be sent included."""
        if not self.others and not self.later:
            return self.properties
        return {**self.others, **self.later, **self.properties}

    def stands(self, property_id: str) -> Standing:
        """What is known of a ranked property."""
        return self.standings.get(property_id, _UNKNOWN)


def conditions_of(patch: Patch) -> dict[str, Any] | None:
    """What of a patch waits for a response, or has been decided by one, JSON-ready; ``None``: nothing."""
    conditions = {
        "later": dict(patch.later),
        "looks_up": patch.looks_up,
        "standings": {property_id: list(standing) for property_id, standing in patch.standings.items()},
        "kept": sorted(patch.kept),
        "counted_as": patch.counted_as,
        "was_delivered": patch.was_delivered,
        "removal": patch.removal,
    }
    return {name: value for name, value in conditions.items() if value} or None


def with_conditions(patch: Patch, conditions: Mapping[str, Any] | None) -> Patch:
    """A patch with what :func:`conditions_of` has made of it."""
    if not conditions:
        return patch
    return patch._replace(
        later=conditions.get("later", _NOTHING),
        looks_up=conditions.get("looks_up", False),
        standings={name: Standing(*standing) for name, standing in conditions.get("standings", {}).items()},
        kept=frozenset(conditions.get("kept", ())),
        counted_as=conditions.get("counted_as"),
        was_delivered=conditions.get("was_delivered", False),
        removal=conditions.get("removal"),
    )
