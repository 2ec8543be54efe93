"""docs/howto/forget-a-person.md from top to bottom, as somebody does who was asked to delete a customer."""

from __future__ import annotations

import io
import shlex
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.airflow_runs import task_states, xcom
from tests.support.doc_blocks import BLOCKS, Block, made_dag
from tests.support.task_runs import Run, run_operator

PAGE = "docs/howto/forget-a-person.md"
PEOPLE = [("ana@example.com", "Ana"), ("ben@example.com", "Ben")]


def block_of(language: str) -> Block:
    (found,) = [block for block in BLOCKS if (block.page, block.language) == (PAGE, language)]
    return found


def nightly() -> Run:
    return run_operator(
        sql="select email, first_name from contacts",
        sql_conn_id="warehouse",
        properties={"_name": "first_name"},
        journal_conn_id="warehouse",
        sync_id="crm.contacts",
    )


@pytest.mark.slow
def test_the_page(
    sandbox: SandboxProcess,
    sqlite_warehouse: Callable[..., None],
    run_dag: Callable[..., Any],
    airflow_db: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sqlite_warehouse(("email", "first_name"), PEOPLE)
    sqlite_warehouse(("email", "deleted_at"), [("Ana@Example.com", None)], table="erasure_requests")
    assert nightly().summary["created"] == 2
    dag_run = run_dag(made_dag(block_of("python"), tmp_path), logical_date=datetime(2026, 1, 2).astimezone())
    assert task_states(dag_run) == {"people": "success"}
    erased = xcom(dag_run, "people", "summary")
    assert (erased["read"], erased["deleted"] + erased["absent"]) == (1, 1)
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as database:
        ((at, run_id, result),) = database.execute(block_of("sql").text).fetchall()
        assert (bool(at), run_id.startswith("forget/"), result in ("deleted", "absent")) == (True, True, True)
    again = nightly()
    assert (again.state, again.summary["suppressed"], again.summary["unchanged"]) == ("success", 1, 1)
    command = shlex.split(block_of("bash").text)
    assert command[:3] == ["python", "-m", "airflow_provider_connectif"]
    monkeypatch.setattr("sys.stdin", io.StringIO("ANA@example.com\n"))
    main(command[3:])
    assert "removed" in capsys.readouterr().out
    assert nightly().summary["created"] == 1
