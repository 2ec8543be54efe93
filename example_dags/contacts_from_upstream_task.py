"""Send the rows that an upstream task returns as contacts to Connectif.

Use this if no SELECT returns the rows, for example for rows from an API, a file or a computation. Here a task reads the
answers of a survey. It returns a list of dicts, and the operator gets this list as `rows`. Each key except `email` is
the id of a Connectif property, so no mapping is needed.

The rows go through Airflow's XCom, which is good for up to about 10,000 rows. For more rows, let the operator read them
itself, as in `contacts_from_sql`.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (any SQL database).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task

from airflow_provider_connectif.operators.contacts import ContactPatchOperator


# By default Airflow logs the return value of a task, here every contact.
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
        failure_budget=3,  # an int is a number of rows; a share of the rows would be a float, such as 0.05
    )
