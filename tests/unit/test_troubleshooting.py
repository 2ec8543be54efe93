"""The messages that docs/troubleshooting.md quotes are those that the code prints."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import airflow_provider_connectif
from airflow_provider_connectif.imports.tally import FAILURES_BY_FATE
from airflow_provider_connectif.reporting import verdict, wording
from tests.support.doc_blocks import ROOT, blocks_of

PAGES = [ROOT / "docs" / name for name in ("troubleshooting.md", "upgrades.md")]
MESSAGES = [
    (line, block.place)
    for page in PAGES
    for block in blocks_of(page)
    if block.language == "text"
    for line in block.text.splitlines()
]
_FIELD = "\0"
_PLACEHOLDER = re.compile(r"%(?:\.\d+)?[a-z]|\{\w*(?::[^{}]*)?\}")


@cache
def texts_of_the_code() -> tuple[str, ...]:
    """Every text in the package, with a mark in the place of each of its fields."""
    texts = set()
    for path in Path(airflow_provider_connectif.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.add("".join(str(p.value) if isinstance(p, ast.Constant) else _FIELD for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(_PLACEHOLDER.sub(_FIELD, node.value))
    return tuple(texts)


def is_printed(message: str) -> bool:
    """Whether one text of the code has the message in it, ``...`` standing for at least one of its fields."""
    pattern = _pattern(message)
    if message.endswith("..."):  # other words may be put after a text that has no field for them
        pattern += rf"|{_pattern(message.removesuffix('...'))}\Z"
    return any(map(re.compile(pattern, re.DOTALL).search, texts_of_the_code()))


def _pattern(message: str) -> str:
    return r".*\0.*".join(map(re.escape, message.split("...")))


@pytest.mark.parametrize(("message", "place"), MESSAGES, ids=[message[:50] for message, _ in MESSAGES])
def test_a_quoted_message_is_in_the_code(message: str, place: str) -> None:
    if not message.strip(".: "):
        pytest.fail(f"{place}: nothing is quoted")
    assert is_printed(message), f"{place}: no text of the code says: {message}"


@pytest.mark.parametrize("invented", ["the journal is on fire: ...", "the connection ... is fine", "sql needs ..."])
def test_a_message_that_the_code_does_not_have_is_found_out(invented: str) -> None:
    assert not is_printed(invented)


def test_every_way_to_end_early_is_on_the_page() -> None:
    page = PAGES[0].read_text(encoding="utf-8")
    words = [words for _, words in (*verdict._STOP_VERDICTS.values(), *FAILURES_BY_FATE.values())]
    words += verdict._STATUS_WORDS.values()
    assert [text for text in words if re.sub(r"{[\w:,]+}", "...", text) not in page] == []


def warnings_of_the_code() -> set[str]:
    """The names of the sentences of ``wording.py`` that are logged as warnings."""
    found = set()
    for path in Path(airflow_provider_connectif.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "warning":
                found |= {
                    name.attr
                    for name in call.args[:1]
                    if isinstance(name, ast.Attribute) and getattr(name.value, "id", "") == "wording"
                }
    return found


def test_every_warning_is_on_the_page() -> None:
    page, names = PAGES[0].read_text(encoding="utf-8"), warnings_of_the_code()
    assert len(names) > 15
    first_lines = {name: getattr(wording, name).split("\n")[0].removesuffix("%s") for name in names}
    assert [name for name, line in first_lines.items() if re.sub(r"%[a-z]", "...", line) not in page] == []
