"""Waits without a worker for the next window of Connectif's rate limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_connectif.triggers.event_loop import sleep_until


class WindowTrigger(BaseTrigger):
    """Fires at a point in time. It makes no request: the task knows the end of the window from the server's headers.

    :param until: the point in time, in seconds since the epoch.
    """

    def __init__(self, until: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no types
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, for Airflow's database."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until ``until``, then yield one event whose payload is that time."""
        await sleep_until(self.until)
        yield TriggerEvent(self.until)
