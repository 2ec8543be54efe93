"""The start of a task's process, and the parts that its run and its sink share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_connectif.api.client import ConnectifClient
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.operators.rejects_file_log import RejectsFileLog
    from airflow_provider_connectif.records.resource import Resource
    from airflow_provider_connectif.reporting.report import Report


class Start(NamedTuple):
    """The start of a process of a task.

    ``context``: the task's context. ``comes_back``: whether the task continues after a deferral. ``event``: after a
    deferral, the payload of the trigger's event. ``effort``: the requests and waits of earlier processes that only
    waited for another run of the sync; ``None``: there were none. ``is_recorded``: whether the journal has a record of
    this attempt, because one of these processes checked the work of an earlier run.
    """

    context: Any
    comes_back: bool = False
    event: Any = None
    effort: Mapping[str, Any] | None = None
    is_recorded: bool = False

    @classmethod
    def after_deferral(cls, context: Any, event: Any) -> Start:
        """Return the start of a process after a trigger has fired.

        :param context: the task's context.
        :param event: the payload of the trigger's event.
        """
        as_before = event.get("start") if isinstance(event, Mapping) else None
        return cls(context, True, event) if as_before is None else cls(context, **as_before)

    def again(self, effort: Mapping[str, Any], *, is_recorded: bool) -> dict[str, Any]:
        """Return the state, JSON-ready, with which a later process begins in the same way as this one.

        :param effort: the requests and waits of this process and of those before it.
        :param is_recorded: whether the journal has a record of this attempt; the record has these counts.
        """
        if is_recorded:
            effort = {**effort, "requests": 0, "rate_limited": 0, "waited_s": 0.0}
        return {"comes_back": self.comes_back, "event": self.event, "effort": effort, "is_recorded": is_recorded}


class Parts(NamedTuple):
    """The parts that a run and its sink share.

    ``journal``: ``None``: the run has no journal. ``rejects_file_log``: the task's earlier rejects files.
    """

    client: ConnectifClient
    resource: Resource
    report: Report
    journal: Journal | None
    rejects_file_log: RejectsFileLog
