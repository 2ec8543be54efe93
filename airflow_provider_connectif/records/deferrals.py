"""The deferral of a task: a wait without a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deferral:
    """The time until which a task waits without a worker, and the reason.

    :param until: when the task continues, in seconds since the epoch; with ``import_ids`` this is the latest time.
    :param left_s: seconds that the task may still take, waiting included; ``None``: no limit.
    :param import_ids: imports that the task waits for; empty: it waits only until ``until``.
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
