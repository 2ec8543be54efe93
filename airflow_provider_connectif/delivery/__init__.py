"""Delivery by request: one request for each change, in order, with retries, within the quota. No Airflow."""
