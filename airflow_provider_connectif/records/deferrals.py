"""What a run waits for without a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Deferral:
    """Until when, and for what, a task gives its worker back.

    :param until: when it is to continue, in seconds since the epoch; with ``import_ids`` at the latest.
    :param left_s: seconds that it may still take, waiting included; ``None``: no limit.
    :param import_ids: imports that it waits for; none: for the moment only.
    :param state: what the process that continues needs and nothing else keeps; JSON-ready, without personal data.
    :param words: what the log says of it; empty where the sink logs it.
    """

    until: float
    left_s: float | None = None
    import_ids: Sequence[str] = ()
    state: Mapping[str, Any] | None = None
    words: str = ""
