"""What a run leaves in Airflow beside its log and summary: metrics, events of assets, lineage."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_connectif.assets import create_asset
from airflow_provider_connectif.operators import metrics
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from tests.support.strict_server import StrictServer
from tests.support.task_runs import FakeTI, Run, run_in_airflow

ROWS = [{"email": f"p{n}@example.com", "_points": n} for n in range(4)]
INVALID = {"email": "nobody", "_points": 1}


class Recorder:
    """Stands in for Airflow's ``Stats``, whose StatsD client is not installed everywhere."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.times: dict[str, timedelta] = {}
        self.tags: list[Mapping[str, str]] = []

    def incr(self, stat: str, count: int = 1, *, tags: Mapping[str, str]) -> None:
        """Count."""
        self.counts[stat] += count
        self.tags.append(tags)

    def timing(self, stat: str, dt: timedelta, *, tags: Mapping[str, str]) -> None:
        """Measure."""
        self.times[stat] = dt


@pytest.fixture
def stats(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(metrics, "Stats", recorder)
    return recorder


@pytest.mark.slow
def test_the_metrics_are_the_counts_of_the_server(
    strict: StrictServer, run: Callable[..., Run], stats: Recorder
) -> None:
    strict.reset(faults=[{"times": 1, "status": 429, "headers": {"Retry-After": "1"}}])
    end = run(rows=[*ROWS, INVALID], fields="builtin", failure_budget=1)
    assert end.state == "success", end.error
    assert stats.counts == {
        "connectif.runs.success": 1,
        "connectif.requests": 5,
        "connectif.rate_limited": 1,
        "connectif.rows.read": 5,
        "connectif.rows.created": 4,
        "connectif.rows.invalid": 1,
        "connectif.rows.new_refusals": 1,
    }
    assert stats.times["connectif.run_duration"] > timedelta(0)
    assert {(tags["task_id"], tags["sync_id"] != "") for tags in stats.tags} == {("patch", True)}


@pytest.mark.slow
def test_a_failure_that_airflow_tries_again_counts_once(
    strict: StrictServer, run: Callable[..., Run], stats: Recorder
) -> None:
    strict.reset(faults=[{"status": 503}])
    arguments: dict[str, Any] = {"rows": ROWS[:1], "fields": "builtin"}
    assert run(**arguments).state == "up_for_retry"
    assert stats.counts["connectif.runs.failed"] == 1  # the fake task has no retry left
    assert stats.counts["connectif.rows.undelivered"] == 1


@pytest.mark.parametrize(
    ("raised", "retries", "counted"),
    [
        ("RuntimeError", 0, ["failed"]),
        ("RuntimeError", 1, []),
        ("AirflowTaskTimeout", 0, ["failed"]),  # of execution_timeout
        ("AirflowFailException", 1, ["failed"]),
        ("AirflowSkipException", 1, ["skipped"]),
    ],
)
def test_a_run_that_another_error_ends_is_counted(
    strict: StrictServer, airflow_db: None, stats: Recorder, raised: str, retries: int, counted: list[str]
) -> None:
    from airflow.providers.common.compat import sdk

    kind: type[BaseException] = RuntimeError if raised == "RuntimeError" else getattr(sdk, raised)

    def rows() -> Iterator[dict[str, Any]]:
        yield ROWS[0]
        raise kind("nobody knows it")

    operator = ContactPatchOperator(task_id="patch", rows=rows(), fields="builtin")
    with pytest.raises(kind):
        operator.execute({"ti": FakeTI(max_tries=retries)})
    assert [name for name in stats.counts if name.startswith("connectif.runs.")] == [
        f"connectif.runs.{word}" for word in counted
    ]
    assert ("connectif.run_duration" in stats.times) == bool(counted)


@pytest.mark.slow
def test_an_event_of_the_asset_only_where_something_was_delivered(
    strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    asset = create_asset(conn_id="shop")
    end = run_in_airflow(run_dag, rows=[*ROWS, INVALID], fields="builtin", failure_budget=1, outlets=[asset])
    assert end.state == "success"
    assert _events(asset.uri) == [
        {"read": 5, "created": 4, "updated": 0, "invalid": 1, "rejected": 0, "undelivered": 0}
    ]
    assert (
        run_in_airflow(run_dag, rows=[INVALID], fields="builtin", failure_budget=1, outlets=[asset]).state == "success"
    )
    assert len(_events(asset.uri)) == 1


def test_without_the_provider_of_openlineage_there_is_no_lineage_and_no_error() -> None:
    operator = ContactPatchOperator(task_id="patch", sql="SELECT 1", sql_conn_id="nowhere")
    try:
        import airflow.providers.openlineage  # noqa: F401
    except ImportError:
        assert operator.get_openlineage_facets_on_start() is None
        assert operator.get_openlineage_facets_on_failure(None) is None
    else:
        pytest.skip("the provider is installed here")


def _events(uri: str) -> list[dict[str, Any]]:
    import airflow
    from airflow.utils.session import create_session
    from sqlalchemy import text

    three = not airflow.__version__.startswith("2.")
    names = ("asset_event", "asset", "asset_id") if three else ("dataset_event", "dataset", "dataset_id")
    with create_session() as session:
        query = text(
            "SELECT e.extra FROM {} e JOIN {} a ON a.id = e.{} WHERE a.uri = :uri ORDER BY e.id".format(*names)
        )
        found = session.execute(query, {"uri": uri}).scalars().all()
    return [json.loads(extra) if isinstance(extra, str) else extra for extra in found]
