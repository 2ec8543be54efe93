"""Contacts at Connectif are kept equal to a table: new rows, changes, and rows that are not there any more.

Who leaves the table is unsubscribed from the newsletter and stays a contact. That happens only where it is certain: the
table was read to its end, and the run before has seen the contact with the same SQL. If more than five percent left, or
half of the rows are gone, the task fails before anything is sent; `guards_off` in the run's configuration lets it pass.

Connections: `connectif_default` (Connectif, or a local sandbox), `warehouse` (any SQL database) and `journal`
(PostgreSQL, MySQL or SQLite).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_connectif.operators.contacts import ContactSyncOperator

with DAG(
    dag_id="contacts_kept_equal",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    params={"guards_off": False},
    doc_md=__doc__,
    tags=["connectif", "example"],
):
    ContactSyncOperator(
        task_id="keep_customers",
        sql_conn_id="warehouse",
        # All customers, and not those that changed: who is not in the result has left.
        sql="SELECT email, first_name, last_name, loyalty_tier FROM customers ORDER BY customer_id",
        properties={"_name": "first_name", "_surname": "last_name", "loyalty_tier": "loyalty_tier"},
        journal_conn_id="journal",
        on_removed={"_newsletterSubscriptionStatus": "unsubscribed"},
        guards_off="{{ params.guards_off }}",
        failure_budget=0.15,
    )
