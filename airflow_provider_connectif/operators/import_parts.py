"""Makes the sink and the preview of an import. Loaded only by tasks that may import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_connectif.contacts.first_patch import FirstPatch
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.patience import Patience
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.cost import ImportCosts, why_not_by_import
from airflow_provider_connectif.imports.import_sink import LEFTOVERS_AT_ONCE, ImportSink
from airflow_provider_connectif.imports.layout import refuse_columns
from airflow_provider_connectif.imports.patching import Patching
from airflow_provider_connectif.imports.preview import ImportPreview
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.operators.import_arguments import read_event, seconds_of
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.rejects_file import report_file
from airflow_provider_connectif.operators.requests import make_sender
from airflow_provider_connectif.operators.sync_arguments import work_folder
from airflow_provider_connectif.operators.task_state import has_run_before
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.requests import Cost

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_connectif.operators.imports import ContactImportOperator
    from airflow_provider_connectif.operators.sync import ContactSyncOperator
    from airflow_provider_connectif.records.deferrals import Deferral

    Importing: TypeAlias = ContactImportOperator | ContactSyncOperator


def make_rules(operator: Importing, start: Start, **of_import: Any) -> ImportRules:
    """Return the rules by which an operator imports.

    :param operator: has the rendered arguments.
    :param start: the start of this process.
    :param of_import: arguments of :class:`ImportRules` that only some operators have.
    """
    event, limit = read_event(start.event), operator.execution_timeout if operator.deferrable else None
    return ImportRules(
        poll_interval_s=seconds_of("poll_interval", operator.poll_interval),
        timeout_s=seconds_of("timeout", operator.timeout),
        has_timeout=True,
        max_file_bytes=operator.max_file_bytes,
        plan_max_age_s=operator.plan_max_age.total_seconds(),
        deferrable=operator.deferrable,
        has_journal=operator.journal_conn_id is not None,
        comes_back=start.comes_back,
        has_earlier_attempts=start.comes_back or has_run_before(start.context),
        time_limit_s=None if limit is None else limit.total_seconds(),
        trigger_requests=event["requests"],
        trigger_rate_limited=event["rate_limited"],
        work_folder=work_folder(),
        **of_import,
    )


class ImportParts:
    """Makes the objects with which one run of an operator imports.

    :param operator: has the rendered arguments.
    :param parts: the parts that the run and its sink share.
    :param start: the start of this process.
    :param rules: the rules of the import.
    :param policy: decides on each response to a request for a single contact.
    :param max_in_flight: the most requests for single contacts at once.
    :param instead: for the message after a 403: how to deliver without the scopes of an import.
    """

    def __init__(
        self,
        operator: Importing,
        parts: Parts,
        start: Start,
        rules: ImportRules,
        *,
        policy: ResponsePolicy | None = None,
        max_in_flight: int = LEFTOVERS_AT_ONCE,
        instead: str = "",
    ) -> None:
        self._operator = operator
        self._parts = parts
        self._start = start
        self._rules = rules
        self._policy = policy or ResponsePolicy()
        self._max_in_flight = max_in_flight
        self._instead = instead
        self._costs = ImportCosts(rules, parts.client.quota, self._rows_per_second)

    def reason_against(self, resource: ContactResource, columns: Sequence[str] | None) -> str:
        """Return the reason why the mapping cannot be carried out by import; empty: it can be."""
        return why_not_by_import(resource, columns)

    def refuse_columns(self, resource: ContactResource, columns: Sequence[str] | None) -> None:
        """Refuse columns that a file cannot have.

        :raises MappingError: there are such columns; the message names them.
        """
        refuse_columns(columns, resource.mapping)

    def cost(self, changes: PendingChanges, resource: ContactResource, most_requests: int | None) -> Cost:
        """Return the cost of a plan by import; see :meth:`ImportCosts.cost`."""
        return self._costs.cost(changes, resource, most_requests)

    def make_sink(self) -> ImportSink:
        """Return the sink that imports."""
        operator, parts = self._operator, self._parts
        path = operator.rejects_path
        keep_report = None if path is None else partial(report_file, path, note=parts.rejects_file_log.note)
        context = ImportContext(parts.client, self._rules, parts.report, parts.journal, keep_report=keep_report)
        resource = operator.make_resource()
        patching = Patching(
            context, self._made_sender(), resource, self._made_first_patch, make_last_sender=self._made_sender
        )
        carried: Mapping[str, Any] | None = read_event(self._start.event)["carried"]
        return ImportSink(
            context,
            operator._mapping(),
            patching,
            carried,
            self._costs,
            scope_of_removals=parts.resource.scope,
            instead=self._instead,
        )

    def make_preview(self) -> ImportPreview:
        """Return the preview of a plan, for a check."""
        return ImportPreview(self._rules, self._parts.report, self._parts.client.quota, advises=not self._instead)

    def _made_first_patch(self, resource: ContactResource) -> FirstPatch:
        operator = self._operator
        modes, resubscribe = operator.write_modes, operator.resubscribe
        return FirstPatch(self._parts.client, resource.mapping, resubscribe=resubscribe, write_modes=modes)

    def _made_sender(self) -> RequestSender:
        sender, _ = make_sender(
            self._parts,
            self._policy,
            Patience(self._parts.client.longest_wait_s),
            max_in_flight=self._max_in_flight,
            stops_when_all_rejected=not FailureBudget(self._operator.failure_budget).is_unlimited,
        )
        return sender

    def _rows_per_second(self, rows: int) -> float | None:
        journal = self._parts.journal
        return None if journal is None else journal.past_imports.rows_per_second(rows)


def trigger_for(operator: Importing, deferral: Deferral) -> BaseTrigger:
    """Return the trigger for a deferral: it waits for the imports, or, if there are none, for room in the queue."""
    from airflow_provider_connectif.triggers.imports import ImportTrigger
    from airflow_provider_connectif.triggers.window import WindowTrigger

    if not deferral.import_ids:
        return WindowTrigger(deferral.until)
    interval_s = seconds_of("poll_interval", operator.poll_interval)
    return ImportTrigger(
        operator.connectif_conn_id,
        deferral.import_ids,
        interval_s,
        deferral.until,
        deferral.state,
        deferral.polls_left,
    )
