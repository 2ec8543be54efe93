"""The DAG's author decides what a response leads to.

By default a row that Connectif refuses counts against `failure_budget`. Here the refusals named in `on_response` are
nobody's fault: those rows are left out, counted as skipped, and the task stays green.

A key is a status (`422`), a class of statuses (`"5xx"`), an error code of Connectif's (`"E0401"`) or `"no_answer"`. An
action is one of

- `accept`: the contact counts as delivered;
- `skip`: leave the row out, not a failure;
- `reject`: leave the row out, and count it against `failure_budget`;
- `retry`: send the row again, after a growing delay;
- `fail`: end the task at once, red and without a retry by Airflow;
- `skip_task`: end the task at once, as skipped.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (any SQL database).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_connectif.operators.contacts import ContactPatchOperator

with DAG(
    dag_id="contacts_skip_on_codes",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["connectif", "example"],
):
    ContactPatchOperator(
        task_id="deliver_newsletter",
        sql_conn_id="warehouse",
        sql="""
            SELECT email, newsletter
            FROM customers
            WHERE email LIKE '%@%'
            ORDER BY customer_id
        """,
        properties={"_newsletterSubscriptionStatus": "newsletter"},
        on_response={
            400: "skip",  # an address that Connectif does not take
            404: "skip",
            422: "skip",  # a contact or a value that Connectif refuses
            403: "skip_task",  # the account is blocked, or the key may not write: no delivery today
        },
        failure_budget=10,
    )
