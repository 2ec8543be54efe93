"""Blocks of code in the README and the docs, with the place where each stands."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Block:
    """A block of code.

    :param page: the file, from the root of the repository.
    :param line: where it begins.
    :param language: as its fence says; empty for an indented block.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """For messages and the names of tests."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that people read."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """The blocks of one page, also those within lists."""
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            first_line = (token.map or [0])[0] + 1
            yield Block(str(page.relative_to(ROOT)), first_line, token.info.strip(), token.content)


def all_blocks() -> list[Block]:
    """Every block of every page. The options of mkdocstrings, which look like code to Markdown, are none."""
    blocks = [block for page in pages() for block in blocks_of(page)]
    return [block for block in blocks if not (block.language == "" and block.text.startswith("options:"))]


# Commands that are not run here, and the file that shows where they are.
RUN_ELSEWHERE = MappingProxyType(
    {
        "make demo": ".ci/run",
        "make test": ".ci/run",
        "make test lint docs": ".ci/run",
        "make mutations": "Makefile",  # minutes each, or servers of its own
        "make docs": ".ci/run",
        "make e2e": "Makefile",
        "make e2e-celery": "Makefile",
        "make chaos SEEDS=50": ".ci/run",  # ten of them
        "make test-matrix": "Makefile",
        "make test-lowest": ".ci/run",
        "make test-warehouses": "Makefile",
        'pip install "airflow-provider-connectif[sql]"': "Makefile",  # installs the same extra, from here
        'pip install ".[sql]"': "Makefile",
        'pip install ".[sql,sandbox]"': "docs/tutorial.md",
    }
)
# Texts that other tests hold to the code.
TESTED_ELSEWHERE = MappingProxyType(
    {
        "docs/troubleshooting.md": "tests/unit/test_troubleshooting.py",
        "docs/upgrades.md": "tests/unit/test_troubleshooting.py",
        "docs/sync.md": "tests/integration/test_plan_numbers.py",
        "docs/tutorial.md": "tests/integration/test_docs_tutorial.py",
        "docs/howto/cleaning.md": "tests/integration/test_docs_cleaning.py",
        "docs/howto/forget-a-person.md": "tests/integration/test_docs_forget.py",
    }
)
# Which of their blocks; text by default.
_OF_PAGES = MappingProxyType({"docs/howto/cleaning.md": "sql", "docs/howto/forget-a-person.md": "bash"})
_OF_DATABASES = "docs/databases/"  # tests/warehouses/test_docs_dags.py runs them on their databases
_IN_A_DAG = re.compile(r"\bwith DAG\(|^@task\.|^Contact\w+Operator\(", re.MULTILINE)


def is_about_history(block: Block) -> bool:
    """Whether it is a query of ``docs/journal.md`` that needs several nights: ``test_history.py`` runs it."""
    return block.page == "docs/journal.md" and block.language == "sql" and "connectif_journal_" in block.text


def kind_of(block: Block) -> str:
    """What is done with a block."""
    if (
        block.page == "docs/tutorial.md"
        or block.page.startswith(_OF_DATABASES)
        or (block.page in TESTED_ELSEWHERE and block.language == _OF_PAGES.get(block.page, "text"))
        or is_about_history(block)
    ):
        return "elsewhere"
    if block.language == "python":
        return "dag" if _IN_A_DAG.search(block.text) else "program"
    if block.language == "json" or (block.language == "" and block.text.startswith("{")):
        return "json"
    if block.language in ("", "bash"):
        return "shell"
    return block.language if block.language in ("sql", "text") else "unknown"


BLOCKS = all_blocks()


def every(kind: str) -> Any:
    """Parametrize by the blocks of a kind."""
    found = [block for block in BLOCKS if kind_of(block) == kind]
    assert found, f"no block of kind {kind}: the way to find them is broken"
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


def dag_file(block: Block) -> str:
    """A block as a DAG file; a part of one is put into a DAG of its own."""
    if "with DAG(" in block.text:
        return block.text
    made = [f"{name}()" for name in re.findall(r"^@task\..*\ndef (\w+)", block.text, re.MULTILINE)]
    operators = ", ".join({"ContactPatchOperator", *re.findall(r"^(Contact\w+Operator)\(", block.text, re.MULTILINE)})
    head = (
        "from airflow.providers.common.compat.sdk import DAG\n"
        f"from airflow_provider_connectif.operators.contacts import {operators}\n"
    )
    body = textwrap.indent("\n".join([block.text, *made]), "    ")
    return f"{head}\nwith DAG('part_{block.line}', schedule=None):\n{body}\n"


def parsed(path: Path) -> Any:
    """The one DAG of a file, parsed as Airflow's DAG processor does."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag

    bag = DagBag(dag_folder=str(path))
    assert bag.import_errors == {}
    assert [text for texts in bag.captured_warnings.values() for text in texts if "connectif" in text] == []
    (dag,) = bag.dags.values()
    return dag


def made_dag(block: Block, folder: Path) -> Any:
    path = folder / f"block_{block.line}.py"
    path.write_text(dag_file(block).replace("/var/airflow", str(folder)), encoding="utf-8")
    dag = parsed(path)
    for task in dag.tasks:  # to fail at once, and not after the minutes until the next try
        task.retries = 0
    return dag
