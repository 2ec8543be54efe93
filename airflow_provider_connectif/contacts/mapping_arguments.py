"""Checks of the arguments of a mapping."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_connectif.api.errors import RunFailed


class MappingError(RunFailed, ValueError):
    """The mapping itself is wrong, whatever the rows are. The text names every fault."""

    final = True


def checked_properties(properties: Any) -> dict[str, str] | None:
    """Return the valid argument ``properties``: columns by property id; ``None``: every column is a property.

    :raises MappingError: it is not a mapping of texts.
    """
    if properties is None:
        return None
    if not isinstance(properties, Mapping):
        raise MappingError('properties must be a dict of column by property id, such as {"_name": "first_name"}')
    faults = [
        f"{property_id!r}: property id and column must both be text"
        for property_id, column in properties.items()
        if not isinstance(property_id, str) or not isinstance(column, str) or not property_id or not column
    ]
    if faults:
        raise MappingError("properties: " + "; ".join(faults))
    return dict(properties)


def is_region(code: object) -> bool:
    """Whether a text is a country's two letters, in capitals, and phone numbers of that country are known."""
    import phonenumbers

    return code in phonenumbers.SUPPORTED_REGIONS


def checked_region(region: str | None) -> str | None:
    """Return a region of phone numbers, such as ``ES``, or ``None``.

    :raises MappingError: the region does not exist.
    """
    if region is None:
        return None
    if not is_region(region):
        raise MappingError(f"default_region must be a country's two letters in capitals, such as 'ES', not {region!r}")
    return region
