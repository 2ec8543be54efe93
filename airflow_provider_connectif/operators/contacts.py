"""Operators that bring rows to Connectif as contacts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.mapping import Nulls
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.operators.base import ContactsOperator, Start
from airflow_provider_connectif.operators.switches import check_switches, final_where_mapped

if TYPE_CHECKING:
    from airflow_provider_connectif.api.client import ConnectifClient
    from airflow_provider_connectif.operators.imports import ContactImportOperator
    from airflow_provider_connectif.runs.run import Run

__all__ = ["ContactImportOperator", "ContactPatchOperator"]

_MOST_IN_FLIGHT = 100
_LEAD = timedelta(seconds=2)  # what it takes until a deferred task runs again; it waits for the rest with a worker


class ContactPatchOperator(ContactsOperator):
    """Upserts rows as Connectif contacts: ``PATCH /contacts/{email}``, one request a contact.

    Beside the arguments below it takes those of
    :class:`airflow_provider_connectif.operators.arguments.ContactsArguments`: where rows come from, how they become
    contacts, the journal, and what ends the task.

    :param nulls: ``omit`` (default) leaves a property whose value is ``None`` or an empty list as it is at Connectif,
        ``clear`` sends ``null`` or ``[]``; what Connectif does with these is not documented.
    :param on_response: changes to the response policy: an action (``accept``, ``skip``, ``reject``, ``retry``,
        ``fail``, ``skip_task``) by status (``422``), class of statuses (``"5xx"``), error code (``"E0401"``) or
        ``"no_answer"``.
    :param max_in_flight: requests at once, 1 to 100. Default 8.
    :param defer_after: with ``deferrable`` and a journal: a window that is further away than this is waited for
        without a worker. Default 10 seconds. What is left to send is kept in the journal's database meanwhile.
    :raises ValueError: when the DAG is parsed: an argument that cannot work.
    """

    def __init__(
        self,
        *,
        nulls: Nulls = "omit",
        on_response: Mapping[int | str, str] | None = None,
        max_in_flight: int = 8,
        defer_after: timedelta = timedelta(seconds=10),
        deferrable: bool | None = None,
        journal_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        with final_where_mapped(self):
            check_switches({"deferrable": deferrable}, may_be_none=("deferrable",))
            if deferrable and journal_conn_id is None:
                raise ValueError(
                    "deferrable=True needs journal_conn_id: what is left to send is kept in the journal's database "
                    "while the task waits without a worker"
                )
            if (
                isinstance(max_in_flight, bool)
                or not isinstance(max_in_flight, int)
                or not (1 <= max_in_flight <= _MOST_IN_FLIGHT)
            ):
                raise ValueError(f"max_in_flight must be a whole number from 1 to {_MOST_IN_FLIGHT}")
            if not isinstance(defer_after, timedelta) or defer_after < timedelta():
                raise ValueError("defer_after must be a timedelta, zero or more")
            ResponsePolicy(on_response)
        self.nulls = nulls
        super().__init__(deferrable=deferrable, journal_conn_id=journal_conn_id, **kwargs)
        self.on_response = on_response
        self.max_in_flight = max_in_flight
        self.defer_after = defer_after

    def _made_run(self, client: ConnectifClient, arguments: dict[str, Any], start: Start) -> Run:
        from airflow_provider_connectif.runs.deferrable_sync import DeferrableSync, DeferralRules
        from airflow_provider_connectif.runs.sync import ContactSync

        arguments["policy"] = ResponsePolicy(self.on_response)
        make = partial(ContactSync, max_in_flight=self.max_in_flight, **arguments)
        if not (self.deferrable and arguments["journal"]):
            return make()
        limit = self.execution_timeout
        rules = DeferralRules(
            after_s=self.defer_after.total_seconds(),
            comes_back=start.comes_back,
            time_limit_s=None if limit is None else limit.total_seconds(),
        )
        return DeferrableSync(max_in_flight=self.max_in_flight, deferral=rules, **arguments)

    def _defer(self, run: Run) -> None:
        from airflow_provider_connectif.runs.deferrable_sync import DeferrableSync

        if not isinstance(run, DeferrableSync) or run.deferred_until is None:
            return
        from airflow_provider_connectif.triggers.window import WindowTrigger

        until = run.deferred_until - min(_LEAD, self.defer_after / 2).total_seconds()
        left = None if run.time_left_s is None else timedelta(seconds=run.time_left_s)
        self.defer(trigger=WindowTrigger(until), method_name="execute_complete", timeout=left)

    def _describe(self) -> str:
        return f"; at most {self.max_in_flight} requests at once"

    def _connections(self) -> int:
        return self.max_in_flight


def __getattr__(name: str) -> Any:
    """:class:`ContactImportOperator` stands here too, without a cost for the many DAG files that do not use it."""
    if name == "ContactImportOperator":
        from airflow_provider_connectif.operators.imports import ContactImportOperator

        return ContactImportOperator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
