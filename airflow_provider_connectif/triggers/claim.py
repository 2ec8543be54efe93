"""Waits without a worker until it is time to check again whether another run holds the sync."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_connectif.triggers.event_loop import sleep_until


class ClaimTrigger(BaseTrigger):
    """Fires at a point in time. Then the task itself checks whether another run still holds the sync.

    The trigger does not check: the triggerer may have neither access to the journal's database nor its driver, and a
    query could block other triggers.

    :param until: the point in time, in seconds since the epoch.
    :param start: the start of the task's next process, which checks; it has no personal data.
    """

    def __init__(self, until: float, start: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no types
        self.until = until
        self.start = start

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class and its arguments, for Airflow's database."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"until": self.until, "start": dict(self.start)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until ``until``, then yield one event with the payload ``{"start": start}``."""
        await sleep_until(self.until)
        yield TriggerEvent({"start": self.start})
