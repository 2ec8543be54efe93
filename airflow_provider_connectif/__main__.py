"""``python -m airflow_provider_connectif``: the command line without Airflow's own, on every version of Airflow."""

from __future__ import annotations

from airflow_provider_connectif.cli.main import main

if __name__ == "__main__":
    main()
