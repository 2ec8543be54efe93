"""Parameters for the hook of a source, as Airflow's SQL operators have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow


def test_a_parameter_reaches_the_hook_after_it_is_rendered(
    postgres: Any, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    sql = "select 'ana@example.com' as email, current_setting('application_name') as _name"
    options = {"options": "-c application_name={{ task.task_id }}"}
    end = run_in_airflow(run_dag, sql=sql, sql_conn_id="postgres", hook_params=options)
    assert end.state == "success"
    assert strict.contacts == {"ana@example.com": {"_name": "patch"}}


def test_a_hook_that_refuses_a_parameter_names_it(
    strict: StrictServer, run: Callable[..., Run], connection: Callable[..., None]
) -> None:
    connection("files", conn_type="fs")
    end = run(sql="select 1", sql_conn_id="files", hook_params={"warehouse": "LOADING"})
    assert end.state == "failed"
    assert "hook_params: the hook of connection 'files' does not take 'warehouse'" in str(end.error)


@pytest.mark.parametrize("wrong", [{"hook_params": ["x"], "sql": "select 1"}, {"hook_params": {"x": 1}, "rows": []}])
def test_what_cannot_work_fails_while_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="hook_params"):
        ContactPatchOperator(task_id="patch", sql_conn_id="warehouse", **wrong)
