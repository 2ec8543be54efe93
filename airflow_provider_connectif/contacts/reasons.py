"""Why Connectif refused a row, in words fit for a log.

The server's words are what a person can act on, and they may quote the values that were sent. So they are
shown with the row's own values, and whatever looks like an e-mail or a long number, taken out. As they came
they go only into the rejects file, which holds the row anyway.
"""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError, describe_status
from airflow_provider_connectif.contacts.mapping import ContactMapping, Patch
from airflow_provider_connectif.contacts.rules.base import safe_text

_LONGEST = 140
_MOST_ERRORS = 5
_EMAIL = re.compile(r"[^\s@\"'<>(),;:]+(?:@|%40)[^\s@\"'<>(),;:]+")
_LONG_NUMBER = re.compile(r"\+?\d(?:[\s.()/-]*\d){4,}")
_WORD = re.compile(r"\w+")
_SHORTEST_WORD = 3
_MOST_WORDS = 2000  # of one row; what the server quotes is shorter than that
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_MOST_ENCODINGS = 3
_DEEPEST = 3


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
        values = {patch.key, *_texts(patch.properties.values()), *_texts(patch.row.values())}
        words = {word for value in values for word in _words(value)}
        short = {value for value in values if value.strip() and len(value) <= 4 * _LONGEST}
        spellings = {spelling for value in short | words for spelling in (value, value.upper(), value.casefold())}
        known = sorted(spellings, key=len, reverse=True)
        # Property ids and columns are no personal data, and without them a reason says little.
        public = {name.casefold() for name in (*patch.properties, *map(str, patch.row))}
        alternatives = [re.escape(value) for value in known if value.casefold() not in public]
        self._known = re.compile(rf"(?<!\w)(?:{'|'.join(alternatives)})(?!\w)", re.IGNORECASE) if alternatives else None

    def __call__(self, said: str) -> str:
        shown = _EMAIL.sub("***", " ".join(_decoded(said[: 4 * _LONGEST]).split()))
        if self._known:
            shown = self._known.sub("***", shown)
        return _LONG_NUMBER.sub("***", shown)


def _texts(values: Iterable[Any], depth: int = 0) -> Iterator[str]:
    for value in values:
        if value is None or isinstance(value, bool):
            continue
        if isinstance(value, (list, tuple, set, frozenset)):
            if depth < _DEEPEST:
                yield from _texts(value, depth + 1)
        else:
            text = unicodedata.normalize("NFC", safe_text(value))
            yield text
            yield text.strip()


def _words(value: str) -> Iterator[str]:
    """The words of a value, since a server may quote a part of it."""
    for match in itertools.islice(_WORD.finditer(value), _MOST_WORDS):
        if len(match.group()) >= _SHORTEST_WORD:
            yield match.group()


def _decoded(said: str) -> str:
    """A text whose quotations are no longer encoded as in a URL, HTML or JSON, so that they are found."""
    for _ in range(_MOST_ENCODINGS):
        plain = _ESCAPE.sub(lambda escape: chr(int(escape.group(1), 16)), html.unescape(unquote(said)))
        if plain == said:
            break
        said = plain
    return unicodedata.normalize("NFC", said)


def _shorten(text: str) -> str:
    # Control characters and lone surrogates are no words, and neither logs nor databases take all of them.
    text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
