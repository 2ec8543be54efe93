"""Why Connectif refused a row, in words fit for a log.

The server's words are what a person can act on, and they may quote the values that were sent. So they are
shown with the row's own values, and whatever looks like an e-mail or a long number, taken out. As they came
they go only into the rejects file, which holds the row anyway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError, describe_status
from airflow_provider_connectif.contacts.mapping import ContactMapping, Patch

_LONGEST = 140
_MOST_ERRORS = 5
_EMAIL = re.compile(r"[^\s@\"'<>(),;:]+(?:@|%40)[^\s@\"'<>(),;:]+")
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s.()/-]*\d){4,}")
_WORD = re.compile(r"\w+")
_SHORTEST_WORD = 3


def public_reasons(error: ConnectifHttpError | NoAnswerError, patch: Patch, mapping: ContactMapping) -> tuple[str, ...]:
    """The reasons of one refusal without personal data; each at most 140 characters."""
    if isinstance(error, NoAnswerError):
        return (error.what,)
    status = describe_status(error.status, error.code)
    conceal = _Concealer(patch)
    reasons = []
    for entry in error.validation_errors[:_MOST_ERRORS]:
        where = _place(str(entry.get("path") or entry.get("name") or ""), patch, mapping)
        said = conceal(str(entry.get("reason") or ""))
        reasons.append(_shorten(f"HTTP {error.status} {where or 'no property named'}: {said or 'no reason given'}"))
    if reasons:
        return tuple(reasons)
    # Without a body the title repeats the status.
    said = conceal(error.detail or "")
    return (_shorten(f"{status}: {said}" if said else status),)


def raw_reasons(error: ConnectifHttpError | NoAnswerError) -> list[Any]:
    """What the server said, as it came; for the rejects file."""
    if isinstance(error, NoAnswerError):
        return [error.what]
    said = [text for text in (error.detail or error.title,) if text]
    return [*(dict(entry) for entry in error.validation_errors), *said] or [describe_status(error.status)]


def _place(path: str, patch: Patch, mapping: ContactMapping) -> str:
    """The property that a JSON pointer leads to, with its column; nothing that is not known to be one."""
    for part in path.split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if name in patch.properties:
            column = mapping.column_of(name)
            return name if column in (None, name) else f'{name} (column "{column}")'
    return ""


class _Concealer:
    """Replaces a row's values in a text."""

    def __init__(self, patch: Patch) -> None:
        values = {patch.key, quote(patch.key, safe=""), *_texts(patch.properties.values()), *_texts(patch.row.values())}
        words = {word for value in values for word in _WORD.findall(value) if len(word) >= _SHORTEST_WORD}
        known = sorted((value for value in values | words if value.strip()), key=len, reverse=True)
        # Property ids and columns are no personal data, and without them a reason says little.
        public = {name.casefold() for name in (*patch.properties, *map(str, patch.row))}
        alternatives = [re.escape(value) for value in known if value.casefold() not in public]
        self._known = re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)", re.IGNORECASE) if alternatives else None

    def __call__(self, said: str) -> str:
        shown = _EMAIL.sub("***", " ".join(said[: 4 * _LONGEST].split()))
        if self._known:
            shown = self._known.sub("***", shown)
        return _LONG_NUMBER.sub("***", shown)


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, (list, tuple, set, frozenset)):
            yield from _texts(value)
        elif len(text := str(value)) <= 4 * _LONGEST:
            yield text
            yield text.strip()


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
