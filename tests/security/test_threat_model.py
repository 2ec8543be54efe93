"""The threat model in docs/security.md: each line has its test, and each test fails without its defence."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.security.mutations import MUTATIONS
from tests.support.mutations import Mutation, fails_without, faults_of, ids, is_there
from tests.support.prepared_python import PreparedPython

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
_NAMED = re.compile(r"`(test_\w+\.py::test_\w+)` \|$")


def lines_of_the_model() -> list[str]:
    """The tests that the page's tables name, one a line."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    model = page.partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in model.splitlines() if line.startswith("| ") and not line.startswith(("| ---", "| attack"))]
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
    assert {mutation.caught_by for mutation in MUTATIONS} == existing_tests()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=ids(MUTATIONS))
def test_what_a_mutation_replaces_is_there(mutation: Mutation) -> None:
    assert faults_of(mutation) == []
    assert is_there(mutation, "tests/security")


@pytest.mark.mutations
@pytest.mark.parametrize("mutation", MUTATIONS, ids=ids(MUTATIONS))
def test_without_its_defence_the_test_fails(mutation: Mutation, prepared_python: PreparedPython) -> None:
    fails_without(mutation, prepared_python, "tests/security")
