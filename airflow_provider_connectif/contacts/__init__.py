"""From rows to delivered contacts: fields, mapping, response policy, delivery, summary. Imports no Airflow."""
