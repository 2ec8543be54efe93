"""A DAG on a schedule."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.deployment import Connectif, Deployment
from tests.e2e.deployment.airflow import ENDED
from tests.e2e.stage import Stage, held

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
COUNT = 90


def test_catch_up_over_three_intervals(
    deployment: Deployment, stage: Stage, connectif: Connectif, measured: Callable[..., None]
) -> None:
    """Three intervals lie in the past: three runs, in order, each with the rows of its own day, none twice."""
    stage.fill(COUNT)
    stage.write_dag(
        """
        ContactPatchOperator(
            task_id="contacts",
            sql=SQL + " where day >= '{{ data_interval_start }}' and day < '{{ data_interval_end }}'",
            journal_conn_id="journal",
            **TARGET,
        )
        """,
        # From Airflow 3 on a cron expression alone makes intervals of no length.
        schedule="CronDataIntervalTimetable('@daily', timezone='UTC')",
        end_date="datetime(2026, 1, 3, tzinfo=UTC)",
        catchup="True",
        max_active_runs="1",
    )

    deployment.wait_until(
        lambda: [state in ENDED for state in deployment.metadata.runs(stage.name).values()] == [True] * len(DAYS),
        120,
        "three runs end",
    )

    runs = deployment.metadata.runs(stage.name)
    assert list(runs.values()) == ["success"] * len(DAYS)
    begun = "select run_id, data_interval_start::date::text from dag_run where dag_id = %s order by start_date"
    assert deployment.metadata.query(begun, (stage.name,)) == list(zip(runs, DAYS, strict=True))
    summaries = [deployment.summary(stage.task(run_id, "contacts")) for run_id in runs]
    assert [summary["created"] for summary in summaries] == [COUNT // len(DAYS)] * len(DAYS)
    assert connectif.answers() == {"201": COUNT}
    assert held(connectif) == stage.source()
    measured(runs=len(runs), requests=COUNT)
