"""The rows that were not delivered, for a person to mend: JSON Lines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

_MOST_BITS = 1024  # Python refuses to print much larger integers in decimal


class TextSink(Protocol):
    """What rejects are written to: an open text file."""

    def write(self, text: str, /) -> Any:
        """Append text."""

    def flush(self) -> Any:
        """Hand on what was written."""


class Rejects:
    """Writes a line for each row that was refused, here or by Connectif, or whose tries were used up.

    A line: ``row_number`` (from 1), ``key``, ``outcome`` (``invalid``, ``rejected`` or ``undelivered``), ``status``
    (HTTP status or ``null``), ``reasons`` (as Connectif gave them), ``row`` (as it came; values that JSON does
    not know are written as text). It is personal data.

    :param sink: an open text file, or ``None`` to write nothing.
    """

    def __init__(self, sink: TextSink | None) -> None:
        self._sink = sink

    def write(
        self,
        number: int,
        key: object,
        outcome: str,
        status: int | None,
        reasons: Sequence[Any],
        row: object,
    ) -> None:
        """Write one row."""
        if self._sink is None:
            return
        line = {
            "row_number": number,
            "key": _jsonable(key),
            "outcome": outcome,
            "status": status,
            "reasons": list(reasons),
            "row": _jsonable(row),
        }
        # ASCII only, so that a lone surrogate, one of the reasons to be here, can be written at all.
        self._sink.write(json.dumps(line, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Hand what was written to the file, as far as its kind allows before it is closed."""
        if self._sink is not None:
            self._sink.flush()


def _jsonable(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return hex(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(item) for item in value]
    return str(value)
