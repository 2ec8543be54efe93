"""Consents in an import: its files set properties, or fill empty ones, and no response shows the values at Connectif.

So a consent that needs a response goes by PATCH. If no response can decide, the consent is not raised, but kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from airflow_provider_connectif.contacts.consent import RANKS, rank, urgent_part, withdraws
from airflow_provider_connectif.contacts.decisions import Decision, is_own_rise, on_creation
from airflow_provider_connectif.contacts.identity import keys_in
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome

LOOK_UPS_AT_MOST = 1000
"""The most contacts with a lowered consent that one import looks up; if there are more, none is looked up."""


class Ways:
    """Decides for each change of a plan whether it goes by PATCH, and which part of it goes into files.

    :param may_patch: whether the files change existing values, so that a PATCH may, too.
    :param sets_empty: whether the files set empty properties; otherwise they only create contacts.
    """

    def __init__(self, may_patch: bool, *, sets_empty: bool) -> None:
        self._is_update = may_patch
        self._sets_empty = sets_empty
        self.may_patch = may_patch
        """Set to ``False`` when the API key cannot write contacts."""
        self.looks_up = True
        """Set to ``False`` if too many contacts would be looked up."""

    def of(self, changes: Iterable[Patch]) -> Iterator[Patch]:
        """Yield the changes without the consents that no response will decide."""
        for change in changes:
            if change.removal is not None or not (change.standings or change.later or change.counted_as):
                yield change
            elif self._is_update:
                if not (self.looks_up and self.may_patch):
                    change = _unseen(change)
                yield change if self.may_patch else _unraised(change)
            elif self._sets_empty or change.counted_as is None:
                # For a refused row, a file that only creates contacts would create one that never gets the rest of the
                # row.
                properties = {**change.properties, **change.later}
                change = change._replace(properties=properties, later={}, looks_up=False)
                yield _left_out(change, _kept_above_the_lowest(change), kept=())

    def needs_patch(self, change: Patch) -> bool:
        """Whether a change goes by PATCH before the files: a response has to decide about it, or it must not wait."""
        if change.removal is not None:
            return self.may_patch and withdraws(change.properties)
        return self.may_patch and (_falls(change) or bool(_raised(change)))

    def needs_look_up(self, change: Patch) -> bool:
        """Whether a consent is lowered that may already be lower at Connectif."""
        return self.looks_up and _falls(change)

    def in_files(self, change: Patch) -> Patch:
        """Return the part of a change for files: without neutral values, and without kept consents.

        If a contact was deleted at Connectif, a file would create it again, with a consent that the person withdrew.
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
    """Whether files need no line for a change, since its contact exists and nothing is left to set."""
    return change.was_delivered and not change.properties and not change.later


def withdrawn_part(change: Patch) -> Patch | None:
    """Return the withdrawn consents of a change whose row no file can contain; ``None`` if there are none."""
    withdrawn = urgent_part(change.properties)
    if not withdrawn or change.counted_as is not None:
        return None
    part = change._replace(properties=withdrawn, others={}, later={}, looks_up=False, counted_as=Outcome.INVALID.value)
    return part._replace(kept=change.kept & withdrawn.keys(), named=keys_in(change.whole))


def _kept_above_the_lowest(change: Patch) -> list[str]:
    """Return the kept consents that would be raised if the contact was deleted at Connectif, so that its file creates
    it again.
    """
    return [
        name
        for name in change.standings.keys() & change.properties.keys()
        if change.stands(name).is_kept and rank(name, change.properties[name]) > 0
    ]


def _falls(change: Patch) -> bool:
    return bool(change.properties and change.looks_up) or bool(_fallen(change))


def _unseen(change: Patch) -> Patch:
    """Return a change whose contact is not looked up: its withdrawn consents are sent, and kept from now on.

    A consent that is lowered to a middle rank is not sent: it would raise a contact that is already lower.
    """
    withdrawn, fallen = urgent_part(change.properties) if change.looks_up else (), _fallen(change)
    return _left_out(change._replace(looks_up=False), fallen, kept=[*withdrawn, *fallen])


def _unraised(change: Patch) -> Patch:
    """Return a change without the consents that the source has raised: only the response to a PATCH may allow these."""
    return _left_out(change, raised := _raised(change), kept=raised)


def _raised(change: Patch) -> list[str]:
    """Return the consents that the source itself has raised, and those that it would have set when it created the
    contact; others above the lowest rank wait for a response.
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
    """Return a change without some properties.

    :param kept: consents that belong to the person from now on.
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
