"""The rows that an upstream task returns become contacts at Connectif.

For rows that no SELECT gives: out of an API, a file, a computation. Here a task reads the answers of a survey and takes
them apart. It returns a list of dictionaries, and the operator takes its output as `rows`. Each key but `email` is the
id of the Connectif property that it fills, so no mapping is needed.

Up to some 10,000 rows travel well like this, through Airflow's XCom. For more, let the operator read them itself, as in
`contacts_from_sql`.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (any SQL database).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task

from airflow_provider_connectif.operators.contacts import ContactPatchOperator


# Without the switch Airflow writes what a task returns, here every contact, into the task's log.
@task(show_return_value_in_logs=False)
def read_survey() -> list[dict[str, Any]]:
    """Return a row for each answer: `email`, `interests` (a list of option ids) and `vip` (a boolean)."""
    answers = BaseHook.get_hook("warehouse").get_records("SELECT email, interests, vip FROM survey_answers")
    return [
        {"email": email, "interests": interests.split("|") if interests else [], "vip": bool(vip)}
        for email, interests, vip in answers
    ]


with DAG(
    dag_id="contacts_from_upstream_task",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["connectif", "example"],
):
    ContactPatchOperator(
        task_id="deliver_answers",
        rows=read_survey(),
        failure_budget=3,  # rows; a share of the rows read would be a float, such as 0.05
    )
