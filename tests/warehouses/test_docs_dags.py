"""The DAGs of docs/databases/, as they stand there, on their databases."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.airflow_runs import task_states
from tests.support.doc_blocks import ROOT, blocks_of, made_dag
from tests.support.strict_server import StrictServer
from tests.warehouses import bigquery_server
from tests.warehouses.scripted import Result
from tests.warehouses.warehouse import VALUE, Warehouse

TABLE = "create table contacts (email varchar(100), first_name varchar(100), points int)"
ROW = f"insert into contacts values ('{VALUE}', 'Ana', 7)"


def _make_table(warehouse: Warehouse) -> None:
    """The docs' table, in the warehouse of a test."""
    if warehouse.name == "BigQuery":
        column, row = bigquery_server.column, bigquery_server.row
        columns = [column("email", "STRING"), column("first_name", "STRING"), column("points", "INTEGER")]
        warehouse.more["server"].results["select email, first_name, points from `crm.contacts`"] = Result(
            columns, lambda: [row(VALUE, "Ana", "7")], 1
        )
        return
    from contextlib import closing

    from airflow_provider_connectif.databases.hooks import connect, sql_hook

    with closing(connect(sql_hook(warehouse.conn_id))) as database:
        cursor = database.cursor()
        for statement in ("drop table contacts", TABLE, ROW):
            cursor.execute(statement)
        if warehouse.name != "Snowflake":
            database.commit()


@pytest.mark.parametrize("page", ["postgresql", "mysql", "snowflake", "bigquery", "redshift"])
def test_a_dag_runs_on_its_database(
    page: str,
    request: pytest.FixtureRequest,
    strict: StrictServer,
    run_dag: Callable[..., Any],
    connection: Callable[..., None],
    tmp_path: Path,
) -> None:
    warehouse: Warehouse = request.getfixturevalue(page)
    _make_table(warehouse)
    connection("warehouse", **json.loads(os.environ[f"AIRFLOW_CONN_{warehouse.conn_id.upper()}"]))
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    (block,) = (block for block in blocks_of(ROOT / "docs" / "databases" / f"{page}.md") if block.language == "python")
    for sent in (1, 0):
        before = strict.received
        assert set(task_states(run_dag(made_dag(block, tmp_path))).values()) == {"success"}
        assert strict.contacts == {VALUE: {"_name": "Ana", "_points": 7}}
        assert strict.received - before == sent
