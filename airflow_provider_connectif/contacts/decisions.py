"""Decides when and whether a consent is sent, and checks the write modes of other properties.

:func:`turn_of` decides before the first request, by what the journal knows. :func:`on_response` decides after a
response, by the value that it shows. Both are pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Literal

from airflow_provider_connectif.contacts.consent import RANKS, rank
from airflow_provider_connectif.contacts.stored import ShownConsent
from airflow_provider_connectif.records.changes import JsonValue, Standing

Resubscribe = Literal["on_change", "never", "always"]
WriteMode = Literal["always", "on_create", "if_empty"]
CONDITIONAL_MODES: tuple[WriteMode, ...] = ("on_create", "if_empty")
_NEUTRAL = "none"
"""The neutral value of a subscription: that of a contact who has never decided."""


class Turn(Enum):
    """The request with which a consent that differs is sent."""

    FIRST = auto()
    """With the first request."""
    AFTER_LOOK_UP = auto()
    """With the first request, after a look-up of the contact."""
    BY_RESPONSE = auto()
    """With a later request, if a response allows it."""


class Decision(Enum):
    """The decision about a waiting property, after a response."""

    SEND = auto()
    """Send it at once."""
    LEAVE = auto()
    """Do not send it: Connectif holds this value, or one that this sync must not overwrite."""
    KEEP = auto()
    """Do not send it: the consent belongs to the person from now on."""


def turn_of(
    property_id: str, value: JsonValue, standing: Standing, *, was_delivered: bool, resubscribe: Resubscribe
) -> Turn:
    """Return when to send a consent whose value differs from the accepted one.

    :param standing: the journal's knowledge of the consent.
    :param was_delivered: whether Connectif has accepted a property of the contact before.
    """
    new, old = rank(property_id, value), standing.rank
    if new == 0:
        may_be_lower = was_delivered if old is None else old > 0
        return Turn.AFTER_LOOK_UP if may_be_lower and not standing.is_kept else Turn.FIRST
    is_certain_rise = old is not None and old < new and not standing.is_unseen
    return Turn.FIRST if is_certain_rise and not standing.is_kept and resubscribe != "never" else Turn.BY_RESPONSE


def is_own_rise(property_id: str, value: JsonValue, standing: Standing) -> bool:
    """Whether the source itself has raised a consent above the value that Connectif has accepted."""
    return standing.rank is not None and standing.rank < rank(property_id, value)


def on_response(
    property_id: str, value: JsonValue, shown: ShownConsent | None, standing: Standing, resubscribe: Resubscribe
) -> Decision:
    """Decide whether to send a waiting consent, by its value at Connectif.

    :param shown: the value in a response that shows the contact; ``None``: the response shows no value of the consent.
    :param standing: the journal's knowledge of the consent.
    """
    new = rank(property_id, value)
    if shown is None and standing.is_kept and resubscribe != "always" and value != _NEUTRAL:
        return Decision.KEEP  # the contact may have been deleted and created again
    if shown is None:
        return Decision.LEAVE if value == _NEUTRAL else Decision.SEND
    if shown.value not in RANKS[property_id]:
        return Decision.KEEP  # such as a pending confirmation: it is not known whether that is a lower rank
    if shown.rank == new:
        return Decision.LEAVE
    if shown.rank > new:
        has_fallen = standing.rank is not None and standing.rank > new
        return Decision.SEND if value != _NEUTRAL or has_fallen else Decision.LEAVE
    is_first = standing.is_created and not standing.is_kept and shown.value == _NEUTRAL
    if resubscribe == "always" or is_first:
        return Decision.SEND
    if resubscribe == "never" or standing.is_kept or not is_own_rise(property_id, value, standing):
        return Decision.KEEP
    return Decision.KEEP if is_below(property_id, standing.rank, shown) else Decision.SEND


def on_creation(value: JsonValue) -> Decision:
    """Decide whether to send a waiting consent to a contact that the previous request has created."""
    return Decision.LEAVE if value == _NEUTRAL else Decision.SEND


def is_lowered_by_person(property_id: str, shown: ShownConsent | None, standing: Standing) -> bool:
    """Whether Connectif holds a lower rank than it has accepted from this sync.

    If the accepted rank is not known, this is so only for the lowest rank.

    :param shown: the value in a look-up, before this sync lowers the consent itself.
    """
    return is_below(property_id, 1 if standing.rank is None else standing.rank, shown)


def is_below(property_id: str, accepted: int | None, shown: ShownConsent | None) -> bool:
    """Whether a response shows a lower rank than the accepted one.

    :param accepted: the accepted rank; ``None``: not known.
    """
    if accepted is None or shown is None or shown.value not in RANKS[property_id]:
        return False
    return shown.rank < accepted


def checked_modes(modes: object, properties: Mapping[str, str] | None) -> Mapping[str, WriteMode]:
    """Return the write modes that are not the default, by property id.

    :param modes: the argument ``write_modes``.
    :param properties: the mapping's columns by property id; ``None``: any property may have a mode.
    :raises ValueError: a mode is not valid. The text names every fault.
    """
    if modes is None:
        return MappingProxyType({})
    if not isinstance(modes, Mapping):
        raise ValueError('must be a dict of mode by property id, such as {"source": "on_create"}')
    faults = []
    for property_id, mode in modes.items():
        if mode not in ("always", *CONDITIONAL_MODES):
            faults.append(f"{property_id!r}: {mode!r} is not one of always, {', '.join(CONDITIONAL_MODES)}")
        elif property_id in RANKS:
            faults.append(f"{property_id!r} is a consent, which has rules of its own: see resubscribe")
        elif properties is not None and property_id not in properties:
            faults.append(f"{property_id!r} is not in the mapping")
    if faults:
        raise ValueError("; ".join(faults))
    return MappingProxyType({property_id: mode for property_id, mode in modes.items() if mode != "always"})
