"""The command line: ``airflow connectif`` from Airflow 3.2 on, and on every version ``python -m`` with the package."""
