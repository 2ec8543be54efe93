"""Consents in an import: its files set properties, or fill empty ones, and no response shows what Connectif holds.

So what a response has to decide goes by PATCH. Where none can decide, the consent is not raised, and is kept.
"""

from __future__ import annotations

from collections.abc import Collection

from airflow_provider_connectif.contacts.consent import RANKS, rank, urgent_part
from airflow_provider_connectif.contacts.decisions import Decision, on_creation
from airflow_provider_connectif.records.changes import Patch

LOOK_UPS_AT_MOST = 1000
"""Contacts that one import looks up, since it lowers a consent of theirs; where there are more, none is looked up."""


def needs_patch(change: Patch) -> bool:
    """Whether a response has to decide about a change that an import cannot ask for."""
    return needs_look_up(change) or bool(_raised(change))


def needs_look_up(change: Patch) -> bool:
    """Whether a change lowers a consent that Connectif may hold lower already."""
    return change.looks_up or bool(_fallen(change))


def unseen(change: Patch) -> Patch:
    """A change whose contact is not looked up: what it withdraws is sent, and kept from now on.

    A consent that falls to a rank between stays as it is: who is lower already would be raised.
    """
    withdrawn = urgent_part(change.properties) if change.looks_up else ()
    return _left_out(change._replace(looks_up=False), _fallen(change), kept=[*withdrawn, *_fallen(change)])


def unraised(change: Patch) -> Patch:
    """A change that raises no consent, although the source has: only the response to a PATCH may allow that."""
    raised = _raised(change)
    return _left_out(change, raised, kept=raised)


def for_files(change: Patch) -> Patch:
    """A change as files carry it: without a value that says nothing, and without consents that are kept.

    Where a contact was deleted at Connectif, a file would make it again, with a consent that the person has withdrawn.
    """
    left_out = [
        name
        for name, value in change.later.items()
        if name in RANKS and (on_creation(value) is Decision.LEAVE or change.stands(name).is_kept)
    ]
    return _left_out(change, left_out, kept=())


def all_at_once(change: Patch) -> Patch:
    """A change for files that set nothing which Connectif holds: no response has to decide."""
    return change._replace(properties={**change.properties, **change.later}, later={}, looks_up=False)


def is_without_effect(change: Patch) -> bool:
    """Whether files have nothing to carry of a change, and its contact is there."""
    return change.was_delivered and not change.properties and not change.later


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
