"""Deliver a table in partitions: a mapped task for each region.

Each mapped task has its own log, counts, retries and failure budget. So a region with a fault is visible, and can be
cleared, by itself. Several tasks are not faster than one: Connectif allows 100 requests a minute for the whole account,
however many tasks share them.

The tasks share the rate limit without a lock and without a pool. The headers of each response show a task how many
requests the account has left in the window, whichever task has used the others. If two tasks send the last request of a
window at the same time, one task gets a 429, waits for the next window and sends the request again.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (any SQL database).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_connectif.operators.contacts import ContactPatchOperator

REGIONS = ("africa", "americas", "asia", "europe", "oceania")

with DAG(
    dag_id="contacts_mapped_over_partitions",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["connectif", "example"],
):
    ContactPatchOperator.partial(
        task_id="deliver_region",
        sql_conn_id="warehouse",
        # :region is the form for SQLite. For PostgreSQL and MySQL, write %(region)s.
        sql="""
            SELECT email, first_name, last_name, points
            FROM customers
            WHERE region = :region
            ORDER BY customer_id
        """,
        properties={"_name": "first_name", "_surname": "last_name", "_points": "points"},
        failure_budget=0.2,
        # Each mapped task needs its own file. Otherwise they would overwrite the same file.
        rejects_path="{{ var.value.get('connectif_rejects', '/tmp/connectif-rejects') }}"
        "/{{ run_id }}-{{ ti.map_index }}.jsonl",
        max_active_tis_per_dag=2,  # more tasks would only hold workers while they wait for the same window
    ).expand(parameters=[{"region": region} for region in REGIONS])
