"""The provider's messages, picked out of Airflow's log."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""The setting ``[logging] log_format`` of the demo's Airflow."""

_HEAD = re.compile(r"\d{4}-\d\d-\d\dT\S+ (?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) (?P<logger>\S+): (?P<words>.*)")
_FAILURE = re.compile(r"[\w.]*\.Airflow(?:Fail|Skip)?Exception: (.*)")
_DETAIL = re.compile(r" {2}(?=\S)")
_CONTINUED = re.compile(r" {4,}(?=\S)")


@dataclass(frozen=True)
class Message:
    """One message of the provider's, or the exception that a task failed with.

    :param level: ``INFO``, ``WARNING`` or ``ERROR``.
    :param text: its first line, without the line breaks that keep a log's lines short.
    :param details: the lines below it, likewise.
    """

    level: str
    text: str
    details: tuple[str, ...] = ()


class LogReader:
    """Puts the provider's messages together.

    :param show: gets each message once it is complete: with the next one, or by :meth:`flush`.
    """

    def __init__(self, show: Callable[[Message], None]) -> None:
        self._show = show
        self._level = ""
        self._lines: list[str] = []
        self.failure = ""
        """The words of the last exception that a task failed with."""

    def feed(self, line: str) -> None:
        """Take the next line of the log, without its line break."""
        if head := _HEAD.match(line):
            self.flush()
            if "airflow_provider_connectif" in head["logger"]:
                self._level, self._lines = head["level"], [head["words"]]
        elif failure := _FAILURE.match(line):
            self.flush()
            self._level, self._lines = "ERROR", [failure[1]]
        elif self._lines and _CONTINUED.match(line):
            self._lines[-1] += f" {line.strip()}"
        elif self._lines and _DETAIL.match(line):
            self._lines.append(line.strip())
        else:
            self.flush()

    def flush(self) -> None:
        """Show the message read so far. A message is written at once, so a pause means that it is complete."""
        if self._lines:
            text, *details = self._lines
            self._lines = []
            if self._level == "ERROR":
                self.failure = text
            self._show(Message(self._level, text, tuple(details)))
