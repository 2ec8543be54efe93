"""Decide with `on_response` what the task does after a response.

By default a row that Connectif rejects counts against `failure_budget`. Here the responses in `on_response` are not
failures: their rows are left out and counted as skipped, and the task succeeds.

A key is a status (`422`), a class of statuses (`"5xx"`), an error code of Connectif (`"E0401"`), or `"no_answer"` for
no response. The actions are:

- `accept`: count the contact as delivered.
- `skip`: leave the row out; this is not a failure.
- `reject`: leave the row out, and count it against `failure_budget`.
- `retry`: send the row again, after a growing delay.
- `fail`: end the task at once as failed, without a retry by Airflow.
- `skip_task`: end the task at once as skipped.

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
            400: "skip",  # an address that Connectif does not accept
            404: "skip",
            422: "skip",  # a contact or a value that Connectif rejects
            403: "skip_task",  # the account is blocked, or the key may not write contacts: deliver nothing today
        },
        failure_budget=10,
    )
