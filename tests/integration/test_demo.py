"""The demo's parts: a warehouse that is the same each time and bad in every way, and checks that can fail.

The demo as a whole is run by ``make demo``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.sandbox.default_fields import CUSTOM_FIELDS, SYSTEM_FIELDS
from demo import checks, warehouse
from demo.airflow_home import AirflowHome, Run
from demo.flaws import ANSWER_FLAWS, CUSTOMER_FLAWS, REFUSALS, Flaw
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


class TestChecks:
    @pytest.fixture
    def as_it_must_be(self, tmp_path: Path) -> checks.Outcome:
        """The outcome of a demo without fault, made up."""
        rejects = tmp_path / "rejects.jsonl"
        counts = checks.counts_of(CUSTOMERS)
        rejects.write_text("{}\n" * (counts["invalid"] + counts["rejected"]))
        return checks.Outcome(
            runs=[
                Run("success", 1, 3, {**summary(CUSTOMERS), "rejects_path": str(rejects)}, ""),
                Run("success", 1, 3, summary(ANSWERS), ""),
                Run("failed", 1, 3, {"created": 0, "updated": 0}, "Connectif refused the API key (401)"),
            ],
            customers=CUSTOMERS,
            answers=ANSWERS,
            contacts={
                email.upper(): {"id": "1", "_email": email, **properties}
                for email, properties in checks.expected(CUSTOMERS, ANSWERS).items()
            },
            faults_struck=[1, 1, 1],
            log="Done: 300 rows read",
            secrets=("Hush", "quiet"),
        )

    def test_hold_when_all_is_well(self, as_it_must_be: checks.Outcome) -> None:
        assert [result.words for result in checks.check(as_it_must_be) if not result.holds] == []

    @pytest.mark.parametrize(
        "wrong",
        [
            pytest.param(lambda o: {"contacts": dict(list(o.contacts.items())[1:])}, id="a contact is missing"),
            pytest.param(lambda o: {"contacts": {**o.contacts, "x@example.com": {}}}, id="a contact too many"),
            pytest.param(lambda o: {"contacts": first_contact(o, _points=-1)}, id="a value is another"),
            pytest.param(lambda o: {"contacts": first_contact(o, work_email="x@y.z")}, id="a property too many"),
            pytest.param(lambda o: {"runs": with_run(o, 0, state="failed")}, id="from SQL is red"),
            pytest.param(lambda o: {"runs": with_run(o, 1, state="failed")}, id="from a task is red"),
            pytest.param(lambda o: {"runs": with_run(o, 2, state="success")}, id="the wrong key is green"),
            pytest.param(lambda o: {"runs": with_run(o, 2, tries=2)}, id="the wrong key is tried again"),
            pytest.param(lambda o: {"runs": with_run(o, 2, failure="")}, id="the wrong key fails without words"),
            pytest.param(lambda o: {"runs": with_count(o, 0, "rejected", 0)}, id="a bad row was not counted"),
            pytest.param(lambda o: {"runs": with_count(o, 1, "created", 0)}, id="a good row was not counted"),
            pytest.param(lambda o: {"runs": with_count(o, 0, "waited_s", 0.0)}, id="the window was never spent"),
            pytest.param(lambda o: {"faults_struck": [1, 0, 1]}, id="a fault did not come about"),
            pytest.param(lambda o: {"log": "apiKey sandbox-id:hush"}, id="the key was logged"),
            pytest.param(lambda o: {"log": f"sent {GOOD[0].email}"}, id="an e-mail was logged"),
        ],
    )
    def test_tell_what_is_wrong(self, as_it_must_be: checks.Outcome, wrong: Any) -> None:
        outcome = dataclasses.replace(as_it_must_be, **wrong(as_it_must_be))
        assert sum(not result.holds for result in checks.check(outcome)) == 1

    def test_tell_of_a_rejects_file_that_is_too_short(self, as_it_must_be: checks.Outcome) -> None:
        Path(as_it_must_be.runs[0].summary["rejects_path"]).write_text("{}\n")
        assert sum(not result.holds for result in checks.check(as_it_must_be)) == 1


def summary(rows: list[Row]) -> dict[str, Any]:
    """The counts that a table must lead to."""
    counts = checks.counts_of(rows)
    return {**counts, "created": counts["delivered"], "updated": 0, "waited_s": 11.0}


def with_run(outcome: checks.Outcome, index: int, **changes: Any) -> list[Run]:
    """The runs, one of them changed."""
    return [dataclasses.replace(run, **changes) if n == index else run for n, run in enumerate(outcome.runs)]


def with_count(outcome: checks.Outcome, index: int, name: str, count: float) -> list[Run]:
    """The runs, one count of one of them changed."""
    return with_run(outcome, index, summary={**outcome.runs[index].summary, name: count})


def first_contact(outcome: checks.Outcome, **changes: Any) -> dict[str, Any]:
    """The contacts, the first of them changed."""
    email, contact = next(iter(outcome.contacts.items()))
    return {**outcome.contacts, email: {**contact, **changes}}
