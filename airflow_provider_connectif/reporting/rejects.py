"""Writes the rows that were not delivered as JSON Lines, so that a person can correct them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.records.values import MOST_BITS, VALUE_ERRORS, safe_text
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import Log

_DEEPEST = 20  # levels of nesting that are written
_KINDS_WITH_TEXT = frozenset((date, datetime, time, Decimal, UUID))


class TextSink(Protocol):
    """An open text file for the rejects."""

    def write(self, text: str, /) -> Any:
        """Append text."""

    def flush(self) -> Any:
        """Pass on the text that was written."""

    def reset(self) -> Any:
        """Remove what an earlier process has written."""

    def close(self) -> Any:
        """Close the file. Text that is written later opens it again."""


class Rejects:
    """Writes one line for each row that was refused, here or by Connectif, or that remained undelivered.

    A line: ``row_number`` (from 1), ``key``, ``outcome`` (``invalid``, ``rejected``, ``held`` or ``undelivered``),
    ``status`` (HTTP status or ``null``), ``reasons`` (as Connectif gave them), ``row``. Values that JSON does not know,
    such as a date or infinity, are written as text. The file is personal data.

    :param sink: an open text file, or ``None`` to write nothing.
    """

    def __init__(self, sink: TextSink | None) -> None:
        self._sink = sink
        self.lines = 0
        """Number of lines written, earlier processes of the run included."""

    def write(
        self,
        number: int,
        key: object,
        outcome: str,
        status: int | None,
        reasons: Sequence[Any],
        row: object,
    ) -> None:
        """Write the line of one row."""
        if self._sink is None:
            return
        line = {
            "row_number": number,
            "key": jsonable(key),
            "outcome": outcome,
            "status": status,
            "reasons": [jsonable(reason) for reason in reasons],
            "row": jsonable(row),
        }
        # ASCII only, so that a lone surrogate can be written; it is one of the reasons to refuse a row.
        self._sink.write(json.dumps(line, allow_nan=False) + "\n")
        self.lines += 1

    def reset(self) -> None:
        """Remove what an earlier process has written, since every row is processed again."""
        self.lines = 0
        if self._sink is not None:
            self._sink.reset()

    def flush(self) -> None:
        """Write buffered lines to the file, so that they survive a kill of the process."""
        if self._sink is not None:
            self._sink.flush()

    def close(self) -> None:
        """Write buffered lines to the file, and close it."""
        if self._sink is not None:
            self._sink.close()


@contextmanager
def only_logged(log: Log, path: object) -> Iterator[None]:
    """Log an error of the rejects file instead of raising it, since the run has ended with another error.

    :param path: the path of the file, for an error that does not name it.
    """
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a store may raise anything, and the run's own error must reach Airflow
        # The text of an error that is not this package's may quote what was written.
        fault = f"rejects_path {path!r} cannot be written: {type(error).__name__}"
        log.warning(wording.REJECTS_INCOMPLETE, str(error) if isinstance(error, RunFailed) else fault)


def jsonable(value: Any, depth: int = 0) -> Any:
    """Return a value of a row in a form that JSON knows; other types become text."""
    kind = type(value)
    if kind is str:
        return value
    if kind in _KINDS_WITH_TEXT:  # checked first: the check for a mapping takes ten times as long
        return str(value)
    try:
        return _jsonable(value, depth)
    except VALUE_ERRORS:  # of a class that does not keep to its protocol
        return f"<{kind.__name__}>"


def _jsonable(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, int) and value.bit_length() <= MOST_BITS):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)) and depth >= _DEEPEST:
        return f"<{type(value).__name__}>"
    if isinstance(value, Mapping):
        return {safe_text(key): jsonable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item, depth + 1) for item in value]
    return safe_text(value)
