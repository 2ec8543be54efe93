"""The operator that keeps contacts equal to the result of a query, and follows the contacts that leave the result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, get_args

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.contacts.removal import OnRemoved, checked_on_removed
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.imports.limits import DEFAULT_FILE_BYTES
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.import_arguments import check_import_arguments, refuse_on_create
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.switches import final_where_mapped
from airflow_provider_connectif.reporting.formats import describe_seconds
from airflow_provider_connectif.reporting.requests import Via
from airflow_provider_connectif.runs.guards import Limit

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_connectif.contacts.resource import ContactResource
    from airflow_provider_connectif.imports.import_sink import ImportSink
    from airflow_provider_connectif.imports.preview import ImportPreview
    from airflow_provider_connectif.journal.pending import PendingChanges
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.operators.import_parts import ImportParts
    from airflow_provider_connectif.records.deferrals import Deferral
    from airflow_provider_connectif.records.resource import Resource
    from airflow_provider_connectif.reporting.requests import Cost
    from airflow_provider_connectif.runs.beginning import EarlierWork
    from airflow_provider_connectif.runs.choosing import WayChooser
    from airflow_provider_connectif.runs.departures import ReadSettings
    from airflow_provider_connectif.runs.sink import Sink


class ContactSyncOperator(ContactPatchOperator):
    """Keeps contacts at Connectif equal to a query's result: new contacts, changed contacts, and contacts that left.

    It takes all arguments of :class:`airflow_provider_connectif.operators.contacts.ContactPatchOperator`, and needs
    ``journal_conn_id``. The guards have other defaults: ``max_removed``, ``max_lowered`` and ``max_raised`` are 0.05.

    ``on_removed`` is carried out for contacts that left only if it is certain that they did: the source was read to its
    end, and every read since they were last in the source asked the same question. The question is the task, host, key,
    key column, ``sql_conn_id``, ``hook_params``, SQL text and ``parameters``; the last three count before they are
    rendered. Otherwise a run only counts these contacts, and logs why. See "Rows that left" in the docs.

    :param on_removed: the action for contacts that left. ``None`` (default): they are only counted. A dict of
        properties is sent to each, such as ``{"active_customer": False}`` or
        ``{"_newsletterSubscriptionStatus": "unsubscribed"}``; a consent may only get its lowest value. ``"delete"``
        deletes them; that cannot be undone, and needs the scope Contacts: Delete.
    :param min_rows: the fewest rows that the source may have: a number, or a share of the rows of this task's last
        complete read. Default: 0.5 if ``on_removed`` is given; otherwise none.
    :param via: the way of delivery: ``auto`` (default), ``patch`` or ``import``. With ``auto``, a plan that takes
        longer than ``import_after`` by PATCH is imported, unless the import may take more requests, or takes as long
        as PATCH by the speed of the sync's last imports. See "PATCH or import" in the docs.
    :param import_after: with ``auto``, a plan that takes at most this time by PATCH goes by PATCH. Default 30 minutes.
    :param poll_interval: time between two polls of an import: a timedelta, or seconds. Default 20 seconds.
    :param timeout: time limit from the first upload to the end of the last import, for each attempt: a timedelta, or
        seconds. Default 6 hours.
    :param max_file_bytes: limit for the size of a file; Connectif accepts 50 MB. Default 48 MB.
    :raises ValueError: an argument is not valid; raised when the DAG is parsed.
    """

    def __init__(
        self,
        *,
        on_removed: OnRemoved = None,
        max_removed: Limit = 0.05,
        max_lowered: Limit = 0.05,
        max_raised: Limit = 0.05,
        min_rows: Limit = None,
        journal_conn_id: str | None = None,
        via: Via = "auto",
        import_after: timedelta = timedelta(minutes=30),
        poll_interval: timedelta | float = timedelta(seconds=20),
        timeout: timedelta | float = timedelta(hours=6),
        max_file_bytes: int = DEFAULT_FILE_BYTES,
        **kwargs: Any,
    ) -> None:
        with final_where_mapped(self):
            if via not in get_args(Via):
                raise ValueError(f"via must be one of {', '.join(get_args(Via))}, not {via!r}")
            if not isinstance(import_after, timedelta) or import_after < timedelta():
                raise ValueError(f"import_after must be a timedelta, zero or more, not {import_after!r}")
            if via == "import" and kwargs.get("nulls", "omit") != "omit":
                raise ValueError("via='import' needs nulls='omit': an import cannot clear properties")
            check_import_arguments(poll_interval, timeout, max_file_bytes)
            if journal_conn_id is None:
                raise ValueError("ContactSyncOperator needs journal_conn_id: only a journal knows who left the source")
            on_removed = checked_on_removed(on_removed)
            if on_removed is not None and kwargs.get("journal_key", "plain") != "plain":
                raise ValueError("on_removed needs journal_key='plain': a journal of digests cannot name who left")
        self.on_removed = on_removed
        self.via = via
        self.import_after = import_after
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_file_bytes = max_file_bytes
        if min_rows is None and on_removed is not None:
            min_rows = 0.5
        super().__init__(
            max_removed=max_removed,
            max_lowered=max_lowered,
            max_raised=max_raised,
            min_rows=min_rows,
            journal_conn_id=journal_conn_id,
            **kwargs,
        )

    def make_resource(self) -> ContactResource:
        """Return the resource for contacts, with the mapping from the arguments.

        :raises ValueError: ``via`` is ``import``, and an import cannot carry out a write mode.
        """
        resource = super().make_resource()
        if self.via == "import":
            refuse_on_create(resource)
        if self.on_removed == "delete":
            resource.scope = f"{resource.scope}, or Contacts: Delete for contacts that left the source"
        return resource

    def _check_task(self, start: Start) -> None:
        if self.on_removed is not None and getattr(start.context.get("ti"), "map_index", -1) >= 0:
            raise RunFailed(
                "on_removed cannot be used in a mapped task: each mapped task reads only a part of the source, and the "
                "contacts in the other parts would count as contacts that left",
                final=True,
            )

    def _read_settings(self, context: Any, resource: Resource, host: str) -> ReadSettings:
        from dataclasses import replace

        read = super()._read_settings(context, resource, host)
        # Each mapped task reads a part of the source: the contacts in the other parts have not left.
        is_mapped = getattr(context.get("ti"), "map_index", -1) >= 0
        return replace(read, counts_left=not is_mapped, on_removed=self.on_removed)

    def _make_sink(self, parts: Parts, start: Start) -> Sink[Any]:
        by_request = super()._make_sink(parts, start)
        if self.via == "patch" or parts.journal is None:
            return by_request
        from airflow_provider_connectif.runs.choosing_sink import ChoosingSink

        by_import = _ByImport(self, parts, start)
        return ChoosingSink(self._chooser(parts, by_import), by_request, by_import, parts.report, parts.journal)

    def _make_check(self, parts: Parts) -> Sink[Any]:
        if self.via == "patch":
            return super()._make_check(parts)
        from airflow_provider_connectif.runs.check_sink import CheckSink, RequestPreview
        from airflow_provider_connectif.runs.choosing_sink import ChoosingPreview

        client, by_import = parts.client, _ByImport(self, parts, Start({}))
        by_request = RequestPreview(parts.report.log, client.quota)
        preview = ChoosingPreview(self._chooser(parts, by_import), by_request, by_import)
        return CheckSink(parts.resource, parts.report, parts.journal, preview, longest_wait_s=client.longest_wait_s)

    def _chooser(self, parts: Parts, by_import: _ByImport) -> WayChooser[ContactResource]:
        from airflow_provider_connectif.runs.choosing import WayChooser

        after_s = self.import_after.total_seconds()
        return WayChooser(self.via, after_s, by_import, parts.client.quota, parts.journal)

    def _earlier(self, parts: Parts, journal: Journal, sink: Sink[Any]) -> EarlierWork:
        from airflow_provider_connectif.runs.choosing_sink import ChoosingSink

        return sink if isinstance(sink, ChoosingSink) else super()._earlier(parts, journal, sink)

    def _trigger(self, deferral: Deferral) -> BaseTrigger:
        if not deferral.import_ids:
            return super()._trigger(deferral)
        from airflow_provider_connectif.operators.import_parts import trigger_for

        return trigger_for(self, deferral)

    def _without_definitions(self) -> str:
        if self.via != "import":
            return super()._without_definitions()
        from airflow_provider_connectif.imports.import_sink import WITHOUT_DEFINITIONS

        return WITHOUT_DEFINITIONS

    def _describe(self) -> str:
        if self.via == "patch":
            return super()._describe()
        if self.via == "import":
            return "By import"
        after = describe_seconds(self.import_after.total_seconds())
        return f"{super()._describe()}; by import where PATCH takes longer than {after}"


class _ByImport:
    """Delivery by import, which a run may choose. The first call of a method loads the modules of an import."""

    def __init__(self, operator: ContactSyncOperator, parts: Parts, start: Start) -> None:
        self._operator = operator
        self._parts = parts
        self._start = start

    @cached_property
    def _made(self) -> ImportParts:
        from airflow_provider_connectif.operators.import_parts import ImportParts, make_rules

        operator = self._operator
        return ImportParts(
            operator,
            self._parts,
            self._start,
            make_rules(operator, self._start),
            policy=ResponsePolicy(operator.on_response),
            max_in_flight=operator.max_in_flight,
            instead=' (via="patch" needs neither)',
        )

    def reason_against(self, resource: ContactResource, columns: Sequence[str] | None) -> str:
        """Return the reason why the mapping cannot be carried out by import; empty: it can be."""
        return self._made.reason_against(resource, columns)

    def refuse_columns(self, resource: ContactResource, columns: Sequence[str] | None) -> None:
        """Refuse columns that a file cannot have.

        :raises MappingError: there are such columns; the message names them.
        """
        self._made.refuse_columns(resource, columns)

    def cost(self, changes: PendingChanges, resource: ContactResource, most_requests: int | None) -> Cost:
        """Return the cost of a plan by import."""
        return self._made.cost(changes, resource, most_requests)

    def make_sink(self) -> ImportSink:
        """Return the sink for the plan of the last call of :meth:`cost`."""
        return self._made.make_sink()

    def make_preview(self) -> ImportPreview:
        """Return the preview of a plan, for a check."""
        return self._made.make_preview()
