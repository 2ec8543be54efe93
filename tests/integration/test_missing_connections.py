"""A connection's id that Airflow does not know: the task fails for good, and says which argument it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow

pytestmark = pytest.mark.versions

ROWS = [{"email": "ana@example.com", "visits": 1}]
NAMED: dict[str, dict[str, Any]] = {
    "connectif_conn_id": {"rows": ROWS, "connectif_conn_id": "nowhere"},
    "journal_conn_id": {"rows": ROWS, "journal_conn_id": "nowhere", "sync_id": "sync"},
    "sql_conn_id": {"sql": "select 1", "sql_conn_id": "nowhere"},
}


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
@pytest.mark.parametrize("argument", NAMED)
def test_the_argument_is_named(argument: str, kind: str, strict: StrictServer, run: Callable[..., Run]) -> None:
    end = run(kind=kind, fields="builtin", **NAMED[argument])
    assert end.state == "failed"
    assert str(end.error) == f"{argument}='nowhere': Airflow has no connection of this name"
    assert strict.received == 0


@pytest.mark.sampled(1)
@pytest.mark.parametrize("argument", NAMED)
def test_airflow_does_not_try_again(argument: str, strict: StrictServer, run_dag: Callable[..., Any]) -> None:
    end = run_in_airflow(run_dag, fields="builtin", **NAMED[argument])
    assert (end.state, end.summary["read"]) == ("failed", 0)
    assert strict.received == 0
