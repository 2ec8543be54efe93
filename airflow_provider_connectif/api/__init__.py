"""The Connectif HTTP API: client, rate limit and errors. Imports no Airflow."""
