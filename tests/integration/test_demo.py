"""The demo's parts: a warehouse that is the same each time and bad in every way, its nights, and their Airflow.

The demo as a whole is run by ``make demo``; ``test_demo_checks.py`` has its checks.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.sandbox.default_fields import CUSTOM_FIELDS, SYSTEM_FIELDS
from demo import nights, warehouse
from demo.airflow_home import AirflowFailed, AirflowHome
from demo.flaws import ANSWER_FLAWS, CUSTOMER_FLAWS, REFUSALS, Flaw
from demo.log_lines import Message
from demo.warehouse import Row

ROOT = Path(__file__).resolve().parents[2]
CUSTOMERS, ANSWERS = warehouse.customers(), warehouse.answers()
GOOD = [row for row in CUSTOMERS if row.flaw is None]


def column(name: str) -> list[Any]:
    """The values of a column of the good customers."""
    return [row.values[name] for row in GOOD]


def test_the_warehouse_is_the_same_in_every_process() -> None:
    script = "from demo import warehouse as w; print(repr((w.customers(), w.answers())))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PYTHONUTF8": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert (warehouse.customers(), warehouse.answers()) == (CUSTOMERS, ANSWERS)


def test_the_database_holds_the_rows_as_they_are(tmp_path: Path) -> None:
    warehouse.create(tmp_path / "warehouse.db")
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database:
        for table, rows in (("customers", CUSTOMERS), ("survey_answers", ANSWERS)):
            stored = database.execute(f"select * from {table}").fetchall()
            assert stored == [tuple(row.values.values()) for row in rows]
            assert [list(map(type, row)) for row in stored] == [list(map(type, row.values.values())) for row in rows]


@pytest.mark.parametrize("flaw", CUSTOMER_FLAWS, ids=lambda flaw: flaw.kind)
def test_every_kind_of_bad_customer_is_there_more_than_once(flaw: Flaw) -> None:
    bad = [row for row in CUSTOMERS if row.flaw == flaw]
    assert len(bad) >= 2
    assert all(row.values[flaw.column] == flaw.value for row in bad)


@pytest.mark.parametrize("flaw", ANSWER_FLAWS, ids=lambda flaw: flaw.kind)
def test_every_kind_of_bad_answer_is_there(flaw: Flaw) -> None:
    assert [row.values[flaw.column] for row in ANSWERS if row.flaw == flaw] == [flaw.value]


def test_an_eighth_of_the_customers_is_bad_and_both_sides_refuse_some() -> None:
    assert 0.1 < 1 - len(GOOD) / len(CUSTOMERS) < 0.15
    assert warehouse.flaws(CUSTOMERS, "invalid") > warehouse.flaws(CUSTOMERS, "rejected") > 0


def test_the_sandbox_is_told_to_refuse_what_only_connectif_can() -> None:
    keys = re.compile("|".join(refusal["match"]["key"] for refusal in REFUSALS))
    for row in [*CUSTOMERS, *ANSWERS]:
        is_refused = row.flaw is not None and row.flaw.outcome == "rejected"
        assert bool(keys.search(row.values["email"] or "")) == is_refused


def test_the_good_customers_are_as_varied_as_in_life() -> None:
    emails = [email.strip() for email in column("email")]
    assert {email.casefold().rpartition("@")[2] for email in emails} == {"example.com", "example.org", "example.net"}
    assert any("+" in email for email in emails)
    assert any("'" in email for email in emails)
    assert any(email != email.lower() for email in emails)
    assert any(email != email.strip() for email in column("email"))
    assert len({email.casefold() for email in emails}) < len(emails), "nobody is there twice"
    assert any("'" in name for name in column("last_name"))
    assert sum(not name.isascii() for name in column("first_name") + column("last_name")) > 100
    assert {type(points) for points in column("points")} == {int, float, str, type(None)}
    assert {type(value) for value in column("lifetime_value")} == {float, str, type(None)}
    assert {type(code) for code in column("postal_code")} == {int, str, type(None)}
    assert {len(born) for born in column("birth_date") if born} == {10, 19, 20, 25, 26}
    assert len(set(column("country"))) == 20
    for nullable in ("phone", "birth_date", "newsletter", "points", "postal_code", "loyalty_tier", "lifetime_value"):
        assert None in column(nullable), nullable


def test_phones_stand_there_in_many_spellings_for_one_form() -> None:
    phones = {row.values["phone"]: row.properties.get("_mobilePhone") for row in GOOD}
    assert {sign for phone in phones if phone for sign in phone if not sign.isdigit()} == set("+ -().")
    assert all(phone is None or (phone[0] == "+" and phone[1:].isdigit()) for phone in phones.values())


def test_every_property_is_a_field_of_the_sandbox() -> None:
    known = {field["id"] for field in [*SYSTEM_FIELDS, *CUSTOM_FIELDS]}
    assert {name for row in [*CUSTOMERS, *ANSWERS] for name in row.properties} <= known


def test_the_regions_are_the_partitions_of_the_example() -> None:
    example = (ROOT / "example_dags" / "contacts_mapped_over_partitions.py").read_text("utf-8")
    assert f"REGIONS = {json.dumps(sorted(warehouse.REGIONS))}".replace("[", "(").replace("]", ")") in example


def test_airflow_takes_over_nothing_of_another_airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD", "AIRFLOW_CONN_WAREHOUSE", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://theirs")
    environment = AirflowHome(tmp_path, ROOT).environment
    assert [value for value in environment.values() if "theirs" in value] == []
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].startswith(f"sqlite:///{tmp_path}")


def test_the_nights_change_what_they_say_and_nothing_else(tmp_path: Path) -> None:
    campaign = nights.after_campaign(CUSTOMERS)
    moved = nights.after_moves(campaign)
    wedding = nights.after_wedding(moved)
    assert [changed(*tables) for tables in ((CUSTOMERS, campaign), (campaign, moved), (moved, wedding))] == [
        {"points": nights.CAMPAIGN},
        {"city": nights.MOVED},
        {"last_name": 1},
    ]
    assert all(row.flaw is None for row, old in zip(wedding, CUSTOMERS, strict=True) if row != old)
    warehouse.create(tmp_path / "warehouse.db")
    nights.store(tmp_path / "warehouse.db", wedding)
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database:
        assert database.execute("select * from customers").fetchall() == [tuple(row.values.values()) for row in wedding]


def changed(before: list[Row], after: list[Row]) -> dict[str, int]:
    """How many cells differ, by column."""
    columns = [
        column
        for old, new in zip(before, after, strict=True)
        for column in old.values
        if old.values[column] != new.values[column]
    ]
    return {column: columns.count(column) for column in columns}


def test_only_the_campaign_gives_its_points() -> None:
    assert all((row.properties.get("_points") or 0) < nights.CAMPAIGN_POINTS for row in CUSTOMERS)


def test_the_subscriber_is_subscribed_as_far_as_the_warehouse_knows() -> None:
    her = nights.subscriber(CUSTOMERS)
    assert her.values["newsletter"] == "subscribed"
    assert her.values["last_name"] != nights.NEW_SURNAME
    assert nights.subscriber(nights.after_wedding(CUSTOMERS)).email == her.email


# In the place of Airflow: `db migrate` logs a line, and other commands are Python.
SERVER = """
import os, sys, time
from demo.airflow_server import serve

