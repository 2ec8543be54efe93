"""What an init system does: start again what has ended, and what does not do its work."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import psycopg

from tests.e2e.deployment import Deployment, DeploymentError

_AGAIN_AFTER_S = 1.0
_WELL_WITHIN_S = 45.0
_POLL_S = 0.2
_PROBED_EVERY_S = 5.0
_SILENT_S = 20.0
_SILENT_FOR_S = 25.0
_STARTS_WITHIN_S = 45.0


class Init:
    """Watches over a deployment's components.

    :param deployment: whose.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._kept_down: set[str] = set()
        self._launched_at: dict[str, float] = {}
        self._probed_at = time.monotonic()
        self._silent_since: dict[str, float] = {}
        self.deaths: list[str] = []
        """Every component that was killed, by whom ever, or ended by itself, in order."""
        self.started_again: list[str] = []
        """Those of them that nobody had taken down, in words."""

    def take_down(self, name: str) -> None:
        """``kill -9`` a component with all that it has started, and keep it down."""
        self._kept_down.add(name)
        self._deployment.kill(name)
        self.deaths.append(name)

    def is_down(self, name: str) -> bool:
        """Whether a component is kept down."""
        return name in self._kept_down

    def let_up(self, name: str) -> None:
        """Start a component that was taken down."""
        if name in self._kept_down:
            self._kept_down.remove(name)
            self._launch(name)

    def look(self) -> None:
        """Start again what has ended by itself, or is silent, with a moment in between; to be called all the time."""
        for name, component in self._deployment.components.items():
            if name in self._kept_down or component.is_running:
                continue
            if time.monotonic() - self._launched_at.get(name, 0.0) >= _AGAIN_AFTER_S:
                self._start_again(name, "ended")
        if time.monotonic() - self._probed_at >= _PROBED_EVERY_S:
            self._probe()

    def see_to_it_that_all_is_well(self) -> None:
        """Wait until every component does its work; one that lives and does not is killed and started again.

        :raises DeploymentError: one does not, not even then.
        """
        for name in list(self._kept_down):
            self.let_up(name)
        for is_last in (False, True):
            ill = self._ill_after(_WELL_WITHIN_S)
            if not ill:
                return
            if is_last:
                raise DeploymentError(f"{', '.join(ill)}: not well again\n{self._deployment.logs()}")
            for name in ill:
                self._start_again(name, "not well")

    def _probe(self) -> None:
        """Start again what is silent; not what is late once, since the machine may be busy."""
        silent = self._silent()
        self._probed_at = time.monotonic()
        self._silent_since = {name: self._silent_since.get(name, self._probed_at) for name in silent}
        for name, since in list(self._silent_since.items()):
            if self._probed_at - since >= _SILENT_FOR_S:
                del self._silent_since[name]
                self._start_again(name, "silent")

    def _start_again(self, name: str, why: str) -> None:
        self.deaths.append(name)
        self.started_again.append(f"{name} ({why})")
        self._launch(name)

    def _silent(self) -> set[str]:
        """What lives and has shown no sign of life for long, as a liveness probe finds out.

        A scheduler of Airflow 3.3.2 that has lost its database while a task runs may wait for ever for its executor.
        """
        long_ago = time.monotonic() - _STARTS_WITHIN_S
        running = [name for name in self._deployment.components if name not in self._kept_down]
        asked = [name for name in running if self._launched_at.get(name, 0.0) < long_ago]
        try:
            since = self._deployment.metadata.now() - timedelta(seconds=_SILENT_S)
            return {name for name in asked if not self._deployment.is_well(name, since)}
        except psycopg.OperationalError:
            return set()  # nobody can show one

    def _ill_after(self, seconds: float) -> list[str]:
        since: datetime | None = None
        deadline = time.monotonic() + seconds
        while True:
            self.look()
            try:
                since = since or self._deployment.metadata.now()
                ill = [name for name in self._deployment.components if not self._deployment.is_well(name, since)]
            except psycopg.OperationalError:
                ill = ["postgres"]
            if not ill or time.monotonic() > deadline:
                return ill
            time.sleep(_POLL_S)

    def _launch(self, name: str) -> None:
        component = self._deployment.components[name]
        component.kill()  # what it had started and left behind
        component.launch()
        self._launched_at[name] = time.monotonic()
