"""Contacts as CSV files for Connectif's bulk import, and the error reports that come back. No Airflow, no HTTP."""
