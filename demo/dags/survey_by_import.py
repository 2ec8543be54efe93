"""The answers to a survey become contacts at Connectif by its bulk import: one CSV file instead of many requests.

Connections: ``connectif_default`` and ``warehouse``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task

from airflow_provider_connectif.operators.imports import ContactImportOperator


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
    dag_id="survey_by_import",
    schedule=None,
    start_date=datetime(2026, 3, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
):
    ContactImportOperator(
        task_id="deliver",
        rows=read_survey(),
        failure_budget=3,  # rows
        poll_interval=1,  # seconds; a sandbox is quick, so that the default of 20 would only make the demo wait
    )
