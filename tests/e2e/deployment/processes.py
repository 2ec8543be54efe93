"""Processes that belong to one deployment: started, looked at, killed, and none left over."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

_POLL_S = 0.1
_TAIL_LINES = 40


class DeploymentError(AssertionError):
    """Something of the deployment did not happen, or not in time; the text ends with what its logs say."""


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def tail(path: Path, lines: int = _TAIL_LINES) -> str:
    """The last lines of a log, under its name."""
    text = path.read_text("utf-8", "replace") if path.exists() else "(not there)"
    return "\n".join((f"--- {path.name}", *text.splitlines()[-lines:]))


def wait_until(condition: Callable[[], Any], within_s: float, what: str, explain: Callable[[], str]) -> Any:
    """Poll until a condition is true and return what it gave.

    :param what: what is waited for, in words.
    :param explain: says how things stand; called only when the time is up.
    :raises DeploymentError: it did not become true within ``within_s`` seconds.
    """
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise DeploymentError(f"{what}: not within {within_s:g} s\n{explain()}")
        time.sleep(_POLL_S)
    return value


@contextlib.contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Handle SIGTERM as Ctrl-C, so that the same is cleaned up after both."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def ignored(unraisable: Any) -> None:
        # The signal came while a finalizer ran, which lets no exception through: once more, after it.
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _POLL_S)
        before_ignored(unraisable)

    before_ignored = sys.unraisablehook
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGALRM)}
    sys.unraisablehook = ignored
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.unraisablehook = before_ignored
        for number, handler in before.items():
            signal.signal(number, handler)


class Component:
    """One process and its children, in a session of their own.

    :param name: what it is called in messages; its log is named like it.
    :param command: what is executed.
    :param environment: all of its environment.
    :param folder: where its log is written; the log grows over restarts.
    :param is_ready: whether it does its work. Asked until it says yes.
    :param start_within_s: how long that may take, in seconds.
    :param user: the user to run as; ``None``: the same.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        is_ready: Callable[[], Any],
        start_within_s: float = 90.0,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = list(command)
        self._environment = dict(environment)
        self.is_ready = is_ready
        self._start_within_s = start_within_s
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self._sessions: dict[int, float] = {}

    @property
    def pid(self) -> int:
        """Its process id.

        :raises DeploymentError: it does not run.
        """
        if self._process is None or not self.is_running:
            raise DeploymentError(f"{self.name} does not run\n{tail(self.log)}")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its own process lives."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start it; :meth:`wait` says when it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user,
                cwd=self.log.parent,
            )
        self._sessions[self._process.pid] = time.time()

    def wait(self) -> None:
        """Wait until it is ready.

        :raises DeploymentError: it ended, or it is not ready in time.
        """
        wait_until(
            lambda: self.pid and self.is_ready(),
            self._start_within_s,
            f"{self.name} starts",
            lambda: tail(self.log),
        )

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        self.wait()

    def processes(self) -> list[psutil.Process]:
        """All that it started and that still runs: it, its children and theirs, also those that lost their parent.

        They are recognised by their session, which no part of Airflow leaves. Process groups change, and process titles
        overwrite environments.
        """
        return [process for pid in psutil.pids() if (process := self._own(pid)) is not None]

    def kill(self, *, with_children: bool = True) -> None:
        """``kill -9`` it, by default with all that it started as when a machine goes down; a dead one is no error."""
        if not with_children:
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            return
        while processes := self.processes():  # until none was born meanwhile
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if self._process is not None:
                self._process.wait()
            psutil.wait_procs(processes, timeout=5)

    def terminate(self, within_s: float = 30.0) -> int:
        """Ask it to end (SIGTERM) and return its status.

        :raises DeploymentError: it goes on.
        """
        if self._process is None:
            raise DeploymentError(f"{self.name} was never started")
        self._process.terminate()
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise DeploymentError(f"{self.name} did not end within {within_s:g} s\n{tail(self.log)}") from None

    def _own(self, pid: int) -> psutil.Process | None:
        try:
            begun = self._sessions.get(os.getsid(pid))
            if begun is None:
                return None
            process = psutil.Process(pid)
            # A number that was ours may have been given to another session since; a zombie has ended.
            is_own = process.create_time() >= begun - 1 and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            return None
        return process if is_own else None
