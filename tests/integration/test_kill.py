"""A task is killed: a real SIGTERM to the process that runs it, at the moments when it hurts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.strict_server import ROOT, StrictServer, until
from tests.support.task_logs import provider_lines, unfolded
from tests.support.task_runs import run_in_airflow, run_operator

ENDS_WITHIN_S = 10.0
"""Far less than what it would take without being ended: queries of 30 s and more, windows and waits of a minute."""
TASK_IN_AIRFLOW = """
from airflow.utils import db
from tests.support.airflow_runs import sync_dag
from tests.support.task_runs import run_in_airflow

db.initdb()
rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(100)]
print("THE TASK ENDED", run_in_airflow(lambda dag: [sync_dag(dag), dag.test()][1], retries=0, rows=rows).state)
"""


class Child:
    """A process that runs a task; forked, since to import Airflow again would take longer than the test."""

    def __init__(self, directory: Path, work: Callable[[], Any]) -> None:
        self.output = directory / "output.txt"
        self._result = directory / "result.json"
        self._ended = False
        self.pid = os.fork()
        if self.pid == 0:
            self._run(work)

    def _run(self, work: Callable[[], Any]) -> None:
        code = 1
        try:
            descriptor = os.open(self.output, os.O_WRONLY | os.O_CREAT)
            # Also what pytest has put in the place of the standard streams, which loggers hold on to.
            for number in {1, 2, sys.stdout.fileno(), sys.stderr.fileno()}:
                os.dup2(descriptor, number)
            self._result.write_text(json.dumps(work()))
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, it must end here and be reported
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)

    def says(self, words: str) -> bool:
        return self.output.exists() and words in unfolded(self.output.read_text())

    def lines(self) -> list[str]:
        """What the provider has logged."""
        return provider_lines(self.output.read_text())

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition is true, while the child lives."""

        def is_there() -> bool:
            assert not self.has_ended(), self.output.read_text()
            return bool(condition())

        until(is_there, within_s=30)  # the first task in a process takes seconds to begin

    def has_ended(self) -> bool:
        self._ended = self._ended or os.waitpid(self.pid, os.WNOHANG)[0] == self.pid
        return self._ended

    def terminate(self) -> tuple[float, dict[str, Any]]:
        """Return the seconds from SIGTERM to the end of the process, and what it reported at its end."""
        sent_at = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        until(self.has_ended)
        took_s = time.monotonic() - sent_at
        assert self._result.exists(), self.output.read_text()
        return took_s, json.loads(self._result.read_text())

    def end(self) -> None:
        """Leave nothing behind when a test has failed."""
        if not self.has_ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _as_task_runner(**arguments: Any) -> dict[str, Any]:
    """Run the operator with the signal handler that Airflow's task runner sets."""

    def handle_sigterm_by(operator: Any) -> None:
        signal.signal(signal.SIGTERM, lambda *_: operator.on_kill())
        os.write(1, b"SIGTERM is handled from now on\n")

    run = run_operator(before=handle_sigterm_by, **arguments)
    return {"state": run.state, "summary": run.summary}


@pytest.fixture
def start(tmp_path: Path, airflow_db: None) -> Iterator[Callable[[Callable[[], Any]], Child]]:
    """Start a child; it reports its state and summary when it ends by itself."""
    children = []

    def _start(work: Callable[[], Any]) -> Child:
        children.append(Child(tmp_path, work))
        return children[-1]

    yield _start
    for child in children:
        child.end()


@pytest.fixture
def warehouse(postgres: Any) -> Iterator[Any]:
    """PostgreSQL, and no session of a child left in it for the test that comes next."""
    yield postgres
    postgres.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")


def sessions(postgres: Any, state: str = "%") -> list[Any]:
    """What other sessions the database has; of those with a statement, the ones in which it has run for a while."""
    query = (
        "select state, query from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
        "and state like %s and (state <> 'active' or clock_timestamp() - query_start > interval '0.2 s')"
    )
    return postgres.execute(query, [state]).fetchall()


