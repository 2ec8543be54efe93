"""Changes on their way: one request a contact, in order, retried, within the quota. No Airflow."""
