"""Rewrites a query so that OpenLineage's parser finds its tables.

The parser cannot read drivers' placeholders, and leaves out the tables of common table expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Texts, quoted names, dollar quotes and comments are skipped, so that nothing in them looks like SQL.
_TOKENS = re.compile(
    r"""(?P<skipped>'(?:[^']|'')*'|\$(\w*)\$.*?\$\2\$|--[^\n]*|/\*.*?\*/)"""
    r"""|(?P<name>"(?:[^"]|"")*"|`[^`]*`|\[[^\]\s]*\]|[^\W\d][\w$]*)|(?P<mark>[(),])""",
    re.DOTALL,
)
_PLACEHOLDERS = re.compile(r"%%|%\(\w+\)s|%s")
_QUERY_WORDS = {"select", "with", "values", "("}


def statements_of(sql: str, *, has_parameters: bool) -> list[str]:
    """Return statements that read the same tables as a query, for OpenLineage's parser.

    :param has_parameters: whether the driver replaces ``%s`` and ``%(name)s``; otherwise they are only text.
    :return: the query, and a statement for each of its common table expressions.
    """
    if has_parameters:
        # NULL is in brackets, so that it also fits after IN.
        sql = _PLACEHOLDERS.sub(lambda found: "%" if found[0] == "%%" else "(NULL)", sql)
    is_recursive = re.search(r"\brecursive\b", sql, re.IGNORECASE) is not None
    found = sorted(_expressions(sql), key=lambda each: each[1])
    statements = [sql]
    for name, begin, end in found:
        # The parser takes an undefined name for a table, so the statement defines the names of earlier expressions.
        # It defines the expression's own name only if that is recursive: another one may read a table of this name.
        known = [other for other, _, ended in found if ended < begin or (is_recursive and other == name)]
        stubs = ", ".join(f"{other} AS (SELECT 1)" for other in dict.fromkeys(known))
        query = f"SELECT * FROM ({sql[begin:end]}) AS expression"  # noqa: S608 - it is only parsed
        statements.append(f"WITH {stubs} {query}" if stubs else query)
    return statements


def _expressions(sql: str) -> Iterator[tuple[str, int, int]]:
    """Yield, for each common table expression ``name (columns) AS (query)``, its name and where its query begins and
    ends.
    """
    tokens = [token for token in _TOKENS.finditer(sql) if token["skipped"] is None]
    words = [token[0].lower() for token in tokens]
    partners = _partners(words)
    for at, word in enumerate(words):
        if word != "as":
            continue
        opening = at + 1
        while opening < len(words) and words[opening] in ("not", "materialized"):
            opening += 1
        if opening not in partners or words[opening] != "(" or words[opening + 1] not in _QUERY_WORDS:
            continue  # such as a window, or a type
        named = at - 1
        if words[named] == ")" and named in partners:  # the names of its columns
            named = partners[named] - 1
        if named >= 0 and words[named] not in ("(", ")", ","):
            yield tokens[named][0], tokens[opening].end(), tokens[partners[opening]].start()


def _partners(words: list[str]) -> dict[int, int]:
    """Return, for the index of each bracket, the index of the bracket that belongs to it."""
    partners: dict[int, int] = {}
    opened: list[int] = []
    for at, word in enumerate(words):
        if word == "(":
            opened.append(at)
        elif word == ")" and opened:
            partners[at] = opened.pop()
            partners[partners[at]] = at
    return partners
