"""Holds rejections back while it is not known whether the rows themselves are at fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.run_lines import RunLines


class _Refusal(NamedTuple):
    """The arguments of :meth:`RunLines.reject`; ``is_written``: whether the key has the form of the tables."""

    key: str
    row_digest: str
    status: int | None
    reason: str
    is_written: bool = False


class HeldBackRefusals:
    """Keeps rejections out of the journal until a response of another kind arrives.

    A run stops if its first responses are all rejections. Then it must not leave held rows: another fault is likely.

    :param lines: the journal's lines, which receive the rejections.
    :param keeps: ``False``: the run does not stop after such responses, so every rejection is written at once.
    """

    def __init__(self, lines: RunLines, *, keeps: bool) -> None:
        self._lines = lines
        self._keeps = keeps
        self._kept: list[_Refusal] = []

    def add(self, key: str, row_digest: str, status: int | None, reason: str) -> None:
        """Write a rejection at once, or keep it until :meth:`release`."""
        refusal = _Refusal(key, row_digest, status, reason)
        if self._keeps:
            self._kept.append(refusal)
        else:
            self._write(refusal)

    def release(self) -> None:
        """Write the kept rejections; from now on, write every rejection at once."""
        self._keeps = False
        for refusal in self._kept:
            self._write(refusal)
        self._kept.clear()

    def drop(self) -> None:
        """Drop the kept rejections."""
        self._kept.clear()

    def as_state(self) -> list[list[Any]]:
        """Return the kept rejections for the process that continues, JSON-ready; keys have the form of the tables."""
        return [list(self._as_written(refusal)) for refusal in self._kept]

    def restore(self, state: Sequence[Sequence[Any]]) -> None:
        """Continue with the rejections that an earlier process kept: the result of :meth:`as_state`."""
        self._kept = [_Refusal(*refusal) for refusal in state]

    def _as_written(self, refusal: _Refusal) -> _Refusal:
        if refusal.is_written:
            return refusal
        return refusal._replace(key=self._lines.written_key(refusal.key), is_written=True)

    def _write(self, refusal: _Refusal) -> None:
        key, row_digest, status, reason, is_written = refusal
        self._lines.reject(key, row_digest, status, reason, is_written=is_written)
