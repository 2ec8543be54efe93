"""Airflow's SQL connections as sources of rows and as places for the journal."""
