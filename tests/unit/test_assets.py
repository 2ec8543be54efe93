"""Connectif's contacts as an asset: one URI for all its spellings, counts in its event, none without a delivery."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.assets import create_asset, report_outlets, sanitize_uri, to_openlineage

pytestmark = pytest.mark.versions


def _asset(uri: str) -> Any:
    from airflow.providers.common.compat.sdk import Asset

    return Asset(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "connectif://connectif_default/contacts",
        "connectif://connectif_default/contacts/",
        "connectif://connectif_default/contacts#x",
    ],
)
def test_airflow_brings_the_spellings_of_a_uri_to_one_form(uri: str) -> None:
    assert _asset(uri).uri == "connectif://connectif_default/contacts" == create_asset().uri


@pytest.mark.parametrize(
    "uri", ["connectif:///contacts", "connectif://a", "connectif://a/b/c", "connectif://a/b?c=d", "connectif://a:b@c/d"]
)
def test_a_malformed_uri_is_refused(uri: str) -> None:
    from urllib.parse import urlsplit

    with pytest.raises(ValueError, match="connectif://<connection id>/<name>"):
        sanitize_uri(urlsplit(uri))


class _Events:
    """The events of a task, by asset: Airflow 3.0 and 3.1 have assets that cannot be hashed."""

    def __init__(self) -> None:
        self._by_uri: dict[str, Any] = defaultdict(lambda: SimpleNamespace(extra={"mine": 1}))

    def __getitem__(self, asset: Any) -> Any:
        return self._by_uri[asset.uri]


def test_the_event_holds_the_counts() -> None:
    asset, other = create_asset(), _asset("s3://bucket/key")
    events = _Events()
    summary = {"read": 5, "created": 2, "updated": 1, "invalid": 2, "reasons": {"a": 1}, "rejects_path": "/x"}
    assert report_outlets([other, asset], {"outlet_events": events}, summary) == [other, asset]
    assert events[asset].extra == {"mine": 1, "read": 5, "created": 2, "updated": 1, "invalid": 2}
    assert events[other].extra == {"mine": 1}


def test_nothing_delivered_is_no_event_of_ours() -> None:
    asset, other = create_asset(), _asset("s3://bucket/key")
    summary = {"read": 5, "created": 0, "updated": 0, "unchanged": 5}
    assert report_outlets([asset, other], {"outlet_events": {}}, summary) == [other]


def test_consents_that_were_lowered_for_invalid_rows_are_an_event() -> None:
    asset, events = create_asset(), _Events()
    summary = {"read": 2, "created": 0, "updated": 0, "invalid": 2, "lowered_alone": 1}
    assert report_outlets([asset], {"outlet_events": events}, summary) == [asset]
    assert events[asset].extra["lowered_alone"] == 1


def test_contacts_that_left_and_were_followed_are_an_event() -> None:
    asset, events = create_asset(), _Events()
    assert report_outlets([asset], {"outlet_events": events}, {"read": 5, "unchanged": 5, "removed": 2}, 2) == [asset]
    assert events[asset].extra == {"mine": 1, "read": 5, "removed": 2}


def test_the_converter_names_the_dataset_as_the_operators_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.openlineage import facet

    monkeypatch.setattr(facet, "Dataset", lambda **names: names)  # the client of OpenLineage is not installed here
    names = to_openlineage(create_asset(conn_id="shop"))
    assert names == {"namespace": "connectif://shop", "name": "contacts"}
