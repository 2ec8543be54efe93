"""How a process of a task begins, and the parts that its run and its sink share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_connectif.api.client import ConnectifClient
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.records.resource import Resource
    from airflow_provider_connectif.reporting.report import Report


class Start(NamedTuple):
    """How a process of a task begins.

    ``context``: the task's. ``comes_back``: the task was deferred, and goes on. ``event``: then the trigger's.
    ``effort``: of the processes before it that had to wait for another run of the sync and did nothing else; ``None``:
    none had to. ``is_recorded``: the journal has a record of this attempt, since such a process looked at what an
    earlier run has left.
    """

    context: Any
    comes_back: bool = False
    event: Any = None
    effort: Mapping[str, Any] | None = None
    is_recorded: bool = False

    @classmethod
    def after_deferral(cls, context: Any, event: Any) -> Start:
        """Of a process that Airflow starts when a trigger has fired.

        :param event: the trigger's.
        """
        as_before = event.get("start") if isinstance(event, Mapping) else None
        return cls(context, True, event) if as_before is None else cls(context, **as_before)

    def again(self, effort: Mapping[str, Any], *, is_recorded: bool) -> dict[str, Any]:
        """JSON-ready, for a process that begins as this one has.

        :param effort: of this process and those before it.
        :param is_recorded: the journal has a record of the attempt, and what it has counted.
        """
        if is_recorded:
            effort = {**effort, "requests": 0, "rate_limited": 0, "waited_s": 0.0}
        return {"comes_back": self.comes_back, "event": self.event, "effort": effort, "is_recorded": is_recorded}


class Parts(NamedTuple):
    """What a run and its sink share."""

    client: ConnectifClient
    resource: Resource
    report: Report
    journal: Journal | None
