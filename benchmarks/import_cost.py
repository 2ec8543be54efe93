"""What a DAG file pays for the operators, besides the import of Airflow that every DAG file pays.

    python -m benchmarks.import_cost [rounds]

Airflow imports each DAG file in a process of its own, again and again. So the cost is processor time, of compiled
modules, after ``from airflow.sdk import DAG, BaseOperator``. A machine with other work takes several times as long for
every import, so milliseconds alone say little: each round also measures ``import requests`` in the same way, which most
providers import, and Airflow itself. The bounds are 100 ms, and the time of ``import requests``. Modules that only a
running task needs must not come along.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

from benchmarks.common import Figures

ROUNDS = 7
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
AIRFLOW = "from airflow.sdk import DAG, BaseOperator"
OPERATORS = (
    "from airflow_provider_connectif.operators.contacts import ContactPatchOperator; "
    "from airflow_provider_connectif.operators.sync import ContactSyncOperator"
)
REQUESTS = "import requests"

CHILD = """
import json, sys, time
{before}
modules = set(sys.modules)
began_at = time.process_time()
{imported}
took_ms = 1000 * (time.process_time() - began_at)
print(json.dumps({{"ms": took_ms, "modules": sorted(set(sys.modules) - modules)}}))
"""


def imported(before: str, names: str, folder: str) -> tuple[float, list[str]]:
    """Milliseconds of processor time in a fresh process, and the modules that came along.

    :param before: statements that are not measured.
    :param names: the measured statement.
    :param folder: of the compiled modules; an installed package has its own.
    """
    environment = os.environ | {"PYTHONPYCACHEPREFIX": folder}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    code = CHILD.format(before=before, imported=names)
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["ms"], found["modules"]


def main(rounds: int) -> int:
    figures = Figures()
    measured = {"operators": (AIRFLOW, OPERATORS), "requests": ("", REQUESTS), "airflow": ("", AIRFLOW)}
    times: dict[str, list[float]] = {name: [] for name in measured}
    with tempfile.TemporaryDirectory() as folder:
        for before, names in measured.values():
            _, modules = imported(before, names, folder)  # compiles them
        for _ in range(rounds):
            for name, (before, names) in measured.items():
                took_ms, modules = imported(before, names, folder)
                times[name].append(took_ms)
                if name == "operators":
                    ours = modules
    fastest = {name: min(of) for name, of in times.items()}
    figures.show(f"processor time of {AIRFLOW!r}", fastest["airflow"], "ms")
    figures.show(f"  of {REQUESTS!r}, alone", fastest["requests"], "ms")
    figures.show("  of the operators, after Airflow", fastest["operators"], "ms", most=100)
    ratios = [ms / alone for ms, alone in zip(times["operators"], times["requests"], strict=True)]
    figures.show("the operators over 'import requests', the median round", statistics.median(ratios), "times", most=1)
    figures.show("the operators over Airflow", 100 * fastest["operators"] / fastest["airflow"], "%")
    figures.show("modules that come along", len(ours), "")
    for package in sorted({module.partition(".")[0] for module in ours}):
        print(f"  {package}: {sum(module.partition('.')[0] == package for module in ours)}")
    heavy = [module for module in ours if module.partition(".")[0] in HEAVY]
    figures.show(f"of which heavy {heavy[:5] or ''}", len(heavy), "", most=0)
    return figures.exit_code()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
