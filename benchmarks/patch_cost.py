"""Processor time of one PATCH, journal included, against that of a plain loop over one ``requests.Session``.

    python -m benchmarks.patch_cost

The second night of a sync: of each contact one property has changed. The server is a process of its own, without a
limit; only this process is measured. Two versions of the package are compared by running this file with each in turn,
several times: the same version varies by a fifth. The last version whose requests carried all properties (a93080f~1)
took 1,990 µs and 1.9 times the loop in the median, this one 1,890 µs and 1.65 times.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import requests

from benchmarks.common import Figures, define_connection
from tests.support.strict_server import API_KEY, StrictServer
from tests.support.task_runs import run_operator

ROWS = 3000
TURNS = 3
MOST = 1.7
UNLIMITED = 10_000_000


def rows(night: int) -> list[dict[str, Any]]:
    names = ["tier", "_surname"]
    return [
        {"email": f"user{n}@example.com", "_name": f"Name {n}", "_points": n + night, **dict.fromkeys(names, f"v{n}")}
        for n in range(ROWS)
    ]


def loop_us(server: StrictServer) -> float:
    """Microseconds of processor time for each request of a loop."""
    began_at = time.process_time()
    with requests.Session() as session:
        session.headers["Authorization"] = f"apiKey {API_KEY}"
        for row in rows(0):
            url = f"{server.url}/contacts/{quote(row['email'], safe='')}"
            session.patch(url, json={"_points": row["_points"]}, timeout=30).raise_for_status()
    return 1e6 * (time.process_time() - began_at) / ROWS


def sync_us(turn: int, night: int) -> float:
    """Microseconds of processor time for each contact of a night."""
    context = {"run_id": f"{turn} {night}", "dag": SimpleNamespace(dag_id="dag")}
    arguments = {"fields": "builtin", "journal_conn_id": "journal", "sync_id": f"turn {turn}"}
    began_at = time.process_time()
    run = run_operator(context=context, rows=rows(night), **arguments)
    assert run.summary["created"] + run.summary["updated"] == ROWS, run.error
    return 1e6 * (time.process_time() - began_at) / ROWS


def main() -> int:
    figures, ratios = Figures(), []
    with StrictServer(keep_log=False) as server, tempfile.TemporaryDirectory() as folder:
        define_connection("connectif_default", **server.connection(requests_per_minute=UNLIMITED))
        define_connection("journal", conn_type="sqlite", host=str(Path(folder) / "journal.db"))
        for turn in range(TURNS):
            server.reset(keep_log=False)
            loop = loop_us(server)
            sync_us(turn, 0)
            changed = sync_us(turn, 1)
            ratios.append(changed / loop)
            figures.show(f"a request of the loop, turn {turn + 1}", loop, "µs")
            figures.show("  a changed contact", changed, "µs")
        figures.show("a changed contact over a request of the loop, the best turn", min(ratios), "times", most=MOST)
    return figures.exit_code()


if __name__ == "__main__":
    sys.exit(main())
