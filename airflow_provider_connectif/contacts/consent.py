"""Consent properties and the order of their values: a sync may always lower a consent, but raises it only under
conditions.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

_SUBSCRIPTION = ("unsubscribed", "none", "subscribed")
_PHONE = ("bounced", "paused", "active")

RANKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "_newsletterSubscriptionStatus": _SUBSCRIPTION,
        "_smsSubscriptionStatus": _SUBSCRIPTION,
        "_emailStatus": ("banned", *_PHONE),
        "_mobilePhoneStatus": _PHONE,
    }
)
"""The values of each consent property from the lowest rank to the highest. Values: API reference, "ContactPatch"."""

_CONSENTS = RANKS.keys()


def rank(property_id: str, value: Any) -> int:
    """Return the rank of a consent value; 0 is the lowest. An unknown value ranks highest."""
    ranks = RANKS[property_id]
    return ranks.index(value) if value in ranks else len(ranks)


def urgent_part(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the consents that have their lowest value."""
    return {name: value for name, value in properties.items() if name in RANKS and rank(name, value) == 0}


def withdraws(properties: Mapping[str, Any]) -> bool:
    """Whether the properties have a consent with its lowest value, which must be sent without delay.

    :param properties: JSON-ready values by property id.
    """
    return not _CONSENTS.isdisjoint(properties) and bool(urgent_part(properties))


def merged(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return the combined properties of two rows of one contact: later values win, but a consent keeps its lowest rank.

    :param earlier: JSON-ready values by property id.
    :param later: the same for the later row.
    """
    both = {**earlier, **later}
    for property_id in RANKS.keys() & earlier.keys() & later.keys():
        both[property_id] = min(earlier[property_id], later[property_id], key=lambda value: rank(property_id, value))
    return both
