"""How near the sending of contacts comes to what latency allows, and how far it is from a plain loop.

    python -m benchmarks.throughput

The server, in its own process, responds to each request after a tenth of a second and has no rate limit. With 32
requests at once no client can deliver more than 320 rows a second. It is compared with a loop over one
``requests.Session``, as a script without this package would have.
"""

from __future__ import annotations

import sys
import time
from typing import Any
from urllib.parse import quote

import requests

from benchmarks.common import Figures, define_connection
from tests.support.strict_server import API_KEY, StrictServer
from tests.support.task_runs import run_operator

LATENCY_S = 0.1
IN_FLIGHT = 32
ROWS = 6400
ROWS_OF_THE_LOOP = 100
UNLIMITED = 1_000_000


def rows(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "_name": f"Name {n}", "_points": n} for n in range(count)]


def loop_rows_per_second(server: StrictServer) -> float:
    began_at = time.monotonic()
    with requests.Session() as session:
        session.headers["Authorization"] = f"apiKey {API_KEY}"
        for row in rows(ROWS_OF_THE_LOOP):
            url = f"{server.url}/contacts/{quote(row.pop('email'), safe='')}"
            session.patch(url, json=row, timeout=30).raise_for_status()
    return ROWS_OF_THE_LOOP / (time.monotonic() - began_at)


def operator_rows_per_second(server: StrictServer, **extra: Any) -> float:
    define_connection("connectif_default", **server.connection(**extra))
    run = run_operator(rows=rows(ROWS), max_in_flight=IN_FLIGHT)
    assert run.state == "success", run.error
    assert len(server.contacts) == ROWS
    return ROWS / run.summary["duration_s"]


def main() -> int:
    figures = Figures()
    most = IN_FLIGHT / LATENCY_S
    with StrictServer(delay_s=LATENCY_S) as server:
        loop = loop_rows_per_second(server)
        figures.show("a loop with one session", loop, "rows/s")
        for pace, settings, extra in (
            ("paced by requests_per_minute of the connection", {}, {"requests_per_minute": UNLIMITED}),
            ("paced by the server's headers", {"limit": UNLIMITED, "headers": "ceil"}, {}),
        ):
            server.reset(delay_s=LATENCY_S, **settings)
            rate = operator_rows_per_second(server, **extra)
            figures.show(f"the operator, {pace}", rate, "rows/s")
            figures.show("  of what latency allows", 100 * rate / most, "%", least=85)
            figures.show("  over the loop", rate / loop, "times", least=25)
    return figures.exit_code()


if __name__ == "__main__":
    sys.exit(main())
