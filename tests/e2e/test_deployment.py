"""What the other scenarios rely on: a deployment leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_deployment_leaves_nothing_behind(number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end every process that was started, and the files go too."""
    command = [sys.executable, "-m", "tests.e2e.hold"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as held:
        try:
            assert held.stdout is not None
            said = next((line for line in held.stdout if line.startswith("{")), "")
            where = json.loads(said)
            processes = [psutil.Process(pid) for pid in where["processes"]]
            assert len(processes) >= 5
            held.send_signal(number)
            assert held.wait(60) == 130
        finally:
            held.kill()
    assert [process for process in processes if process.is_running()] == []
    assert not Path(where["home"]).exists()
