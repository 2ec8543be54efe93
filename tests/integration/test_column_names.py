"""A source that gives its column names in capitals, by every way to deliver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.import_runs import FAST, import_rows
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

MAPPED: dict[str, Any] = {"sql": "select * from contacts", "sql_conn_id": "warehouse", "properties": {"_name": "name"}}
CONTACTS = {"ana@example.com": {"_name": "Ana"}, "ben@example.com": {"_name": "Ben"}}


@pytest.fixture
def capitals(sqlite_warehouse: Callable[..., None]) -> None:
    sqlite_warehouse(("EMAIL", "NAME"), [("ana@example.com", "Ana"), ("ben@example.com", "Ben")])


@pytest.mark.usefixtures("capitals")
def test_capitals_are_read_by_request_by_import_and_by_a_check(
    strict: StrictServer, run: Callable[..., Run], airflow_db: None
) -> None:
    for ways in ({}, FAST):
        check = run(**ways, **MAPPED, check_only=True)
        assert (check.state, check.summary["valid"], strict.contacts) == ("success", 2, {})
    assert run(**MAPPED).state == "success"
    assert strict.contacts == CONTACTS
    strict.reset()
    assert import_rows(**MAPPED).state == "success"
    assert strict.contacts == CONTACTS


@pytest.mark.usefixtures("capitals")
def test_two_columns_of_one_name_but_for_case_are_final(strict: StrictServer, run: Callable[..., Run]) -> None:
    # SQLite itself takes such names in a query only, as a database with quoted names does in a table.
    sql = """select "EMAIL", "NAME" as "Name", 'x' as "NAME" from contacts"""
    end = run(**(MAPPED | {"sql": sql}))
    assert (end.state, strict.received) == ("failed", 0)
    assert 'column "name" may be any of "Name", "NAME"' in str(end.error)
