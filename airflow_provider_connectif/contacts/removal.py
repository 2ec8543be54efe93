"""The argument ``on_removed``, checked when the DAG is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.records.changes import JsonValue

OnRemoved = Literal["delete"] | Mapping[str, JsonValue] | None
_KEYS = ("_email", "_externalId")


def checked_on_removed(on_removed: object) -> OnRemoved:
    """Return a valid ``on_removed``.

    :param on_removed: ``None``, ``"delete"``, or the properties to send, by id.
    :raises ValueError: it is something else, sets a key, or sets a consent to another value than its lowest.
    """
    if on_removed is None or on_removed == "delete":
        return on_removed
    if not isinstance(on_removed, Mapping) or not on_removed:
        raise ValueError(
            f"on_removed must be None, 'delete', or a dict of values by property id, such as "
            f'{{"_newsletterSubscriptionStatus": "unsubscribed"}}, not {on_removed!r}'
        )
    faults = []
    for property_id, value in on_removed.items():
        if not isinstance(property_id, str) or not property_id or property_id in _KEYS:
            faults.append(f"{property_id!r} cannot be set")
        elif property_id in RANKS and value != RANKS[property_id][0]:
            faults.append(
                f"{property_id!r} may only be {RANKS[property_id][0]!r}, its lowest value: nobody asked the person"
            )
        elif not _is_json(value):
            faults.append(f"the value of {property_id!r} must be text, a number, True, False, None or a list of texts")
    if faults:
        raise ValueError(f"on_removed: {'; '.join(faults)}")
    return dict(on_removed)


def _is_json(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    is_finite = not isinstance(value, float) or value - value == 0.0
    return value is None or (isinstance(value, (str, bool, int, float)) and is_finite)
