"""Folds long lines, since Airflow's log view does not: text beyond the edge of the view is not visible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

LINE_LIMIT = 105
"""The most characters of a line."""
_CONTINUED = " " * 4  # more than the two before a detail, so that a reader recognises a continued line
_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*/(?:[^'\\]|\\.)*'\S*|\S+""")  # a quoted path may have spaces
_ENDS = ((".", ";"), (":",), (",",))  # places to break a line, the best first
_LEAST_FILLED = 0.4  # the least used share of a line that is broken at such a place


class Log(Protocol):
    """The part of a logger that is used; Airflow's logger is not always one of the standard library."""

    def debug(self, message: str, /, *args: Any) -> Any:
        """Log a detail that is off by default."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log progress."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log a problem that does not end the run."""


class FoldedLog:
    """Logs messages whose lines have at most :data:`LINE_LIMIT` characters.

    :param log: receives the folded messages.
    """

    def __init__(self, log: Log) -> None:
        self._log = log

    def debug(self, message: str, /, *args: Any) -> None:
        """Log a detail that is off by default."""
        self._log.debug("%s", folded(message % args if args else message))

    def info(self, message: str, /, *args: Any) -> None:
        """Log progress."""
        self._log.info("%s", folded(message % args if args else message))

    def warning(self, message: str, /, *args: Any) -> None:
        """Log a problem that does not end the run."""
        self._log.warning("%s", folded(message % args if args else message))


def folded(text: str) -> str:
    """Return a text whose lines have at most :data:`LINE_LIMIT` characters.

    A longer line continues on the next one, which is indented by four more spaces. It is broken after a clause if that
    leaves the line well filled, otherwise after a colon or an item of a list, otherwise between two words. A single
    longer word, such as a path, gets a line of its own.
    """
    if len(text) <= LINE_LIMIT:
        return text
    return "\n".join(part for line in text.split("\n") for part in _folded_line(line))


def _folded_line(line: str) -> Iterator[str]:
    if len(line) <= LINE_LIMIT:
        yield line
        return
    indent = line[: len(line) - len(line.lstrip())]
    words: list[str] = []
    for word in _TOKEN.findall(line):
        while words and len(indent) + len(" ".join([*words, word])) > LINE_LIMIT:
            is_alone = len(indent + _CONTINUED) + len(word) > LINE_LIMIT
            end = len(words) if is_alone else _end_of_line(words)
            yield indent + " ".join(words[:end])
            indent = indent if indent.endswith(_CONTINUED) else indent + _CONTINUED
            words = words[end:]
        words.append(word)
    yield indent + " ".join(words)


def _end_of_line(words: list[str]) -> int:
    """Return how many of the words stay on the line; the others continue on the next one."""
    room = len(" ".join(words))
    for ends in _ENDS:
        for count in range(len(words), 0, -1):
            if words[count - 1].endswith(ends) and len(" ".join(words[:count])) >= _LEAST_FILLED * room:
                return count
    return len(words)
