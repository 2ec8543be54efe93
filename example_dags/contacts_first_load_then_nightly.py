"""A first load by import, and then every night a PATCH for each contact that has changed: two ways, one journal.

A million contacts take a week by PATCH, at 100 requests a minute for a whole account; as CSV files they are a handful
of requests. A few thousand changes a night are better off as PATCHes, each of which takes effect at once.

Trigger the DAG once by hand with `{"load": true}`, and after each big change of the source; its schedule does the rest.
Both tasks have the same `sync_id` and the same properties, so the nightly one finds in the journal what the load has
delivered, and sends only what has changed since. The query gives each contact once: of several rows of a contact an
import takes the last one, and by PATCH they would be sent one after the other, every night.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (PostgreSQL, MySQL or SQLite), which
also holds the journal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.imports import ContactImportOperator

CUSTOMERS: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "sql": """
        SELECT email, first_name, last_name, newsletter, points, birth_date
        FROM customers
        WHERE customer_id IN (SELECT max(customer_id) FROM customers GROUP BY lower(trim(email)))
        ORDER BY customer_id
    """,
    "properties": {
        "_name": "first_name",
        "_surname": "last_name",
        "_newsletterSubscriptionStatus": "newsletter",
        "_points": "points",
        "_birthdate": "birth_date",
    },
    "journal_conn_id": "warehouse",
    "sync_id": "customers",
    "failure_budget": 0.15,
}

with DAG(
    dag_id="contacts_first_load_then_nightly",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={"load": False},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["connectif", "example"],
):

    @task.branch
    def choose(params: dict[str, Any] | None = None) -> str:
        """The task that this run is for."""
        return "load" if (params or {})["load"] else "nightly"

    choose() >> [
        ContactImportOperator(
            task_id="load",
            on_existing="update",
            timeout=timedelta(hours=12),  # how long a million contacts take is not documented
            deferrable=True,  # no worker is held while Connectif works
            **CUSTOMERS,
        ),
        ContactPatchOperator(task_id="nightly", **CUSTOMERS),
    ]
