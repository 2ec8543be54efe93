"""Keep the contacts at Connectif equal to a table: send new rows and changes, and unsubscribe contacts that left.

If a person's row is no longer in the table, the person is unsubscribed from the newsletter, and the contact stays. The
task does this only if it is certain that the row has left: the table was read to its end, and earlier runs have found
the row with the same SQL. If more than five percent of the contacts left, or more than half of the rows are gone, the
task fails before it sends anything. `guards_off` in the run's configuration lets the run pass.

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
        # Select all customers, not only those that changed: a customer who is not in the result counts as left.
        sql="SELECT email, first_name, last_name, loyalty_tier FROM customers ORDER BY customer_id",
        properties={"_name": "first_name", "_surname": "last_name", "loyalty_tier": "loyalty_tier"},
        journal_conn_id="journal",
        on_removed={"_newsletterSubscriptionStatus": "unsubscribed"},
        guards_off="{{ params.guards_off }}",
        failure_budget=0.15,
    )
