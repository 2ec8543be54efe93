"""What rows, templates and connections could try by way of Airflow. Each test fails without its defence."""

from __future__ import annotations

import ast
import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import airflow_provider_connectif
from airflow_provider_connectif.databases.read_errors import ReadError
from airflow_provider_connectif.databases.sql_source import SqlSource
from tests.security.hostile import EMAIL, KEY_ID, SECRET
from tests.support.task_runs import Run, run_operator

PACKAGE = Path(airflow_provider_connectif.__file__).parent
TEMPLATE = "{{ 7 * 7 }}{{ conn.connectif_default.password }}"


@pytest.fixture
def key(connection: Callable[..., None]) -> None:
    connection("connectif_default", conn_type="connectif", password=f"{KEY_ID}:{SECRET}", host="http://127.0.0.1:9")


def check(**arguments: Any) -> Run:
    """A run that only checks its rows: nothing is asked of a server that is not there."""
    return run_operator(check_only=True, fields="builtin", **arguments)


def test_a_template_in_a_row_stays_text() -> None:
    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    rows = [{"email": EMAIL, "_name": TEMPLATE}]
    operator = ContactPatchOperator(task_id="patch", rows=rows, sync_id="s", rejects_path="/tmp/{{ 7 * 7 }}.jsonl")
    operator.render_template_fields({})
    assert operator.rejects_path == "/tmp/49.jsonl"
    assert operator.rows == [{"email": EMAIL, "_name": TEMPLATE}]


@pytest.mark.parametrize("path", ["{folder}/../../elsewhere.jsonl", "file://{folder}/../x.jsonl", "..\\x.jsonl"])
def test_the_path_of_rejects_does_not_climb(key: None, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "a" / "b"
    end = check(rows=[{"email": "none"}], rejects_path=path.format(folder=folder))
    assert end.state == "failed"
    assert "rejects_path has a '..' in it" in str(end.error)
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_rejects_is_its_owner_s(key: None, tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    assert check(rows=[{"email": "none"}], rejects_path=str(path)).state == "failed"
    assert json.loads(path.read_text())["row"] == {"email": "none"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_password_of_another_kind_of_connection_is_not_sent(connection: Callable[..., None]) -> None:
    connection("warehouse", conn_type="aws", login="AKIA", password=SECRET)
    end = check(rows=[{"email": EMAIL}], connectif_conn_id="warehouse")
    assert end.state == "failed"
    assert "is of type 'aws', not 'connectif': its password is not sent" in str(end.error)


def test_the_secret_is_masked_also_where_it_stands_alone(connection: Callable[..., None]) -> None:
    from airflow_provider_connectif.hooks.connectif import ConnectifHook

    secret = "a-secret-that-only-this-test-has"
    connection("masked", conn_type="connectif", password=f"{KEY_ID}:{secret}")
    ConnectifHook("masked").get_conn().close()
    assert masked(f"gateway says: {secret} is revoked") == "gateway says: *** is revoked"


def masked(text: str) -> str:
    """A text as Airflow's logs show it."""
    try:
        from airflow.sdk.log import redact
    except ImportError:
        try:
            from airflow.sdk.execution_time.secrets_masker import redact
        except ImportError:  # Airflow 2
            from airflow.utils.log.secrets_masker import redact
    return str(redact(text))


def test_a_trigger_holds_a_moment_and_nothing_else() -> None:
    from airflow_provider_connectif.triggers.window import WindowTrigger

    path, arguments = WindowTrigger(1_800_000_000.0).serialize()
    assert path == "airflow_provider_connectif.triggers.window.WindowTrigger"
    assert arguments == {"until": 1_800_000_000.0}


def test_a_trigger_that_waits_for_another_run_holds_a_moment_and_counts() -> None:
    from airflow_provider_connectif.api.quota import Quota
    from airflow_provider_connectif.operators.parts import Start
    from airflow_provider_connectif.reporting.effort import Effort
    from airflow_provider_connectif.triggers.claim import ClaimTrigger

    effort = Effort(Quota()).as_state()
    _, arguments = ClaimTrigger(
        1_800_000_000.0, Start({"secret": "id:secret"}).again(effort, is_recorded=False)
    ).serialize()
    start = {"comes_back": False, "event": None, "effort": effort, "is_recorded": False}
    assert arguments == {"until": 1_800_000_000.0, "start": start}
    assert {name for name, value in effort.items() if not isinstance(value, (int, float))} == {"last_failure"}


def test_a_database_s_words_about_a_row_are_not_told() -> None:
    class Error(Exception):
        """As every driver has one (PEP 249)."""

    class Driver:
        """A connection to a database that quotes the row which it cannot cast."""

        description = None

        def cursor(self) -> Driver:
            return self

        def execute(self, _: str) -> None:
            raise Error(f'invalid input syntax for type integer: "{EMAIL}", Anna Quittenbaum')

        def close(self) -> None:
            """Nothing is open."""

        get_conn = get_records = lambda self: self

    with pytest.raises(ReadError) as caught:
        list(SqlSource(Driver(), "warehouse", "select 1"))
    assert "quittenbaum" not in str(caught.value).lower()


def test_a_journal_s_statements_are_logged_without_values(
    connection: Callable[..., None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    from airflow_provider_connectif.databases.journals import JournalConnection
    from airflow_provider_connectif.records.changes import Digests

    where = JournalConnection("journal", "sync", "connectif_journal", None, "plain")
    # Airflow's set-up of logging, which the import has called for, disables the loggers that there are by then.
    monkeypatch.setattr(logging.getLogger("sqlalchemy.engine.Engine"), "disabled", False)
    caplog.set_level(logging.INFO, "sqlalchemy.engine")
    with where.open({}, read_only=False) as journal:
        assert journal is not None
        journal.open(lambda: False, lambda _: None)
        journal.lines.acknowledge(EMAIL, Digests("row", "patch", "mapping"))
        journal.close()
    assert "INSERT INTO connectif_journal" in caplog.text
    assert "quittenbaum" not in caplog.text


@pytest.mark.slow
def test_nothing_is_made_out_of_bytes_but_data() -> None:
    """No module that can run what it reads: what databases and servers hold is JSON and CSV, and stays data."""
    modules = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "joblib", "subprocess", "ctypes"}
    calls = {"eval", "exec", "compile", "__import__"}
    writes_yaml = PACKAGE / "cli" / "output.py"
    assert "load" not in writes_yaml.read_text(encoding="utf-8")
    for path in PACKAGE.rglob("*.py"):
        if "sandbox" in path.parts:  # starts itself as a process, and is not imported by the provider
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            allowed = {"yaml"} if path == writes_yaml else set()
            assert not {name.partition(".")[0] for name in names} & (modules - allowed), path
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert called not in calls, path
