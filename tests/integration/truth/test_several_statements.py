"""Several statements in one text: a driver that runs them all returns the rows of one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.mariadb import what_is_missing
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_operator

FIRST = "select 'ana@example.com' as email, 1 as visits"
SECOND = "select 'ben@example.com' as email, 2 as visits"


# psycopg2 ran both and returned the rows of the first: the run was green without the others.
@pytest.mark.parametrize("more", [SECOND, "delete from marker"])
def test_postgresql(more: str, driver: str, postgres: Any, strict: StrictServer) -> None:
    postgres.execute("create table marker as select 1 as n")
    end = run_operator(sql=f"{FIRST}; {more}", sql_conn_id="postgres")
    assert (end.state, strict.received) == ("failed", 0)
    assert ("several statements" if driver == "psycopg2" else "multiple commands") in str(end.error)
    assert postgres.execute("select n from marker").fetchall() == [(1,)]


@pytest.mark.parametrize("end", ["", ";", ";;", "; -- and no other"])
def test_one_statement_may_end_with_semicolons(end: str, driver: str, strict: StrictServer) -> None:
    assert run_operator(sql=FIRST + end, sql_conn_id="postgres").state == "success"
    assert strict.contacts == {"ana@example.com": {"visits": 1}}


@pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-")
def test_mariadb(
    mariadb: dict[str, Any], strict: StrictServer, airflow_db: None, connection: Callable[..., None]
) -> None:
    connection("maria", **(mariadb | {"schema": "mysql"}))
    end = run_operator(sql=f"{FIRST}; {SECOND}", sql_conn_id="maria")
    assert (end.state, strict.received) == ("failed", 0)
    assert "several statements" in str(end.error)
    assert run_operator(sql=f"{FIRST};", sql_conn_id="maria").state == "success"
    assert strict.contacts == {"ana@example.com": {"visits": 1}}
