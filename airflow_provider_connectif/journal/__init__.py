"""The journal: what Connectif has acknowledged, contact by contact, in a SQL database. No Airflow."""
