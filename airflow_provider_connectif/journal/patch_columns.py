"""Computes the digests of properties that the journal stores for a contact, before and after its patch."""

from __future__ import annotations

from collections.abc import Collection

from airflow_provider_connectif.journal.properties import (
    Mark,
    changed,
    doubted,
    entries_of,
    kept_marks,
    only,
    refused_marks,
    unseen_marks,
    updated,
    without_marks,
)
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled


def remaining(patch: Patch) -> bytes | None:
    """Return the digests of the properties that are not in doubt while a patch is in flight.

    ``None`` if the journal has no digests of the contact's properties.
    """
    before = known_before(patch)
    if patch.removal == "delete" and patch.digests is not None:
        before = with_kept(patch.digests.properties, patch)
    elif patch.removal is not None:
        before = before or b""
    in_flight = [*patch.properties, *patch.later, *changed_ranks(patch)]
    return None if before is None else doubted(before, in_flight, patch.standings)


def unchanged(patch: Patch, but: Collection[str] = ()) -> bytes | None:
    """Return the digests to store after a patch that was not accepted: those from before the patch.

    Ranked properties that the row has changed become doubtful, even if they were not sent: Connectif may have the row's
    value already, or the person's. So if the source goes back to its earlier value, the row still counts as changed.

    :param but: ranked properties that do not become doubtful.
    :return: ``None`` if the journal has no digests of the contact's properties.
    """
    before = known_before(patch)
    return None if before is None else doubted(before, changed_ranks(patch) - set(but), patch.standings)


def changed_ranks(patch: Patch) -> set[str]:
    """Return the ranked properties of a row whose values differ from the accepted ones, sent or not."""
    digests = patch.digests
    if not patch.standings or digests is None or digests.properties is None:
        return set()
    return changed(digests.before or b"", digests.properties, patch.standings.keys() & patch.whole.keys())


def accepted(patch: Patch) -> Digests | None:
    """Return the digests that the journal stores after an import has accepted a whole patch."""
    digests = patch.digests
    if digests is None or digests.properties is None:
        return digests
    column = digests.properties
    if patch.counted_as is not None:
        column = updated(digests.before or b"", entries_of(only(column, patch.properties)))
    # A file sets its properties, whatever Connectif has. No response shows the properties that it only fills or leaves
    # out, so these get the mark "unseen".
    column = without_marks(column, patch.standings.keys() & patch.properties.keys(), Mark.UNSEEN)
    column = updated(column, unseen_marks(changed_ranks(patch) - patch.properties.keys()))
    return digests._replace(properties=with_kept(column, patch))


def without_seen(column: bytes | None, settled: Settled, patch: Patch) -> bytes | None:
    """Return digests without the mark "unseen" of properties that a response has shown, or that were sent."""
    if column is None or not patch.standings:
        return column
    is_shown = settled.outcome is Outcome.UNCHANGED or (settled.shown is not None and settled.shown.is_there)
    sent = patch.properties.keys() | patch.later.keys()
    return without_marks(column, patch.standings.keys() if is_shown else patch.standings.keys() & sent, Mark.UNSEEN)


def with_kept(column: bytes | None, patch: Patch) -> bytes | None:
    """Return digests, with the mark "kept" for consents that belong to the person from now on."""
    return updated(column or b"", kept_marks(patch.kept)) if patch.kept else column


def known_before(patch: Patch) -> bytes | None:
    """Return the digests of the contact's properties before a patch; ``None`` if the journal has none."""
    return None if patch.digests is None else patch.digests.before


def refused_before(part: Patch) -> set[str]:
    """Return the properties of a part that were rejected before, when they were sent alone for the same row."""
    noted = frozenset(entries_of(known_before(part) or b""))
    marks = zip(part.properties, refused_marks(part.properties, refusable(part)), strict=True)
    return {name for name, mark in marks if mark in noted}


def refusable(patch: Patch) -> str:
    """Return the digest by which the journal holds a rejected patch: that of its row, or of several rows together."""
    return "" if patch.digests is None else patch.digests.row or patch.digests.patch
