"""A Python process that has imported what takes seconds, and runs pytest in forks of itself.

To start Python and to import pytest and Airflow takes ten times as long as most unit tests. A fork begins after that.
The package and the tests are not imported ahead: each run has those of the copy as they are then.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_connectif"
IMPORTED = (
    *("_pytest.pytester", "sqlite3", "requests", "pendulum", "phonenumbers", "hypothesis", "jinja2", "pydantic"),
    *("sqlalchemy.dialects.sqlite", "cryptography.fernet", "structlog", "airflow.triggers.base"),
)
OF_AIRFLOW = ("BaseHook", "BaseOperator", "Connection", "DAG", "AirflowException", "TaskDecorator", "Asset", "Stats")
MOST_S = 300


class Done(NamedTuple):
    """The end of a run: pytest's exit code, and what it printed."""

    returncode: int
    output: str


class PreparedPython:
    """The process, with a copy of the package and of the tests.

    :param folder: of the copy; empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (PACKAGE, "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "e2e"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        self._output = folder / "output"
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(folder), str(self._output)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Without the plugins that happen to be installed: to load them takes longer than most tests.
            env={**os.environ, "PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            _file(self._process.stdin).close()
        self._process.wait()

    def run(self, *arguments: str) -> Done:
        """Run pytest in the copy.

        :param arguments: of pytest.
        """
        print(json.dumps(arguments), file=_file(self._process.stdin), flush=True)
        returncode = int(_file(self._process.stdout).readline())
        return Done(returncode, self._output.read_text(encoding="utf-8", errors="replace"))


@pytest.fixture(scope="session")
def prepared_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedPython]:
    """One for all tests of this process."""
    python = PreparedPython(tmp_path_factory.mktemp("copy"))
    yield python
    python.close()


def _file(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _prepare() -> None:
    for name in IMPORTED:
        importlib.import_module(name)
    sdk = importlib.import_module("airflow.providers.common.compat.sdk")
    for name in OF_AIRFLOW:
        getattr(sdk, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]  # Airflow has asked it for what it provides


def _run(folder: str, output: str, arguments: list[str]) -> int:
    faulthandler.dump_traceback_later(MOST_S, exit=True)
    written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(written, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(folder)
    returncode = int(pytest.main(arguments))
    sys.stdout.flush()
    return returncode


def _main(folder: str, output: str) -> None:
    sys.path.remove(str(Path(__file__).parent))  # its modules are imported by their whole names
    _prepare()
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            returncode = int(pytest.ExitCode.INTERNAL_ERROR)
            try:
                returncode = _run(folder, output, json.loads(line))
            finally:
                os._exit(returncode)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
