"""The country of each row decides how its phone numbers are read, from a query to Connectif, night after night."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from tests.support.journals import deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

CUSTOMERS = [
    ("ana@example.com", "600 123 456", "ES"),
    ("bea@example.com", "06 12 34 56 78", "fr"),
    ("cem@example.com", "0151 23456789", "DE"),
    ("dan@example.com", "+44 7400 123456", None),
    ("eva@example.com", "600 123 457", "Spain"),
]


@pytest.fixture
def night(
    airflow_db: None, request: pytest.FixtureRequest, connection: Callable[..., None], tmp_path: Path
) -> Callable[..., Run]:
    """Deliver a table of customers as one night does."""
    journal_database("sqlite", request)
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))

    def deliver_night(name: str, customers: list[tuple[str, str, str | None]], **arguments: Any) -> Run:
        with closing(sqlite3.connect(path)) as warehouse, warehouse:
            warehouse.execute("create table if not exists customers (email text, mobile text, country text)")
            warehouse.execute("delete from customers")
            warehouse.executemany("insert into customers values (?, ?, ?)", customers)
        return deliver(
            name,
            sql="select email, mobile, country from customers order by email",
            sql_conn_id="warehouse",
            properties={"_mobilePhone": "mobile"},
            region_column="country",
            failure_budget=1.0,
            **arguments,
        )

    return deliver_night


@pytest.mark.slow
def test_one_table_of_three_countries(night: Callable[..., Run], strict: StrictServer) -> None:
    run = night("monday", CUSTOMERS)
    assert (run.summary["created"], run.summary["invalid"]) == (4, 1)
    assert sorted(contact["_mobilePhone"] for contact in strict.contacts.values()) == [
        "+33612345678",
        "+34600123456",
        "+447400123456",
        "+4915123456789",
    ]
    (reason,) = run.summary["reasons"]
    assert reason.startswith(
        'column "mobile" (_mobilePhone) must begin with + and the country code, since column "country"'
    )
    assert "Spain" not in reason


@pytest.mark.slow
def test_another_country_is_another_number(night: Callable[..., Run], strict: StrictServer) -> None:
    customers = [("ana@example.com", "612 345 678", "ES"), ("bea@example.com", "612 345 679", "ES")]
    assert night("monday", customers).summary["created"] == 2
    assert night("tuesday", customers).summary["unchanged"] == 2
    moved = [customers[0], (*customers[1][:2], "FR")]
    run = night("wednesday", moved)
    assert (run.summary["unchanged"], run.summary["updated"]) == (1, 1)
    assert strict.contacts["bea@example.com"]["_mobilePhone"] == "+33612345679"


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_the_column_is_for_all_operators(kind: str, night: Callable[..., Run], strict: StrictServer) -> None:
    more = {} if kind == "ContactPatchOperator" else {"kind": kind, "poll_interval": 0.2, "patch_leftovers": False}
    assert night("monday", CUSTOMERS[:2], **more).state == "success"
    assert sorted(contact["_mobilePhone"] for contact in strict.contacts.values()) == ["+33612345678", "+34600123456"]


def test_explain_reads_the_phone_as_the_run_does(
    night: Callable[..., Run],
    strict: StrictServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert night("monday", CUSTOMERS[1:2]).state == "success"
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")
    query = ["--sql", "select email, mobile, country from customers", "--sql-conn-id", "warehouse"]
    mapping = ["--properties", '{"_mobilePhone": "mobile"}', "--region-column", "country"]
    capfd.readouterr()
    main(["explain", CUSTOMERS[1][0], "--sync-id", "nightly", *query, *mapping, "-o", "json"])
    assert json.loads(capfd.readouterr().out)["row"]["outcome"] == "unchanged"
