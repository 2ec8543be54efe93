"""Rows from upstream tasks: every form in which Airflow hands them over, and what is none."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.airflow_runs import task_states, xcom
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

pytestmark = pytest.mark.versions

_names = itertools.count(1)


def row(n: int) -> dict[str, Any]:
    return {"email": f"user{n}@example.com", "visits": n}


def _dag(build: Callable[[Any, Callable[..., Any]], Any]) -> Any:
    """A DAG of what ``build`` makes of Airflow's ``task`` decorator and of the operator."""
    from airflow.providers.common.compat.sdk import DAG, task

    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    with DAG(f"sources_{next(_names)}", schedule=None) as dag:
        build(task, ContactPatchOperator)
    return dag


def a_list(task: Any, operator: Any) -> None:
    operator(task_id="patch", rows=task(lambda: [row_in_task(n) for n in range(4)], task_id="rows")())


def a_list_of_lists(task: Any, operator: Any) -> None:
    def pages() -> list[Any]:
        return [[row_in_task(0), row_in_task(1)], [], [row_in_task(2), row_in_task(3)]]

    operator(task_id="patch", rows=task(pages)())


def a_mapped_task_that_returns_lists(task: Any, operator: Any) -> None:
    def pages(page: int) -> list[Any]:
        return [row_in_task(2 * page), row_in_task(2 * page + 1)]

    operator(task_id="patch", rows=task(pages).expand(page=[0, 1]))


def a_mapped_task_that_returns_rows(task: Any, operator: Any) -> None:
    operator(task_id="patch", rows=task(row_in_task).expand(n=[0, 1, 2, 3]))


def two_tasks(task: Any, operator: Any) -> None:
    first = task(lambda: [row_in_task(0), row_in_task(1)], task_id="first")()
    second = task(lambda: [row_in_task(2), row_in_task(3)], task_id="second")()
    operator(task_id="patch", rows=[first, second])


def a_key_of_an_xcom(task: Any, operator: Any) -> None:
    def sorted_out() -> dict[str, Any]:
        return {"good": [row_in_task(n) for n in range(4)], "bad": []}

    operator(task_id="patch", rows=task(sorted_out, multiple_outputs=True)()["good"])


def expanded_over_rows(task: Any, operator: Any) -> None:
    made = task(lambda: [row_in_task(n) for n in range(4)], task_id="rows")()
    operator.partial(task_id="patch").expand(rows=made)


def expanded_over_lists(task: Any, operator: Any) -> None:
    def pages() -> list[Any]:
        return [[row_in_task(0), row_in_task(1)], [row_in_task(2), row_in_task(3)]]

    operator.partial(task_id="patch").expand(rows=task(pages)())


def expanded_over_something_else(task: Any, operator: Any) -> None:
    made = task(lambda: [row_in_task(n) for n in range(4)], task_id="rows")()
    operator.partial(task_id="patch", rows=made).expand(max_in_flight=[1])


def a_literal(task: Any, operator: Any) -> None:
    operator(task_id="patch", rows=[row_in_task(n) for n in range(4)])


def row_in_task(n: int) -> dict[str, Any]:
    return row(n)


FORMS = {
    a_list: 1,
    a_list_of_lists: 1,
    a_mapped_task_that_returns_lists: 1,
    a_mapped_task_that_returns_rows: 1,
    two_tasks: 1,
    a_key_of_an_xcom: 1,
    expanded_over_rows: 4,
    expanded_over_lists: 2,
    expanded_over_something_else: 1,
    a_literal: 1,
}
"""How many instances of the operator run."""


