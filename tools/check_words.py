"""Refuse words and turns of phrase that a reader of English as a second language has to read twice.

``python tools/check_words.py`` reads the prose of the repository (comments, docstrings and texts in code, and every
page), and prints each refused phrase with a better one. The exit code is 1 if there is any. Names in backticks are not
read. :data:`EXCEPTIONS` lists the places where a refused phrase is right, each with its reason.
"""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


class Rule(NamedTuple):
    """A refused phrase: a pattern, in which a blank stands for any white space, and what to write instead."""

    pattern: str
    instead: str


RULES = (
    Rule(r"anew|afresh", "again, or from the beginning"),
    Rule(r"work(s|ed|ing)? off", "process"),
    Rule(r"nobody that", "nobody who, or name them"),
    Rule(r"(is|are|was|were) none of", "is not one of"),
    Rule(r"lack(s|ed|ing)?", "has no, or does not have"),
    Rule(r"tells?|telling|told", "log, report, show, distinguish, or the passive: was asked to"),
    Rule(r"the one [^.;:]{0,80}the other", "the first ... the second, or name both"),
    Rule(r"(is|are|was|were) over", "has finished or has ended; exceeds, where it is about a limit"),
    Rule(r"mend(s|ed|ing)?", "correct, repair or fix"),
    Rule(r"be it", "whether"),
    Rule(r"as well as may be", "as far as possible"),
    Rule(r"so much as", "even"),
    Rule(r"answer(s|ed|ing)?", "response, respond"),
)
"""Whole words, in any case."""


class Allowed(NamedTuple):
    """A phrase that is right in some files."""

    place: str
    phrase: str
    reason: str


EXCEPTIONS = (
    Allowed("demo/", "answer", "a survey has answers"),
    Allowed("example_dags/contacts_from_upstream_task.py", "answer", "a survey has answers"),
)
"""By the beginning of the file's path, and of the phrase."""

FIRST_WORDS = re.compile(r"(What|How|Which|Who|Whose|Where|When|Why)\b")
"""A docstring's first line says what the thing does or is: it begins with a verb or a noun."""

PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs")
CODE = ("airflow_provider_connectif", "example_dags", "demo", "tools", "benchmarks", "noxfile.py")
TESTS = ("tests",)
"""Of tests, only docstrings and comments: their data may hold any text."""

_NAMES = re.compile(r"``[^`]+``|`[^`\n]+`|:param [*\w]+:|\b[\w.]+\.\w+")
"""Code in prose: names of parameters, classes and modules stay as they are until they are renamed."""

_PATTERNS = [
    (re.compile(rf"\b(?:{rule.pattern})\b".replace(" ", r"\s+"), re.IGNORECASE), rule.instead) for rule in RULES
]


class Prose(NamedTuple):
    """A piece of text and the line on which it begins."""

    line: int
    text: str
    is_docstring: bool = False


def prose_of(source: str, *, with_strings: bool) -> Iterator[Prose]:
    """Yield the comments and docstrings of Python code, and with ``with_strings`` its other texts.

    Lines of a comment that follow each other are one piece, since a phrase may begin on one and end on the next.
    """
    yield from _comments(source)
    nodes = list(ast.walk(ast.parse(source)))
    docstrings = set(_docstrings(nodes))
    parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            if node in docstrings or with_strings:
                yield Prose(node.lineno, node.value, node in docstrings)
        elif isinstance(node, ast.JoinedStr) and with_strings:
            texts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield Prose(node.lineno, "".join(map(str, texts)))


def faults_in(place: str, prose: Prose, *, is_of_package: bool = False) -> Iterator[str]:
    """Yield what is refused in a piece of text, as lines ``file:line: what; write ...``.

    :param place: the file's path from the repository's folder.
    :param is_of_package: whether its docstrings must not begin with a word such as "What".
    """
    text = _NAMES.sub(lambda name: re.sub(r"\S", "_", name.group()), prose.text)
    for pattern, instead in _PATTERNS:
        for found in pattern.finditer(text):
            phrase = " ".join(found.group().split())
            if not any(place.startswith(one.place) and phrase.lower().startswith(one.phrase) for one in EXCEPTIONS):
                line = prose.line + text.count("\n", 0, found.start())
                yield f'{place}:{line}: "{phrase}"; write: {instead}'
    if is_of_package and prose.is_docstring and (first := FIRST_WORDS.match(prose.text.lstrip())):
        yield f'{place}:{prose.line}: a docstring begins with "{first.group()}"; write: what it does or is'


def faults_of(path: Path) -> Iterator[str]:
    """Yield what is refused in a file."""
    place = path.relative_to(ROOT).as_posix()
    text = path.read_text()
    if path.suffix != ".py":
        yield from faults_in(place, Prose(1, text))
        return
    for prose in prose_of(text, with_strings=not place.startswith(TESTS)):
        yield from faults_in(place, prose, is_of_package=place.startswith(CODE[0]))


def _comments(source: str) -> Iterator[Prose]:
    block: list[str] = []
    begin = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != begin + len(block):
            yield Prose(begin, "\n".join(block))
            block = []
        if not block:
            begin = token.start[0]
        block.append(token.string.lstrip("#: "))
    if block:
        yield Prose(begin, "\n".join(block))


def _docstrings(nodes: Iterable[ast.AST]) -> Iterator[ast.Constant]:
    """Yield docstrings of modules, classes and functions, and texts below attributes."""
    for node in nodes:
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else ():
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) and isinstance(one.value.value, str):
                yield one.value


def files() -> list[Path]:
    """Return the repository's Python files and pages."""
    listed = subprocess.run(
        [shutil.which("git") or "git", "ls-files", *PAGES, *CODE, *TESTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    # This file and its test hold the refused words.
    own = {"tools/check_words.py", "tests/unit/test_words.py"}
    found = [ROOT / name for name in listed.splitlines() if name.endswith((".py", ".md")) and name not in own]
    return [path for path in found if path.exists()]


def main() -> int:
    """Print what is refused; 1 if there is anything."""
    faults = [fault for path in files() for fault in faults_of(path)]
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
