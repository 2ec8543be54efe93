"""What others can see of a run while it is under way: the task state store, and XCom while the task is deferred."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow
import pytest
from packaging.version import Version

from airflow_provider_connectif.operators.task_state import PROGRESS_KEY
from airflow_provider_connectif.reporting import progress
from tests.support.airflow_runs import task_states
from tests.support.journals import deliver, journal_database
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run


class StateStore(dict[str, Any]):
    """As Airflow's task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@pytest.mark.slow
@pytest.mark.skipif(Version(airflow.__version__) < Version("3.3"), reason="Airflow has no task state store before")
def test_the_task_state_store_has_the_progress_while_the_task_runs(
    run_dag: Callable[..., Any], strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.common.compat.sdk import DAG, task

    monkeypatch.setattr(progress, "PUBLISH_EVERY_S", 0.0)
    seen: list[Any] = []

    with DAG("live_progress", schedule=None, default_args={"retries": 0}) as dag:

        @task.connectif_patch(fields="builtin", check_only=True)
        def contacts(task_state_store: Any) -> Iterator[dict[str, Any]]:
            for n in range(3000):
                seen.append(task_state_store.get(PROGRESS_KEY)) if n == 2999 else None
                yield {"email": f"user{n}@example.com", "visits": n}

        @task
        def afterwards(task_state_store: Any) -> None:
            seen.append(task_state_store.get(PROGRESS_KEY))

        contacts() >> afterwards()

    assert task_states(run_dag(dag)) == {"contacts": "success", "afterwards": "success"}
    while_running, of_the_next_task = seen
    assert 0 < while_running["read"] < 3000
    assert while_running["pending"] is None  # the plan is not complete
    assert of_the_next_task is None


@pytest.fixture
def night(
    strict: StrictServer, connection: Callable[..., None], airflow_db: None, request: pytest.FixtureRequest
) -> Callable[..., Run]:
    """Deliver 70 contacts, with a store of the progress."""
    journal_database("sqlite", request)
    connection("connectif_default", **strict.connection(timeout=10))
    rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(70)]
    options: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.2), "rows": rows}
    return lambda store, **more: deliver("night", more_context={"task_state_store": store}, **options, **more)


def test_while_a_task_is_deferred_others_see_what_is_pending_and_when_it_ends(
    night: Callable[..., Run], strict: StrictServer
) -> None:
    strict.reset(limit=20, window_s=60.0, headers="fraction")
    store = StateStore()
    run = night(store)
    assert (run.state, run.summary["pending"]) == ("deferred", 50)
    left = datetime.fromisoformat(run.summary["predicted_end"]) - datetime.now(UTC)
    # Three more windows: the one that is waited for, and two minutes.
    assert timedelta(minutes=2) < left <= timedelta(minutes=3, seconds=1)
    kept = store[PROGRESS_KEY]
    assert (kept["read"], kept["delivered"], kept["pending"]) == (70, 20, 50)
    assert kept["predicted_end"] == run.summary["predicted_end"]
    assert "example.com" not in json.dumps(kept)


def test_after_the_end_nothing_is_predicted_any_more(night: Callable[..., Run], strict: StrictServer) -> None:
    strict.reset(limit=40, window_s=2.0, headers="fraction")
    store = StateStore()
    assert "pending" in night(store).summary
    until(lambda: time.time() > strict.windows[-1]["ends"])
    run = night(store, method="execute_complete")
    assert run.state == "success"
    assert "pending" not in run.summary
    assert store == {}
