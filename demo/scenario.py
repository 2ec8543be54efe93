"""The demo from its start to its exit status."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import shutil
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

from demo import checks, report, warehouse
from demo.airflow_home import AirflowFailed, AirflowHome, Run
from demo.flaws import REFUSALS

_NEEDED = ("apache-airflow", "apache-airflow-providers-sqlite", "requests", "starlette", "uvicorn")
_REQUESTS, _WINDOW_S = 100, 4
_WRONG_SECRET = "a-secret-that-connectif-does-not-know"
_FAULTS: tuple[tuple[int, dict[str, Any]], ...] = (  # requests to leave alone first, and what happens then, once
    (40, {"status": 503}),
    (70, {"drop": True}),
    (150, {"status": 429, "headers": {"Retry-After": "1"}}),
)


def main(root: Path) -> int:
    """Run the demo in ``root``/.demo.

    :return: 0 if everything came out as it must, 1 if not, 130 or 143 if it was interrupted.
    """
    missing = [name for name in _NEEDED if not _is_installed(name)]
    if missing:
        return _failed(f"this Python has no {', '.join(missing)}. `make demo` brings an environment that has")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no × shows ? and not a traceback
    # A SystemExit, as Ctrl-C is an exception: the processes that were started are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from airflow_provider_connectif.sandbox.process import SandboxError

    try:
        return _run(root, root / ".demo")
    except (AirflowFailed, SandboxError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped.", file=sys.stderr)
        return 128 + signal.SIGINT


def _run(root: Path, folder: Path) -> int:
    from airflow_provider_connectif.sandbox import SandboxProcess

    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    customers, answers = warehouse.customers(), warehouse.answers()
    warehouse.create(folder / "warehouse.db")
    with SandboxProcess(requests_per_minute=_REQUESTS, window_seconds=_WINDOW_S) as sandbox:
        for after, action in _FAULTS:
            sandbox.add_fault(action, match={"method": "PATCH"}, times=1, after=after)
        for refusal in REFUSALS:
            sandbox.add_fault(**refusal)
        clock = report.Clock()
        report.opening(
            {
                "warehouse": f".demo/warehouse.db: {_described(customers, 'customers')} and "
                f"{_described(answers, 'answers to a survey')}",
                "Connectif": f"a sandbox on {sandbox.url}: {_REQUESTS} requests per {_WINDOW_S} s (the real one: per "
                "minute); it refuses a few contacts for reasons of its own, and on the way it answers 503, drops a "
                "connection, and answers 429 ahead of time",
                "Airflow": f"{importlib.metadata.version('apache-airflow')}; below is what the provider logs, the "
                "whole log is .demo/airflow.log",
            }
        )
        airflow = AirflowHome(folder, root)
        report.scene(0, "A new database for Airflow", "airflow db migrate")
        airflow.migrate()
        runs = _deliver(airflow, sandbox, folder, clock)
        outcome = checks.Outcome(
            runs=runs,
            customers=customers,
            answers=answers,
            contacts=sandbox.contacts(),
            faults_struck=[fault["struck"] for fault in sandbox.faults()[: len(_FAULTS)]],
            log=(folder / "airflow.log").read_text(encoding="utf-8"),
            secrets=(_WRONG_SECRET, sandbox.api_key.partition(":")[2]),
        )
        _save_page(sandbox.url, folder / "sandbox.html")
    results = checks.check(outcome)
    report.closing(outcome, results, root)
    if not all(result.holds for result in results):
        return _failed("not everything is as it must be, see above; .demo/airflow.log has the whole story")
    print(f"\nAll as it must be, after {clock.seconds:.0f} s.")
    return 0


def _deliver(airflow: AirflowHome, sandbox: Any, folder: Path, clock: report.Clock) -> list[Run]:
    good_key = {"conn_type": "connectif", "host": sandbox.url, "password": sandbox.api_key}
    wrong_key = {**good_key, "password": f"sandbox-id:{_WRONG_SECRET}"}
    scenes = (
        ("A table of the warehouse", "contacts_from_sql", "deliver_customers", good_key),
        ("The rows that an upstream task returns", "contacts_from_upstream_task", "deliver_answers", good_key),
        ("The first once more, with a wrong API key", "contacts_from_sql", "deliver_customers", wrong_key),
    )
    runs = []
    for number, (title, dag_id, task_id, connectif) in enumerate(scenes, 1):
        report.scene(number, title, f"airflow dags test {dag_id}")
        environment = {
            "AIRFLOW_CONN_CONNECTIF_DEFAULT": json.dumps(connectif),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")}),
            "AIRFLOW_VAR_CONNECTIF_REJECTS": str(folder / "rejects"),
        }
        runs.append(airflow.test(dag_id, task_id, environment, lambda words: report.log_line(clock, words)))
    return runs


def _described(rows: list[warehouse.Row], what: str) -> str:
    return f"{len(rows)} {what} ({sum(row.flaw is not None for row in rows)} of them bad)"


def _save_page(url: str, path: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url}/", timeout=30) as answer:
        page = answer.read().decode()
    # The server is gone when the page is looked at, so it must not ask for a newer one.
    path.write_text(re.sub(r'<meta http-equiv="refresh"[^>]*>\n?', "", page), encoding="utf-8")


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _failed(why: str) -> int:
    print(f"The demo failed: {why}.", file=sys.stderr)
    return 1
