"""Airflow's SQL connections as sources of rows and as homes of the journal."""
