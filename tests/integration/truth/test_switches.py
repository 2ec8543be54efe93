"""A switch that is text is read, or refused: any text is true in Python, also "no"."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.airflow_runs import task_states
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator

ROWS = [{"email": "ana@example.com", "_name": "Ana"}]


class NumPyBool:
    """As NumPy's: it is no bool, and has a truth value."""

    def __bool__(self) -> bool:
        return False


TEMPLATED = ("check_only", "full_refresh", "retry_rejected")


@pytest.fixture
def dag_of_one(run_dag: Callable[..., Any], strict: StrictServer) -> Callable[..., Any]:
    """Run a DAG with one operator, or with what ``make`` puts in it; returns the states of its tasks."""
    from airflow.providers.common.compat.sdk import DAG

    names = iter(range(100))

    def run(make: Callable[[Any], None], *, native: bool = False, **params: Any) -> dict[str, str]:
        name = f"switch_{make.__name__}_{next(names)}"
        with DAG(name, schedule=None, params=params, render_template_as_native_obj=native) as dag:
            from airflow_provider_connectif.operators.contacts import ContactPatchOperator

            make(ContactPatchOperator)
        return task_states(run_dag(dag))

    return run


# A dry run that a template asks for sent nothing, and was green, whatever the template said.
@pytest.mark.slow
@pytest.mark.parametrize("native", [False, True])
def test_a_dry_run_out_of_a_template_is_one_only_where_it_says_so(
    native: bool, dag_of_one: Callable[..., Any], strict: StrictServer
) -> None:
    def patch(operator: Any) -> None:
        operator(task_id="patch", rows=ROWS, check_only="{{ params.dry }}")

    assert dag_of_one(patch, native=native, dry=True) == {"patch": "success"}
    assert strict.contacts == {}
    assert dag_of_one(patch, native=native, dry="no") == {"patch": "success"}
    assert strict.contacts == {"ana@example.com": {"_name": "Ana"}}


@pytest.mark.parametrize("name", TEMPLATED)
@pytest.mark.parametrize("text", ["maybe", "", "None", "2"])
def test_a_text_that_is_neither_true_nor_false_ends_the_task_and_names_the_switch(
    name: str, text: str, strict: StrictServer, airflow_db: None
) -> None:
    end = run_operator(rows=ROWS, **{name: text})
    assert end.state == "failed"
    assert str(end.error).startswith(f"{name} must be a boolean")
    assert strict.received == 0


@pytest.mark.parametrize(
    ("text", "is_check"), [("True", True), (" yes ", True), ("1", True), ("FALSE", False), ("0", False)]
)
def test_words_for_true_and_false_are_read(text: str, is_check: bool, strict: StrictServer, airflow_db: None) -> None:
    end = run_operator(rows=ROWS, check_only=text)
    assert end.state == "success"
    assert end.summary.get("check_only", False) is is_check
    assert strict.received == (0 if is_check else 1)


@pytest.mark.parametrize("name", ["deferrable", "patch_leftovers"])
@pytest.mark.parametrize("value", ["no", "False", "{{ params.x }}", 0, 1, NumPyBool(), []])
def test_a_switch_that_no_template_fills_must_be_a_bool(name: str, value: Any) -> None:
    from airflow_provider_connectif.operators.contacts import ContactImportOperator

    with pytest.raises(ValueError, match=f"{name} must be True or False"):
        ContactImportOperator(task_id="x", rows=ROWS, **{name: value})


@pytest.mark.parametrize("name", TEMPLATED)
@pytest.mark.parametrize("value", [1, 0, None, NumPyBool(), ["yes"]])
def test_a_templated_switch_is_a_bool_or_text(name: str, value: Any) -> None:
    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    with pytest.raises(ValueError, match=f"{name} must be True, False, or a template"):
        ContactPatchOperator(task_id="x", rows=ROWS, **{name: value})


def test_none_stays_where_it_stands_for_a_default() -> None:
    from airflow_provider_connectif.operators.contacts import ContactImportOperator, ContactPatchOperator

    assert ContactPatchOperator(task_id="x", rows=ROWS, deferrable=None).deferrable is False
    assert ContactImportOperator(task_id="y", rows=ROWS, deferrable=None).deferrable is False


