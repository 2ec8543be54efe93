"""One table, delivered partition by partition: a mapped task for each region.

Each partition has its own log, counts, retries and failure budget, so that a bad region is seen, and cleared, on its
own. It is not faster: Connectif allows 100 requests a minute for the whole account, however many tasks share them.

The tasks need no lock and no pool for that. The headers of each response say how many requests the account has left in
the window, and every task goes by them: a task sees what the others have used with its next response. When two tasks
send the last request of a window at once, one of them gets a 429, waits for the next window and sends again.

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
        # SQLite's way to write a parameter; PostgreSQL and MySQL have %(region)s.
        sql="""
            SELECT email, first_name, last_name, points
            FROM customers
            WHERE region = :region
            ORDER BY customer_id
        """,
        properties={"_name": "first_name", "_surname": "last_name", "_points": "points"},
        failure_budget=0.2,
        # A file for each of the mapped tasks: they would overwrite one another's.
        rejects_path="{{ var.value.get('connectif_rejects', '/tmp/connectif-rejects') }}"
        "/{{ run_id }}-{{ ti.map_index }}.jsonl",
        max_active_tis_per_dag=2,  # more would only hold workers that wait for the same window
    ).expand(parameters=[{"region": region} for region in REGIONS])
