"""Every block of code in README.md and docs/ is run: here, or where its line in a table below says.

A block that is new and of no kind that is known here fails.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_connectif.databases.journals import JournalConnection
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.records.changes import Digests
from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.airflow_runs import task_states
from tests.support.doc_blocks import BLOCKS, ROOT, RUN_ELSEWHERE, TESTED_ELSEWHERE, Block, every, kind_of, made_dag
from tests.support.task_runs import run_operator


def test_every_block_is_of_a_kind_that_is_known() -> None:
    assert [block.place for block in BLOCKS if kind_of(block) == "unknown"] == []
    assert [path for path in (*RUN_ELSEWHERE.values(), *TESTED_ELSEWHERE.values()) if not (ROOT / path).exists()] == []


# DAGs


@pytest.fixture
def contacts(
    sandbox: SandboxProcess, sqlite_warehouse: Callable[..., None], tmp_path: Path
) -> Callable[[], dict[str, Any]]:
    """A warehouse with the table that the docs speak of; what the sandbox holds after a run."""
    columns = (
        "email",
        "first_name",
        "last_name",
        "mobile",
        "points",
        "loyalty_tier",
        "city",
        "region",
        "newsletter",
        "updated_at",
    )
    rows = [
        (
            "ana@example.com",
            "Ana",
            "García",
            "+34600123456",
            120,
            "gold",
            "Vigo",
            "north",
            "subscribed",
            "2026-01-02T10:00:00",
        ),
        (
            "ben@example.com",
            "Ben",
            "Ruiz",
            "+34600123457",
            80,
            "silver",
            "Cádiz",
            "south",
            "none",
            "2026-01-02T11:00:00",
        ),
        ("eva@example.com", "Eva", "Soler", None, 0, None, None, "south", "unsubscribed", "2026-01-02T12:00:00"),
    ]
    sqlite_warehouse(columns, rows)
    requests = [("ana@example.com", None), ("ben@example.com", "2026-01-01")]
    sqlite_warehouse(("email", "deleted_at"), requests, table="erasure_requests")
    return sandbox.contacts


@pytest.mark.sampled(1)
@every("dag")
def test_a_dag_runs_as_it_stands(
    block: Block, contacts: Callable[[], dict[str, Any]], run_dag: Callable[..., Any], tmp_path: Path
) -> None:
    dag_run = run_dag(made_dag(block, tmp_path), logical_date=datetime(2026, 1, 2).astimezone())
    assert set(task_states(dag_run).values()) == {"success"}
    held = contacts()
    if "ContactDeleteOperator(" in block.text:
        assert held == {}
        return
    assert held, "nothing has arrived"
    assert held.keys() <= {"ana@example.com", "ben@example.com", "eva@example.com"} or all(
        key.startswith("member") for key in held
    )


WITH_TEMPLATES = [block for block in BLOCKS if kind_of(block) == "dag" and "{{" in block.text]


@pytest.mark.sampled(1)
@pytest.mark.skipif(airflow.__version__ < "3", reason="each run has a logical date there")
@pytest.mark.parametrize("block", WITH_TEMPLATES, ids=[block.place for block in WITH_TEMPLATES])
def test_a_dag_runs_without_a_logical_date(
    block: Block, contacts: Callable[[], dict[str, Any]], run_dag: Callable[..., Any], tmp_path: Path
) -> None:
    """As a run that somebody triggers, which has none on Airflow 3: `ds`, `ts` and the like are not defined."""
    dag_run = run_dag(made_dag(block, tmp_path), logical_date=None)
    assert dag_run.logical_date is None
    assert set(task_states(dag_run).values()) == {"success"}
    assert contacts()


# Programs


@pytest.mark.sampled(1)
@every("program")
def test_a_program_runs_as_it_stands(block: Block, sandbox: SandboxProcess) -> None:
    with redirect_stdout(io.StringIO()):
        exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})


# SQL on the journal


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
@every("sql")
def test_a_statement_fits_the_journal(
    block: Block, database: str, connection: Callable[..., None], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if database == "sqlite":
        connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    else:
        request.getfixturevalue("postgres")
    conn_id = "journal" if database == "sqlite" else "postgres"
    sync_id = re.search(r"sync_id = '([^']+)'", block.text)
    where = JournalConnection(conn_id, sync_id[1] if sync_id else "any", "connectif_journal", None, "plain")
    with where.open({}, read_only=False) as journal:
        assert journal is not None
        journal.open(lambda: False, lambda _: None)
        journal.lines.acknowledge("ana@example.com", Digests("row", "patch", "mapping"))
        journal.lines.reject("ben@example.com", "row", 422, "HTTP 422 tier: unknown option")
        receipt = {"key_hmac": "0", "key_kind": "email", "at": datetime.now(UTC), "sync_id": "any", "run_id": "any"}
        journal.database.execute(journal.database.tables.receipts.insert().values(**receipt, result="deleted"))
        journal.close()
    with closing(_raw_connection(conn_id)) as raw, closing(raw.cursor()) as cursor:
        cursor.execute(block.text)
        if block.text.startswith("delete"):
            assert cursor.rowcount == 1
        else:
            assert cursor.fetchall(), "finds nothing, although there is something to find"


def _raw_connection(conn_id: str) -> Any:
    from airflow.providers.common.compat.sdk import BaseHook

    return BaseHook.get_hook(conn_id).get_conn()


# JSON


@pytest.fixture
def real_keys(sandbox: SandboxProcess, connection: Callable[..., None], tmp_path: Path) -> list[set[str]]:
    """The keys of real summaries, and of a line of a rejects file."""
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    rows = [{"email": "ana@example.com", "_name": "Ana"}, {"email": "none"}]
    path = tmp_path / "rejects.jsonl"
    runs = [
        run_operator(rows=rows, rejects_path=str(path)),
        run_operator(rows=rows, journal_conn_id="journal", sync_id="sync"),
        run_operator(rows=rows, check_only=True),
    ]
    return [*(set(run.summary) for run in runs), set(json.loads(path.read_text()))]


@pytest.mark.sampled(1)
@every("json")
def test_json_has_the_keys_of_real_life(
    block: Block, real_keys: list[set[str]], connection: Callable[..., None]
) -> None:
    shown = json.loads(block.text.replace(", …", ""))
    if "conn_type" in shown:
        connection("shown", **shown)
        ConnectifHook("shown").get_conn().close()
    else:
        assert set(shown) in real_keys


# Texts


@every("text")
def test_a_text_is_what_is_printed(
    block: Block,
    contacts: Callable[[], dict[str, Any]],
    run_dag: Callable[..., Any],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    if block.text.startswith("usage: "):
        command = [sys.executable, "-m", "airflow_provider_connectif.sandbox", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"})
        assert _words(block.text) == _words(done.stdout)
        return
    # What the DAG above on the same page logs.
    (dag,) = [other for other in BLOCKS if other.page == block.page and kind_of(other) == "dag"]
    caplog.set_level("INFO")
    run_dag(made_dag(dag, tmp_path))
    printed = "".join((*capfd.readouterr(), caplog.text))
    for line in block.text.splitlines():
        assert re.search(".*".join(map(re.escape, line.split("..."))), printed), line


def _words(text: str) -> list[str]:
    """Versions of Python break the lines of a help text, and group its options, differently."""
    return text.replace("[", " ").replace("]", " ").split()


def test_the_summary_s_keys_are_on_their_page(real_keys: list[set[str]]) -> None:
    page = (ROOT / "docs" / "reference" / "summary.md").read_text(encoding="utf-8")
    assert [key for keys in real_keys[:3] for key in keys if f"`{key}`" not in page] == []


def test_the_connection_s_extras_are_on_their_page() -> None:
    from airflow_provider_connectif.hooks.connection_form import EXTRA_FIELDS

    page = (ROOT / "docs" / "reference" / "connection.md").read_text(encoding="utf-8")
    assert [field.name for field in EXTRA_FIELDS if f"extra `{field.name}`" not in page] == []
