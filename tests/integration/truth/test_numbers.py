"""Numbers arrive as what they are, or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator


# Kind of fault: a double that has lost digits is written out as if it had them, and is another number or another
# contact's id. Integers and decimals of a database have all of theirs.
@pytest.mark.parametrize("column", ["visits", "tier", "segment", "external_id"])
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_float_too_large_to_be_exact_is_refused(
    column: str,
    database: str,
    strict: StrictServer,
    run: Callable[..., Run],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    if database == "postgres":
        request.getfixturevalue("postgres")
        floats = "select '{}' as k, 9007199254740993::double precision as n".format
    else:
        request.getfixturevalue("sqlite_warehouse")(("k",), [])
        floats = "select '{}' as k, cast(9007199254740993 as real) as n".format
    conn_id = "postgres" if database == "postgres" else "warehouse"
    arguments: dict[str, Any] = {"key_column": "k", "properties": {column: "n"}}
    if column == "external_id":
        arguments = {"key": "external_id", "key_column": "n", "properties": {"tier": "k"}}
    rejects = tmp_path / "rejects.jsonl"
    done = run(
        sql=floats("ana@example.com"),
        sql_conn_id=conn_id,
        rejects_path=str(rejects),
        failure_budget=1,
        **arguments,
    )
    assert (done.state, done.summary["invalid"], strict.contacts) == ("success", 1, {})
    assert "cast it to text" in rejects.read_text()


@pytest.mark.parametrize("property_id", ["visits", "tier", "segment", "interests"])
@pytest.mark.parametrize("value", [2.0**53, -(2.0**53), 2.0**63, 1e22, 9007199254740993.0])
def test_no_property_that_names_something_takes_it(
    property_id: str, value: float, strict: StrictServer, run: Callable[..., Run]
) -> None:
    given = [value] if property_id == "interests" else value
    assert run(rows=[{"email": "ana@example.com", property_id: given}]).summary["invalid"] == 1
    assert strict.contacts == {}


def test_exact_numbers_of_the_same_size_arrive(strict: StrictServer, run: Callable[..., Run]) -> None:
    exact = [9007199254740993, Decimal(9007199254740993), "9007199254740993"]
    run(rows=[{"email": f"{n}@example.com", "tier": value} for n, value in enumerate(exact)])
    assert [contact["tier"] for contact in strict.contacts.values()] == ["9007199254740993"] * 3


# Kind of fault: a text that a float or a spreadsheet printed is read as if it had all digits.
@pytest.mark.parametrize("text", ["9007199254740992.0", "1.23457E+15", "1e+17"])
def test_the_text_of_a_rounded_number_is_no_integer(text: str, strict: StrictServer, run: Callable[..., Run]) -> None:
    rows = [{"email": "ana@example.com", "_points": text}, {"email": "bea@example.com", "_points": "1e3"}]
    done = run(rows=rows, failure_budget=1)
    assert (done.summary["invalid"], strict.contacts) == (1, {"bea@example.com": {"_points": 1000}})


# Kind of fault: an average of a database has more digits than a double, and its contact never arrives.
@pytest.mark.parametrize("fields", ["live", "builtin"])
def test_an_average_arrives_as_the_nearest_double(
    fields: Any, strict: StrictServer, run: Callable[..., Run], postgres: Any
) -> None:
    sql = "select 'ana@example.com' as email, avg(n::numeric(30, 25)) as spent from (values (1), (2), (2)) as v(n)"
    done = run(sql=sql, sql_conn_id="postgres", fields=fields)
    assert (done.state, strict.contacts) == ("success", {"ana@example.com": {"spent": 5 / 3}})


# Kind of fault: the one byte in which drivers of MySQL hand over BIT(1) is no boolean.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("fields", ["live", "builtin"])
def test_one_byte_is_a_boolean(
    fields: Any, strict: StrictServer, run_dag: Callable[..., Any], sqlite_warehouse: Callable[..., None]
) -> None:
    sqlite_warehouse(("email", "vip"), [("a@example.com", b"\x01"), ("b@example.com", sqlite3.Binary(b"\x00"))])
    done = run_in_airflow(run_dag, sql="select * from contacts", sql_conn_id="warehouse", fields=fields)
    assert (done.state, strict.contacts) == (
        "success",
        {"a@example.com": {"vip": True}, "b@example.com": {"vip": False}},
    )


@pytest.mark.parametrize("fields", ["live", "builtin"])
def test_one_byte_of_psycopg2_is_a_boolean(fields: Any, driver: str, strict: StrictServer) -> None:
    done = run_operator(
        sql="select 'a@example.com' as email, '\\x01'::bytea as vip", sql_conn_id="postgres", fields=fields
    )
    assert (done.state, strict.contacts) == ("success", {"a@example.com": {"vip": True}})


# Kind of fault: a column of single precision holds seven digits, and its driver hands over a double that has them all.
@pytest.mark.parametrize("column", ["external_id", "tier", "visits", "segment"])
def test_a_whole_number_of_single_precision_is_refused(column: str, driver: str, strict: StrictServer) -> None:
    cases = (
        "select n, n::real as x, 'u' || n || '@example.com' as k from (values (123456789), (16777217), (17)) as v(n)"
    )
    arguments: dict[str, Any] = {"key_column": "k", "properties": {column: "x"}}
    if column == "external_id":
        arguments = {"key": "external_id", "key_column": "x", "properties": {"_points": "n"}}
    done = run_operator(sql=cases, sql_conn_id="postgres", failure_budget=3, **arguments)
    assert done.summary["invalid"] == (3 if column == "segment" else 2)
    expected: dict[str, Any] = {"external_id": {"17": {"_points": 17}}, "segment": {}}
    expected |= {"tier": {"u17@example.com": {"tier": "17"}}, "visits": {"u17@example.com": {"visits": 17}}}
    assert strict.contacts == expected[column]


def test_decimals_and_small_numbers_of_single_precision_arrive(driver: str, strict: StrictServer) -> None:
    sql = "select 'a@example.com' as email, 2e7::real as spent, 1.5::real as tier, 16777215::real as _points"
    assert run_operator(sql=sql, sql_conn_id="postgres").state == "success"
    assert strict.contacts == {"a@example.com": {"spent": 2e7, "tier": "1.5", "_points": 16777215}}
