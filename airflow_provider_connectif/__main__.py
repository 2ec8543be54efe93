"""``python -m airflow_provider_connectif``: the package's own command line, on every version of Airflow."""

from __future__ import annotations

from airflow_provider_connectif.cli.main import main

if __name__ == "__main__":
    main()
