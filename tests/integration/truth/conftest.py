"""Fixtures of these tests."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(params=["psycopg", "psycopg2"])
def driver(request: pytest.FixtureRequest, postgres: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The driver of the connection ``postgres``: Airflow's hook takes the older one beside an older SQLAlchemy."""
    if request.param == "psycopg2":
        import psycopg2

        def connect(hook: Any) -> Any:
            conn = hook.get_connection("postgres")
            return psycopg2.connect(host=conn.host, user=conn.login, dbname=conn.schema)

        monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.PostgresHook.get_conn", connect)
    return str(request.param)
