"""Check the built docs site: docstrings, arguments, a search box on each page, nothing loaded from another host."""

from __future__ import annotations

import ast
import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "site"
_RAW = re.compile(r":(?:param|return|returns|raises|class|func|meth|mod)\b[^<\n]{0,60}:")
# Scripts, images, styles and frames that a page loads from another host. Links that a reader may follow do not count.
_LOADED = re.compile(r"""(?:<(?:script|img|iframe|source)[^>]*\ssrc|<link[^>]*\shref)=["']((?:https?:)?//[^"']+)""")
_CODE = re.compile(r'<div class="language-python highlight">(.*?)</div>', re.DOTALL)
_DOCUMENTED = {
    "reference/operators.html": (
        "operators/contacts.py",
        "operators/arguments.py",
        "operators/requests.py",
        "operators/sync_arguments.py",
    ),
    "reference/client.html": ("api/client.py",),
}


def main() -> int:
    """Return 0 if the site is as it should be."""
    faults = [*_raw_docstrings(), *_missing_arguments(), *_faults_of_pages()]
    pages = len(list(SITE.rglob("*.html")))
    sys.stdout.write("\n".join(faults or [f"{pages} pages, every argument has its line"]) + "\n")
    return 1 if faults or not pages else 0


def _raw_docstrings() -> Iterator[str]:
    for page in sorted(SITE.rglob("*.html")):
        for found in _RAW.findall(page.read_text(encoding="utf-8")):
            yield f"{page.relative_to(SITE)}: {found} is shown as it stands in the docstring"


def _faults_of_pages() -> Iterator[str]:
    """Yield the faults of the pages: what is missing, or must not be there."""
    for page in sorted(SITE.rglob("*.html")):
        text, name = page.read_text(encoding="utf-8"), page.relative_to(SITE)
        for address in _LOADED.findall(text):
            yield f"{name}: loads {address}"
        if 'data-md-component="search-query"' not in text:
            yield f"{name}: has no search box"
        if "images/favicon.svg" not in text:
            yield f"{name}: has no favicon of its own"
        for place, block in enumerate(_CODE.findall(text)):
            if "<span" not in block:
                yield f"{name}: code block {place} has no colours"


def _missing_arguments() -> Iterator[str]:
    for page, modules in _DOCUMENTED.items():
        shown = html.unescape(re.sub(r"<[^>]+>", "", (SITE / page).read_text(encoding="utf-8")))
        for module in modules:
            for name in _arguments(ROOT / "airflow_provider_connectif" / module):
                if not re.search(rf"^\s*{name}\s*(\(|$)", shown, re.MULTILINE):
                    yield f"{page}: no line for the argument {name}"


def _arguments(path: Path) -> set[str]:
    """Return the arguments of the constructors of a module's public classes."""
    classes = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    parts = [part for each in classes if not each.name.startswith("_") for part in each.body]
    made = [part for part in parts if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
    return {arg.arg for node in made for arg in (*node.args.args, *node.args.kwonlyargs)} - {"self"}


if __name__ == "__main__":
    sys.exit(main())
