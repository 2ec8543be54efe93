"""Commands of the package's command line, run in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from tests.support.strict_server import API_KEY


@dataclass
class Shown:
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it has printed as JSON."""
        return json.loads(self.out)


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> Shown:
    """Run a command; its output never has the API key."""
    capsys.readouterr()
    code: Any = 0
    try:
        main(list(arguments))
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    assert API_KEY.partition(":")[2] not in out + err
    assert "Traceback" not in err
    return Shown(code, out, err)
