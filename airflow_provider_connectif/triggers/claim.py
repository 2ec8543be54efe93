"""Waiting without a worker until a task looks again whether another run still holds its sync."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_connectif.triggers.window import sleep_until


class ClaimTrigger(BaseTrigger):
    """Fires at a point in time. It asks nobody: who holds a sync stands in the journal's database.

    That database need not be within the triggerer's reach, its driver not installed there, and no query of it blocks
    other triggers. So the task itself looks again.

    :param until: seconds since the epoch.
    :param start: how the process begins that looks again; no personal data.
    """

    def __init__(self, until: float, start: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's own has no types
        self.until = until
        self.start = start

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and its arguments, for Airflow's database."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"until": self.until, "start": dict(self.start)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until then; one event, whose payload has ``start``."""
        await sleep_until(self.until)
        yield TriggerEvent({"start": self.start})
