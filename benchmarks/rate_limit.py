"""How much of the account's hundred requests a minute is used, and how often it is overrun, in real windows.

    python -m benchmarks.rate_limit [case ...]

Five windows of a minute and a bit for each case; the cases run at the same time, each against a server of its own.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from benchmarks.common import Figures, define_connection
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

LIMIT = 100
WINDOW_S = 60.0
WINDOWS = 5
STYLES: dict[str, dict[str, Any]] = {
    "seconds, rounded down": {"headers": "floor"},
    "seconds, rounded up": {"headers": "ceil"},
    "epoch, window on the clock": {"headers": "epoch", "window_from": "clock"},
    "epoch, window from the first request": {"headers": "epoch"},
    "no headers": {"headers": "none"},
    "no headers, window on the clock": {"headers": "none", "window_from": "clock"},
}
CASES = {
    f"{tasks} task{'s' * (tasks > 1)}; {style}": (tasks, settings)
    for tasks in (1, 4)
    for style, settings in STYLES.items()
}


def deliver(conn_id: str, task: int, count: int) -> Run:
    rows = [{"email": f"task{task}-row{n}@example.com", "_points": n} for n in range(count)]
    return run_operator(rows=rows, connectif_conn_id=conn_id)


def report(figures: Figures, name: str, runs: list[Run], server: StrictServer, rows: int) -> None:
    print(name)
    windows = server.windows
    on_the_clock = "clock" in name
    # A window on the clock may be nearly over when the first request comes, and the last one holds what was left.
    full = windows[on_the_clock:-1]
    elapsed = windows[-1]["starts"] - full[0]["starts"]
    figures.show("  rows lost", rows - len(server.contacts), "", most=0)
    figures.show("  tasks that did not succeed", sum(run.state != "success" for run in runs), "", most=0)
    figures.show("  of the windows' allowance used", 100 * sum(w["allowed"] for w in full) / (LIMIT * len(full)), "%")
    figures.show(
        "  of the allowance by the minute used",
        100 * sum(w["allowed"] for w in full) / (LIMIT * elapsed / WINDOW_S),
        "%",
        least=97,
    )
    figures.show(
        "  most 429s in one window", max(w["refused"] for w in windows), "", most=1 if len(runs) == 1 else None
    )
    print("  windows:", " ".join(f"{w['allowed']:.0f}+{w['refused']:.0f}" for w in windows), flush=True)


def main() -> int:
    figures = Figures()
    names = sys.argv[1:] or list(CASES)
    with ExitStack() as stack, ThreadPoolExecutor(64) as pool:
        servers, runs = {}, {}
        for number, name in enumerate(names):
            tasks, settings = CASES[name]
            servers[name] = stack.enter_context(StrictServer(limit=LIMIT, window_s=WINDOW_S, **settings))
            define_connection(f"case{number}", **servers[name].connection())
        for number, name in enumerate(names):
            tasks, _ = CASES[name]
            count = (WINDOWS * LIMIT + 20) // tasks
            runs[name] = [pool.submit(deliver, f"case{number}", task, count) for task in range(tasks)]
        for name in names:
            ended = [run.result() for run in runs[name]]
            report(figures, name, ended, servers[name], (WINDOWS * LIMIT + 20) // len(ended) * len(ended))
    return figures.exit_code()


if __name__ == "__main__":
    sys.exit(main())