def rows(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": n} for n in range(count)]


HANG_FROM = {"nth": [21, None]}
# What the server does, and what the log says or how many contact requests have come before the SIGTERM.
MOMENTS: dict[str, tuple[dict[str, Any], str | int]] = {
    "requests that are never answered": ({"faults": [HANG_FROM | {"hang": "after"}]}, 28),
    "an answer that never ends": ({"faults": [HANG_FROM | {"trickle_s": 0.2}]}, 28),
    "waiting for the window": ({"limit": 20}, "Rate limit: "),
    "told to wait by a 429": ({"limit": 20, "headers": "none", "retry_after": "seconds"}, "Rate limit: "),
    "waiting to send again": ({"faults": [HANG_FROM | {"status": 503, "headers": {"Retry-After": "60"}}]}, 28),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_task_ends_at_once_says_how_far_it_came_and_sends_nothing_more(
    moment: str, start: Callable[[Callable[[], Any]], Child], strict: StrictServer
) -> None:
    settings, sign = MOMENTS[moment]
    strict.reset(**settings)
    child = start(lambda: _as_task_runner(rows=rows(100)))
    child.wait_for(lambda: child.says(sign) if isinstance(sign, str) else strict.received >= sign)

    took_s, end = child.terminate()
    received = strict.received

    assert took_s < ENDS_WITHIN_S
    assert end["state"] == "up_for_retry"
    delivered = end["summary"]["created"]
    assert delivered == sum(entry["status"] == 201 for entry in strict.log) > 0
    *_, told, last = child.lines()
    assert told.startswith("Stop requested: 100 rows read, ")
    # The counts stand in the last line too where responses came in after that very moment.
    assert last.startswith("Stopped early")
    with_counts = [line.partition("\n")[0].partition(": ")[2] for line in (told, last) if " rows read" in line]
    assert with_counts[-1].startswith(f"100 rows read, {delivered} delivered")
    assert len(set(with_counts)) == len(with_counts)
    assert (len(with_counts) == 1) == (", with the counts above" in last)
    assert end["summary"]["requests"] == strict.requests
    if isinstance(sign, int):
        assert received <= sign + 16  # what was in flight, and what was tried again meanwhile
    assert child.has_ended()
    assert strict.received == received


def test_a_task_killed_while_it_asks_for_the_fields_ends_at_once(
    start: Callable[[Callable[[], Any]], Child], strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=30))
    strict.reset(fields_fault={"hang": "before"})
    child = start(lambda: _as_task_runner(rows=rows(100)))
    child.wait_for(lambda: strict.requests)

    took_s, end = child.terminate()

    assert took_s < ENDS_WITHIN_S
    assert end["state"] == "up_for_retry"
    assert strict.received == 0


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12])
def test_a_task_killed_while_it_begins_does_not_run_its_query(
    after_s: float, start: Callable[[Callable[[], Any]], Child], strict: StrictServer, warehouse: Any
) -> None:
    sql = "select 'user@example.com' as email, pg_sleep(30)::text as tier"
    child = start(lambda: _as_task_runner(sql=sql, sql_conn_id="postgres"))
    child.wait_for(lambda: child.says("SIGTERM is handled"))
    time.sleep(after_s)  # no moment is meant in particular, but all of them

    took_s, end = child.terminate()

    assert took_s < ENDS_WITHIN_S
    assert end["state"] == "up_for_retry"
    assert strict.received == 0


def test_a_killed_task_cancels_the_query_that_runs(
    start: Callable[[Callable[[], Any]], Child], strict: StrictServer, warehouse: Any
) -> None:
    sql = "select 'user@example.com' as email, pg_sleep(60)::text as tier"
    child = start(lambda: _as_task_runner(sql=sql, sql_conn_id="postgres"))
    child.wait_for(lambda: sessions(warehouse, "active"))

    took_s, end = child.terminate()

    assert took_s < ENDS_WITHIN_S
    assert end["state"] == "up_for_retry"
    assert child.says("Stop requested: 0 rows read")
    until(lambda: not sessions(warehouse), within_s=10)
    assert strict.received == 0


@pytest.mark.slow
def test_a_task_killed_between_two_batches_of_a_query_lets_go_of_it(
    start: Callable[[Callable[[], Any]], Child], strict: StrictServer, warehouse: Any
) -> None:
    strict.reset(limit=20)
    sql = "select 'user' || n || '@example.com' as email, n as visits from generate_series(1, 100000) n"
    child = start(lambda: _as_task_runner(sql=sql, sql_conn_id="postgres"))
    child.wait_for(lambda: child.says("Rate limit: "))

    took_s, _ = child.terminate()

    assert took_s < ENDS_WITHIN_S
    until(lambda: not sessions(warehouse), within_s=10)
    assert strict.requests == 20


@pytest.mark.slow
def test_a_killed_task_ends_through_airflows_own_signal_handler(strict: StrictServer, tmp_path: Path) -> None:
    strict.reset(limit=20)
    # A process from scratch: Airflow's own threads would not survive a fork.
    (tmp_path / "dags").mkdir()
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path}/airflow.db",
    }
    output = tmp_path / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", TASK_IN_AIRFLOW], cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: "Rate limit: " in output.read_text() or process.poll() is not None, within_s=60)
        process.terminate()
        # In Airflow 2 the handler's exception ends the process; in Airflow 3 its own threads may outlive the task.
        ended = "THE TASK ENDED failed"
        until(lambda: ended in output.read_text() or process.poll() is not None, within_s=ENDS_WITHIN_S)
    finally:
        process.kill()
        process.wait()
    assert "Stop requested: 100 rows read, " in output.read_text()
    assert strict.requests == 20


@pytest.mark.slow
def test_after_execution_timeout_nothing_comes_behind_the_last_line(
    strict: StrictServer, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    strict.reset(limit=20)
    run = run_in_airflow(run_dag, rows=rows(100), retries=0, execution_timeout=timedelta(seconds=15))
    assert (run.state, strict.requests) == ("failed", 20)
    told = provider_lines("".join(capfd.readouterr()))
    assert [line.split(" ")[0] for line in told] == ["Delivering", "Plan:", "Rate", "Failed:"], told
