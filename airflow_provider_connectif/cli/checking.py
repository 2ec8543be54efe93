"""The operators that the commands use. They check rows and send none."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_connectif.cli.running import CommandFailed, WrongUse
from airflow_provider_connectif.databases.journal_places import DEFAULT_TABLE, JournalPlace
from airflow_provider_connectif.databases.sql_source import SqlSource
from airflow_provider_connectif.imports.rules import OnExisting, way_of
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.imports import ContactImportOperator
from airflow_provider_connectif.operators.parts import Parts
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.raw_rows import RawBatch
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import InvalidRow, Row, RowBatch, renamed
from airflow_provider_connectif.reporting.verdict import End
from airflow_provider_connectif.runs.check_sink import CheckSink, RequestPreview
from airflow_provider_connectif.runs.column_names import other_case

LOG = logging.getLogger(__name__)
_MAPPING_ARGUMENTS = (
    *("key", "key_column", "properties", "fields", "default_region", "region_column", "resubscribe", "write_modes"),
)


class PatchCheck(ContactPatchOperator):
    """Checks a query for a delivery by PATCH, and logs to the command's log."""

    @property
    def log(self) -> Any:
        """The command's log, on stderr."""
        return LOG


class ImportCheck(ContactImportOperator):
    """Checks a query for a bulk import, and logs to the command's log."""

    @property
    def log(self) -> Any:
        """The command's log, on stderr."""
        return LOG


