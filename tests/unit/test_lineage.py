"""The lineage of a task: the tables of its query, as far as a parser can find them, and the dataset that it writes."""

from __future__ import annotations

import contextlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.operators import lineage
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.lineage_statements import statements_of
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


def test_without_the_source_s_connection_the_target_is_known(
    parsed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_connectif.databases import hooks

    def no_hook(conn_id: str, _: Any) -> Any:
        raise LookupError(conn_id)

    monkeypatch.setattr(hooks, "sql_hook", no_hook)
    operator = ContactPatchOperator(
        task_id="contacts", sql="select 1", sql_conn_id="nowhere", properties={"_name": "n"}
    )
    found = lineage.lineage(operator, operator._written_fields())
    assert (found.inputs, found.outputs[0].facets["schema"].fields) == ([], [("_name", "text")])


def test_the_parser_gets_no_placeholder_of_a_driver(parsed: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_connectif.databases import hooks

    hook = SimpleNamespace(
        get_connection=lambda _: None,
        get_openlineage_database_info=lambda _: "warehouse",
        get_openlineage_database_dialect=lambda _: "postgres",
        get_openlineage_default_schema=lambda: "public",
    )
    monkeypatch.setattr(hooks, "sql_hook", lambda *_: hook)
    sql = "select email from contacts where region in %(region)s and name like 'a%%'"
    operator = ContactPatchOperator(task_id="contacts", sql=sql, sql_conn_id="w", parameters={"region": ("n", "s")})
    assert operator.get_openlineage_facets_on_start().inputs == ["table"]
    assert parsed == [["select email from contacts where region in (NULL) and name like 'a%'"]]


def test_without_parameters_a_percent_sign_is_one() -> None:
    assert statements_of("select a %s from t where b like '%s'", has_parameters=False) == [
        "select a %s from t where b like '%s'"
    ]


@pytest.mark.parametrize(
    ("sql", "more"),
    [
        ("select a from t", []),
        ("with a as (select * from t) select * from a", ["SELECT * FROM (select * from t) AS expression"]),
        # An expression may have the name of its own table, and sees those before it.
        (
            "WITH t AS (select * from t), b (x) AS NOT MATERIALIZED (select ')' from t join u) select * from b",
            [
                "SELECT * FROM (select * from t) AS expression",
                "WITH t AS (SELECT 1) SELECT * FROM (select ')' from t join u) AS expression",
            ],
        ),
        (
            "with recursive r as (select id from t union all select r.id from r) select * from r",
            [
                "WITH r AS (SELECT 1) SELECT * FROM (select id from t union all select r.id from r) AS expression",
            ],
        ),
        (
            'select * from (with "A (b" as (select 1 from t) select * from "A (b")',
            ["SELECT * FROM (select 1 from t) AS expression"],
        ),
        ("select 'x as (select 1 from t)' -- as (select 2 from t)", []),
        ("select $$ as (select $$ /* y as (select */ from t", []),
        ("select sum(a) over w, cast(b as decimal(3, 1)) from t window w as (partition by c)", []),
        ("with a as (delete from t returning *) select * from a", []),
        ("select a as (select", []),
        (") as (select 1)", []),
    ],
)
def test_each_common_table_expression_is_a_statement_of_its_own(sql: str, more: list[str]) -> None:
    assert statements_of(sql, has_parameters=False) == [sql, *more]
