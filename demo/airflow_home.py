"""An Airflow of the demo's own, run as a user would: ``airflow db migrate``, ``airflow dags test``."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LONGEST_S = 180.0
_STOP_S = 2.0
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_PROVIDERS_LINE = re.compile(r"\S+ (?:INFO|WARNING|ERROR) \S*airflow_provider_connectif\S*: (.*)")
_FAILURE = re.compile(r"[\w.]*\.Airflow(?:Fail|Skip)?Exception: (.*)")
_WAITS_FOR_A_RETRY = re.compile(r".*No tasks to run.*up_for_retry")
# A proxy must not come between, and another Airflow's settings (its database!) must not be taken over.
_NOT_INHERITED = re.compile(r"_?AIRFLOW|.*_PROXY$", re.IGNORECASE)


class AirflowFailed(Exception):
    """Airflow could not do what it was told; the text says where to look."""


@dataclass(frozen=True)
class Run:
    """How a task ended.

    :param state: Airflow's word for it.
    :param tries: how often it was begun.
    :param may_try: how often it might have been.
    :param summary: what it pushed to XCom under ``summary``.
    :param failure: the exception's words, if it failed.
    """

    state: str
    tries: int
    may_try: int
    summary: dict[str, Any]
    failure: str


class AirflowHome:
    """An Airflow with its home below ``folder`` and the example DAGs of ``root``.

    ``environment`` is what its processes get; nothing of another Airflow on this machine is in it.
    """

    def __init__(self, folder: Path, root: Path) -> None:
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
            "AIRFLOW__CORE__DAGS_FOLDER": str(root / "example_dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}",
            "AIRFLOW__LOGGING__LOG_FORMAT": _LOG_FORMAT,
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def migrate(self) -> None:
        """Make the metadata database."""
        if self._call(["db", "migrate"], {}, lambda line: None):
            raise AirflowFailed(f"`airflow db migrate` did not succeed, see {self._log_path}")

    def test(self, dag_id: str, task_id: str, environment: Mapping[str, str], show: Callable[[str], None]) -> Run:
        """Run a DAG with ``airflow dags test``; ``show`` gets the provider's log lines as they come."""
        shown: list[str] = []
        failures: list[str] = []

        def read(line: str) -> None:
            if match := _PROVIDERS_LINE.match(line):
                shown.append(match.group(1))
                show(match.group(1))
            elif (match := _FAILURE.match(line)) and match.group(1) not in failures:
                failures.append(match.group(1))
                show(f"Task failed: {match.group(1)}")
            elif _WAITS_FOR_A_RETRY.match(line):
                raise AirflowFailed(f"a task of {dag_id} failed and waits to be tried again, see {self._log_path}")

        self._call(["dags", "test", dag_id], environment, read)
        if not shown:
            raise AirflowFailed(f"{dag_id} logged nothing of this provider's, see {self._log_path}")
        return self._run(dag_id, task_id, " ".join(failures))

    def _call(self, arguments: list[str], environment: Mapping[str, str], read: Callable[[str], None]) -> int:
        command = [sys.executable, "-m", "airflow", *arguments]
        with (
            self._log_path.open("a", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
            ) as process,
        ):
            too_long = threading.Timer(_LONGEST_S, process.kill)
            too_long.start()
            try:
                for line in process.stdout or ():
                    log.write(line)
                    read(line.rstrip("\n"))
                status = process.wait()
            finally:
                too_long.cancel()
                _stop(process)
        if status == -signal.SIGKILL:
            raise AirflowFailed(f"`airflow {' '.join(arguments)}` did not end within {_LONGEST_S:g} s")
        return status

    def _run(self, dag_id: str, task_id: str, failure: str) -> Run:
        """The latest run, as Airflow's own database has it."""
        with closing(sqlite3.connect(f"{self._database.as_uri()}?mode=ro", uri=True)) as database:
            latest = "SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1"
            (run_id,) = database.execute(latest, (dag_id,)).fetchone() or (None,)
            place = "dag_id = ? AND run_id = ? AND task_id = ?"
            task = database.execute(
                f"SELECT state, try_number, max_tries FROM task_instance WHERE {place}", (dag_id, run_id, task_id)
            ).fetchone()
            pushed = database.execute(
                f"SELECT value FROM xcom WHERE {place} AND key = 'summary'", (dag_id, run_id, task_id)
            ).fetchone()
        if task is None or pushed is None:
            raise AirflowFailed(f"task {task_id} of DAG {dag_id} left no summary, see {self._log_path}")
        state, tries, more_tries = task
        return Run(state, tries, more_tries + 1, _decoded(pushed[0]), failure)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _decoded(value: Any) -> Any:
    """An XCom value out of the database: JSON, in some versions of Airflow twice."""
    while isinstance(value, (str, bytes)):
        value = json.loads(value)
    return value
