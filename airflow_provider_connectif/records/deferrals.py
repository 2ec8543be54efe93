"""The deferral of a task: a wait without a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deferral:
    """A deferral: until when the task waits without a worker, and for what.

    :param until: when the task continues, in seconds since the epoch; with ``import_ids``, at the latest.
    :param left_s: seconds that the task may still take, waiting included; ``None``: no limit.
    :param import_ids: imports that it waits for; empty: it waits only for ``until``.
    :param state: state for the process that continues, if it is stored nowhere else; JSON-ready, without personal data.
    :param polls_left: polls of these imports that may still be sent; ``None``: as many as needed.
    :param words: the message for the log; empty if the sink logs it.
    """

    until: float
    left_s: float | None = None
    import_ids: Sequence[str] = ()
    state: Mapping[str, Any] | None = None
    words: str = ""
    polls_left: int | None = None
