"""Operators that bring rows to Connectif as contacts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.mapping import Nulls
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.operators.base import ContactsOperator, Parts, Start
from airflow_provider_connectif.operators.switches import check_switches, final_where_mapped
from airflow_provider_connectif.reporting.failure_budget import FailureBudget

if TYPE_CHECKING:
    from airflow_provider_connectif.api.transport import Answer
    from airflow_provider_connectif.delivery.sender import Patience, RequestSender, Send
    from airflow_provider_connectif.journal.confirmation import Confirmation
    from airflow_provider_connectif.operators.imports import ContactImportOperator
    from airflow_provider_connectif.records.changes import Patch
    from airflow_provider_connectif.runs.sink import Sink

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

    def _make_sink(self, parts: Parts, start: Start) -> Sink:
        from airflow_provider_connectif.delivery.request_sink import RequestSink
        from airflow_provider_connectif.delivery.sender import Patience

        client, limit = parts.client, self.execution_timeout
        may_defer = self.deferrable and parts.journal is not None
        patience = Patience(client.longest_wait_s)
        if may_defer:
            limit_s = None if limit is None else limit.total_seconds()
            patience = Patience(client.longest_wait_s, self.defer_after.total_seconds(), limit_s)
        parts.report.progress.longest_wait_s = patience.longest_pause_s
        sender, confirmation = make_sender(
            parts,
            ResponsePolicy(self.on_response),
            patience,
            max_in_flight=self.max_in_flight,
            stops_when_all_rejected=not FailureBudget(self.failure_budget).is_unlimited,
        )
        return RequestSink(
            sender,
            client.quota,
            parts.report,
            parts.journal,
            confirmation,
            parts.mapping.same_contact,
            comes_back=start.comes_back,
            plan_max_age_s=self.plan_max_age.total_seconds(),
        )

    def _make_check(self, parts: Parts) -> Sink:
        from airflow_provider_connectif.runs.check_sink import CheckSink, RequestPreview

        client = parts.client
        preview = RequestPreview(parts.report.log, lambda: client.quota.requests_per_minute)
        return CheckSink(parts.report, parts.journal, preview, longest_wait_s=client.longest_wait_s)

    def _settle_earlier(self, parts: Parts, sink: Any) -> Callable[[Callable[[], bool]], None] | None:
        journal = parts.journal
        if journal is None:
            return None

        def settle(is_to_stop: Callable[[], bool]) -> None:
            # Also those of an earlier attempt of this task, which may have imported.
            if found := journal.plan.with_open_imports(includes_mine=True):
                # Loaded only where there are some: a nightly PATCH needs nothing else of the import.
                from airflow_provider_connectif.imports.earlier import EarlierImports

                report = parts.report
                earlier = EarlierImports(parts.client, journal, parts.mapping, report.effort, is_to_stop, report.log)
                for plan, state in found:
                    earlier.settle(plan, state)

        return settle

    def _defer(self, sink: Any) -> None:
        from airflow_provider_connectif.delivery.request_sink import RequestSink

        if not isinstance(sink, RequestSink) or sink.deferred_until is None:
            return
        from airflow_provider_connectif.triggers.window import WindowTrigger

        until = sink.deferred_until - min(_LEAD, self.defer_after / 2).total_seconds()
        left = None if sink.time_left_s is None else timedelta(seconds=sink.time_left_s)
        self.defer(trigger=WindowTrigger(until), method_name="execute_complete", timeout=left)

    def _describe(self) -> str:
        return f"; at most {self.max_in_flight} requests at once"

    def _connections(self) -> int:
        return self.max_in_flight


def make_sender(
    parts: Parts,
    policy: ResponsePolicy,
    patience: Patience,
    *,
    max_in_flight: int,
    stops_when_all_rejected: bool,
    through: Callable[[Send], Send] = lambda send: send,
) -> tuple[RequestSender, Confirmation | None]:
    """What sends a PATCH for each change, and what writes into the journal what became of it.

    :param through: gets what sends a patch, and gives what is to be called instead.
    """
    from airflow_provider_connectif.contacts.shown_contact import shows_another_contact
    from airflow_provider_connectif.delivery.sender import RequestSender
    from airflow_provider_connectif.journal.confirmation import Confirmation

    client, mapping, journal = parts.client, parts.mapping, parts.journal
    patch_contact = client.patch_contact if mapping.key == "email" else client.patch_contact_by_external_id

    def send(patch: Patch, *, on_fresh_connection: bool = False) -> Answer:
        return patch_contact(
            patch.key,
            patch.properties,
            is_own=lambda body: not shows_another_contact(body, mapping.key, patch.key),
            on_fresh_connection=on_fresh_connection,
        )

    confirmation = None
    if journal is not None:
        confirmation = Confirmation(journal, mapping.same_contact, holds_refusals_back=stops_when_all_rejected)
    sender = RequestSender(
        through(send),
        client.quota,
        policy,
        parts.report,
        confirmation,
        key_kind=mapping.key,
        max_in_flight=max_in_flight,
        attempts=client.tries,
        stop_when_all_rejected=stops_when_all_rejected,
        patience=patience,
    )
    return sender, confirmation


def __getattr__(name: str) -> Any:
    """:class:`ContactImportOperator` stands here too, without a cost for the many DAG files that do not use it."""
    if name == "ContactImportOperator":
        from airflow_provider_connectif.operators.imports import ContactImportOperator

        return ContactImportOperator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
