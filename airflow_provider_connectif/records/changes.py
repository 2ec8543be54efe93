"""What is to become of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from airflow_provider_connectif.records.rows import Row

JsonValue = bool | int | float | str | list[str] | None
"""A value as the API's JSON has it."""


class Digests(NamedTuple):
    """What a patch stands for in the journal: the row it came from, what is sent, and the mapping between."""

    row: str
    patch: str
    mapping: str


class Patch(NamedTuple):
    """The properties to set for one contact.

    ``number``: the row's number in the source, from 1. ``key``: the contact key, e-mail or external id.
    ``properties``: JSON-ready values by property id. ``row``: the row as it came. ``digests``: what the journal
    is to know of it, where there is one. ``place``: in the plan that the journal's database keeps until all of it is
    settled; ``None``: it is in none.
    ``is_new``: the journal knew nothing of the contact when the plan was made.
    """

    number: int
    key: str
    properties: Mapping[str, JsonValue]
    row: Row
    digests: Digests | None = None
    place: int | None = None
    is_new: bool = False
