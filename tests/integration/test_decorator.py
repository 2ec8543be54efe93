"""``@task.connectif_patch``: rows of a function, made and sent in one process by a real Airflow."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.airflow_runs import task_states, xcom
from tests.support.journals import journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import FakeTI

pytestmark = pytest.mark.versions
_names = itertools.count(1)


def made(count: int) -> Iterator[dict[str, Any]]:
    for n in range(count):
        yield {"email": f"user{n}@example.com", "visits": n}


@pytest.fixture
def run(run_dag: Callable[..., Any]) -> Callable[..., Any]:
    """Run a DAG that ``build`` fills; returns the DagRun."""

    def _run(build: Callable[[], Any]) -> Any:
        from airflow.providers.common.compat.sdk import DAG

        with DAG(f"decorated_{next(_names)}", schedule=None, default_args={"retries": 0}) as dag:
            build()
        return run_dag(dag)

    return _run


def test_a_generators_rows_are_delivered_and_none_is_in_xcom(run: Callable[..., Any], strict: StrictServer) -> None:
    from airflow.providers.common.compat.sdk import task

    @task.connectif_patch(fields="builtin")
    def contacts() -> Iterator[dict[str, Any]]:
        yield from made(30)

    dag_run = run(contacts)

    assert task_states(dag_run) == {"contacts": "success"}
    assert strict.contacts == {f"user{n}@example.com": {"visits": n} for n in range(30)}
    assert xcom(dag_run, "contacts")["created"] == 30
    assert xcom(dag_run, "contacts") == xcom(dag_run, "contacts", "summary")


@pytest.mark.slow
def test_what_an_upstream_task_says_and_the_context_reach_the_function(
    run: Callable[..., Any], strict: StrictServer
) -> None:
    from airflow.providers.common.compat.sdk import task

    @task
    def how_many() -> int:
        return 7

    @task.connectif_patch(fields="builtin")
    def contacts(count: int, run_id: str) -> list[dict[str, Any]]:
        return [row | {"tier": run_id} for row in made(count)]

    dag_run = run(lambda: contacts(how_many()))

    assert task_states(dag_run) == {"how_many": "success", "contacts": "success"}
    assert {contact["tier"] for contact in strict.contacts.values()} == {dag_run.run_id}
    assert len(strict.contacts) == 7


@pytest.mark.slow
def test_the_function_is_asked_for_no_rows_where_none_can_be_sent(
    run: Callable[..., Any], strict: StrictServer
) -> None:
    from airflow.providers.common.compat.sdk import task

    strict.update(fields_fault={"status": 401})
    asked: list[int] = []

    @task.connectif_patch(fields="live")
    def contacts() -> Iterator[dict[str, Any]]:
        asked.append(1)
        yield from made(3)

    assert task_states(run(contacts)) == {"contacts": "failed"}
    assert asked == []


@pytest.mark.slow
def test_the_function_is_asked_for_all_its_rows_before_the_first_is_sent(
    run: Callable[..., Any], strict: StrictServer
) -> None:
    from airflow.providers.common.compat.sdk import task

    received: list[int] = []

    @task.connectif_patch(fields="builtin")
    def contacts() -> Iterator[dict[str, Any]]:
        yield from made(1300)
        received.append(strict.received)

    assert task_states(run(contacts)) == {"contacts": "success"}
    assert (received, len(strict.contacts)) == ([0], 1300)


def test_an_annotation_of_the_rows_makes_no_xcoms_of_the_summary(run: Callable[..., Any], strict: StrictServer) -> None:
    from airflow.providers.common.compat.sdk import task

    @task.connectif_patch(fields="builtin")
    def contacts() -> dict[str, Any]:
        return {"email": "ana@example.com", "visits": 1}

    dag_run = run(contacts)

    assert xcom(dag_run, "contacts")["created"] == 1
    assert xcom(dag_run, "contacts", "created") is None


@pytest.mark.slow
def test_mapped_over_partitions_each_with_its_own_rows(run: Callable[..., Any], strict: StrictServer) -> None:
    from airflow.providers.common.compat.sdk import task

    @task.connectif_patch(fields="builtin")
    def contacts(part: int) -> Iterator[dict[str, Any]]:
        yield {"email": f"part{part}@example.com", "visits": part}

    dag_run = run(lambda: contacts.expand(part=[1, 2, 3]))

    assert task_states(dag_run) == {f"contacts[{n}]": "success" for n in range(3)}
    assert {contact["visits"] for contact in strict.contacts.values()} == {1, 2, 3}


@pytest.mark.slow
def test_over_a_deferral_the_function_is_called_once(
    run: Callable[..., Any], strict: StrictServer, connection: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    from airflow.providers.common.compat.sdk import task

    journal_database("sqlite", request)
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=20, window_s=3.0, headers="fraction")
    calls: list[int] = []

    @task.connectif_patch(
        fields="builtin", journal_conn_id="journal", deferrable=True, defer_after=timedelta(seconds=0.5)
    )
    def contacts() -> Iterator[dict[str, Any]]:
        calls.append(1)
        yield from made(50)

    dag_run = run(contacts)

    assert task_states(dag_run) == {"contacts": "success"}
    assert len(strict.contacts) == strict.requests == 50
    assert xcom(dag_run, "contacts")["deferrals"] >= 2
    assert calls == [1]


def test_rows_from_elsewhere_are_refused_when_the_dag_is_parsed(run: Callable[..., Any]) -> None:
    from airflow.providers.common.compat.sdk import task

    @task.connectif_patch(sql="select 1", sql_conn_id="warehouse")
    def contacts() -> list[dict[str, Any]]:
        return []

    with pytest.raises(ValueError, match="leave out sql"):
        run(contacts)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("count", [0, 3, 1000, 1300])
@pytest.mark.parametrize("journal", [None, "journal"])
def test_a_function_that_fails_leaves_nothing_sent(
    count: int,
    journal: str | None,
    run: Callable[..., Any],
    strict: StrictServer,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from airflow.providers.common.compat.sdk import task

    caplog.set_level("INFO")
    if journal:
        journal_database("sqlite", request)

    @task.connectif_patch(fields="builtin", journal_conn_id=journal)
    def contacts() -> Iterator[dict[str, Any]]:
        yield from made(count)
        raise RuntimeError("the source broke")

    dag_run = run(contacts)

    assert task_states(dag_run) == {"contacts": "failed"}
    assert (strict.received, strict.contacts) == (0, {})
    summary = xcom(dag_run, "contacts", "summary")
    assert (summary["read"], summary["created"], summary["undelivered"]) == (count, 0, count)
    logged = "".join((*capfd.readouterr(), caplog.text))
    assert re.search(rf"Failed: {count:,} rows read, 0 delivered", logged)
    assert "the source broke" in logged


def test_a_function_without_a_return_is_told_so(strict: StrictServer) -> None:
    from airflow.providers.common.compat.sdk import DAG, AirflowFailException, task

    @task.connectif_patch(fields="builtin")
    def contacts() -> None:
        list(made(3))

    with DAG(f"decorated_{next(_names)}", schedule=None):
        operator = contacts().operator
    with pytest.raises(
        AirflowFailException, match=r"^contacts\(\) returned nothing: it must return its rows, or yield"
    ):
        operator.execute({"ti": FakeTI()})
    assert strict.received == 0
