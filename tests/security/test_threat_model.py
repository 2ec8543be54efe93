"""The threat model in docs/security.md: each line has its test, and each test fails without its defence."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
PACKAGE = "airflow_provider_connectif"
_NAMED = re.compile(r"`(test_\w+\.py::test_\w+)` \|$")


def lines_of_the_model() -> list[str]:
    """The tests that the page's tables name, one a line."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    model = page.partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in model.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| could"))]
    found = [_NAMED.search(row) for row in rows]
    assert [row for row, match in zip(rows, found, strict=True) if not match] == [], "lines without a test"
    return [match.group(1) for match in found if match]


def existing_tests() -> set[str]:
    return {
        f"{path.name}::{node.name}"
        for path in HERE.glob("test_*.py")
        if path.name != Path(__file__).name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_line_has_its_test_and_each_test_its_line() -> None:
    lines = lines_of_the_model()
    assert len(lines) > 40
    assert sorted(lines) == sorted(existing_tests())


def test_each_test_has_a_mutation() -> None:
    assert {mutation.test for mutation in MUTATIONS} == existing_tests()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.test.partition("::")[2] for mutation in MUTATIONS])
def test_a_mutation_finds_its_text_once(mutation: Mutation) -> None:
    assert (ROOT / PACKAGE / mutation.file).read_text(encoding="utf-8").count(mutation.old) == 1


@pytest.mark.mutations
@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.test.partition("::")[2] for mutation in MUTATIONS])
def test_without_its_defence_the_test_fails(mutation: Mutation, tmp_path: Path) -> None:
    for name in (PACKAGE, "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / PACKAGE / mutation.file
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    options = ["-q", "-x", "-p", "no:cacheprovider", "--timeout=60", "--timeout-method=thread"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, f"tests/security/{mutation.test}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    summary = done.stdout.strip().splitlines()[-1]
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"\b1 failed", summary), f"the test must fail, and not break: {summary}"
