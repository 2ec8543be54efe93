"""What the other scenarios rely on: a deployment leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.deployment.processes import ended_by_sigterm, wait_until

ROOT = Path(__file__).resolve().parents[2]


def test_ctrl_c_leaves_nothing_behind() -> None:
    """Ctrl-C, when all is up, ends every process that was started, and the files go too."""
    with _holder() as holder:
        assert holder.stdout is not None
        said = next((line for line in holder.stdout if line.startswith("{")), "")
        where = json.loads(said)
        processes = [psutil.Process(pid) for pid in where["processes"]]
        assert len(processes) >= 5
        _leaves_nothing_behind(holder, signal.SIGINT, processes, Path(where["home"]))


def test_sigterm_during_the_start_leaves_nothing_behind() -> None:
    """SIGTERM does so too, also while the components are being started."""
    with _holder() as holder:
        home = wait_until(lambda: _home(holder), 180, "the scheduler is being started", str)
        processes = psutil.Process(holder.pid).children(recursive=True)
        assert len(processes) >= 2
        _leaves_nothing_behind(holder, signal.SIGTERM, processes, home)


class _TellsAtItsEnd:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_sigterm_during_a_finalizer_is_not_lost() -> None:
    """A finalizer lets no exception through."""
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        _told_in_a_finalizer()
    assert time.monotonic() - started < 10


def _told_in_a_finalizer() -> None:
    with ended_by_sigterm():
        _TellsAtItsEnd()
        wait_until(lambda: False, 20, "the signal", str)


@contextmanager
def _holder() -> Iterator[subprocess.Popen[str]]:
    """A deployment in a process of its own."""
    command = [sys.executable, "-m", "tests.e2e.hold"]
    environment = {name: value for name, value in os.environ.items() if name != "CONNECTIF_E2E_KEEP"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        try:
            yield holder
        finally:
            holder.kill()


def _home(holder: subprocess.Popen[str]) -> Path | None:
    """Airflow's home, once the scheduler is among the processes."""
    for process in psutil.Process(holder.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "scheduler" in process.cmdline():
                return Path(process.environ()["AIRFLOW_HOME"])
    return None


def _leaves_nothing_behind(
    holder: subprocess.Popen[str], number: signal.Signals, processes: list[psutil.Process], home: Path
) -> None:
    assert home.exists()
    holder.send_signal(number)
    assert holder.wait(60) == 130
    assert [process for process in processes if process.is_running()] == []
    assert not home.exists()
