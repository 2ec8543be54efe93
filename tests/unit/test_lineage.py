"""The lineage of a task: the tables of its query, as far as a parser can find them, and the dataset that it writes."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from tests.support.things import ThingOperator


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The statements that a stand-in for the provider's parser gets; it finds one table in them."""
    from airflow.providers.common.compat.openlineage import facet

    texts: list[list[str]] = []

    class Parser:
        def __init__(self, **_: Any) -> None:
            """Take the dialect and the default schema."""

        def generate_openlineage_metadata_from_sql(self, sql: list[str], **_: Any) -> Any:
            texts.append(sql)
            return SimpleNamespace(inputs=["table"])

    for name in ("extractors", "sqlparser"):
        module: Any = ModuleType(f"airflow.providers.openlineage.{name}")
        module.OperatorLineage, module.SQLParser = SimpleNamespace, Parser
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage", ModuleType("airflow.providers.openlineage"))
    for name in ("OutputDataset", "OutputStatisticsOutputDatasetFacet", "SchemaDatasetFacet"):
        monkeypatch.setattr(facet, name, SimpleNamespace, raising=False)
    monkeypatch.setattr(facet, "SchemaDatasetFacetFields", lambda name, type: (name, type), raising=False)
    return texts


def test_another_resource_is_another_dataset(parsed: list[list[str]]) -> None:
    (output,) = ThingOperator(task_id="things", rows=[]).get_openlineage_facets_on_start().outputs
    assert (output.namespace, output.name) == ("connectif://connectif_default", "things")
    (output,) = ContactPatchOperator(task_id="contacts", rows=[]).get_openlineage_facets_on_start().outputs
    assert output.name == "contacts"
