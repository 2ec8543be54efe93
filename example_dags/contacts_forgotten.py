"""Forget people who asked for it.

The task deletes these people at Connectif and in every sync of the journal. No later run with this journal sends them
again. If the statement returns more than `max_deleted` people, for example because its `WHERE` is missing, the task
fails before it deletes anybody.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (any SQL database; PostgreSQL, MySQL or
SQLite for the journal).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_connectif.operators.contacts import ContactDeleteOperator

with DAG(
    dag_id="contacts_forgotten",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["connectif", "example"],
):
    ContactDeleteOperator(
        task_id="forget",
        sql_conn_id="warehouse",
        sql="""
            SELECT email
            FROM customers
            WHERE customer_id = 1
        """,
        journal_conn_id="warehouse",
        max_deleted=10,
    )
