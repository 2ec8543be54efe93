"""What Connectif has acknowledged, contact by contact, in a SQL database. No Airflow."""
