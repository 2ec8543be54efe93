"""The lineage of a task: the tables of its query, as far as a parser can find them, and the dataset that it writes."""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.records.rows import InvalidRow
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


def test_columns_that_are_properties_are_known_after_the_rows(parsed: list[list[str]]) -> None:
    operator = ContactPatchOperator(task_id="contacts", rows=[], region_column="country")
    mapping = operator._mapping()
    operator._run = SimpleNamespace(  # type: ignore[assignment]
        resource=SimpleNamespace(mapping=mapping), report=SimpleNamespace(tally=SimpleNamespace(removals={}))
    )
    for number, row in enumerate(({"_name": "Ana"}, {"_points": 1, "country": "ES"}, {"_nome": 1}), 1):
        with contextlib.suppress(InvalidRow):
            mapping.patch(number, {"email": "a@example.com", "country": None, **row})
    assert operator._written_fields() == [("_name", "text"), ("_points", "integer")]