class ContactCheck(PatchCheck):
    """Checks the rows of one contact, and keeps the change that a run would send.

    :param contact: the contact's key, in the form that is the same for all its spellings.
    :param on_existing: the argument ``on_existing`` of the sync's imports. The journal's digests depend on it.
    """

    def __init__(self, *, contact: str, on_existing: OnExisting, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._contact = contact
        self._on_existing = on_existing
        self.patches: list[Patch] = []
        """The change that a run would send for the contact; empty if there is none."""
        self._rows: list[Row] = []

    @property
    def whole(self) -> dict[str, JsonValue]:
        """The properties of all valid rows of the contact together, sent or not. They are known after the check."""
        whole: dict[str, JsonValue] = {}
        if self._run is not None:
            resource = self._run.resource
            for row in self._rows:
                with suppress(InvalidRow):
                    whole = resource.merged(whole, resource.prepare(0, row).whole)
        return whole

    def _way(self) -> str:
        return way_of(self._on_existing)

    def _make_check(self, parts: Parts) -> CheckSink[Resource]:
        preview = _KeepingPreview(parts.report.log, parts.client.quota, self.patches)
        wait_s = parts.client.longest_wait_s
        return _UnloggedCheck(parts.resource, parts.report, parts.journal, preview, longest_wait_s=wait_s)

    def _open_source(self, context: Any) -> Any:
        source = super()._open_source(context)
        return _RowsOfContact(source, self.make_resource(), self._contact, self._rows)


class _UnloggedCheck(CheckSink[Resource]):
    """A check that logs nothing about its rows. The command shows their reasons itself.

    The row numbers in the log would be wrong: the check counts only the rows of one contact.
    """

    def log_end(self, end: End) -> None:
        """Log nothing."""


class _KeepingPreview(RequestPreview):
    """A preview that also keeps the changes of the plan. The plan for one contact has few changes."""

    def __init__(self, log: Any, quota: Any, patches: list[Patch]) -> None:
        super().__init__(log, quota)
        self._patches = patches

    def look(self, changes: PendingChanges, resource: Resource) -> None:
        """Count the changes, and keep each."""
        super().look(changes, resource)
        self._patches.extend(patch for batch in changes.batches() for patch in batch)


class _RowsOfContact:
    """A source that has only the rows of one contact.

    Its batches have the same type as those of the query's source, so that the digests of the rows equal those in a run.

    :param source: the source of the query's rows.
    :param resource: returns the key of a row.
    :param contact: the contact's key, in the form that is the same for all its spellings.
    :param rows: receives the contact's rows. Their columns are spelled as in the mapping.
    """

    def __init__(self, source: Any, resource: Resource, contact: str, rows: list[Row]) -> None:
        self._source = source
        self._resource = resource
        self._contact = contact
        self._rows = rows
        self.size: int | None = None

    @property
    def columns(self) -> Sequence[str] | None:
        """The columns of the query's result."""
        columns: Sequence[str] | None = self._source.columns
        return columns

    def __iter__(self) -> Iterator[Sequence[Row]]:
        wanted = self._resource.columns or (self._resource.key_column,)
        for batch in self._source:
            columns = self._source.columns
            named = renamed(batch, other_case(wanted, columns)) if columns else batch
            places = [place for place in self._may_be(named) if self._is_contacts(named[place])]
            self._rows.extend(named[place] for place in places)
            yield _picked(batch, places)

    def cancel(self) -> None:
        """Stop the query."""
        self._source.cancel()

    def _may_be(self, batch: Sequence[Row]) -> list[int]:
        """Return the indexes of the rows that may be the contact's: only their keys must be converted."""
        column = self._resource.key_column
        position = batch.position(column) if isinstance(batch, (RawBatch, RowBatch)) else None
        if position is None or not isinstance(batch, (RawBatch, RowBatch)):
            return list(range(len(batch)))
        glances = self._resource.unconverted_keys(batch.values_at(position))
        return [place for place, key in enumerate(glances) if key is None or self._contact in key]

    def _is_contacts(self, row: Row) -> bool:
        return self._resource.key_of(row) == self._contact


def _picked(batch: Sequence[Row], places: Sequence[int]) -> Sequence[Row]:
    if isinstance(batch, RawBatch):
        return RawBatch(batch.columns, [batch.texts[place] for place in places], batch.converted)
    if isinstance(batch, RowBatch):
        return RowBatch(batch.columns, [batch.values[place] for place in places])
    return [batch[place] for place in places]


def operator_arguments(
    arguments: Namespace, place: JournalPlace | None, *, are_keys_digests: bool, takes_nulls: bool = True
) -> dict[str, Any]:
    """Return the arguments for an operator that checks.

    :param arguments: the command's arguments.
    :param place: the place of the journal; ``None``: the command has no journal.
    :param are_keys_digests: whether the journal stores the sync's keys as HMACs.
    :param takes_nulls: whether the operator has the argument ``nulls``.
    """
    made = {name: getattr(arguments, name) for name in _MAPPING_ARGUMENTS}
    made |= {"nulls": arguments.nulls} if takes_nulls else {}
    made |= {"task_id": "check", "check_only": True, "sql": arguments.sql, "sql_conn_id": arguments.sql_conn_id}
    made |= {"connectif_conn_id": arguments.connectif_conn_id, "deferrable": False, "sync_id": "check"}
    if place is not None:
        made |= {
            "journal_conn_id": place.conn_id,
            "journal_table": place.table or DEFAULT_TABLE,
            "journal_schema": place.schema,
            "journal_key": "sha256" if are_keys_digests else "plain",
            "sync_id": arguments.sync_id,
        }
    return made


def make_operator(kind: Any, **arguments: Any) -> Any:
    """Create an operator.

    :param kind: the operator's class.
    :raises WrongUse: an argument is not valid.
    """
    try:
        return kind(**arguments)
    except (ValueError, AirflowException) as fault:
        raise WrongUse(str(fault)) from None


def check_rows(operator: Any) -> None:
    """Let an operator check its rows.

    :raises CommandFailed: the operator's task would fail; the message is that of the task.
    """
    try:
        operator.check_rows()
    except AirflowException as failure:
        words = str(failure)
    else:
        return
    raise CommandFailed(words)


def columns_of_query(sql: str, conn_id: str) -> list[str]:
    """Return the column names of a query's result. Its first rows are read, but not kept.

    :raises CommandFailed: the query returns no rows, so its columns are not known.
    """
    from contextlib import closing

    from airflow_provider_connectif.databases.hooks import sql_hook
    from airflow_provider_connectif.hooks.connection_lookup import connection_named_by

    with connection_named_by("--sql-conn-id", conn_id):
        hook = sql_hook(conn_id)
    source = SqlSource(hook, conn_id, sql)
    with closing(iter(source)) as batches:
        next(batches, None)
        columns = source.columns
    if columns is None:
        raise CommandFailed("the query returned no rows, so its columns are not known")
    return list(columns)
