"""Every command in README.md and docs/ is run: here, or where ``RUN_ELSEWHERE`` says. One that is new fails."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from tests.support.airflow_runs import sync_dag
from tests.support.doc_blocks import BLOCKS, ROOT, RUN_ELSEWHERE, Block, every, kind_of, made_dag
from tests.support.task_runs import run_operator


def commands(block: Block) -> list[str]:
    """The commands of a block, without comments."""
    whole = block.text.replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*$", "", line).strip() for line in whole.splitlines()]
    return [line for line in lines if line]


def run_shell(command: str, home: Path, **environment: str) -> dict[str, str]:
    """Run a command as a shell does; its environment afterwards. Fails where it fails."""
    environ = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        **environment,
    }
    script = f"set -eu; {command}\nenv -0 > {shlex.quote(str(home / 'environment'))}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=home, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    entries = (home / "environment").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _exports_a_connection(command: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "AIRFLOW_CONN_CONNECTIF_DEFAULT"
    monkeypatch.setenv(name, run_shell(command, home)[name])
    client = ConnectifHook().get_conn()
    if "sandbox-secret" not in command:
        assert client.base_url == "https://api.connectif.cloud"
        client.close()
        return
    # That of a sandbox started as the page says, but for the port.
    with closing(client), _sandbox_as_documented() as address:
        assert client.base_url == "http://127.0.0.1:8765"
        shown = json.loads(run_shell(command, home)[name])
        monkeypatch.setenv(name, json.dumps(shown | {"host": address}))
        with closing(ConnectifHook().get_conn()) as reaching:
            assert reaching.get_store() is not None


def _adds_a_connection(command: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_shell(command, home)
    with closing(_metadata()) as database, database:
        found = database.execute("select conn_type, port from connection where conn_id = 'connectif_default'")
        assert found.fetchall() == [("connectif", 443)]
        database.execute("delete from connection where conn_id = 'connectif_default'")


def _metadata() -> sqlite3.Connection:
    """Airflow's database."""
    return sqlite3.connect(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db")


def _starts_a_sandbox(command: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with _sandbox_as_documented(command):
        pass


@contextmanager
def _sandbox_as_documented(command: str = "python -m airflow_provider_connectif.sandbox") -> Iterator[str]:
    """A sandbox as a page starts it; its address."""
    arguments = [sys.executable, *shlex.split(command)[1:], "--port", "0"]  # the last one counts; 8765 may be taken
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as it:
        try:
            assert it.stdout is not None
            address = re.match(r"Connectif sandbox on (http://127\.0\.0\.1:\d+)/", it.stdout.readline())
            assert address
            yield address[1]
        finally:
            it.terminate()


def _triggers_a_dag(command: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dag_id = shlex.split(command)[3]
    (block,) = [block for block in BLOCKS if kind_of(block) == "dag" and f'"{dag_id}"' in block.text]
    dag = made_dag(block, home)
    sync_dag(dag)
    run_shell(command, home)
    with closing(_metadata()) as database, database:
        found = database.execute("select conf from dag_run where dag_id = ? order by id desc limit 1", (dag_id,))
        assert [json.loads(conf) for (conf,) in found] == [{"full_refresh": True}]
        database.execute("delete from dag_run where dag_id = ?", (dag_id,))


def _names_the_journals(command: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_shell(command, home)["AIRFLOW__CONNECTIF__JOURNALS"] == "warehouse"


def _is_a_command(command: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it where the sync of the page has run once, against a sandbox."""
    warehouse = home / "warehouse.db"
    with closing(sqlite3.connect(warehouse)) as database, database:
        database.execute("create table if not exists contacts (email, first_name)")
        database.execute("delete from contacts")
        database.execute("insert into contacts values ('ana@example.com', 'Ana')")
    connections = {"warehouse": {"conn_type": "sqlite", "host": str(warehouse)}}
    with _sandbox_as_documented() as address:
        connections["connectif_default"] = {
            "conn_type": "connectif",
            "host": address,
            "password": "sandbox-id:sandbox-secret",
        }
        for conn_id, fields in connections.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "warehouse")
        run = run_operator(
            sql="select * from contacts",
            sql_conn_id="warehouse",
            properties={"_name": "first_name"},
            journal_conn_id="warehouse",
            sync_id="crm.contacts",
        )
        assert run.state == "success", run.error
        main(shlex.split(command)[3:])


# Commands that are run here: how a command begins, and what it must have done.
RUN_HERE: MappingProxyType[str, Callable[[str, Path, pytest.MonkeyPatch], None]] = MappingProxyType(
    {
        "export AIRFLOW_CONN_CONNECTIF_DEFAULT=": _exports_a_connection,
        "airflow connections add ": _adds_a_connection,
        "airflow dags trigger ": _triggers_a_dag,
        "python -m airflow_provider_connectif.sandbox": _starts_a_sandbox,
        "python -m airflow_provider_connectif ": _is_a_command,
        "export AIRFLOW__CONNECTIF__JOURNALS=": _names_the_journals,
    }
)


@pytest.mark.sampled(1)
@every("shell")
def test_a_command_works(block: Block, airflow_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in commands(block):
        if command in RUN_ELSEWHERE:
            for word in command.split()[1:]:
                if command.startswith("make ") and "=" not in word:
                    where = (ROOT / RUN_ELSEWHERE[command]).read_text()
                    assert re.search(rf"^((make|beside) .*)?\b{word}\b", where, re.MULTILINE)
            continue
        (check,) = [check for start, check in RUN_HERE.items() if command.startswith(start)] or [None]
        assert check is not None, f"{block.place}: nobody runs this: {command}"
        check(command, tmp_path, monkeypatch)
