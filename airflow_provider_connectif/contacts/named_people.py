"""Finds the people whom a row names: by its own key, and by a key of the other kind in another column.

The keys are in the form of the suppression list. Other values of the row need not be valid.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.identity import KEY_KINDS, person
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.rules import Coercer, InvalidValue, addresses
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.rows import Batch, Row
from airflow_provider_connectif.records.values import VALUE_ERRORS, UnreadableValue

_COERCERS: Mapping[KeyKind, Coercer] = {"email": addresses.email, "external_id": addresses.external_id}
_PROPERTIES: Mapping[KeyKind, str] = {kind: property_id for property_id, kind in KEY_KINDS.items()}


def people_of_row(mapping: ContactMapping, row: Row) -> list[PersonKey]:
    """Return the people whom a row names: by its key, and by the other kind of key if the mapping has it."""
    key = mapping.key_of(row)
    found = [] if key is None else [person(mapping.key, key)]
    if isinstance(row, Mapping):
        for kind, column in _columns_beside(mapping):
            if (named := _person(kind, row.get(column))) is not None:
                found.append(named)
    return found


def keys_beside(mapping: ContactMapping, row: Row) -> dict[str, str]:
    """Return the valid keys of the other kind in a row, by property id."""
    found = {}
    if isinstance(row, Mapping):
        for kind, column in _columns_beside(mapping):
            if (named := _person(kind, row.get(column))) is not None:
                found[_PROPERTIES[kind]] = named.key
    return found


def names_people_beside(mapping: ContactMapping, batch: Sequence[Row]) -> bool:
    """Whether a column of a batch may hold keys of the other kind."""
    columns = [column for _, column in _columns_beside(mapping)]
    if isinstance(batch, Batch):
        return any(batch.position(column) is not None for column in columns)
    # Without named properties each row may have columns of its own.
    return bool(columns)


def people_beside(mapping: ContactMapping, batch: Sequence[Row]) -> dict[int, PersonKey]:
    """Return the people whom rows name by the other kind of key, by the index of the row. Only its column is read."""
    found = {}
    for kind, column in _columns_beside(mapping):
        for place, value in enumerate(_values(batch, column)):
            if value is not None and (named := _person(kind, value)) is not None:
                found[place] = named
    return found


def people_named(key: str) -> list[PersonKey]:
    """Return the people whom the input of a user may name: one for each kind of key."""
    typed = key.strip()
    return [_person(kind, typed) or person(kind, typed) for kind in _COERCERS]


def key_forms(key: str) -> list[str]:
    """Return the forms in which a journal may have the input of a user: unchanged, as an external id, as an e-mail.

    Unchanged comes first, since ``Ab1@example.com`` and ``ab1@example.com`` are two external ids.
    """
    typed = key.strip()
    named = [_person("external_id", typed), _person("email", typed)]
    return list(dict.fromkeys([typed, *(found.key for found in named if found is not None)]))


def _columns_beside(mapping: ContactMapping) -> list[tuple[KeyKind, str]]:
    """Return the columns of a mapping that may hold the other kind of key, each with that kind."""
    found = []
    for property_id, kind in KEY_KINDS.items():
        column = property_id if mapping.properties is None else mapping.properties.get(property_id)
        if kind != mapping.key and column is not None:
            found.append((kind, column))
    return found


def _values(batch: Sequence[Row], column: str) -> Sequence[Any]:
    if isinstance(batch, Batch):
        position = batch.position(column)
        return () if position is None else batch.values_at(position)
    return [row.get(column) if isinstance(row, Mapping) else None for row in batch]


def _person(kind: KeyKind, value: Any) -> PersonKey | None:
    """Return the person whom a value names; ``None``: it is not a valid key."""
    if value is None or type(value) is UnreadableValue:
        return None
    with contextlib.suppress(InvalidValue, *VALUE_ERRORS):
        return person(kind, str(_COERCERS[kind](value)))
    return None
