"""Contacts: field definitions, mapping, rules of values, consents, identity. Imports no Airflow."""
