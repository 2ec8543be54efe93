"""The hook that each type of connection gets: by the real providers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.databases.hooks import sql_hook

HOOKS = {
    "databricks": "DatabricksSqlHook",
    "google_cloud_platform": "BigQueryHook",
    "gcpbigquery": "BigQueryHook",
    "snowflake": "SnowflakeHook",
    "trino": "TrinoHook",
    "redshift": "RedshiftSQLHook",
    "athena": "AthenaSQLHook",
    "duckdb": "DuckDBHook",
    "postgres": "PostgresHook",
    "mysql": "MySqlHook",
}


@pytest.mark.parametrize("conn_type", HOOKS)
def test_a_connection_gets_the_hook_for_sql(conn_type: str, connection: Callable[..., None], airflow_db: None) -> None:
    connection("warehouse", conn_type=conn_type, host="localhost")
    hook: Any = sql_hook("warehouse")
    assert type(hook).__name__ == HOOKS[conn_type]
    assert callable(hook.get_conn)
    assert callable(hook.get_records)


def test_bigquery_gets_standard_sql_unless_the_author_says_otherwise(
    connection: Callable[..., None], airflow_db: None
) -> None:
    connection("warehouse", conn_type="google_cloud_platform", extra={"project": "shop"})
    assert sql_hook("warehouse").use_legacy_sql is False
    assert sql_hook("warehouse", {"use_legacy_sql": True, "location": "EU"}).use_legacy_sql is True
    assert sql_hook("warehouse", {"location": "EU"}).location == "EU"


def test_snowflake_takes_a_warehouse(connection: Callable[..., None], airflow_db: None) -> None:
    connection("warehouse", conn_type="snowflake", login="loader", extra={"account": "shop"})
    assert sql_hook("warehouse", {"warehouse": "LOADING"}).warehouse == "LOADING"
