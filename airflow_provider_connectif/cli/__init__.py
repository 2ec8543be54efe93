"""The command line: ``python -m airflow_provider_connectif``, and from Airflow 3.2 on also ``airflow connectif``."""
