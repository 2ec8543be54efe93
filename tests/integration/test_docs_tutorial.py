"""docs/tutorial.md from top to bottom, as somebody would who types it: one shell, a second one for the sandbox."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.doc_blocks import ROOT, Block, blocks_of
from tests.support.task_logs import unfolded

BLOCKS = list(blocks_of(ROOT / "docs" / "tutorial.md"))
START = "python -m airflow_provider_connectif.sandbox\n"
_SAVED_AS = re.compile(r"# ([\w/]+\.py)\n")
_NOT_INHERITED = re.compile(r"AIRFLOW|PYTHONPATH$")


class Terminal:
    """A shell whose environment lasts from one block to the next.

    :param folder: where it is.
    :param sandbox: stands in for the one of the second terminal, on a port that is free.
    """

    def __init__(self, folder: Path, sandbox: SandboxProcess) -> None:
        self._folder = folder
        self._sandbox = sandbox
        self.printed = ""
        self._environment = {name: value for name, value in os.environ.items() if not _NOT_INHERITED.match(name)}
        self._environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "127.0.0.1",
        }

    def type(self, commands: str) -> None:
        """Run a block; what it prints is kept until the next one."""
        kept = shlex.quote(str(self._folder / ".environment"))
        done = subprocess.run(
            ["bash", "-c", f"set -e\n{self.here(commands)}\nenv -0 > {kept}"],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
        self.printed = done.stdout
        assert done.returncode == 0, done.stdout
        entries = (self._folder / ".environment").read_text().split("\0")
        self._environment = dict(entry.split("=", 1) for entry in entries if "=" in entry)

    def here(self, text: str) -> str:
        """The text with this sandbox's address."""
        return text.replace("http://127.0.0.1:8765", self._sandbox.url)


@pytest.mark.tutorial
@pytest.mark.timeout(600)
def test_the_tutorial_from_top_to_bottom(tmp_path: Path) -> None:
    with SandboxProcess() as sandbox:
        terminal = Terminal(tmp_path, sandbox)
        for block in BLOCKS:
            _follow(block, terminal, tmp_path)
        assert sandbox.contacts().keys() == {f"{name}@example.com" for name in ("ana", "ben", "dan", "eva")}


def _follow(block: Block, terminal: Terminal, folder: Path) -> None:
    text = terminal.here(block.text)
    if block.language == "python":
        saved_as = _SAVED_AS.match(block.text)
        assert saved_as, f"{block.place} does not say where it is saved"
        (folder / saved_as[1]).write_text(text, encoding="utf-8")
    elif block.text == START:
        terminal.printed = _first_line_of_a_sandbox()
    elif block.language == "bash" and not block.text.startswith("python3 -m venv"):  # the environment is this one
        terminal.type(block.text)
    elif block.language == "sql":
        with closing(sqlite3.connect(folder / "warehouse.db")) as database:
            assert len(database.execute(text).fetchall()) == 4
    elif block.language == "text":
        for line in block.text.splitlines() if block.text.startswith("Connectif sandbox") else text.splitlines():
            assert re.search(".*".join(map(re.escape, line.split("..."))), unfolded(terminal.printed)), (
                line,
                terminal.printed,
            )


def _first_line_of_a_sandbox() -> str:
    """What a sandbox says that is started as the page says, with its port as it would be."""
    command = [sys.executable, *shlex.split(START)[1:], "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            return re.sub(r"(?<=127\.0\.0\.1:)\d+", "8765", process.stdout.readline())
        finally:
            process.terminate()
