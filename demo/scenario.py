"""The demo from its start to its exit status."""

from __future__ import annotations

import importlib.metadata
import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from demo import checks, nights, warehouse
from demo.airflow_home import AirflowFailed, AirflowHome, Run
from demo.log_lines import Message
from demo.result_page import result_page
from demo.screen import Screen
from demo.story import TITLES, Story, without_proxy
from demo.sums import OUTCOMES

_NEEDED = ("apache-airflow", "apache-airflow-providers-sqlite", "requests", "starlette", "uvicorn")
_REQUESTS, _WINDOW_S = 100, 4
_COLUMNS = ("1 first", "2 killed", "3 quiet", "4 person", "5 import", "6 key")
_LABELS = {"invalid": "invalid, not sent"}


def _count(outcome: str, run: Run) -> int:
    count: int = run.summary.get(outcome, 0)
    return count


_ROWS: tuple[tuple[str, Callable[[Run], Any]], ...] = (
    ("task ended", lambda run: run.state),
    ("rows read", lambda run: run.summary["read"]),
    *((f"  {_LABELS.get(name, name)}", partial(_count, name)) for name in OUTCOMES),
    ("requests", lambda run: run.summary["requests"]),
    ("seconds", lambda run: f"{run.summary['duration_s']:.1f}"),
    ("  of these waited", lambda run: f"{run.summary['waited_s']:.1f}"),
)


def main(root: Path) -> int:
    """Run the demo in ``root``/.demo.

    :return: 0 if all checks hold, 1 if not, 130 or 143 if it was interrupted.
    """
    missing = [name for name in _NEEDED if not _is_installed(name)]
    if missing:
        return _failed(f"this Python has no {', '.join(missing)}. `make demo` brings an environment that has")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no → shows ? and not a traceback
    # A SystemExit, as Ctrl-C is an exception: the processes that were started are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from airflow_provider_connectif.sandbox.process import SandboxError

    screen = Screen.of(sys.stdout, os.environ)
    try:
        return finish(_play(screen, root, root / ".demo"), screen, root)
    except (AirflowFailed, SandboxError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped.", file=sys.stderr)
        return 128 + signal.SIGINT


def _play(screen: Screen, root: Path, folder: Path) -> checks.Outcome:
    from airflow_provider_connectif.sandbox import SandboxProcess

    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    customers, answers = warehouse.customers(), warehouse.answers(nights.ANSWERS)
    warehouse.create(folder / "warehouse.db", answers)
    version = importlib.metadata.version("apache-airflow")
    screen.paragraph(
        "Contacts from a warehouse to Connectif, by way of Airflow: six acts, about a minute. Nothing leaves this "
        "machine."
    )
    screen.heading("On the stage")
    with SandboxProcess(requests_per_minute=_REQUESTS, window_seconds=_WINDOW_S, import_queue_seconds=1.5) as sandbox:
        screen.facts(
            {
                "warehouse": f".demo/warehouse.db: {_described(customers, 'customers')} and "
                f"{_described(answers, 'answers to a survey')}",
                "Connectif": f"a sandbox on {sandbox.url}, with {_REQUESTS} requests per {_WINDOW_S} s; the real one "
                f"has {_REQUESTS} per minute, and the first plan below assumes that",
                "Airflow": f"{version}. Below is what the provider logs, at the second of the demo at which it came; "
                "the whole log is .demo/airflow.log",
            }
        )
        with AirflowHome(folder, root, lambda message: screen.log(_shortened(message, root)), screen.tick) as airflow:
            screen.activity = "Airflow is loading"
            screen.heading("Airflow is loaded once, and each command below runs in a process forked from it.")
            airflow.load()
            screen.activity = "airflow db migrate is at work"
            screen.command("airflow db migrate")
            airflow.migrate()
            outcome = Story(screen, sandbox, airflow, folder, customers, answers).play()
        (folder / "sandbox.html").write_bytes(without_proxy(f"{sandbox.url}/?copy"))
    return outcome


def finish(outcome: checks.Outcome, screen: Screen, root: Path) -> int:
    """Print the outcome of each run and the checks, and write both to ``result.html``.

    :return: the demo's exit status: 1 if a check does not hold.
    """
    runs: list[Run] = [getattr(outcome, name) for name in TITLES]
    rows = [(label, [str(value(run)) for run in runs]) for label, value in _ROWS]
    screen.table("What became of the rows", _COLUMNS, rows)
    results = checks.check(outcome)
    page = result_page(dict(zip(TITLES.values(), runs, strict=True)), results)
    (root / ".demo" / "result.html").write_text(page, encoding="utf-8")
    screen.heading("Checked against the warehouse")
    for result in results:
        screen.check(result.words, holds=result.holds)
    screen.heading("To look at")
    screen.facts(
        {
            "result": ".demo/result.html: the acts as pictures",
            "page": ".demo/sandbox.html: what the sandbox holds, and how it responded",
            "rejects": f"{os.path.relpath(outcome.first.summary['rejects_path'], root)}: the bad rows of act 1, each "
            "with its reasons",
            "journal": ".demo/journal.db: what Connectif has acknowledged, contact by contact",
            "log": ".demo/airflow.log",
            "DAGs": "demo/dags/, as they ran here; more of them in example_dags/",
            "sandbox": "python -m airflow_provider_connectif.sandbox starts one for DAGs of your own",
        }
    )
    if not all(result.holds for result in results):
        return _failed("a check does not hold, see above; the whole log is .demo/airflow.log")
    screen.heading(f"All checks hold, after {screen.seconds:.0f} s.")
    return 0


def _shortened(message: Message, root: Path) -> Message:
    """Paths below the repository as they are called from there."""
    prefix = f"{root}/"
    return replace(
        message,
        text=message.text.replace(prefix, ""),
        details=tuple(detail.replace(prefix, "") for detail in message.details),
    )


def _described(rows: list[warehouse.Row], what: str) -> str:
    return f"{len(rows):,} {what} ({sum(row.flaw is not None for row in rows)} of them bad)"


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _failed(why: str) -> int:
    print(f"The demo failed: {why}.", file=sys.stderr)
    return 1
