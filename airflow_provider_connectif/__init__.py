"""Apache Airflow provider for Connectif: contacts from the data warehouse to marketing automation."""

from __future__ import annotations

__version__ = "0.1.0"
