"""Texts arrive as people wrote them, without what drivers, files and column types add."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator

SELECT: dict[str, Any] = {"sql": "select * from contacts", "sql_conn_id": "warehouse"}


# Kind of fault: a NUL, which no database and no CSV carries, is sent by PATCH; by an import the row is refused.
@pytest.mark.parametrize("column", ["_name", "tier", "work_email", "segment", "interests"])
@pytest.mark.parametrize("fields", ["live", "builtin"])
def test_nul_is_refused(column: str, fields: Any, strict: StrictServer, run: Callable[..., Run]) -> None:
    value: Any = ["hats\0"] if column == "interests" else "a\0b@example.com"
    done = run(rows=[{"email": "ana@example.com", column: value}], fields=fields)
    assert (done.summary["invalid"], strict.contacts) == (1, {})


@pytest.mark.parametrize("key", ["email", "external_id"])
def test_nul_out_of_a_database_is_refused(
    key: Any, strict: StrictServer, run: Callable[..., Run], sqlite_warehouse: Callable[..., None]
) -> None:
    sqlite_warehouse(
        (key, "_name"), [("ana@example.com", "A\0na"), ("be\0a@example.com", "Bea"), ("c@example.com", "C")]
    )
    done = run(key=key, failure_budget=2, **SELECT)
    assert (done.state, done.summary["invalid"]) == ("success", 2)
    assert strict.contacts == {"c@example.com": {"_name": "C"}}


def test_the_sandbox_takes_no_nul(sandbox: SandboxProcess, airflow_db: None) -> None:
    from airflow_provider_connectif.hooks.connectif import ConnectifHook

    with pytest.raises(Exception, match="422"):
        ConnectifHook().get_conn().patch_contact("ana@example.com", {"_name": "A\0na"})


# Kind of fault: marks that nobody sees make an address invalid, or another contact of an id.
MARKS = ["\ufeff", "\u200b", "\u200e", "\u2060", "\u00ad", "\u00a0"]


@pytest.mark.parametrize("key", ["email", "external_id"])
def test_marks_at_the_ends_are_no_part_of_a_key(
    key: Any, strict: StrictServer, run: Callable[..., Run], sqlite_warehouse: Callable[..., None]
) -> None:
    rows = [(f"{mark}{n}@example.com {mark}", f"{mark}w{n}@example.com{mark}") for n, mark in enumerate(MARKS)]
    sqlite_warehouse((key, "work_email"), rows)
    done = run(key=key, **SELECT)
    assert done.state == "success"
    assert strict.contacts == {f"{n}@example.com": {"work_email": f"w{n}@example.com"} for n in range(len(MARKS))}


# Kind of fault: the byte order mark of a file becomes a part of the first column's name, and no row has its key.
@pytest.mark.parametrize("mark", ["\ufeff", "ï»¿", "\ufeff\ufeff", "ï»¿\ufeff"])
def test_a_mark_before_the_first_column(
    mark: str, strict: StrictServer, run: Callable[..., Run], sqlite_warehouse: Callable[..., None], tmp_path: Path
) -> None:
    sqlite_warehouse((f'"{mark}email"', "tier"), [("ana@example.com", "gold")])
    assert run(**SELECT).state == "success"

    path = tmp_path / "contacts.csv"
    path.write_text(f"{mark}email,tier\nbea@example.com,gold\ncem@example.com,silver\n", encoding="utf-8")

    def rows() -> list[dict[str, Any]]:
        with path.open(encoding="utf-8") as lines:
            return list(csv.DictReader(lines))

    assert run(rows=rows()).state == "success"
    expected = {"ana": "gold", "bea": "gold", "cem": "silver"}
    assert strict.contacts == {f"{name}@example.com": {"tier": tier} for name, tier in expected.items()}


# Kind of fault: CHAR(n) pads with blanks, and they become part of names, keys and options.
@pytest.mark.slow
def test_padding_is_removed(strict: StrictServer, run_dag: Callable[..., Any], postgres: Any) -> None:
    postgres.execute("create table contacts (email char(40), _name char(20), segment char(10), work_email char(40))")
    postgres.execute("insert into contacts values ('ana@example.com', 'Ana', 'new', 'a@example.org')")
    assert run_in_airflow(run_dag, sql="select * from contacts", sql_conn_id="postgres").state == "success"
    assert strict.contacts == {"ana@example.com": {"_name": "Ana", "segment": "new", "work_email": "a@example.org"}}


def test_padding_counts_for_no_limit(strict: StrictServer, run: Callable[..., Run]) -> None:
    assert run(rows=[{"email": "ana@example.com", "tier": "gold" + " " * 5000}]).summary["created"] == 1
    assert strict.contacts == {"ana@example.com": {"tier": "gold"}}


# Kind of fault: what a driver makes of inet and uuid is refused, though every database prints it.
@pytest.mark.parametrize("fields", ["live", "builtin"])
def test_types_that_print_as_text_are_text(
    fields: Any, strict: StrictServer, run: Callable[..., Run], postgres: Any, connection: Callable[..., None]
) -> None:
    import ipaddress

    postgres.execute("create table contacts (email text, tier inet)")
    postgres.execute("insert into contacts values ('ana@example.com', '10.0.0.1'), ('bea@example.com', '::1')")
    assert run(sql="select * from contacts", sql_conn_id="postgres", fields=fields).state == "success"
    # psycopg hands over objects of ipaddress and uuid.
    rows = [dict(zip(("email", "tier"), row, strict=True)) for row in postgres.execute("select * from contacts")]
    assert isinstance(rows[0]["tier"], ipaddress.IPv4Address)
    rows += [
        {"email": "c@example.com", "tier": ipaddress.ip_network("10.0.0.0/8")},
        {"email": "d@example.com", "tier": ipaddress.ip_interface("10.0.0.1/8")},
        {"email": "e@example.com", "tier": uuid.UUID(int=7)},
    ]
    assert run_operator(rows=rows, fields=fields).state == "success"
    sent = {key.partition("@")[0]: contact["tier"] for key, contact in strict.contacts.items()}
    assert sent == {
        "ana": "10.0.0.1",
        "bea": "::1",
        "c": "10.0.0.0/8",
        "d": "10.0.0.1/8",
        "e": str(uuid.UUID(int=7)),
    }


# Kind of fault: an option's id whose accents the account composes and the warehouse does not is not recognised.
@pytest.mark.parametrize(("of_account", "of_row"), [("caf\u00e9", "cafe\u0301"), ("cafe\u0301", "caf\u00e9")])
def test_an_option_is_found_however_its_accents_are_composed(
    of_account: str, of_row: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    fields: dict[str, Any] = {"drink": {"type": "radio", "options": [{"id": of_account, "label": "Drink"}]}}
    done = run(rows=[{"email": "ana@example.com", "drink": of_row}], fields=fields, check_only=True)
    assert (done.summary["valid"], done.summary["invalid"]) == (1, 0)
