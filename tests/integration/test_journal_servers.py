"""Databases that cannot hold a journal are refused before anything is sent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.journals import deliver
from tests.support.strict_server import StrictServer

ROWS = [{"email": "ana@example.com", "visits": 1}]


@pytest.mark.usefixtures("airflow_db")
def test_a_server_that_only_speaks_postgresql_s_protocol_is_refused(
    postgres: Any, connection: Callable[..., None], strict: StrictServer
) -> None:
    # What such a server says: a function that comes before PostgreSQL's own.
    postgres.execute(
        "create function version() returns text language sql as "
        "$$ select 'PostgreSQL 8.0.2 on i686-pc-linux-gnu, Redshift 1.0.12103' $$"
    )
    fields = json.loads(os.environ["AIRFLOW_CONN_POSTGRES"])
    connection("journal", **fields, extra={"options": "-c search_path=public,pg_catalog"})
    end = deliver("night", rows=ROWS)
    assert (end.state, strict.received) == ("failed", 0)
    assert "no journal on this server: it is Amazon Redshift" in str(end.error)
    assert postgres.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone() == (0,)


@pytest.mark.usefixtures("airflow_db")
def test_a_connection_that_is_none_for_sql_is_refused(connection: Callable[..., None], strict: StrictServer) -> None:
    connection("journal", conn_type="fs")
    end = deliver("night", rows=ROWS)
    assert (end.state, strict.received) == ("failed", 0)
    assert "no journal on connection 'journal': it is not an SQL connection" in str(end.error)
