"""Consents in an import: its files set properties, or fill empty ones, and no response shows what Connectif holds.

So what a response has to decide goes by PATCH. Where none can decide, the consent is not raised, and is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from airflow_provider_connectif.contacts.consent import RANKS, rank, urgent_part, withdraws
from airflow_provider_connectif.contacts.decisions import Decision, on_creation
from airflow_provider_connectif.records.changes import Patch

LOOK_UPS_AT_MOST = 1000
"""Contacts that one import looks up, since a consent of theirs falls; where there are more, none is looked up."""


class Ways:
    """Says of each change of a plan whether it goes by PATCH, and what of it files carry.

    :param may_patch: the files set properties that Connectif holds, and so may a PATCH.
    :param sets_empty: the files set at least what is empty; otherwise they only make new contacts.
    """

    def __init__(self, may_patch: bool, *, sets_empty: bool) -> None:
        self._is_update = may_patch
        self._sets_empty = sets_empty
        self.may_patch = may_patch
        """Changed once it is known that the API key may not write contacts."""
        self.looks_up = True
        """Changed where too many contacts would be looked up."""

    def of(self, changes: Iterable[Patch]) -> Iterator[Patch]:
        """Changes without what no response will decide about."""
        for change in changes:
            if change.removal is not None or not (change.standings or change.later or change.counted_as):
                yield change
            elif self._is_update:
                if not (self.looks_up and self.may_patch):
                    change = _unseen(change)
                yield change if self.may_patch else _unraised(change)
            elif self._sets_empty or change.counted_as is None:
                # Of a refused row, a file that only makes contacts would make one that never gets the rest of it.
                properties = {**change.properties, **change.later}
                yield change._replace(properties=properties, later={}, looks_up=False)

    def needs_patch(self, change: Patch) -> bool:
        """Whether a change goes by PATCH before the files: a response has to decide about it, or it must not wait."""
        if change.removal is not None:
            return self.may_patch and withdraws(change.properties)
        return self.may_patch and (_falls(change) or bool(_raised(change)))

    def needs_look_up(self, change: Patch) -> bool:
        """Whether a consent falls that Connectif may hold lower already."""
        return self.looks_up and _falls(change)

    def in_files(self, change: Patch) -> Patch:
        """A change as files carry it: without a value that says nothing, and without consents that are kept.

        Where a contact was deleted at Connectif, a file would make it again, with a consent that the person withdrew.
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
    """Whether files have nothing to carry of a change, and its contact is there."""
    return change.was_delivered and not change.properties and not change.later


def _falls(change: Patch) -> bool:
    return change.looks_up or bool(_fallen(change))


def _unseen(change: Patch) -> Patch:
    """A change whose contact is not looked up: what it withdraws is sent, and kept from now on.

    A consent that falls to a rank between stays as it is: whoever is lower already would be raised.
    """
    withdrawn, fallen = urgent_part(change.properties) if change.looks_up else (), _fallen(change)
    return _left_out(change._replace(looks_up=False), fallen, kept=[*withdrawn, *fallen])


def _unraised(change: Patch) -> Patch:
    """A change that raises no consent, although the source has: only the response to a PATCH may allow that."""
    return _left_out(change, raised := _raised(change), kept=raised)


def _raised(change: Patch) -> list[str]:
    """The consents that the source itself has raised: others of more than the lowest rank wait for a response."""
    return [name for name in RANKS.keys() & change.properties.keys() if rank(name, change.properties[name]) > 0]


def _fallen(change: Patch) -> list[str]:
    """The consents that the source has lowered to a rank between."""
    return [
        name
        for name in RANKS.keys() & change.later.keys()
        if (accepted := change.stands(name).rank) is not None and accepted > rank(name, change.later[name])
    ]


def _left_out(change: Patch, names: Collection[str], *, kept: Collection[str]) -> Patch:
    """A change that does not send some properties.

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
