"""Waits without a worker until the task checks again whether another run holds its sync."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_connectif.triggers.event_loop import sleep_until


class ClaimTrigger(BaseTrigger):
    """Fires at a point in time. It makes no query: the claims are in the journal's database.

    The triggerer may have neither access to that database nor its driver, and a query could block other triggers. So
    the task itself checks again.

    :param until: seconds since the epoch.
    :param start: the start of the process that checks again; no personal data.
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
