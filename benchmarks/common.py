"""What the benchmarks share: a throw-away Airflow home, connections, and figures with their goals."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

# Before the first import of Airflow, which reads its settings once.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="connectif-benchmark-"))
os.environ.update(
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR",
    NO_PROXY="127.0.0.1,localhost",
)


def define_connection(conn_id: str, **fields: Any) -> None:
    """Define an Airflow connection for this process."""
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


class Figures:
    """Prints figures as they come, and knows in the end whether all goals were met."""

    def __init__(self) -> None:
        self.missed = 0

    def show(
        self, name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
    ) -> None:
        """One figure, with the goal that it has."""
        met = (least is None or value >= least) and (most is None or value <= most)
        self.missed += not met
        goal = (
            f"goal: at least {least:g}" if least is not None else f"goal: at most {most:g}" if most is not None else ""
        )
        verdict = "" if not goal else f"   {goal} {unit}".rstrip() + ("" if met else "   MISSED")
        print(f"{name:<58}{value:>10,.1f} {unit}{verdict}", flush=True)

    def exit_code(self) -> int:
        return 1 if self.missed else 0
