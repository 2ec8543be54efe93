"""The text of an SQL statement."""

from __future__ import annotations


def without_semicolon(sql: str) -> str:
    """Return a statement without the semicolon at its end and the comments and blanks after it."""
    import sqlparse
    from sqlparse import tokens

    parts = list(sqlparse.lexer.tokenize(sql))  # type: ignore[no-untyped-call]
    has_semicolon = False
    while parts:
        kind, text = parts[-1]
        if kind is tokens.Punctuation and text == ";":
            has_semicolon = True
        elif kind not in tokens.Comment and text.strip():
            break
        parts.pop()
    return "".join(text for _, text in parts) if has_semicolon else sql
