"""An Airflow of the demo's own: its home, and the process that runs its commands."""

from __future__ import annotations

import json
import os
import queue
import re
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from demo.airflow_server import SIGNAL
from demo.log_lines import LOG_FORMAT, LogReader, Message

_LONGEST_S = 180.0
_STOP_S = 2.0
_TICK_S = 0.05
_WATCHING_TICK_S = 0.005
_WAITS_FOR_A_RETRY = re.compile(r".*No tasks to run.*up_for_retry")
# A proxy must not come between, and another Airflow's settings (its database!) must not be taken over.
_NOT_INHERITED = re.compile(r"_?AIRFLOW|.*_PROXY$", re.IGNORECASE)


class AirflowFailed(Exception):
    """A command of Airflow failed; the text says where to look."""


@dataclass(frozen=True)
class Run:
    """The end of a task.

    :param state: Airflow's word for it.
    :param tries: number of attempts.
    :param may_try: number of attempts that Airflow would make.
    :param summary: the XCom ``summary``.
    :param failure: the text of the exception, if it failed.
    """

    state: str
    tries: int
    may_try: int
    summary: dict[str, Any]
    failure: str


class AirflowHome:
    """An Airflow with its home below ``folder`` and the DAGs of ``root``/demo/dags.

    ``environment`` is what its processes get; nothing of another Airflow on this machine is in it. As a context manager
    it starts and stops the process of ``airflow_server.py``.

    :param show: gets each of the provider's messages as it comes.
    :param tick: is called at least every 50 ms while a command runs.
    :param server: the command of that process.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        show: Callable[[Message], None] = lambda message: None,
        tick: Callable[[], None] = lambda: None,
        *,
        server: Sequence[str] = (sys.executable, "-m", "demo.airflow_server"),
    ) -> None:
        self._show, self._tick, self._server = show, tick, server
        self._log_path = folder / "airflow.log"
        self._database = folder / "airflow" / "airflow.db"
        self._database.parent.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not _NOT_INHERITED.match(name)},
            "NO_PROXY": "*",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH")))),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "AIRFLOW_HOME": str(self._database.parent),
            "AIRFLOW__CORE__DAGS_FOLDER": str(root / "demo" / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}",
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(16),
            "AIRFLOW__LOGGING__LOG_FORMAT": LOG_FORMAT,
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> AirflowHome:
        self._process = subprocess.Popen(
            self._server,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that it and the command that it runs are stopped together
        )
        threading.Thread(target=self._read, args=(self._process,), name="demo-airflow-log", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        with process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)

    def load(self) -> None:
        """Wait until Airflow is loaded."""
        self._follow("loaded", "Airflow", LogReader(self._show))

    def migrate(self) -> None:
        """Make the metadata database."""
        status, _ = self._call(["db", "migrate"], {})
        if status:
            raise AirflowFailed(f"`airflow db migrate` did not succeed, see {self._log_path}")

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Run:
        """Run a task to its end.

        :param arguments: of ``airflow``: ``dags test DAG DATE``, or ``tasks test DAG TASK DATE``.
        :param environment: connections and variables.
        :return: how the task ``deliver`` ended, as Airflow's own database has it.
        """
        _, reader = self._call(arguments, environment)
        return self._latest_run(arguments[2], reader.failure)

    def run_and_kill(self, arguments: Sequence[str], environment: Mapping[str, str], when: Callable[[], bool]) -> int:
        """Run a task, and ``kill -9`` its process as soon as ``when`` says so.

        :return: the process's id.
        """
        killed = []

        def kill(pid: int) -> None:
            if not killed and when():
                with suppress(ProcessLookupError):  # it has just ended, which its status says
                    os.kill(pid, signal.SIGKILL)
                killed.append(pid)

        status, _ = self._call(arguments, environment, kill)
        if status != -signal.SIGKILL:
            raise AirflowFailed(f"`airflow {' '.join(arguments)}` ended before it was killed, see {self._log_path}")
        return killed[0]

    def _call(
        self, arguments: Sequence[str], environment: Mapping[str, str], watch: Callable[[int], None] | None = None
    ) -> tuple[int, LogReader]:
        """Exit status of a command of Airflow's, and what has read its log."""
        if self._process is None or self._process.stdin is None:
            raise AirflowFailed("Airflow is not loaded")
        command, reader = f"`airflow {' '.join(arguments)}`", LogReader(self._show)
        with suppress(BrokenPipeError):  # the process is gone, which reading from it shows
            self._process.stdin.write(json.dumps({"arguments": arguments, "environment": dict(environment)}) + "\n")
            self._process.stdin.flush()
        pid = int(self._follow("started", command, reader))
        tick = None if watch is None else lambda: watch(pid)
        return int(self._follow("ended", command, reader, tick)), reader

    def _follow(self, until: str, what: str, reader: LogReader, tick: Callable[[], None] | None = None) -> str:
        """Read the log until the server says a word; return the words after it."""
        too_late = time.monotonic() + _LONGEST_S
        while time.monotonic() < too_late:
            self._tick()
            if tick is not None:
                tick()
            try:
                line = self._lines.get(timeout=_TICK_S if tick is None else _WATCHING_TICK_S)
            except queue.Empty:
                reader.flush()
                continue
            if line is None:
                raise AirflowFailed(f"{what} has ended unexpectedly, see {self._log_path}")
            if line.startswith(SIGNAL):
                reader.flush()
                word, _, rest = line.removeprefix(SIGNAL).partition(" ")
                if word == until:
                    return rest
            elif _WAITS_FOR_A_RETRY.match(line):
                raise AirflowFailed(f"a task failed and waits for a retry, see {self._log_path}")
            else:
                reader.feed(line)
        raise AirflowFailed(f"{what} did not end within {_LONGEST_S:g} s, see {self._log_path}")

    def _read(self, process: subprocess.Popen[str]) -> None:
        with self._log_path.open("a", encoding="utf-8") as log:
            for line in process.stdout or ():
                if not line.startswith(SIGNAL):
                    log.write(line)
                    log.flush()
                self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def _latest_run(self, dag_id: str, failure: str) -> Run:
        """The latest run, as Airflow's own database has it."""
        with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)) as database:
            latest = "SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1"
            (run_id,) = database.execute(latest, (dag_id,)).fetchone() or (None,)
            place = "dag_id = ? AND run_id = ? AND task_id = 'deliver'"
            task = database.execute(
                f"SELECT state, try_number, max_tries FROM task_instance WHERE {place}", (dag_id, run_id)
            ).fetchone()
            pushed = database.execute(
                f"SELECT value FROM xcom WHERE {place} AND key = 'summary'", (dag_id, run_id)
            ).fetchone()
        if task is None or pushed is None:
            raise AirflowFailed(f"task deliver of DAG {dag_id} left no summary, see {self._log_path}")
        state, tries, more_tries = task
        return Run(state, tries, more_tries + 1, _decoded(pushed[0]), failure)


def _decoded(value: Any) -> Any:
    """An XCom value out of the database: JSON, in some versions of Airflow twice."""
    while isinstance(value, (str, bytes)):
        value = json.loads(value)
    return value
