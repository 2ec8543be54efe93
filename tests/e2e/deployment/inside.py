"""A deployment with users and roles, whose lineage goes into a file and whose metrics to a listener."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.e2e.deployment import venvs
from tests.e2e.deployment.airflow import JOURNAL, Deployment
from tests.e2e.deployment.processes import DeploymentError
from tests.e2e.deployment.rest import Rest

ADMIN = "admin"
_AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
_MAKE_USERS = """
import json, sys
from airflow.providers.fab.www.app import create_app
app = create_app(enable_plugins=False)
with app.app_context():
    security = app.appbuilder.sm
    for name, rights in json.loads(sys.argv[1]).items():
        role = security.find_role("Admin") if rights is None else security.add_role(name)
        for action, resource in rights or ():
            security.add_permission_to_role(role, security.create_permission(action, resource))
        assert security.add_user(name, name, name, f"{name}@example.com", role, password=name)
"""


class InsideDeployment(Deployment):
    """A :class:`Deployment` with the FAB auth manager, OpenLineage's file transport, and a StatsD listener.

    :param users: the rights of each user by name, such as ``("can_read", "DAG:nightly")``. The user ``admin``, who may
        do everything, is added. The password of each is the name.
    """

    _admin = ADMIN

    def __init__(self, users: Mapping[str, Sequence[tuple[str, str]]]) -> None:
        self._users = users
        self._metrics: list[str] = []
        super().__init__(
            venvs.INSIDE,
            requirements=venvs.FOR_INSIDE,
            options={"CORE__AUTH_MANAGER": _AUTH_MANAGER, "CONNECTIF__JOURNALS": JOURNAL},
        )

    def _start_services(self, python: Path) -> Mapping[str, object]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(0.5)
        is_over = threading.Event()
        thread = threading.Thread(target=self._listen, args=(listener, is_over))
        thread.start()
        self._cleanup.callback(listener.close)
        self._cleanup.callback(thread.join)
        self._cleanup.callback(is_over.set)
        transport = {"type": "file", "log_file_path": str(self._lineage), "append": True}
        return {
            "METRICS__STATSD_ON": True,
            "METRICS__STATSD_HOST": "127.0.0.1",
            "METRICS__STATSD_PORT": listener.getsockname()[1],
            "OPENLINEAGE__TRANSPORT": json.dumps(transport),
        }

    def _migrate(self, python: Path, settings: Mapping[str, str]) -> None:
        super()._migrate(python, settings)
        users = json.dumps({**self._users, ADMIN: None})
        command = [str(python), "-c", _MAKE_USERS, users]
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=180)
        if done.returncode:
            raise DeploymentError(f"the users could not be made\n{done.stdout}{done.stderr}")

    def _listen(self, listener: socket.socket, is_over: threading.Event) -> None:
        while not is_over.is_set():
            try:
                self._metrics += listener.recv(65_535).decode().splitlines()
            except TimeoutError:
                continue

    @property
    def _lineage(self) -> Path:
        return self.home / "lineage.jsonl"

    def rest_of(self, user: str) -> Rest:
        """The REST API, and every other path of the server, for a user."""
        return Rest(self.rest.url, self._flavour.api, user)

    def counters(self) -> Counter[str]:
        """The sums of the counters of this provider that have arrived, by name without Airflow's prefix."""
        found: Counter[str] = Counter()
        for metric in self._metrics:
            name, _, value = metric.partition(":")
            count, _, kind = value.partition("|")
            if name.startswith("airflow.connectif.") and kind.startswith("c"):
                found[name.removeprefix("airflow.connectif.")] += int(count)
        return found

    def timers(self) -> set[str]:
        """The names of the timers of this provider that have arrived, without Airflow's prefix."""
        names = [metric.partition(":")[0] for metric in self._metrics if metric.endswith("|ms")]
        return {name.removeprefix("airflow.connectif.") for name in names if name.startswith("airflow.connectif.")}

    def lineage(self, job: str) -> list[dict[str, Any]]:
        """The OpenLineage events of a job, ``dag.task``, in the order in which they were written."""
        lines = self._lineage.read_text("utf-8").splitlines() if self._lineage.exists() else []
        events = [json.loads(line) for line in lines]
        return [event for event in events if event["job"]["name"] == job]
