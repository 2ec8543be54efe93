"""How the pages look: shared by the page in Airflow, the page of the sandbox and the demo. Imports nothing else."""
