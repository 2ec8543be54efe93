"""Compares the properties that were sent for a contact with those that a response shows.

A response may show the current contact ("optionally", API reference, "patch-contact"). No body raises an error here,
and only :func:`shown_consents` returns values of the contact.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from airflow_provider_connectif.contacts.consent import RANKS, rank
from airflow_provider_connectif.contacts.fields import READ_ONLY, SYSTEM_FIELDS, FieldTable
from airflow_provider_connectif.contacts.shown_difference import Difference
from airflow_provider_connectif.contacts.shown_values import difference, is_empty
from airflow_provider_connectif.records.changes import JsonValue

_KEY_PROPERTIES = ("_email", "_externalId")
_SYSTEM_PROPERTIES = frozenset(SYSTEM_FIELDS) | (READ_ONLY - {"id"})
"""Without ``id``, which every resource has, and which may be all that a response shows."""


class Comparison(NamedTuple):
    """The comparison of the sent properties with a response.

    :param shows_contact: ``False`` if the response does not show the contact, so that the sent values are unconfirmed.
        There are then neither ``same`` nor ``differences``.
    :param same: ids of the sent properties that are shown with the same value.
    :param differences: the difference of each of the other sent properties, by id.
    """

    shows_contact: bool
    same: frozenset[str] = frozenset()
    differences: Mapping[str, Difference] = MappingProxyType({})


class ShownConsent(NamedTuple):
    """The value of a consent property in a response, and its rank: 0 is the lowest, an unlisted value the highest."""

    value: str
    rank: int


def compare(sent: Mapping[str, JsonValue], body: Any, fields: FieldTable) -> Comparison:
    """Compare the properties that were sent with those that a response shows.

    :param sent: JSON-ready values by property id, without properties that were left out.
    :param body: the decoded body of a 2xx, any JSON; ``None``: it has none. It must be the response to this request
        (``Response.is_own``): the contact's key is not checked here.
    :param fields: the definitions, for the type of each property. A property without a definition is compared by the
        type of the value that was sent.
    """
    if not isinstance(body, Mapping) or not shows_contact(body, fields, sent):
        return Comparison(shows_contact=False)
    differences = {}
    for property_id, value in sent.items():
        found = difference(value, body.get(property_id), fields.get(property_id))
        if found is not None:
            differences[property_id] = found
    return Comparison(True, frozenset(sent.keys() - differences.keys()), MappingProxyType(differences))


def shown_consents(body: Any) -> dict[str, ShownConsent | None]:
    """Return the consents that a response shows: an entry for each property of :data:`consent.RANKS`.

    ``None``: it shows no value, or an empty one. A listed value is returned in lower case. A value that is not listed
    has the highest rank, but its true rank is not known: look ``value`` up in the list before you use ``rank``. A value
    that is no text is returned as an empty text, which is not listed.

    :param body: as in :func:`compare`, or a contact that was looked up; ``None``: there is no such contact.
    """
    shown = body if isinstance(body, Mapping) else {}
    return {property_id: _consent(property_id, shown.get(property_id)) for property_id in RANKS}


def shows_contact(body: Mapping[Any, Any], fields: FieldTable, sent: Collection[str] = ()) -> bool:
    """Whether the object is a contact: it has a contact key, or a property that is known or was sent."""
    if any(not is_empty(body.get(key)) for key in _KEY_PROPERTIES):
        return True
    return any(
        name in _SYSTEM_PROPERTIES or name in sent or (isinstance(name, str) and fields.get(name) is not None)
        for name in body
        if name not in _KEY_PROPERTIES
    )


def _consent(property_id: str, shown: Any) -> ShownConsent | None:
    if is_empty(shown):
        return None
    value = shown.strip() if isinstance(shown, str) else ""
    if value.lower() in RANKS[property_id]:
        value = value.lower()
    return ShownConsent(value, rank(property_id, value))