def run(arguments):
    if arguments == ["db", "migrate"]:
        print("2026-03-01T00:00:00Z INFO airflow_provider_connectif: night", os.environ.get("NIGHT"))
    else:
        exec(arguments[-1])

serve(lambda: None, run)
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[tuple[AirflowHome, list[Message]]]:
    messages: list[Message] = []
    with AirflowHome(tmp_path, ROOT, messages.append, server=[sys.executable, "-c", SERVER]) as home:
        home.load()
        yield home, messages


def test_a_command_that_is_killed_leaves_the_next_one_alone(home: tuple[AirflowHome, list[Message]]) -> None:
    airflow, messages = home
    airflow.run_and_kill(["os.write(1, b'half a line'); time.sleep(60)"], {"NIGHT": "1"}, lambda: True)
    airflow.migrate()
    assert messages == [Message("INFO", "night None")]


@pytest.mark.parametrize("command", ["pass", "sys.exit(1)"])
def test_a_command_that_ends_before_it_is_killed_fails_the_demo(
    home: tuple[AirflowHome, list[Message]], command: str
) -> None:
    with pytest.raises(AirflowFailed, match="ended before it was killed"):
        home[0].run_and_kill([command], {}, lambda: False)


def test_an_airflow_that_ends_by_itself_fails_the_demo(tmp_path: Path) -> None:
    with (
        AirflowHome(tmp_path, ROOT, server=[sys.executable, "-c", "print('no such module')"]) as home,
        pytest.raises(AirflowFailed, match="has ended unexpectedly, see "),
    ):
        home.load()
    assert "no such module" in (tmp_path / "airflow.log").read_text()
