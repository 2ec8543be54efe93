"""Decides after a response which properties of a change are sent next, and which consents belong to the person."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from airflow_provider_connectif.contacts.consent import RANKS, rank
from airflow_provider_connectif.contacts.decisions import Decision, is_below, on_creation
from airflow_provider_connectif.contacts.shown_values import is_empty
from airflow_provider_connectif.contacts.stored import shown_consents
from airflow_provider_connectif.records.changes import JsonValue, Patch

Properties = dict[str, JsonValue]


class Split(NamedTuple):
    """The decision about the properties that waited for a response.

    ``send``: the properties of the next request; the others are left out. ``kept``: the ids of consents that belong to
    the person from now on.
    """

    send: Properties
    kept: frozenset[str] = frozenset()


def not_kept(change: Patch) -> Properties:
    """Return the waiting properties without the kept consents.

    A kept consent belongs to the person, even after the contact was deleted at Connectif.
    """
    return {name: value for name, value in change.later.items() if not change.stands(name).is_kept}


def sent_to_new(change: Patch) -> Properties:
    """Return the waiting properties to send to a contact that a request has just created.

    Empty values are left out: a new contact has nothing to clear.
    """
    waiting = not_kept(change).items()
    return {name: value for name, value in waiting if not is_empty(value) and _is_sent_to_new(name, value)}


def _is_sent_to_new(property_id: str, value: JsonValue) -> bool:
    return property_id not in RANKS or on_creation(value) is Decision.SEND


def raised(properties: Mapping[str, JsonValue]) -> frozenset[str]:
    """Return the ids of the consents among these properties that are above the lowest rank."""
    return frozenset(name for name, value in properties.items() if name in RANKS and rank(name, value) > 0)


def unseen(change: Patch) -> Split:
    """Return the decision if no response shows the contact: no waiting property is sent, and its consents are kept."""
    return Split({}, frozenset(change.later.keys() & RANKS.keys()))


def decided(change: Patch, split: Split) -> Patch:
    """Return the change for the next request: each waiting property is sent or left out, as the split says."""
    properties = {**change.properties, **split.send}
    left = {name: value for name, value in change.later.items() if name not in split.send}
    standings = dict(change.standings)
    for property_id in split.send.keys() & RANKS.keys():
        # Without a rank it does not count as a raise of an old plan, which would need another look-up.
        standings[property_id] = change.stands(property_id)._replace(rank=None)
    change = change._replace(
        properties=properties, later={}, others={**change.others, **left}, looks_up=False, standings=standings
    )
    return with_kept(change, split.kept)


def created_again(change: Patch) -> Patch:
    """Return the change that sends the rest of a row after its contact was deleted at Connectif.

    The rest is everything that the last request did not carry; it may be empty. The reason for the deletion is not
    known. So consents above the lowest rank are not sent, and belong to the person from now on: :func:`with_kept`.
    """
    unsent = {**change.others, **change.later}
    kept = raised(unsent)
    rest = {name: value for name, value in unsent.items() if name not in kept}
    left = {name: value for name, value in unsent.items() if name in kept}
    # A consent that is no longer in the mapping was deleted with the contact. It belongs to the person, too.
    lost = {name for name, standing in change.standings.items() if standing.rank and name not in change.whole}
    change = change._replace(properties=rest, later={}, others={**left, **change.properties}, was_delivered=False)
    return with_kept(change, kept | lost)


def decided_by_person(accepted: Mapping[str, JsonValue], change: Patch, contact: Mapping[str, Any]) -> list[str]:
    """Return the ids of consents that a response shows with a lower rank than Connectif has accepted.

    :param accepted: the values of the row that Connectif has accepted, by property id. For any other consent the rank
        in the journal counts.
    :param contact: the contact that the response shows.
    """
    if not change.standings:
        return []
    shown, lowered = shown_consents(contact), []
    for name, standing in change.standings.items():
        if name not in RANKS:
            continue
        is_of_row = name in accepted
        accepted_rank = rank(name, accepted[name]) if is_of_row else standing.rank
        if not standing.is_kept and name not in change.later and is_below(name, accepted_rank, shown[name]):
            lowered.append(name)
    return lowered


def above_the_lowest(change: Patch) -> frozenset[str]:
    """Return the ids of consents for which Connectif has accepted a value above the lowest rank."""
    return frozenset(name for name, standing in change.standings.items() if standing.rank)


def with_kept(change: Patch, property_ids: Collection[str]) -> Patch:
    """Return a change in which these consents are marked as kept: their values are the person's own decisions."""
    if not property_ids:
        return change
    standings = {**change.standings, **{name: change.stands(name)._replace(is_kept=True) for name in property_ids}}
    return change._replace(standings=standings, kept=change.kept | frozenset(property_ids))