@pytest.mark.sampled(1)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_rows_arrive_in_every_form_that_airflow_hands_over(
    form: Callable[..., Any], strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    dag = _dag(form)
    dag_run = run_dag(dag)
    assert strict.contacts == {f"user{n}@example.com": {"visits": n} for n in range(4)}
    patches = [task_id for task_id in task_states(dag_run) if task_id.startswith("patch")]
    assert len(patches) == FORMS[form]
    indexes = [-1] if patches == ["patch"] else range(FORMS[form])
    assert sum(xcom(dag_run, "patch", "summary", index)["read"] for index in indexes) == 4
    upstream = {task_id for task_id in dag.task_ids if task_id != "patch"}
    assert dag.get_task("patch").upstream_task_ids == upstream


@pytest.mark.parametrize("many", [False, True])
def test_mapped_tasks_wait_for_the_tasks_that_make_their_rows(many: bool) -> None:
    def mapped(task: Any, operator: Any) -> None:
        made = [task(lambda: [row_in_task(0)], task_id=f"rows_{n}")() for n in range(2)]
        partial = operator.partial(task_id="patch", rows=made if many else made[0])
        partial.expand_kwargs([{"max_in_flight": 1}]) if many else partial.expand(max_in_flight=[1])

    waits_for = {"rows_0", "rows_1"} if many else {"rows_0"}
    assert _dag(mapped).get_task("patch").upstream_task_ids == waits_for


def test_rows_are_neither_rendered_nor_serialized(strict: StrictServer, run_dag: Callable[..., Any]) -> None:
    import airflow
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    dag_run = run_dag(_dag(a_literal))
    with create_session() as session:
        of_dag = RenderedTaskInstanceFields.dag_id == dag_run.dag_id
        rendered = session.scalars(select(RenderedTaskInstanceFields.rendered_fields).where(of_dag)).all()
        serialized = session.scalars(
            select(SerializedDagModel).where(SerializedDagModel.dag_id == dag_run.dag_id)
        ).all()
        assert serialized or airflow.__version__ < "3"  # whose dag.test() writes neither
        assert "example.com" not in json.dumps([rendered, [dag.data for dag in serialized]])


class FrameLike:
    """Iterates over the names of its columns, as a DataFrame does."""

    def __iter__(self) -> Iterator[str]:
        return iter(["email", "visits"])


# Rows that are none, and what the error must say to help.
NO_ROWS: dict[str, tuple[Any, str]] = {
    "tuples": ([("user@example.com", 1)], "sql= and sql_conn_id="),
    "lists of values": ([["user@example.com", 1]], "sql= and sql_conn_id="),
    "a DataFrame": (FrameLike(), "to_dict('records')"),
    "text": ("user@example.com", "not of type str"),
    "bytes": (b"user@example.com", "not of type bytes"),
    "a number": (7, "not of type int"),
    "a list of text": (["user@example.com"], "row 1 is a str"),
}


@pytest.mark.parametrize("name", NO_ROWS)
def test_what_are_no_rows_fails_for_good_and_says_how_to_mend_it(
    name: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    rows, words = NO_ROWS[name]
    end = run(rows=rows)
    assert end.state == "failed"
    assert words in str(end.error)
    assert "user@example.com" not in str(end.error)
    assert strict.received == 0


@pytest.mark.slow
def test_an_upstream_task_that_pushed_nothing_is_told_apart_from_no_rows(
    strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    def nothing(task: Any, operator: Any) -> None:
        operator(task_id="patch", rows=task(lambda: None, task_id="rows")())

    def no_rows(task: Any, operator: Any) -> None:
        def rows() -> list[Any]:
            return []

        operator(task_id="patch", rows=task(rows)())

    assert task_states(run_dag(_dag(nothing)))["patch"] == "failed"
    dag_run = run_dag(_dag(no_rows))
    assert task_states(dag_run)["patch"] == "success"
    assert xcom(dag_run, "patch", "summary")["read"] == 0
    assert strict.received == 0


ITERABLES: dict[str, Callable[[], Any]] = {
    "a generator": lambda: (row(n) for n in range(1500)),
    "a generator of pages": lambda: ([row(n), row(n + 1)] for n in range(0, 1500, 2)),
    "an iterator": lambda: iter([row(n) for n in range(1500)]),
    "a tuple of rows": lambda: tuple(row(n) for n in range(1500)),
    "values of a dict": lambda: {n: row(n) for n in range(1500)}.values(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ITERABLES)
def test_any_iterable_of_rows_will_do(name: str, strict: StrictServer, run: Callable[..., Run]) -> None:
    end = run(rows=ITERABLES[name]())
    assert (end.state, end.summary["created"], len(strict.contacts)) == ("success", 1500, 1500)


def test_a_mapping_that_does_not_fit_fails_before_anything_is_sent(
    strict: StrictServer, run: Callable[..., Run]
) -> None:
    end = run(rows=[{"email": "user@example.com", "_nmae": "Ana", "_createdAt": "2026-01-01"}])
    assert end.state == "failed"
    assert 'column "_nmae" is no property of Connectif' in str(end.error)
    assert 'did you mean "_name"?' in str(end.error)
    assert 'column "_createdAt" is read-only' in str(end.error)
    assert strict.received == 0
