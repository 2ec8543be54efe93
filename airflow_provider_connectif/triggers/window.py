"""Waiting for a window of Connectif's rate limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

_LONGEST_SLEEP_S = 10.0  # clocks are set, machines sleep


class WindowTrigger(BaseTrigger):
    """Fires at a point in time. It asks nobody: the window's end is known from the server's own headers.

    :param until: seconds since the epoch.
    """

    def __init__(self, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no types
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, for Airflow's database."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until then; one event, whose payload is the moment."""
        await sleep_until(self.until)
        yield TriggerEvent(self.until)


async def sleep_until(moment: float) -> None:
    """Sleep until a moment in seconds since the epoch."""
    while (left := moment - time.time()) > 0:
        await asyncio.sleep(min(left, _LONGEST_SLEEP_S))
