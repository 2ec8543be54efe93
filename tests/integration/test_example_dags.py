"""The example DAGs parse cleanly, and run as they are: a real Airflow, the sandbox, the demo's warehouse."""

from __future__ import annotations

import json
import sqlite3
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from demo import checks, warehouse
from demo.flaws import REFUSALS
from demo.warehouse import Row
from tests.support.airflow_runs import task_states, xcom
from tests.support.import_runs import account

pytestmark = pytest.mark.versions

EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
DAG_IDS = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture(scope="module")
def bag(airflow_db: None) -> Any:
    """All examples, parsed as Airflow's DAG processor does; its warnings are kept in ``bag.parse_warnings``."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = DagBag(dag_folder=str(EXAMPLES))
    # DagBag takes warnings to itself, as texts; what it lets through is in ``caught``.
    captured = [text for texts in found.captured_warnings.values() for text in texts]
    found.parse_warnings = captured + [str(warning) for warning in caught]
    return found


@pytest.fixture
def run_example(
    bag: Any,
    run_dag: Callable[..., Any],
    sandbox: SandboxProcess,
    connection: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Any]:
    """Run an example by its DAG id against the sandbox and the demo's warehouse; returns the DagRun."""
    warehouse.create(tmp_path / "warehouse.db")
    connection("warehouse", conn_type="sqlite", host=str(tmp_path / "warehouse.db"))
    monkeypatch.setenv("AIRFLOW_VAR_CONNECTIF_REJECTS", str(tmp_path / "rejects"))
    for refusal in REFUSALS:
        sandbox.add_fault(**refusal)

    def run(dag_id: str, **conf: Any) -> Any:
        dag = bag.dags[dag_id]
        for task in dag.tasks:  # to fail at once, and not after the minutes until the next try
            task.retries = 0
            if hasattr(task, "poll_interval"):
                task.poll_interval = timedelta(seconds=0.2)
        return run_dag(dag, run_conf=conf)

    return run


def seen_through(mapping: Mapping[str, str], rows: Iterable[Row]) -> list[Row]:
    """The rows as a mapping (column by property) sees them: other properties are not sent, other flaws not met."""
    columns = {"email", *mapping.values()}
    return [
        Row(
            values=row.values,
            email=row.email,
            properties={name: value for name, value in row.properties.items() if name in mapping},
            flaw=row.flaw if row.flaw and row.flaw.column in columns else None,
        )
        for row in rows
    ]


def refused_rows(rows: Iterable[Row]) -> dict[str, int]:
    """The numbers of the rows that Connectif refuses, by contact: of several rows of one, the last."""
    return {
        row.values["email"]: number
        for number, row in enumerate(rows, 1)
        if row.flaw is not None and row.flaw.outcome == "rejected"
    }


def test_there_are_examples() -> None:
    assert len(DAG_IDS) >= 4


def test_every_example_is_one_dag_named_like_its_file(bag: Any) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == DAG_IDS


