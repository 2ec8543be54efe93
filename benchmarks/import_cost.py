"""What a DAG file pays for importing the operator, over what ``import airflow.sdk`` costs anyway.

    python -m benchmarks.import_cost

The scheduler imports DAG files again and again. Modules that only a running task needs must not come along.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.common import Figures

RUNS = 5
HEAVY = (
    "sqlalchemy",
    "pandas",
    "numpy",
    "starlette",
    "uvicorn",
    "fastapi",
    "psycopg",
    "requests",
    "urllib3",
    "pendulum",
)

CHILD = """
import json, sys, time
{base}
before = set(sys.modules)
began_at = time.perf_counter()
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
took_ms = 1000 * (time.perf_counter() - began_at)
print(json.dumps({{"ms": took_ms, "modules": sorted(set(sys.modules) - before)}}))
"""


def measured(base: str) -> tuple[float, list[str]]:
    """The median time, and the modules that came along."""
    runs = []
    for _ in range(RUNS):
        output = subprocess.run(
            [sys.executable, "-c", CHILD.format(base=base)], check=True, stdout=subprocess.PIPE, text=True
        )
        runs.append(json.loads(output.stdout.splitlines()[-1]))
    return statistics.median(run["ms"] for run in runs), runs[0]["modules"]


def main() -> int:
    figures = Figures()
    # What a DAG file that uses any operator has imported: names of airflow.sdk load their modules when first used.
    base = "from airflow.sdk import DAG, BaseOperator"
    milliseconds, modules = measured(base)
    figures.show(f"import of the operator after {base!r}", milliseconds, "ms", most=100)
    figures.show("modules that come along", len(modules), "")
    for package in sorted({module.partition(".")[0] for module in modules}):
        of_package = [module for module in modules if module.partition(".")[0] == package]
        print(f"  {package}: {len(of_package)}")
    heavy = [module for module in modules if module.partition(".")[0] in HEAVY]
    figures.show(f"of which heavy {sorted(set(heavy))[:5] or ''}", len(heavy), "", most=0)
    return figures.exit_code()


if __name__ == "__main__":
    sys.exit(main())
