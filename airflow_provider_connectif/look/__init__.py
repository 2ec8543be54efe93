"""The look of the pages in Airflow, of the sandbox and of the demo. Imports nothing else of the package."""
