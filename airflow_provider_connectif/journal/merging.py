"""Merges two pending changes of one contact, each from one or more rows, into one."""

from __future__ import annotations

from airflow_provider_connectif.journal.differences import Difference, Differences
from airflow_provider_connectif.journal.pending_lines import PendingChange, Rank
from airflow_provider_connectif.journal.properties import Known
from airflow_provider_connectif.records.resource import Resource


def are_rows(earlier: PendingChange, later: PendingChange) -> bool:
    """Whether both changes are of whole rows. Otherwise one is the urgent part of a row that has an outcome already."""
    return earlier.patch.counted_as is None and later.patch.counted_as is None


def merged(
    earlier: PendingChange, later: PendingChange, resource: Resource, differences: Differences | None
) -> PendingChange:
    """Return one change with the properties of both.

    It has no row digest. With one, its rows would look unchanged one by one in the next run.

    :param later: the change of the later row.
    :param resource: decides which value of a property counts.
    :param differences: reduces the patch to the properties to send; ``None``: all properties are sent.
    """
    both = (earlier.patch, later.patch)
    rows = [patch for patch in both if patch.counted_as is None]
    refused = earlier.refused_digest or later.refused_digest  # an urgent part has none
    properties = resource.merged(earlier.patch.whole, later.patch.whole)
    patch = (rows or both)[-1]._replace(
        properties=properties,
        others={},
        later={},
        looks_up=False,
        is_new=all(patch.is_new for patch in both),
        was_delivered=any(patch.was_delivered for patch in both),
        only_differing=any(patch.only_differing for patch in both),
    )
    if differences is None or earlier.patch.digests is None:
        found = Difference(resource.arrange(patch, properties.keys()), is_held=False, is_refused=False)
    else:
        known = Known(earlier.patch.digests.before, earlier.known_whole)
        found = differences.of(patch, earlier.contact, known, "", refused)
    ranks = [change.rank for change in (earlier, later) if change.rank is not Rank.BESIDE]
    if rows and len(ranks) < len(both) and resource.is_urgent(found.patch.properties):
        ranks.append(Rank.URGENT)
    return earlier._replace(
        patch=found.patch,
        rank=min(ranks, default=Rank.BESIDE),
        refused_digest=refused,
        is_merged=bool(rows),
        is_held=found.is_held,
        is_refused=found.is_refused,
    )
