"""Check all rows in one task, and send them in the next task only if the check succeeds.

The check reads every row, checks it against the account's field definitions, and sends no contact. So a value that
Connectif would reject uses up none of the account's 100 requests a minute. If more rows are refused than
`failure_budget` allows, the check fails, and nothing is sent. Its log shows which columns break which rule, and how
long the run would take.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (any SQL database).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_connectif.operators.contacts import ContactPatchOperator

CONTACTS = {
    "sql": "SELECT email, first_name, last_name, phone, loyalty_tier FROM customers",
    "sql_conn_id": "warehouse",
    "properties": {
        "_name": "first_name",
        "_surname": "last_name",
        "_mobilePhone": "phone",
        "loyalty_tier": "loyalty_tier",
    },
    "default_region": "ES",
    "failure_budget": 0.2,
}

with DAG(
    dag_id="contacts_checked_first",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["connectif", "example"],
):
    check = ContactPatchOperator(task_id="check", check_only=True, **CONTACTS)
    send = ContactPatchOperator(task_id="send", **CONTACTS)
    check >> send
