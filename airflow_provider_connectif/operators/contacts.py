"""The operator that writes rows to contacts by PATCH, and the import path of the other operators for contacts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.mapping import ContactMapping, Nulls
from airflow_provider_connectif.operators.arguments import ContactsArguments
from airflow_provider_connectif.operators.parts import Parts
from airflow_provider_connectif.operators.requests import RequestOperator

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.operators.erasure import ContactDeleteOperator
    from airflow_provider_connectif.operators.imports import ContactImportOperator
    from airflow_provider_connectif.operators.sync import ContactSyncOperator
    from airflow_provider_connectif.records.deferrals import Deferral
    from airflow_provider_connectif.runs.beginning import EarlierWork
    from airflow_provider_connectif.runs.sink import Sink

__all__ = ["ContactDeleteOperator", "ContactImportOperator", "ContactPatchOperator", "ContactSyncOperator"]


class ContactPatchOperator(ContactsArguments, RequestOperator):
    """Upserts rows as Connectif contacts by PATCH. A contact takes one request, or two if one must wait for a response.

    It also takes the arguments of three base classes:
    :class:`airflow_provider_connectif.operators.arguments.ContactsArguments` (the mapping of rows to contacts),
    :class:`airflow_provider_connectif.operators.requests.RequestOperator` (the sending of requests) and
    :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments` (the source of rows, the journal, and the
    end of the task).

    :param nulls: the treatment of a property whose value is ``None`` or an empty list. ``omit`` (default): it is not
        sent, and stays unchanged at Connectif. ``clear``: ``null`` or ``[]`` is sent; Connectif's handling of these is
        not documented.
    :raises ValueError: an argument is not valid; raised when the DAG is parsed. A mapped operator raises
        ``AirflowFailException`` instead, when its task runs.
    """

    def __init__(self, *, nulls: Nulls = "omit", **kwargs: Any) -> None:
        self.nulls = nulls
        super().__init__(**kwargs)

    def _earlier(self, parts: Parts, journal: Journal, sink: Sink[Any]) -> EarlierWork:
        return _EarlierImports(parts, journal, self._mapping(), self)


class _EarlierImports:
    """Imports of earlier runs of the sync, and of an earlier attempt of this task."""

    def __init__(self, parts: Parts, journal: Journal, mapping: ContactMapping, operator: RequestOperator) -> None:
        self._parts = parts
        self._journal = journal
        self._mapping = mapping
        self._operator = operator

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> Deferral | None:
        """Wait for these imports; a task that may be deferred waits without a worker.

        :param is_to_stop: whether the run must stop.
        :return: the deferral, if the task is to wait without a worker.
        """
        if not (found := self._journal.plan.with_open_imports(includes_mine=True)):
            return None
        # The modules of an import are loaded only here: most runs by PATCH need none of them.
        from airflow_provider_connectif.imports.context import ImportContext
        from airflow_provider_connectif.imports.earlier import settle_earlier
        from airflow_provider_connectif.imports.rules import ImportRules

        limit = self._operator.execution_timeout if self._operator.deferrable else None
        rules = ImportRules(
            deferrable=self._operator.deferrable, time_limit_s=None if limit is None else limit.total_seconds()
        )
        context = ImportContext(self._parts.client, rules, self._parts.report, self._journal, is_to_stop=is_to_stop)
        return settle_earlier(context, self._mapping, found)


def __getattr__(name: str) -> Any:
    """Import the other operators on demand, so that DAG files load only the operators that they use."""
    if name == "ContactDeleteOperator":
        from airflow_provider_connectif.operators.erasure import ContactDeleteOperator

        return ContactDeleteOperator
    if name == "ContactSyncOperator":
        from airflow_provider_connectif.operators.sync import ContactSyncOperator

        return ContactSyncOperator
    if name == "ContactImportOperator":
        from airflow_provider_connectif.operators.imports import ContactImportOperator

        return ContactImportOperator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
