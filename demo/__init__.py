"""What ``make demo`` runs: real DAGs in a real Airflow, a warehouse in SQLite, and the sandbox as Connectif."""