def test_no_example_uses_anything_deprecated(bag: Any) -> None:
    assert [text for text in bag.parse_warnings if "connectif" in text or "example_dags" in text] == []


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_example_is_fit_to_be_copied(bag: Any, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert dag.catchup is False
    assert dag.doc_md
    assert dag.default_args["retries"] >= 1
    assert dag.default_args["retry_delay"].total_seconds() >= 60


@pytest.mark.slow
def test_from_sql(run_example: Callable[[str], Any], sandbox: SandboxProcess, tmp_path: Path) -> None:
    dag_run = run_example("contacts_from_sql")

    customers = warehouse.customers()
    assert task_states(dag_run) == {"deliver_customers": "success"}
    assert checks.held(sandbox.contacts()) == checks.expected(customers)
    summary = xcom(dag_run, "deliver_customers")
    assert summary["invalid"] == warehouse.flaws(customers, "invalid")
    refused = refused_rows(customers)
    assert summary["rejected"] == len(refused) == 2
    (rejects,) = (tmp_path / "rejects").iterdir()
    numbers = [json.loads(line)["row_number"] for line in rejects.read_text("utf-8").splitlines()]
    invalid = [n for n, row in enumerate(customers, 1) if row.flaw and row.flaw.outcome == "invalid"]
    assert sorted(numbers) == sorted([*invalid, *refused.values()])


def test_from_upstream_task(
    run_example: Callable[[str], Any],
    sandbox: SandboxProcess,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    dag_run = run_example("contacts_from_upstream_task")

    answers = warehouse.answers()
    assert task_states(dag_run) == {"read_survey": "success", "deliver_answers": "success"}
    assert checks.held(sandbox.contacts()) == checks.expected(answers)
    logged = "".join((*capfd.readouterr(), caplog.text))  # Airflow 3 writes to stdout itself, 2 through logging
    if airflow.__version__.startswith("3.0."):
        # It writes what task and supervisor say to one another, at DEBUG; here what the upstream task returns.
        logged = "\n".join(line for line in logged.splitlines() if "msg=SetXCom(key='return_value'" not in line)
    assert "Delivering the rows of an upstream task" in logged
    assert [row.email for row in answers if row.email in logged] == [], "the task's log holds personal data"


@pytest.mark.slow
def test_mapped_over_partitions(run_example: Callable[[str], Any], sandbox: SandboxProcess, tmp_path: Path) -> None:
    dag_run = run_example("contacts_mapped_over_partitions")

    mapping = {"_name": "first_name", "_surname": "last_name", "_points": "points"}
    customers = seen_through(mapping, warehouse.customers())
    states = task_states(dag_run)
    assert states == {f"deliver_region[{index}]": "success" for index in range(len(warehouse.REGIONS))}
    assert checks.held(sandbox.contacts()) == checks.expected(customers)
    summaries = [xcom(dag_run, "deliver_region", map_index=index) for index in range(len(states))]
    assert sum(summary["read"] for summary in summaries) == len(customers)
    assert all(summary["read"] > 0 for summary in summaries)
    rejects = [path.read_text("utf-8").splitlines() for path in (tmp_path / "rejects").iterdir()]
    assert len(rejects) == len(states), "each task has its own file"
    assert sum(map(len, rejects)) == sum(row.flaw is not None for row in customers)


@pytest.mark.slow
def test_skip_on_codes(run_example: Callable[[str], Any], sandbox: SandboxProcess) -> None:
    dag_run = run_example("contacts_skip_on_codes")

    selected = [row for row in warehouse.customers() if "@" in (row.values["email"] or "")]
    customers = seen_through({"_newsletterSubscriptionStatus": "newsletter"}, selected)
    assert task_states(dag_run) == {"deliver_newsletter": "success"}
    assert checks.held(sandbox.contacts()) == checks.expected(customers)
    summary = xcom(dag_run, "deliver_newsletter")
    assert summary["skipped"] == len(refused_rows(customers)) > 0
    assert summary["rejected"] == 0
    assert summary["invalid"] == warehouse.flaws(customers, "invalid")


@pytest.mark.slow
def test_skip_on_codes_when_the_account_is_blocked(run_example: Callable[[str], Any], sandbox: SandboxProcess) -> None:
    sandbox.set_blocked(True)
    try:
        dag_run = run_example("contacts_skip_on_codes")
    finally:
        sandbox.set_blocked(False)

    assert task_states(dag_run) == {"deliver_newsletter": "skipped"}
    assert sandbox.contacts() == {}


@pytest.mark.slow
def test_checked_first(run_example: Callable[[str], Any], sandbox: SandboxProcess) -> None:
    dag_run = run_example("contacts_checked_first")

    mapping = {"_name": "first_name", "_surname": "last_name", "_mobilePhone": "phone", "loyalty_tier": "loyalty_tier"}
    customers = seen_through(mapping, warehouse.customers())
    assert task_states(dag_run) == {"check": "success", "send": "success"}
    assert checks.held(sandbox.contacts()) == checks.expected(customers)
    assert xcom(dag_run, "check")["check_only"] is True
    assert xcom(dag_run, "check")["invalid"] == xcom(dag_run, "send")["invalid"]


@pytest.mark.slow
def test_from_a_function(run_example: Callable[[str], Any], sandbox: SandboxProcess) -> None:
    dag_run = run_example("contacts_from_a_function")

    assert task_states(dag_run) == {"members": "success"}
    points = {contact["_email"]: contact["_points"] for contact in sandbox.contacts().values()}
    assert points == {f"member{number}@example.com": number * 10 for number in range(1, 51)}
    assert xcom(dag_run, "members")["created"] == 50


@pytest.mark.slow
def test_first_load_then_nightly(run_example: Callable[..., Any], sandbox: SandboxProcess, tmp_path: Path) -> None:
    load = run_example("contacts_first_load_then_nightly", load=True)

    assert task_states(load) == {"choose": "success", "load": "success", "nightly": "skipped"}
    summary = xcom(load, "load")
    assert summary["imported"] + summary["lowered_alone"] == len(sandbox.contacts()) > 200
    assert summary["read"] == account(summary)
    # One for each column that may be empty, one for what each row fills, one for withdrawals of rows that are invalid.
    assert len(sandbox.imports()) == summary["files"] <= 7
    held = {email.lower(): contact for email, contact in checks.held(sandbox.contacts()).items()}
    good = {row.email.lower(): row for row in warehouse.customers() if not row.flaw}  # the last one of each
    for email, row in good.items():
        for name in ("_name", "_surname", "_points"):
            assert held[email].get(name) == row.properties.get(name)

    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database, database:
        changed = [row.values["email"] for row in good.values() if isinstance(row.values["points"], int)][:3]
        places = ", ".join("?" * len(changed))
        database.execute(f"update customers set points = points + 1 where email in ({places})", changed)
    before = sandbox.requests()["total"]

    night = run_example("contacts_first_load_then_nightly", load=False)

    assert task_states(night) == {"choose": "success", "load": "skipped", "nightly": "success"}
    asked = sandbox.requests()
    patches = [one for one in asked["recent"][before - asked["total"] :] if one["method"] == "PATCH"]
    assert len(patches) == xcom(night, "nightly")["updated"] == 3
    assert xcom(night, "nightly")["unchanged"] >= summary["imported"] - 3


@pytest.mark.slow
def test_forgotten(run_example: Callable[[str], Any], sandbox: SandboxProcess) -> None:
    dag_run = run_example("contacts_forgotten")
    assert task_states(dag_run) == {"forget": "success"}
    summary = xcom(dag_run, "forget")
    assert (summary["read"], summary["deleted"] + summary["absent"]) == (1, 1)
