"""Airflow's components on a database of their own, and what a test does with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import psycopg
import requests

from tests.e2e.deployment import venvs
from tests.e2e.deployment.connectif import Connectif
from tests.e2e.deployment.database import Database
from tests.e2e.deployment.metadata import OCCUPIES_A_WORKER, Metadata, TaskKey
from tests.e2e.deployment.processes import (
    Component,
    DeploymentError,
    free_port,
    tail,
    wait_until,
)
from tests.e2e.deployment.rest import Rest
from tests.e2e.deployment.settings import FLAVOURS, WEBSERVER_CONFIG, base_environment, environment

METADATA, WAREHOUSE, JOURNAL = "airflow", "warehouse", "journal"
ENDED = ("success", "failed")
"""How a run ends."""


class Deployment:
    """An Airflow that runs from ``with`` to the end of the block; nothing of it is left over then.

    Its components run from a virtual environment in which this package is installed as a wheel. It has the Airflow
    connections ``warehouse`` and ``journal``, each a database of its own, and those of :meth:`connectif`.

    :param version: a version of Airflow that :mod:`tests.e2e.deployment.venvs` knows.
    :param executor: the executor's name.
    :param requirements: what is installed beyond Airflow and this package.
    :param options: more settings, ``{"SECTION__KEY": value}``.
    :param commands: more components: arguments of ``airflow`` by name.
    :param ready_words: what one of those writes into its log when it is ready; else it is when it runs.
    :param is_lent: whether all but this package may come from the environment that runs this, which is quicker.
    :raises DeploymentError: from ``with`` and from every method: something did not happen, or not in time.
    """

    _admin: str | None = None
    """The user of :attr:`rest`, whose password is the name; ``None``: there are no users."""

    def __init__(
        self,
        version: str = venvs.NEWEST,
        *,
        executor: str = "LocalExecutor",
        requirements: Collection[str] = (),
        options: Mapping[str, object] | None = None,
        commands: Mapping[str, str] | None = None,
        ready_words: Mapping[str, str] | None = None,
        is_lent: bool = False,
    ) -> None:
        self.version = version
        self._is_lent = is_lent
        self._executor = executor
        self._requirements = tuple(requirements)
        self._options = dict(options or {})
        self._flavour = FLAVOURS[int(version.partition(".")[0])]
        self._commands = {**self._flavour.commands, **(commands or {})}
        self._ready_words = dict(ready_words or {})
        self._cleanup = ExitStack()
        self.components: dict[str, Component] = {}

    def __enter__(self) -> Deployment:
        with ExitStack() as if_it_fails:
            if_it_fails.callback(self._cleanup.close)
            self._set_up()
            if_it_fails.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _set_up(self) -> None:
        python = venvs.lent() if self._is_lent else venvs.installed(self.version, self._requirements)
        self.home = Path(tempfile.mkdtemp(prefix="connectif-e2e-"))
        if not os.environ.get("CONNECTIF_E2E_KEEP"):
            self._cleanup.callback(shutil.rmtree, self.home, ignore_errors=True)
        self._cleanup.callback(self._kill_all)
        (self.home / "dags").mkdir()
        (self.home / "webserver_config.py").write_text(WEBSERVER_CONFIG)

        self.database = self.components["postgres"] = Database(
            self.home, base_environment(), (METADATA, WAREHOUSE, JOURNAL)
        )
        self.database.create()
        port = free_port()
        settings = environment(self.home, python, self.database.url(METADATA), port, self._executor)
        options = {**self._start_services(python), **self._options}
        settings |= {f"AIRFLOW__{name}": str(value) for name, value in options.items()}
        self._migrate(python, settings)
        self.metadata = Metadata(self.database, METADATA)
        self.metadata.watch()
        self.rest = Rest(f"http://127.0.0.1:{port}", self._flavour.api, self._admin)

        since = self.metadata.now()
        for name, arguments in self._commands.items():
            command = [str(python), "-m", "airflow", *arguments.format(port=port).split()]
            self.components[name] = Component(name, command, settings, self.home, partial(self._is_ready, name, since))
            self.components[name].launch()
        for name in self._commands:
            self.components[name].wait()
        for name in (WAREHOUSE, JOURNAL):
            self.rest.define_connection(name, self.database.airflow_connection(name))

    def _start_services(self, python: Path) -> Mapping[str, object]:
        """Start what else is needed before Airflow is; returns Airflow's settings for it."""
        return {}

    def _migrate(self, python: Path, settings: Mapping[str, str]) -> None:
        log = self.home / "migrate.log"
        with log.open("wb") as output:
            command = [str(python), "-m", "airflow", "db", "migrate"]
            done = subprocess.run(command, env=settings, stdout=output, stderr=subprocess.STDOUT, timeout=180)
        if done.returncode:
            raise DeploymentError(f"`airflow db migrate` ended with {done.returncode}\n{tail(log)}")

    def _is_ready(self, name: str, since: Any) -> bool:
        if name in self._flavour.jobs:
            try:
                return self.metadata.is_alive(self._flavour.jobs[name], since)
            except psycopg.OperationalError:  # the database is being started as well
                return False
        if name != self._flavour.server:
            return self._ready_words.get(name, "") in self.components[name].log.read_text("utf-8", "replace")
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(f"{self.rest.url}{self._flavour.health}", timeout=5).ok
        except requests.RequestException:
            return False

    def is_well(self, name: str, since: Any) -> bool:
        """Whether a component runs and has shown a sign of life since a moment, by the database's clock."""
        if not self.components[name].is_running:
            return False
        if name in self._flavour.jobs:
            return self.metadata.has_beaten(self._flavour.jobs[name], since)
        return name == self.database.name or self._is_ready(name, since)

    # What is there beside Airflow

    def connectif(self, conn_id: str = "connectif_default", **options: Any) -> Connectif:
        """Start a sandbox and store the connection to it; it runs until the deployment ends, or is stopped.

        :param options: as for :class:`~airflow_provider_connectif.sandbox.SandboxProcess`; no limit by default.
        """
        connectif = self._cleanup.enter_context(Connectif(conn_id, **options))
        self.rest.define_connection(conn_id, connectif.airflow_connection())
        return connectif

    def warehouse(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Run SQL in the warehouse and return its rows."""
        return self.database.query(WAREHOUSE, sql, parameters)

    def journal(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """Run SQL in the journal's database and return its rows."""
        return self.database.query(JOURNAL, sql, parameters)

    # What a person does

    def publish_dag(self, dag_id: str, source: str) -> None:
        """Write the file of one DAG, under an id that no other has had; it is not paused."""
        path = self.home / "dags" / f"{dag_id}.py"
        draft = path.with_suffix(".draft")
        draft.write_text(source, encoding="utf-8")
        draft.replace(path)

    def wait_for_dag(self, dag_id: str, within_s: float = 60.0) -> None:
        """Wait until a DAG can be run."""
        wait_until(
            lambda: self.metadata.is_parsed(dag_id),
            within_s,
            f"DAG {dag_id} is parsed",
            lambda: f"{self.metadata.import_errors()}\n{tail(self.components[self._flavour.parser].log)}",
        )

    def retire_dag(self, dag_id: str) -> None:
        """Take the file of a DAG away and begin nothing more of it; one that was never written is no error."""
        path = self.home / "dags" / f"{dag_id}.py"
        if path.exists():
            path.unlink()
            self.pause(dag_id)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand; returns its id."""
        return self.rest.trigger(dag_id, conf)

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task of a run: it is run again."""
        self.rest.clear(dag_id, run_id, task_id)

    def pause(self, dag_id: str) -> None:
        """Pause a DAG: what runs goes on, nothing more is begun."""
        self.rest.pause(dag_id, True)

    def unpause(self, dag_id: str) -> None:
        """Let a paused DAG go on."""
        self.rest.pause(dag_id, False)

    # What a test waits for

    def wait_for_run(self, dag_id: str, run_id: str, states: Collection[str] = ENDED, within_s: float = 120.0) -> str:
        """Wait until a run has one of these states, and return which."""
        state: str = wait_until(
            lambda: (state := self.metadata.run_state(dag_id, run_id)) in states and state,
            within_s,
            f"run {run_id} of {dag_id} is {' or '.join(states)}",
            lambda: self._how_things_stand(dag_id, run_id),
        )
        return state

    def wait_for_task(self, key: TaskKey, states: Collection[str], within_s: float = 120.0) -> str:
        """Wait until a task has one of these states, and return which."""
        state: str = wait_until(
            lambda: (state := self.metadata.task(key).get("state")) in states and state,
            within_s,
            f"{key} is {' or '.join(states)}",
            lambda: self._how_things_stand(key.dag_id, key.run_id),
        )
        return state

    def wait_until(self, condition: Any, within_s: float, what: str) -> Any:
        """Poll until a condition is true and return what it gave; ``what`` says in words what is waited for."""
        return wait_until(condition, within_s, what, self.logs)

    # What can be looked at

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, within_s: float = 120.0) -> tuple[str, str]:
        """Start a run by hand, wait for its end, and return its id and its state."""
        run_id = self.trigger(dag_id, conf)
        return run_id, self.wait_for_run(dag_id, run_id, within_s=within_s)

    def summary(self, key: TaskKey) -> dict[str, Any]:
        """The summary that the operator pushed."""
        summary = self.metadata.xcom(key, "summary")
        if summary is None:
            raise DeploymentError(f"{key} pushed no summary\n{self.task_log(key)}")
        return dict(summary)

    def task_log(self, key: TaskKey) -> str:
        """All that a task has logged, try by try; what its triggers logged is included."""
        mapped = "" if key.map_index < 0 else f"map_index={key.map_index}/"
        place = f"dag_id={key.dag_id}/run_id={key.run_id}/task_id={key.task_id}/{mapped}"
        paths = sorted((self.home / "logs" / place).glob("attempt=*.log*"))
        return "\n".join(path.read_text("utf-8", "replace") for path in paths)

    def busy_seconds(self, key: TaskKey) -> float:
        """How long a task held a worker slot, over all tries and returns from deferral; at most too much.

        From the executor's start of the process to the end of its state ``running``, by the metadata database's own
        record of every change of state. What a trigger waits for does not count. The end of the process, some tenths
        of a second after its last state, is not seen.
        """
        return self.metadata.seconds_in(key, *OCCUPIES_A_WORKER)

    def logs(self) -> str:
        """The end of every component's log."""
        return "\n".join(tail(component.log) for component in self.components.values())

    # What goes wrong in the night

    def kill(self, component: str, *, with_children: bool = True) -> None:
        """``kill -9`` a component: ``scheduler``, ``triggerer``, ``dag-processor``, ``api-server``, ``postgres``.

        :param with_children: all that it started too; else the workers and tasks of a scheduler live on.
        """
        self.components[component].kill(with_children=with_children)

    def start_missing(self) -> None:
        """Start every component that does not run, as after a scenario that failed between :meth:`kill` and that."""
        for name, component in self.components.items():
            if not component.is_running:
                self.start(name)

    def start(self, component: str) -> None:
        """Start a component that was killed, and wait until it does its work."""
        killed = self.components[component]
        if component in self._flavour.jobs:
            killed.is_ready = partial(self._is_ready, component, self.metadata.now())
        killed.start()

    def task_process(self, key: TaskKey, within_s: float = 60.0) -> psutil.Process:
        """The process of a running task; its parent is the worker that supervises it."""

        def find() -> psutil.Process | None:
            task = self.metadata.task(key)
            if task.get("state") != "running" or not task["pid"]:
                return None
            owned = (process for component in self.components.values() for process in component.processes())
            return next((process for process in owned if process.pid == task["pid"]), None)

        return wait_until(find, within_s, f"{key} runs", lambda: self._how_things_stand(key.dag_id, key.run_id))

    def kill_task(self, key: TaskKey, *, with_worker: bool = False) -> None:
        """``kill -9`` the process of a running task.

        :param with_worker: the worker that supervises it as well, and first, so that nothing reports the end.
        """
        process = self.task_process(key)
        if with_worker and (worker := process.parent()) is not None:
            worker.send_signal(signal.SIGKILL)
        process.send_signal(signal.SIGKILL)

    def _kill_all(self) -> None:
        # The database last: what loses it writes pages of errors.
        for component in reversed(self.components.values()):
            component.kill()

    def _how_things_stand(self, dag_id: str, run_id: str) -> str:
        states = self.metadata.task_states(dag_id, run_id)
        keys = [TaskKey(dag_id, run_id, name.partition("[")[0], _index(name)) for name in states]
        logs = [self.task_log(key)[-4000:] for key in keys]
        return "\n".join((f"tasks: {states}", *logs, tail(self.components["scheduler"].log)))


def _index(name: str) -> int:
    return int(name.partition("[")[2].rstrip("]") or -1)