@pytest.mark.slow
def test_switches_of_mapped_tasks_come_out_of_templates_and_expand(
    dag_of_one: Callable[..., Any], strict: StrictServer
) -> None:
    def patch(operator: Any) -> None:
        operator.partial(task_id="patch", rows=ROWS).expand(check_only=["yes", "perhaps", 1])

    assert dag_of_one(patch) == {"patch[0]": "success", "patch[1]": "failed", "patch[2]": "failed"}
    assert strict.received == 0

    def partial(operator: Any) -> None:
        operator.partial(task_id="patch", check_only="{{ params.dry }}").expand(rows=[ROWS, ROWS])

    assert set(dag_of_one(partial, dry="true").values()) == {"success"}
    assert strict.received == 0


def test_a_wrong_switch_of_a_mapped_task_is_not_tried_again(run_dag: Callable[..., Any], strict: StrictServer) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactImportOperator

    with DAG("mapped_leftovers", schedule=None) as dag:
        ContactImportOperator.partial(task_id="load", rows=ROWS, retries=2, retry_delay=0).expand(
            patch_leftovers=["no"]
        )
    dag_run = run_dag(dag)
    assert task_states(dag_run) == {"load[0]": "failed"}
    assert [ti.try_number for ti in dag_run.get_task_instances()] == [1]


@pytest.mark.slow
def test_the_decorator_reads_them_too(dag_of_one: Callable[..., Any], strict: StrictServer) -> None:
    from airflow_provider_connectif.decorators.contacts import connectif_patch_task

    def decorated(_: Any) -> None:
        connectif_patch_task(check_only="{{ params.dry }}", task_id="made")(lambda: ROWS)()

    assert set(dag_of_one(decorated, dry="perhaps").values()) == {"failed"}
    assert set(dag_of_one(decorated, dry="y").values()) == {"success"}
    assert strict.received == 0
    assert set(dag_of_one(decorated, dry="n").values()) == {"success"}
    assert strict.received == 1


# Other arguments of a wrong type were taken, and meant something else than was written.
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rows": ROWS, "failure_budget": "0.01"}, "failure_budget must be"),
        ({"rows": ROWS, "max_in_flight": "8"}, "max_in_flight must be"),
        ({"sql": 123, "sql_conn_id": "x"}, "sql must be text, not 123"),
        ({"sql": ["select 1"], "sql_conn_id": "x"}, "sql must be text"),
        ({"sql": "", "sql_conn_id": "x"}, "sql is empty text"),
        ({"sql": "select ?", "sql_conn_id": "x", "parameters": "abc"}, "parameters must be a list"),
        ({"sql": "select 1", "sql_conn_id": 5}, "sql_conn_id must be text"),
        ({"rows": ROWS, "journal_conn_id": True}, "journal_conn_id must be text"),
        ({"rows": ROWS, "key_column": 1}, "key_column must be text"),
        ({"rows": ROWS, "journal_table": 7}, "journal_table must be text"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused(arguments: dict[str, Any], words: str) -> None:
    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    with pytest.raises(ValueError, match=words):
        ContactPatchOperator(task_id="x", **arguments)


# A template that gives nothing made the task run without its journal or its file of rejects, and be green.
@pytest.mark.parametrize("name", ["journal_conn_id", "rejects_path", "sql_conn_id", "key_column"])
@pytest.mark.parametrize("rendered", [None, "", "  ", "None", 5])
def test_a_template_that_gives_nothing_is_no_default(
    name: str, rendered: Any, strict: StrictServer, sqlite_warehouse: Callable[..., None]
) -> None:
    sqlite_warehouse(("email",), [("ana@example.com",)])
    arguments: dict[str, Any] = {"sql": "select * from contacts", "sql_conn_id": "warehouse", name: "{{ params.x }}"}
    end = run_operator(lambda operator: setattr(operator, name, rendered), **arguments)
    assert end.state == "failed"
    assert str(end.error).startswith(f"{name} must be text, but its template gave ")
    assert strict.received == 0


def test_a_journal_that_a_template_leaves_out_ends_a_real_task(
    run_dag: Callable[..., Any], strict: StrictServer
) -> None:
    end: Run = run_in_airflow(run_dag, rows=ROWS, journal_conn_id="{{ params.get('nothing') }}")
    assert (end.state, strict.received) == ("failed", 0)
    assert json.dumps(end.summary["read"]) == "0"
