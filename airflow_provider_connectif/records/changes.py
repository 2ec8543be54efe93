"""What is to become of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from airflow_provider_connectif.records.rows import Row

_NOTHING: Mapping[str, Any] = MappingProxyType({})

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


class Patch(NamedTuple):
    """The properties to set for one contact.

    ``number``: the row's number in the source, from 1. ``key``: the contact key, e-mail or external id.
    ``properties``: JSON-ready values by property id; of a plan, those that are to be sent. ``row``: the row as it came.
    ``digests``: what the journal is to know of it, where there is one. ``place``: in the plan that the journal's
    database keeps until all of it is settled; ``None``: it is in none. ``is_new``: the journal knew nothing of the
    contact when the plan was made. ``others``: the row's properties that are not to be sent, since Connectif has
    accepted them before.
    """

    number: int
    key: str
    properties: Mapping[str, JsonValue]
    row: Row
    digests: Digests | None = None
    place: int | None = None
    is_new: bool = False
    others: Mapping[str, JsonValue] = _NOTHING

    @property
    def whole(self) -> Mapping[str, JsonValue]:
        """All properties of the row, those that are not to be sent included."""
        return {**self.others, **self.properties} if self.others else self.properties
