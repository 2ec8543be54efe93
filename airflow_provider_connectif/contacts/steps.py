"""Decides on the requests for one contact: a look-up, the first PATCH, and further requests after a response.

Properties that wait for a response (``later``) become properties of the next request, or are left out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_connectif.api.errors import ConnectifHttpError
from airflow_provider_connectif.api.response import CREATED, Response
from airflow_provider_connectif.contacts.consent import RANKS, urgent_part
from airflow_provider_connectif.contacts.decisions import (
    Decision,
    Resubscribe,
    Turn,
    WriteMode,
    is_below,
    is_lowered_by_person,
    is_own_rise,
    on_response,
    turn_of,
)
from airflow_provider_connectif.contacts.evolution import (
    Properties,
    Split,
    above_the_lowest,
    created_again,
    decided,
    decided_by_person,
    not_kept,
    raised,
    sent_to_new,
    unseen,
    with_kept,
)
from airflow_provider_connectif.contacts.fields import FieldTable
from airflow_provider_connectif.contacts.shown_difference import Difference
from airflow_provider_connectif.contacts.shown_values import is_empty
from airflow_provider_connectif.contacts.stored import compare, shown_consents
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.outcomes import Error, Shown
from airflow_provider_connectif.records.resource import Step

OLD_PLAN_S = 3600.0
"""The age in seconds above which a plan is old: its raised consents wait until a response shows the current values."""
_ABOUT_THE_KEY, _FORBIDDEN, _ABOUT_THE_WINDOW = 401, 403, 429
_PASSING = frozenset({408, 421, 423, 425})  # temporary, like every status outside 4xx: another attempt may succeed


class ContactSteps:
    """Decides on the requests for contacts, for one process of a run.

    It also remembers whether the account's responses show contacts, and whether the API key may look contacts up.

    :param fields: the field definitions, by which responses are compared.
    :param resubscribe: when to raise a consent that Connectif shows with a lower rank.
    :param modes: write modes of the properties that are not always written.
    """

    def __init__(self, fields: FieldTable, resubscribe: Resubscribe, modes: Mapping[str, WriteMode]) -> None:
        self._fields = fields
        self._resubscribe = resubscribe
        self._modes = modes
        self._conditional = RANKS.keys() | modes.keys()
        self._responses_show_contacts = True
        self._may_look_up = True

    def arrange(self, change: Patch, differing: Collection[str]) -> Patch:
        """Split a change: properties for the first request, properties that wait for a response, and whether to look up
        first.
        """
        whole = change.whole
        if self._conditional.isdisjoint(differing):  # the usual case
            if len(differing) == len(whole):
                return change.split(whole, {})
            others = dict(whole)
            return change.split({property_id: others.pop(property_id) for property_id in differing}, others)
        first: Properties = {}
        later: Properties = {}
        others = {}
        looks_up = False
        for property_id, value in whole.items():
            if property_id not in differing:
                others[property_id] = value
            elif property_id in RANKS:
                turn = self._turn(change, property_id, value)
                looks_up |= turn is Turn.AFTER_LOOK_UP
                (later if turn is Turn.BY_RESPONSE else first)[property_id] = value
            elif (mode := self._modes.get(property_id)) is None:
                first[property_id] = value
            elif mode == "on_create" and change.was_delivered and not change.stands(property_id).is_created:
                others[property_id] = value
            else:
                later[property_id] = value
        return change.split(first, others, later, looks_up=looks_up)

    def requests(self, change: Patch) -> tuple[int, int]:
        """Return the least and the largest number of requests for a change."""
        return 1, 2 if change.later or (change.looks_up and (change.properties or change.removal)) else 1

    def next_request(self, change: Patch, plan_age_s: float) -> Patch:
        """Return the change for a request that is about to be sent.

        In an old plan, raised consents now wait for a response. The request becomes a look-up if one is needed.
        """
        if plan_age_s > OLD_PLAN_S:
            change = self._with_raises_waiting(change)
        if change.looks_up and (change.properties or change.removal) and not self._may_look_up:
            change = self._lowered_unseen(change)
        is_unseen = not self._responses_show_contacts and self._may_look_up
        if change.later and (not change.properties or is_unseen):
            return change._replace(looks_up=True)
        return change

    def step(self, change: Patch, came: Response | Error) -> Step | None:
        """Return the step after a request; ``None``: the response policy decides."""
        if change.looks_up:
            return self._looked_up(change, came)
        if change.removal == "delete":
            return Step(change) if isinstance(came, Response) else None
        return self._patched(change, came) if isinstance(came, Response) else None

    def _turn(self, change: Patch, property_id: str, value: JsonValue) -> Turn:
        return turn_of(
            property_id,
            value,
            change.stands(property_id),
            was_delivered=change.was_delivered,
            resubscribe=self._resubscribe,
        )

    def _with_raises_waiting(self, change: Patch) -> Patch:
        """Return a change whose raised consents wait until their values at Connectif are known."""
        raised = {
            property_id: value
            for property_id, value in change.properties.items()
            if property_id in RANKS and is_own_rise(property_id, value, change.stands(property_id))
        }
        if not raised:
            return change
        first = {property_id: value for property_id, value in change.properties.items() if property_id not in raised}
        return change._replace(properties=first, later={**change.later, **raised})

    def _lowered_unseen(self, change: Patch) -> Patch:
        """Return a change without a look-up. The consents that it withdraws belong to the person from now on.

        For a contact to delete, these are all consents that were accepted above the lowest rank.
        """
        lowered = above_the_lowest(change) if change.removal == "delete" else urgent_part(change.properties).keys()
        return with_kept(change._replace(looks_up=False), lowered)

    def _looked_up(self, change: Patch, came: Response | Error) -> Step | None:
        if isinstance(came, Response):
            return self._seen(change, came.body)
        status = came.status if isinstance(came, ConnectifHttpError) else 0
        is_passing = status in _PASSING or not 400 <= status < 500
        if status in (_ABOUT_THE_KEY, _ABOUT_THE_WINDOW) or (is_passing and not urgent_part(change.properties)):
            return None
        if is_passing:
            # A withdrawal does not wait for another look-up.
            return Step(self._lowered_unseen(change), goes_on=True)
        self._may_look_up = self._may_look_up and status != _FORBIDDEN
        change = self._lowered_unseen(change)
        change = decided(change, unseen(change))
        is_deletion = change.removal == "delete"
        return Step(change, goes_on=bool(change.properties) or is_deletion, shown=Shown(True, unreadable=came))

    def _seen(self, change: Patch, contact: Mapping[str, Any] | None) -> Step:
        """Return the step after a look-up.

        :param contact: ``None``: it does not exist.
        """
        if contact is None and change.removal is not None:
            # Somebody has deleted it already. The reason is unknown, so a row that comes back raises no consent.
            return Step(with_kept(change._replace(properties={}, looks_up=False), above_the_lowest(change)))
        if contact is not None and change.removal == "delete":
            lowered_since = decided_by_person({}, change, contact)
            return Step(with_kept(change._replace(looks_up=False), lowered_since), goes_on=True)
        shown = shown_consents(contact)
        lowered = [
            name
            for name in urgent_part(change.properties)
            if is_lowered_by_person(name, shown[name], change.stands(name))
        ]
        # The values at Connectif are known now, so a raise of the source needs neither a second look-up nor another
        # check.
        change = self._with_raises_waiting(with_kept(change._replace(looks_up=False), lowered))
        if contact is not None:
            change = with_kept(change, decided_by_person(change.others, change, contact))
            split = self._split(change, contact)
        elif change.was_delivered:
            split = Split({}, raised(change.later))
        else:
            split = Split(not_kept(change))  # all of them, since a PATCH needs a property to create the contact
        change = decided(change, split)
        if contact is None and not change.properties:
            # Somebody has deleted it: its whole row creates it again, except for raised consents.
            change = created_again(change)
            return Step(change, goes_on=bool(change.properties), is_recreated=bool(change.properties))
        return Step(change, goes_on=bool(change.properties))

    def _patched(self, change: Patch, response: Response) -> Step:
        shown = self._shown(change, response)
        shows_contact = shown.is_there
        if response.status == CREATED and change.was_delivered:
            change = created_again(change)
            return Step(change, goes_on=bool(change.properties), shown=shown, is_recreated=True)
        if shows_contact:
            accepted = {**change.others, **change.properties}
            change = with_kept(change, decided_by_person(accepted, change, response.body))
        if not change.later:
            return Step(change, shown=shown)
        if response.status == CREATED:
            split = Split(sent_to_new(change))
        elif shows_contact:
            split = self._split(change, response.body)
        else:
            self._responses_show_contacts = False
            if not self._may_look_up:
                return Step(decided(change, unseen(change)), shown=shown)
            sent = {**change.others, **change.properties}
            return Step(change._replace(properties={}, others=sent, looks_up=True), goes_on=True, shown=shown)
        change = decided(change._replace(properties={}, others={**change.others, **change.properties}), split)
        return Step(change, goes_on=bool(change.properties), shown=shown)

    def _split(self, change: Patch, contact: Mapping[str, Any]) -> Split:
        """Return which of the waiting properties are sent to an existing contact."""
        shown = shown_consents(contact)
        send: Properties = {}
        kept = set()
        for property_id, value in change.later.items():
            if property_id in RANKS:
                standing = change.stands(property_id)
                decision = on_response(property_id, value, shown[property_id], standing, self._resubscribe)
                if decision is Decision.SEND:
                    send[property_id] = value
                if decision is Decision.KEEP or is_below(property_id, standing.rank, shown[property_id]):
                    kept.add(property_id)
            elif self._fills(change, property_id) and is_empty(contact.get(property_id)) and not is_empty(value):
                send[property_id] = value
        return Split(send, frozenset(kept))

    def _fills(self, change: Patch, property_id: str) -> bool:
        """Whether a property is sent if the contact has no value of it.

        That is so with the mode ``if_empty``. With ``on_create`` it is so if this sync created the contact, and the
        property may not have arrived then.
        """
        mode = self._modes.get(property_id)
        return mode == "if_empty" or (mode == "on_create" and change.stands(property_id).is_created)

    def _shown(self, change: Patch, response: Response) -> Shown:
        sent = compare(change.properties, response.body, self._fields)
        held = {name: value for name, value in change.others.items() if self._is_held(change, name)}
        accepted = compare(held, response.body, self._fields).differences if held else {}
        is_drifted = any(difference is not Difference.MISSING for difference in accepted.values())
        return Shown(sent.shows_contact, sent.differences, is_drifted)

    def _is_held(self, change: Patch, property_id: str) -> bool:
        """Whether Connectif should hold the value of the row: it was sent, and nobody else may change it."""
        return property_id not in self._modes and not change.stands(property_id).is_kept
