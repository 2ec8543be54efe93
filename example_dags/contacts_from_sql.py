"""A table of the warehouse becomes contacts at Connectif, every day.

One SELECT is streamed, row by row, into `PATCH /contacts/{email}`: contacts that do not exist yet are created, the
others updated. A row that cannot be sent, or that Connectif refuses, never holds up the others: it is written, with
the reasons, to the rejects file. The task ends red, after every good row was delivered, when more rows went that way
than `failure_budget` allows.

Connections: `connectif_default` (Connectif, or a local sandbox) and `warehouse` (any SQL database).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_connectif.operators.contacts import ContactPatchOperator

with DAG(
    dag_id="contacts_from_sql",
    schedule="@daily",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    doc_md=__doc__,
    tags=["connectif", "example"],
):
    ContactPatchOperator(
        task_id="deliver_customers",
        sql_conn_id="warehouse",
        # Connectif takes 100 requests a minute, one contact each: of a big table select only what has changed.
        sql="""
            SELECT email, first_name, last_name, phone, birth_date, newsletter, points,
                   city, country, postal_code, loyalty_tier, lifetime_value, last_purchase
            FROM customers
            ORDER BY customer_id
        """,
        key_column="email",
        properties={
            # Connectif's own properties start with an underscore,
            "_name": "first_name",
            "_surname": "last_name",
            "_mobilePhone": "phone",
            "_birthdate": "birth_date",
            "_newsletterSubscriptionStatus": "newsletter",
            "_points": "points",
            # the others are custom fields of the account, by their field id.
            "city": "city",
            "country": "country",
            "postal_code": "postal_code",
            "loyalty_tier": "loyalty_tier",
            "lifetime_value": "lifetime_value",
            "last_purchase": "last_purchase",
        },
        failure_budget=0.15,  # a share of the rows read; a whole number would be a number of rows
        # The Airflow variable may be any path that ObjectStoragePath takes, such as s3://bucket/rejects. The file
        # is personal data.
        rejects_path="{{ var.value.get('connectif_rejects', '/tmp/connectif-rejects') }}/{{ run_id }}.jsonl",
    )
