"""Refusals that are not yet known to be the rows' own fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.run_lines import RunLines


class _Refusal(NamedTuple):
    """What :meth:`RunLines.reject` takes; ``is_written``: the key is as it stands in the tables."""

    key: str
    row_digest: str
    status: int | None
    reason: str
    is_written: bool = False


class HeldBackRefusals:
    """Keeps refusals out of the journal until a response of another kind shows that Connectif takes rows at all.

    A run that stops because its first responses were all rejections must leave no row behind that is held for ever.

    :param lines: where they go.
    :param keeps: ``False``: the run does not stop for that, so every refusal is written at once.
    """

    def __init__(self, lines: RunLines, *, keeps: bool) -> None:
        self._lines = lines
        self._keeps = keeps
        self._kept: list[_Refusal] = []

    def add(self, key: str, row_digest: str, status: int | None, reason: str) -> None:
        """Write a refusal, now or later."""
        refusal = _Refusal(key, row_digest, status, reason)
        if self._keeps:
            self._kept.append(refusal)
        else:
            self._write(refusal)

    def release(self) -> None:
        """Write what was kept, and from now on everything at once."""
        self._keeps = False
        for refusal in self._kept:
            self._write(refusal)
        self._kept.clear()

    def drop(self) -> None:
        """Forget what was kept."""
        self._kept.clear()

    def as_state(self) -> list[list[Any]]:
        """JSON-ready, for the process that goes on after a deferral; keys as they stand in the tables."""
        return [list(self._as_written(refusal)) for refusal in self._kept]

    def restore(self, state: Sequence[Sequence[Any]]) -> None:
        """Go on where an earlier process stopped."""
        self._kept = [_Refusal(*refusal) for refusal in state]

    def _as_written(self, refusal: _Refusal) -> _Refusal:
        if refusal.is_written:
            return refusal
        return refusal._replace(key=self._lines.written_key(refusal.key), is_written=True)

    def _write(self, refusal: _Refusal) -> None:
        key, row_digest, status, reason, is_written = refusal
        self._lines.reject(key, row_digest, status, reason, is_written=is_written)
