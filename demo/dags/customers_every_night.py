"""A table of the warehouse becomes contacts at Connectif, and after the first night only what changed is sent.

As ``example_dags/contacts_from_sql.py``, with a journal: what Connectif has acknowledged, contact by contact. It makes
the second night cheap, and lets a killed task continue where it stopped.

Connections: ``connectif_default``, ``warehouse`` and ``journal`` (PostgreSQL, MySQL or SQLite).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_connectif.operators.contacts import ContactPatchOperator

with DAG(
    dag_id="customers_every_night",
    schedule="@daily",
    start_date=datetime(2026, 3, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
):
    ContactPatchOperator(
        task_id="deliver",
        sql_conn_id="warehouse",
        sql="""
            SELECT email, first_name, last_name, phone, birth_date, newsletter, points,
                   city, country, postal_code, loyalty_tier, lifetime_value, last_purchase
            FROM customers
            ORDER BY customer_id
        """,
        properties={
            "_name": "first_name",
            "_surname": "last_name",
            "_mobilePhone": "phone",
            "_birthdate": "birth_date",
            "_newsletterSubscriptionStatus": "newsletter",
            "_points": "points",
            "city": "city",
            "country": "country",
            "postal_code": "postal_code",
            "loyalty_tier": "loyalty_tier",
            "lifetime_value": "lifetime_value",
            "last_purchase": "last_purchase",
        },
        journal_conn_id="journal",
        sync_id="customers",
        failure_budget=0.15,
        rejects_path="{{ var.value.connectif_rejects }}/{{ ts_nodash }}.jsonl",
    )
