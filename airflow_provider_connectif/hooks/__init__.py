"""The hook for connections to Connectif, and the form of these connections in Airflow's UI."""
