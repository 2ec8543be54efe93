"""Decides which consents an import sends in its files, and which ones by PATCH.

A file sets properties, or fills empty ones, and no response shows the values at Connectif. So a consent that needs a
response is sent by PATCH. If no PATCH can be sent, the consent is not raised. It is *kept*: it belongs to the person
from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from airflow_provider_connectif.contacts.consent import RANKS, rank, urgent_part, withdraws
from airflow_provider_connectif.contacts.decisions import Decision, is_own_rise, on_creation
from airflow_provider_connectif.contacts.identity import keys_in
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome

LOOK_UPS_AT_MOST = 1000
"""The most contacts with a lowered consent that one import looks up. If there are more, it looks up none of them."""


class Ways:
    """Decides for each change of a plan whether it goes by PATCH, and which part of it goes into files.

    :param may_patch: whether the import may change existing values, in files and by PATCH.
    :param sets_empty: whether the files set empty properties of existing contacts. ``False``: they only create
        contacts.
    """

    def __init__(self, may_patch: bool, *, sets_empty: bool) -> None:
        self._is_update = may_patch
        self._sets_empty = sets_empty
        self.may_patch = may_patch
        """Set to ``False`` when the API key cannot write contacts."""
        self.looks_up = True
        """Set to ``False`` if too many contacts would be looked up."""

    def of(self, changes: Iterable[Patch]) -> Iterator[Patch]:
        """Yield each change with the consents that this import may send.

        A consent is left out if only a response could allow it, and this import will get no such response.
        """
        for change in changes:
            if change.removal is not None or not (change.standings or change.later or change.counted_as):
                yield change
            elif self._is_update:
                if not (self.looks_up and self.may_patch):
                    change = _unseen(change)
                yield change if self.may_patch else _unraised(change)
            elif self._sets_empty or change.counted_as is None:
                # The part of a refused row is left out of files that only create contacts: the new contact would never
                # get the rest of the row.
                properties = {**change.properties, **change.later}
                change = change._replace(properties=properties, later={}, looks_up=False)
                yield _left_out(change, _kept_above_the_lowest(change), kept=())

    def needs_patch(self, change: Patch) -> bool:
        """Whether a change is sent by PATCH before the files: it needs a response, or its withdrawal must not wait."""
        if change.removal is not None:
            return self.may_patch and withdraws(change.properties)
        return self.may_patch and (_falls(change) or bool(_raised(change)))

    def needs_look_up(self, change: Patch) -> bool:
        """Whether a change of :meth:`needs_patch` needs a look-up: it lowers a consent that may be lower at Connectif.

        ``False`` for every change once :attr:`looks_up` is ``False``.
        """
        return self.looks_up and _falls(change)

    def in_files(self, change: Patch) -> Patch:
        """Return the part of a change that goes into a file.

        Waiting consents are left out if they have the neutral value, or are kept. If the contact was deleted at
        Connectif, the file creates it again: a kept consent would restore what the person has lowered.
        """
        if not change.later:
            return change
        left_out = [
            name
            for name in RANKS.keys() & change.later.keys()
            if on_creation(change.later[name]) is Decision.LEAVE or change.stands(name).is_kept
        ]
        return _left_out(change, left_out, kept=())


def is_without_effect(change: Patch) -> bool:
    """Whether a change needs no line in a file: its contact was delivered before, and no property is left to set."""
    return change.was_delivered and not change.properties and not change.later


def withdrawn_part(change: Patch) -> Patch | None:
    """Return the withdrawn consents of a change whose row no file can contain.

    :return: ``None``: the change withdraws no consent, or it is already such a part of a refused row.
    """
    withdrawn = urgent_part(change.properties)
    if not withdrawn or change.counted_as is not None:
        return None
    part = change._replace(properties=withdrawn, others={}, later={}, looks_up=False, counted_as=Outcome.INVALID.value)
    return part._replace(kept=change.kept & withdrawn.keys(), named=keys_in(change.whole))


def _kept_above_the_lowest(change: Patch) -> list[str]:
    """Return the ids of kept consents that the change would set above the lowest rank.

    If the contact was deleted at Connectif, a file with them would create it again, with a consent that the person has
    lowered.
    """
    return [
        name
        for name in change.standings.keys() & change.properties.keys()
        if change.stands(name).is_kept and rank(name, change.properties[name]) > 0
    ]


def _falls(change: Patch) -> bool:
    return bool(change.properties and change.looks_up) or bool(_fallen(change))


def _unseen(change: Patch) -> Patch:
    """Return a change whose contact is not looked up. Its withdrawn consents are sent, and kept from then on.

    A consent that the source lowers to a middle rank is kept, too, but not sent: at Connectif it may already be lower,
    and sending it would raise it.
    """
    withdrawn, fallen = urgent_part(change.properties) if change.looks_up else (), _fallen(change)
    return _left_out(change._replace(looks_up=False), fallen, kept=[*withdrawn, *fallen])


def _unraised(change: Patch) -> Patch:
    """Return a change without its raised consents, which are kept: only the response to a PATCH may allow them."""
    return _left_out(change, raised := _raised(change), kept=raised)


def _raised(change: Patch) -> list[str]:
    """Return the ids of the consents that a change raises.

    These are the consents in its first request that are above the lowest rank, and waiting ones of
    :func:`_waits_unseen`.
    """
    first = [name for name in RANKS.keys() & change.properties.keys() if rank(name, change.properties[name]) > 0]
    return first + [name for name in RANKS.keys() & change.later.keys() if _waits_unseen(change, name)]


def _waits_unseen(change: Patch, name: str) -> bool:
    """Whether a raised consent waits for a response only because its value at Connectif was never shown."""
    standing = change.stands(name)
    if standing.is_kept:
        return False
    if standing.is_created:
        return on_creation(change.later[name]) is Decision.SEND
    return standing.is_unseen and is_own_rise(name, change.later[name], standing)


def _fallen(change: Patch) -> list[str]:
    """Return the consents that the source has lowered to a middle rank."""
    return [
        name
        for name in RANKS.keys() & change.later.keys()
        if (accepted := change.stands(name).rank) is not None and accepted > rank(name, change.later[name])
    ]


def _left_out(change: Patch, names: Collection[str], *, kept: Collection[str]) -> Patch:
    """Return a change that does not send some properties.

    :param names: ids of the properties to leave out.
    :param kept: ids of consents that belong to the person from now on.
    """
    if not names and not kept:
        return change
    whole = {**change.properties, **change.later}
    return change._replace(
        properties={name: value for name, value in change.properties.items() if name not in names},
        later={name: value for name, value in change.later.items() if name not in names},
        others={**change.others, **{name: whole[name] for name in names}},
        kept=change.kept | {name for name in kept if not change.stands(name).is_kept},
    )
