"""Send the rows of a table in the warehouse as contacts to Connectif, every day.

The task reads one SELECT and then sends `PATCH /contacts/{email}` for each contact. Connectif creates contacts that do
not exist yet, and updates the others. If a row is invalid, or Connectif rejects it, the task writes it to the rejects
file, with the reasons, and sends all other rows. If more rows are refused than `failure_budget` allows, the task fails
after every good row was delivered.

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
        # Connectif allows 100 requests a minute, each for one contact. From a big table, select only what has changed.
        sql="""
            SELECT email, first_name, last_name, phone, birth_date, newsletter, points,
                   city, country, postal_code, loyalty_tier, lifetime_value, last_purchase
            FROM customers
            ORDER BY customer_id
        """,
        key_column="email",
        properties={
            # The ids of Connectif's own properties start with an underscore.
            "_name": "first_name",
            "_surname": "last_name",
            "_mobilePhone": "phone",
            "_birthdate": "birth_date",
            "_newsletterSubscriptionStatus": "newsletter",
            "_points": "points",
            # All other properties are custom fields of the account, named by their field id.
            "city": "city",
            "country": "country",
            "postal_code": "postal_code",
            "loyalty_tier": "loyalty_tier",
            "lifetime_value": "lifetime_value",
            "last_purchase": "last_purchase",
        },
        failure_budget=0.15,  # a float is a share of the rows; an int would be a number of rows
        # The Airflow variable may be any path that ObjectStoragePath supports, such as s3://bucket/rejects. The file
        # contains personal data.
        rejects_path="{{ var.value.get('connectif_rejects', '/tmp/connectif-rejects') }}/{{ run_id }}.jsonl",
    )
