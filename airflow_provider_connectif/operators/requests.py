"""The base of the operators that send one request for each change."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.operators.base import SyncOperator
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.switches import check_switches, final_where_mapped
from airflow_provider_connectif.reporting.failure_budget import FailureBudget

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_connectif.delivery.patience import Patience
    from airflow_provider_connectif.delivery.sender import RequestSender
    from airflow_provider_connectif.journal.confirmation import Confirmation
    from airflow_provider_connectif.records.deferrals import Deferral
    from airflow_provider_connectif.records.resource import Resource
    from airflow_provider_connectif.runs.sink import Sink

_MOST_IN_FLIGHT = 100
_LEAD = timedelta(seconds=2)  # the trigger fires so much earlier: until then, Airflow finds a worker for the task


class RequestOperator(SyncOperator):
    """Sends the changes of rows by request. The operators for a resource derive from this class.

    A change takes one request or, if the resource needs a response first, several. With a journal, only rows that
    changed are sent. Such an operator defines :meth:`make_resource`, and may have arguments of its own. See
    docs/architecture.md.

    :param on_response: changes to the response policy, as a dict. A key is a status (``422``), a class of statuses
        (``"5xx"``), an error code (``"E0401"``) or ``"no_answer"``. Its value is the action for such a response:
        ``accept``, ``skip``, ``reject``, ``retry``, ``fail`` or ``skip_task``.
    :param max_in_flight: the most requests at once, 1 to 100. Default 8.
    :param defer_after: with ``deferrable`` and a journal: the task waits without a worker if the wait for the rate
        limit is longer than this. Default 10 seconds. Meanwhile the journal's database stores the pending changes.
    :param kwargs: as in :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments`.
    :raises ValueError: an argument is not valid; raised when the DAG is parsed. A mapped operator raises
        ``AirflowFailException`` instead, when its task runs.
    """

    def __init__(
        self,
        *,
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
                    "deferrable=True needs journal_conn_id: the journal's database stores the pending changes "
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
        super().__init__(deferrable=deferrable, journal_conn_id=journal_conn_id, **kwargs)
        self.on_response = on_response
        self.max_in_flight = max_in_flight
        self.defer_after = defer_after

    def _make_sink(self, parts: Parts, start: Start) -> Sink[Resource]:
        from airflow_provider_connectif.delivery.request_sink import RequestSink

        client, patience = parts.client, make_patience(self, parts)
        sender, confirmation = make_sender(
            parts,
            ResponsePolicy(self.on_response),
            patience,
            max_in_flight=self.max_in_flight,
            stops_when_all_rejected=not FailureBudget(self.failure_budget).is_unlimited,
        )
        return RequestSink(
            parts.resource,
            sender,
            client.quota,
            parts.report,
            parts.journal,
            confirmation,
            comes_back=start.comes_back,
            plan_max_age_s=self.plan_max_age.total_seconds(),
        )

    def _make_check(self, parts: Parts) -> Sink[Resource]:
        from airflow_provider_connectif.runs.check_sink import CheckSink, RequestPreview

        client = parts.client
        preview = RequestPreview(parts.report.log, client.quota)
        return CheckSink(parts.resource, parts.report, parts.journal, preview, longest_wait_s=client.longest_wait_s)

    def _trigger(self, deferral: Deferral) -> BaseTrigger:
        from airflow_provider_connectif.triggers.window import WindowTrigger

        return WindowTrigger(deferral.until - min(_LEAD, self.defer_after / 2).total_seconds())

    def _describe(self) -> str:
        return f"At most {self.max_in_flight} requests at once"

    def _connections(self) -> int:
        return self.max_in_flight


def make_patience(operator: RequestOperator, parts: Parts) -> Patience:
    """Return the limits for the waits of an operator's requests. From then on, the progress logs no longer waits."""
    from airflow_provider_connectif.delivery.patience import Patience

    client, limit = parts.client, operator.execution_timeout
    patience = Patience(client.longest_wait_s)
    if operator.deferrable and parts.journal is not None:
        limit_s = None if limit is None else limit.total_seconds()
        patience = Patience(client.longest_wait_s, operator.defer_after.total_seconds(), limit_s)
    parts.report.progress.log_waits_up_to(patience.longest_pause_s)
    return patience


def make_sender(
    parts: Parts,
    policy: ResponsePolicy,
    patience: Patience,
    *,
    max_in_flight: int,
    stops_when_all_rejected: bool,
    confirmation: Confirmation | None = None,
) -> tuple[RequestSender, Confirmation | None]:
    """Return the sender of requests, and the confirmation that writes their outcomes into the journal.

    :param parts: the parts that the run and its sink share.
    :param policy: decides on each response.
    :param patience: the limits for waits.
    :param max_in_flight: the most requests at once.
    :param stops_when_all_rejected: whether the sender stops if Connectif rejects all of the first rows.
    :param confirmation: Default: it writes the outcomes into the journal's lines.
    :return: the confirmation is ``None`` without a journal.
    """
    from airflow_provider_connectif.delivery.sender import RequestSender
    from airflow_provider_connectif.journal.confirmation import Confirmation

    client, resource, journal = parts.client, parts.resource, parts.journal
    if journal is not None and confirmation is None:
        confirmation = Confirmation(journal.lines, resource, holds_refusals_back=stops_when_all_rejected)
    sender = RequestSender(
        resource,
        client,
        policy,
        parts.report,
        confirmation,
        max_in_flight=max_in_flight,
        attempts=client.tries,
        stop_when_all_rejected=stops_when_all_rejected,
        patience=patience,
    )
    return sender, confirmation
