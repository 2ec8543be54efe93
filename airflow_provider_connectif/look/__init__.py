"""The look of the pages in Airflow, of the sandbox and of the demo. It imports no other module of the package."""
