"""Compares a contact at Connectif with the journal or with a row. Pure; the results contain no values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any

from airflow_provider_connectif.contacts.fields import Field, FieldTable
from airflow_provider_connectif.contacts.rules import InvalidValue, coercer
from airflow_provider_connectif.contacts.shown_values import difference, is_empty
from airflow_provider_connectif.records.changes import JsonValue

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MIDNIGHTS = ("T00:00:00Z", "T00:00:00.000Z", "T00:00:00+00:00")


class Held(StrEnum):
    """The result of comparing a property at Connectif."""

    EQUAL = "equal"
    DIFFERS = "differs"
    MISSING = "missing"
    """Connectif shows no value, although one is expected."""


def compare_with_row(row: Mapping[str, JsonValue], contact: Mapping[str, Any], fields: FieldTable) -> dict[str, Held]:
    """Compare the properties of a row with those of a contact, each by the type of its field.

    :param row: JSON-ready values by property id.
    :param contact: the contact that a look-up has returned.
    :return: the result by property id.
    """
    compared = {}
    for property_id, value in row.items():
        shown = contact.get(property_id)
        if difference(value, shown, fields.get(property_id)) is None:
            compared[property_id] = Held.EQUAL
        else:
            compared[property_id] = Held.MISSING if is_empty(shown) else Held.DIFFERS
    return compared


def compare_with_digest(
    property_id: str, contact: Mapping[str, Any], fields: FieldTable, is_accepted: Callable[[JsonValue], bool]
) -> Held:
    """Compare a property of a contact with the digest of the value that Connectif has accepted.

    Connectif may show a value in another form than the one that was sent. Two forms count as the same value if they are
    equal for the type of the field.

    :param contact: the contact that a look-up has returned.
    :param is_accepted: returns whether a value has that digest.
    """
    shown = contact.get(property_id)
    if is_empty(shown):
        return Held.EQUAL if is_accepted(None) or is_accepted(shown) else Held.MISSING
    if is_accepted(shown):
        return Held.EQUAL
    return Held.EQUAL if any(map(is_accepted, _other_forms(shown, fields.get(property_id)))) else Held.DIFFERS


def _other_forms(shown: Any, field: Field | None) -> Iterator[JsonValue]:
    """Yield the forms in which the shown value may have been sent."""
    if isinstance(shown, str):
        if shown.endswith(_MIDNIGHTS):
            yield shown.partition("T")[0]
        elif _DAY.fullmatch(shown):
            yield shown + _MIDNIGHTS[0]
    with suppress(InvalidValue):
        yield coercer(field)(shown)
