"""Connectif's contacts as an Airflow asset: ``connectif://<connection id>/contacts``.

If an operator has such an asset among its ``outlets``, it adds the counts of its rows to the asset's event. If it
delivered nothing, Airflow records no event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset
    from airflow.providers.common.compat.sdk import Asset

SCHEME = "connectif"
COUNTS_OF_AN_EVENT = (
    *("read", "created", "updated", "imported", "deleted", "invalid", "rejected", "held", "undelivered"),
    "lowered_alone",
)
_DELIVERED = ("created", "updated", "imported", "deleted", "lowered_alone")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check the URI of an asset, and return the same form for all its spellings. Airflow calls it for each asset of
    the scheme.

    :raises ValueError: the URI does not have the form ``connectif://<connection id>/<name>``.
    """
    name = uri.path.strip("/")
    if not uri.netloc or "@" in uri.netloc or ":" in uri.netloc or not name or "/" in name or uri.query:
        # The URI is not quoted: it may have a password.
        raise ValueError(
            "the URI of a Connectif asset must have the form connectif://<connection id>/<name>, "
            "such as connectif://connectif_default/contacts"
        )
    return uri._replace(path=f"/{name}", fragment="")


def create_asset(*, conn_id: str = "connectif_default", name: str = "contacts", extra: Any = None) -> Asset:
    """Return an asset of this scheme.

    :param conn_id: the id of the connection of type ``connectif``.
    :param name: the plural of the things that are written.
    :param extra: the ``extra`` of Airflow's ``Asset``.
    """
    from airflow.providers.common.compat.sdk import Asset

    return Asset(uri=f"{SCHEME}://{conn_id}/{name}", extra=extra)


def dataset_names(conn_id: str, name: str = "contacts") -> tuple[str, str]:
    """Return the namespace and the name of the OpenLineage dataset for an asset."""
    return f"{SCHEME}://{conn_id}", name


def to_openlineage(asset: Asset, lineage_context: Any = None) -> Dataset:
    """Return the OpenLineage dataset for an asset. Airflow's OpenLineage provider calls this function.

    :param lineage_context: passed by Airflow; not used.
    """
    from airflow.providers.common.compat.openlineage.facet import Dataset

    parts = urlsplit(asset.uri)
    namespace, name = dataset_names(parts.netloc, parts.path.strip("/"))
    return Dataset(namespace=namespace, name=name)


def delivered(summary: Mapping[str, Any]) -> int:
    """Return the number of delivered rows in a summary: Connectif has accepted at least the consents of such a row."""
    return sum(int(summary.get(name) or 0) for name in _DELIVERED)


def report_outlets(
    outlets: list[Any], context: Mapping[str, Any], summary: Mapping[str, Any], removals: int = 0
) -> list[Any]:
    """Add the counts of a run to the events of a task's Connectif assets.

    :param outlets: the task's outlets.
    :param context: the task's context.
    :param summary: the run's summary.
    :param removals: the number of contacts that left the source and were changed or deleted by ``on_removed``.
    :return: the outlets that get an event. If nothing was delivered, the Connectif assets are not among them.
    """
    ours = [outlet for outlet in outlets if str(getattr(outlet, "uri", "")).startswith(f"{SCHEME}://")]
    if not ours:
        return outlets
    if not delivered(summary) and not removals:
        return [outlet for outlet in outlets if outlet not in ours]
    counts = {name: summary[name] for name in COUNTS_OF_AN_EVENT if summary.get(name) is not None}
    if removals:
        counts["removed"] = removals
    for asset in ours:
        context["outlet_events"][asset].extra = {**(context["outlet_events"][asset].extra or {}), **counts}
    return outlets
