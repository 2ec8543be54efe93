"""What the provider has written into a task's log, out of the output of a process that runs tasks."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
# As Airflow 3's console shows a line: time, level, words, logger, place.
_LINE = re.compile(
    r"^\S+Z \[(?P<level>info|warning) *\] (?P<words>(?:(?!^\S+Z \[).)*?) \[[\w.]*airflow_provider_connectif[\w.]*\]",
    re.MULTILINE | re.DOTALL,
)


_CONTINUED = re.compile(r"\n {4,}(?=\S)")


def unfolded(text: str) -> str:
    """A message without the line breaks that keep its lines short; those in front of details stay."""
    return _CONTINUED.sub(" ", text)


def provider_lines(output: str, *, level: str = "") -> list[str]:
    """The provider's messages in their order, unfolded.

    :param level: only those of ``info`` or ``warning``.
    """
    found = _LINE.finditer(_ESCAPES.sub("", output))
    return [
        unfolded(line["words"].strip())
        for line in found
        if level in ("", line["level"]) and "cannot be called outside of the Task Runner" not in line["words"]
    ]


def raw_messages(output: str) -> list[str]:
    """The provider's messages in their order, with the line breaks that they were logged with."""
    return [line["words"].rstrip() for line in _LINE.finditer(_ESCAPES.sub("", output))]


def provider_records(records: Iterable[logging.LogRecord], *, level: str = "") -> list[str]:
    """The same out of records: Airflow 2 logs by them, and not to the console of a test."""
    return [
        unfolded(record.getMessage())
        for record in records
        if "airflow_provider_connectif" in record.name
        and level in ("", record.levelname.lower())
        and "cannot be called outside" not in record.getMessage()
    ]
