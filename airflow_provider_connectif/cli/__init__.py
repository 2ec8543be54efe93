"""The command line: ``airflow connectif`` from Airflow 3.2 on, on every version the package as a module."""
