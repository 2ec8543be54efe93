"""Rows from a query, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.runs.prepare import Preparer
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run, run_in_airflow

pytestmark = pytest.mark.versions

SERIES = "select 'user' || n || '@example.com' as email, n as visits from generate_series(1, {}) n order by n"


@pytest.fixture(params=["sqlite", "postgres"])
def warehouse(request: pytest.FixtureRequest) -> str:
    """The id of a connection to a database with a table of three contacts."""
    rows = [(f"user{n}@example.com", n, "gold" if n < 2 else None) for n in range(3)]
    if request.param == "sqlite":
        request.getfixturevalue("sqlite_warehouse")(("email", "visits", "tier"), rows)
        return "warehouse"
    postgres = request.getfixturevalue("postgres")
    postgres.execute("create table contacts (email text, visits int, tier text)")
    postgres.cursor().executemany("insert into contacts values (%s, %s, %s)", rows)
    return "postgres"


def contacts(*numbers: int) -> dict[str, Any]:
    return {f"user{n}@example.com": {"visits": n, "tier": "gold"} if n < 2 else {"visits": n} for n in numbers}


def placeholder(warehouse: str, name: str = "") -> str:
    if warehouse == "postgres":
        return f"%({name})s" if name else "%s"
    return f":{name}" if name else "?"


@pytest.mark.sampled(1)
def test_a_query_is_delivered_by_a_dag(warehouse: str, strict: StrictServer, run_dag: Callable[..., Any]) -> None:
    end = run_in_airflow(run_dag, sql="select * from contacts", sql_conn_id=warehouse)
    assert end.state == "success"
    assert strict.contacts == contacts(0, 1, 2)


@pytest.mark.parametrize("form", ["list", "tuple", "dict"])
def test_parameters_are_given_as_the_driver_takes_them(
    form: str, warehouse: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    parameters: Any = {"list": [1], "tuple": (1,), "dict": {"least": 1}}[form]
    held = placeholder(warehouse, "least" if form == "dict" else "")
    end = run(sql=f"select * from contacts where visits >= {held}", sql_conn_id=warehouse, parameters=parameters)
    assert end.state == "success"
    assert strict.contacts == contacts(1, 2)


@pytest.mark.sampled(1)
def test_a_file_of_sql_and_its_parameters_are_rendered(
    warehouse: str, strict: StrictServer, run_dag: Callable[..., Any], tmp_path: Path
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    held = placeholder(warehouse, "least")
    (tmp_path / "changed.sql").write_text(f"select * from {{{{ params.table }}}} where visits >= {held}")
    dag_id = f"sql_file_{warehouse}"
    with DAG(dag_id, schedule=None, template_searchpath=str(tmp_path), params={"table": "contacts"}) as dag:
        ContactPatchOperator(
            task_id="patch", sql="changed.sql", sql_conn_id=warehouse, parameters={"least": "{{ 1 + 1 }}"}
        )
    # A rendered parameter is text; the databases compare it as they please, both of them rightly here.
    if warehouse == "warehouse":
        dag.get_task("patch").parameters = {"least": 2}
    assert run_dag(dag).state == "success"
    assert strict.contacts == contacts(2)


# A statement that cannot be delivered, whether it is worth another try, and the words that must explain it.
FAULTS: dict[str, tuple[str, str, str]] = {
    "a column is missing": ("select visits from contacts", "failed", 'has no column "email"; it has: visits'),
    "a column stands twice": ("select *, 1 as visits from contacts", "failed", 'column "visits" is 2 times'),
    "a column is no property": ("select email, 1 as _nmae from contacts", "failed", '"_nmae" is no property'),
    "the same without a row": (
        "select email, 1 as _nmae from contacts where 1 = 0",
        "failed",
        '"_nmae" is no property',
    ),
    "a wrong statement": ("selekt 1", "failed", "syntax error"),
    "no such table": ("select * from nothing", "failed", "refuses the SQL statement"),
    "no such column": ("select email, nothing from contacts", "failed", "nothing"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_statement_that_cannot_be_delivered_sends_nothing(
    name: str, warehouse: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    sql, state, words = FAULTS[name]
    end = run(sql=sql, sql_conn_id=warehouse)
    assert end.state == state
    assert words in str(end.error)
    assert strict.received == 0


def test_a_statement_that_is_no_query_changes_nothing(
    warehouse: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    end = run(sql="insert into contacts (email) values ('new@example.com')", sql_conn_id=warehouse)
    # PostgreSQL refuses it by itself, since only a query can have a server-side cursor.
    assert end.state == "failed"
    assert ("is not a query" if warehouse == "warehouse" else "syntax error") in str(end.error)
    assert run(sql="select * from contacts", sql_conn_id=warehouse).summary["read"] == 3


def test_a_query_without_rows_succeeds(warehouse: str, strict: StrictServer, run: Callable[..., Run]) -> None:
    end = run(sql="select * from contacts where 1 = 0", sql_conn_id=warehouse)
    assert (end.state, end.summary["read"], strict.received) == ("success", 0, 0)


def test_a_connection_without_sql_is_told_by_name(
    strict: StrictServer, run: Callable[..., Run], connection: Callable[..., None]
) -> None:
    connection("files", conn_type="fs")
    end = run(sql="select 1", sql_conn_id="files")
    assert end.state == "failed"
    assert "'files' is not an SQL connection" in str(end.error)


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_the_cursor_of_the_connections_extra_makes_no_difference(
    cursor: str, postgres: Any, strict: StrictServer, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = json.loads(os.environ["AIRFLOW_CONN_POSTGRES"])
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES", json.dumps(fields | {"extra": {"cursor": cursor}}))
    assert run(sql=SERIES.format(3), sql_conn_id="postgres").state == "success"
    assert strict.contacts == {f"user{n}@example.com": {"visits": n} for n in (1, 2, 3)}


@pytest.mark.slow
def test_a_big_result_stays_on_the_server_and_is_read_to_its_end_before_sending(
    postgres: Any, strict: StrictServer, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute("create sequence computed")
    # Each row leaves a trace when the server computes it: a result fetched whole would have computed all.
    slow = f"select email, nextval('computed') as visits from ({SERIES.format(100_000)}) as contacts"
    strict.reset(faults=[{"nth": [1, None], "status": 401}])
    prepare, ahead = Preparer.prepare, []

    def watched(self: Preparer, batch: Sequence[Row]) -> None:
        prepare(self, batch)
        (computed,) = postgres.execute("select last_value from computed").fetchone()
        ahead.append((computed - len(ahead) * 2000, strict.received))

    monkeypatch.setattr(Preparer, "prepare", watched)
    end = run(sql=slow, sql_conn_id="postgres")
    assert (end.state, end.summary["read"], end.summary["created"]) == ("failed", 100_000, 0)
    assert len(ahead) >= 50
    assert max(computed for computed, _ in ahead) < 20_000
    assert {received for _, received in ahead} == {0}
    assert strict.received > 0


@pytest.mark.slow
def test_the_databases_session_ends_with_the_task(postgres: Any, strict: StrictServer, run: Callable[..., Run]) -> None:
    # The server's own processes, which vacuum after what other tests have written, are no sessions.
    others = """select count(*) from pg_stat_activity where backend_type = 'client backend'
                and datname = current_database() and pid <> pg_backend_pid()"""
    for faults in ([], [{"nth": [5, None], "status": 401}]):
        strict.reset(faults=faults)
        run(sql=SERIES.format(1500), sql_conn_id="postgres")
        until(lambda: postgres.execute(others).fetchone()[0] == 0)


def test_a_table_that_may_not_be_read_is_no_matter_of_another_try(
    postgres: Any, strict: StrictServer, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.execute("create table contacts (email text)")
    fields = json.loads(os.environ["AIRFLOW_CONN_POSTGRES"])
    postgres.execute("drop role if exists guest")
    postgres.execute("create role guest login")
    try:
        monkeypatch.setenv("AIRFLOW_CONN_POSTGRES", json.dumps(fields | {"login": "guest"}))
        (schema,) = postgres.execute("select current_schema()").fetchone()
        end = run(sql=f"select * from {schema}.contacts", sql_conn_id="postgres")
    finally:
        postgres.execute("drop role guest")
    assert end.state == "failed"
    assert "the database of 'postgres' refuses the SQL statement" in str(end.error)
    assert "(SQLSTATE 42501): permission denied for" in str(end.error)


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_query_that_somebody_ends_at_the_database_is_worth_another_try(
    how: str, postgres: Any, strict: StrictServer, run: Callable[..., Run]
) -> None:
    end = run(
        sql=f"select 'ana@example.com' as email, {how}(pg_backend_pid())::int as visits, pg_sleep(30)",
        sql_conn_id="postgres",
    )
    assert end.state == "up_for_retry"
    assert "reading from 'postgres' failed after 0 rows" in str(end.error)


def test_a_database_that_fails_in_the_middle_is_worth_another_try(
    postgres: Any, strict: StrictServer, run: Callable[..., Run]
) -> None:
    end = run(
        sql="select 'user' || n || '@example.com' as email, 10 / (2500 - n) as visits from generate_series(1, 9999) n",
        sql_conn_id="postgres",
    )
    assert end.state == "up_for_retry"
    assert "reading from 'postgres' failed after 2,000 rows: DivisionByZero" in str(end.error)
    assert (strict.received, strict.contacts) == (0, {})
    assert (end.summary["read"], end.summary["created"], end.summary["undelivered"]) == (2000, 0, 2000)
    assert end.error is not None
    assert end.error.__cause__ is None
    assert end.error.__context__ is None
