"""The operator that keeps contacts equal to a query, including contacts that left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.contacts.removal import OnRemoved, checked_on_removed
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.parts import Start
from airflow_provider_connectif.operators.switches import final_where_mapped
from airflow_provider_connectif.runs.guards import Limit

if TYPE_CHECKING:
    from airflow_provider_connectif.contacts.resource import ContactResource
    from airflow_provider_connectif.records.resource import Resource
    from airflow_provider_connectif.runs.departures import ReadSettings


class ContactSyncOperator(ContactPatchOperator):
    """Keeps contacts at Connectif equal to a query: new and changed contacts, and contacts that are no longer in it.

    It takes all arguments of :class:`airflow_provider_connectif.operators.contacts.ContactPatchOperator`, and needs
    ``journal_conn_id``. The guards have other defaults: ``max_removed``, ``max_lowered`` and ``max_raised`` are 0.05.

    ``on_removed`` is carried out only if it is certain that contacts left: the source was read to its end, and the last
    complete read had these contacts and asked the same question (task, host, key, key column, ``sql_conn_id`` and SQL
    text before rendering). Otherwise a run only counts them, and logs why. See "Rows that left" in the docs.

    :param on_removed: the action for contacts that left: ``None`` (default) counts them, a dict of properties is sent
        to each, such as ``{"active_customer": False}`` or ``{"_newsletterSubscriptionStatus": "unsubscribed"}``, and
        ``"delete"`` deletes them, which cannot be undone and needs the scope Contacts: Delete. A consent may only get
        its lowest value.
    :param min_rows: as in the guards; 0.5 if ``on_removed`` is given.
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
        **kwargs: Any,
    ) -> None:
        with final_where_mapped(self):
            if journal_conn_id is None:
                raise ValueError("ContactSyncOperator needs journal_conn_id: only a journal knows who left the source")
            on_removed = checked_on_removed(on_removed)
            if on_removed is not None and kwargs.get("journal_key", "plain") != "plain":
                raise ValueError("on_removed needs journal_key='plain': a journal of digests cannot name who left")
        self.on_removed = on_removed
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
        """Return the contacts resource with the mapping of the arguments."""
        resource = super().make_resource()
        if self.on_removed == "delete":
            resource.scope = f"{resource.scope}, or Contacts: Delete for contacts that left the source"
        return resource

    def _check_task(self, start: Start) -> None:
        if self.on_removed is not None and getattr(start.context.get("ti"), "map_index", -1) >= 0:
            raise RunFailed(
                "on_removed cannot be used in a mapped task: each mapped task reads a part of the source, and the "
                "contacts of the others are not in it",
                final=True,
            )

    def _read_settings(self, context: Any, resource: Resource, host: str) -> ReadSettings:
        from dataclasses import replace

        read = super()._read_settings(context, resource, host)
        return replace(read, counts_left=True, on_removed=self.on_removed)
