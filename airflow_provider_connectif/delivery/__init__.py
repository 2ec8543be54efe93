"""Changes on their way: one request each, in order, retried, within the quota. No Airflow."""
