"""Contacts as CSV files for Connectif's bulk import, and its error reports. No Airflow, no HTTP."""
