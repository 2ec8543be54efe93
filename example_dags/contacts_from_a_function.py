"""Send contacts that a Python function yields row by row. One process makes and sends the rows, without XCom."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

with DAG(
    "contacts_from_a_function",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    doc_md=__doc__,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
):

    @task.connectif_patch(properties={"_name": "name", "_points": "points"}, fields="builtin", failure_budget=0.01)
    def members(first: int, last: int) -> Iterator[dict[str, Any]]:
        for number in range(first, last + 1):
            yield {"email": f"member{number}@example.com", "name": f"Member {number}", "points": number * 10}

    members(1, 50)
