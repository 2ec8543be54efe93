"""Checks the arguments that all importing operators have, while the DAG is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.imports.limits import LARGEST_FILE_BYTES

if TYPE_CHECKING:
    from airflow_provider_connectif.contacts.resource import ContactResource

_LONGEST_S = 10.0**9  # a number beyond that is no duration of an import
_LEAST_FILE = 1_000


def check_import_arguments(poll_interval: object, timeout: object, max_file_bytes: object) -> None:
    """Check the arguments of an import.

    :raises ValueError: an argument is not valid; the message names it.
    """
    seconds_of("poll_interval", poll_interval)
    seconds_of("timeout", timeout)
    if type(max_file_bytes) is not int or not _LEAST_FILE <= max_file_bytes <= LARGEST_FILE_BYTES:
        raise ValueError(f"max_file_bytes must be a whole number from {_LEAST_FILE:,} to {LARGEST_FILE_BYTES:,}")


def refuse_on_create(resource: ContactResource) -> None:
    """Refuse the write mode ``on_create``, which an import cannot carry out.

    :raises ValueError: properties have this write mode; the message names them.
    """
    on_create = [property_id for property_id, mode in resource.modes.items() if mode == "on_create"]
    if on_create:
        raise ValueError(
            f"write_modes: {', '.join(map(repr, on_create))}: 'on_create' needs ContactPatchOperator, since no "
            "response to an import shows which contacts it creates; 'if_empty' is possible"
        )


def seconds_of(name: str, value: object) -> float:
    """Return a duration in seconds.

    :param name: the argument's name, for the message.
    :param value: a timedelta, or seconds.
    :raises ValueError: the value is neither a timedelta nor a number, or it is not above zero.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < _LONGEST_S:
        raise ValueError(f"{name} must be a timedelta above zero, or seconds, not {value!r}")
    return float(seconds)


def read_event(event: object) -> dict[str, Any]:
    """Return the payload of a trigger's event in a valid form. It comes from Airflow's database, so it may be any JSON.

    :return: ``requests`` and ``rate_limited``, each 0 if the event does not have the number; ``carried``, a mapping or
        ``None``.
    """
    payload = event if isinstance(event, Mapping) else {}
    carried = payload.get("carried")
    counts = {name: payload.get(name) for name in ("requests", "rate_limited")}
    return {
        **{name: value if type(value) is int and value >= 0 else 0 for name, value in counts.items()},
        "carried": carried if isinstance(carried, Mapping) else None,
    }
