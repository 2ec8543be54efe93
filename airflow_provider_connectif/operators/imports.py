"""The operator for the bulk import, which writes many rows to Connectif in few requests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.imports.limits import DEFAULT_FILE_BYTES
from airflow_provider_connectif.operators.arguments import ContactsArguments
from airflow_provider_connectif.operators.base import SyncOperator
from airflow_provider_connectif.operators.import_arguments import (
    check_import_arguments,
    refuse_on_create,
    seconds_of,
)
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.switches import check_switches, final_where_mapped

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_connectif.contacts.resource import ContactResource
    from airflow_provider_connectif.imports.rules import ImportRules, OnExisting
    from airflow_provider_connectif.imports.shapes import FileLayout
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.operators.import_parts import ImportParts
    from airflow_provider_connectif.records.deferrals import Deferral
    from airflow_provider_connectif.runs.beginning import EarlierWork
    from airflow_provider_connectif.runs.sink import Sink

_ON_EXISTING = ("update", "fill_empty", "keep")
_FILE_LAYOUTS = ("auto", "shape", "column")


class ContactImportOperator(ContactsArguments, SyncOperator):
    """Imports rows as Connectif contacts: CSV files by ``POST /imports/``, hundreds of thousands of rows in each
    request.

    It also takes the arguments of two base classes:
    :class:`airflow_provider_connectif.operators.arguments.ContactsArguments` and
    :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments`. Rows are read, mapped and checked as in
    :class:`airflow_provider_connectif.operators.contacts.ContactPatchOperator`. Blank values are left out, and several
    rows of a contact become one change. With a journal, a task that was killed finds its imports again in the next
    attempt and does not upload twice.

    A consent that is not at its lowest value goes into a file of its own, which fills only empty fields. The same holds
    for a property whose write mode is ``if_empty``. The write mode ``on_create`` is an error. A consent that the source
    has raised or lowered since it was delivered goes by PATCH; without the scope Contacts: Write it is kept. See
    "Consents" in the docs on the bulk import.

    The summary also has ``imported``, ``duplicates`` (the earlier name of ``merged``), ``imports`` (the ids of the
    first twenty), ``files``, ``deferrals``; with ``on_existing="keep"`` also ``not_taken``.

    With ``deferrable``, the task needs a worker only to read, write and upload. With a journal it also waits without a
    worker while the queue is full, or while another run of the sync or an import of an earlier run is still running.

    :param on_existing: the treatment of contacts that exist: ``update`` (default) sets the values of the rows,
        ``fill_empty`` only sets properties that are empty at Connectif, ``keep`` sets nothing.
    :param file_layout: the way in which contacts are divided into files: no column of a file may have blank cells.
        ``shape``: one file for each set of filled columns. ``column``: one file with the columns that every row fills,
        and one for each column that may be empty; a new contact is complete only when its last file is processed.
        ``auto`` (default): the layout with fewer requests. With ``on_existing="keep"``, ``auto`` is ``shape``, and
        ``column`` is an error.
    :param delimiter: the character between the cells of a file.
    :param poll_interval: time between two polls of an import, and between two uploads to a full queue: a timedelta, or
        seconds. Default 20 seconds.
    :param timeout: time limit from the first upload to the end of the last import, for each attempt: a timedelta, or
        seconds. Default 6 hours: the duration of imports is not documented, and a nightly import that takes longer
        should be checked before the next one. Reading the field definitions, before the first upload, has a limit of
        its own with the same length. Reading the source does not count.
    :param max_file_bytes: limit for the size of a file; Connectif accepts 50 MB. Default 48 MB.
    :param patch_leftovers: whether small groups of contacts go by PATCH, with one request for each contact. ``None``
        (default): a group goes by PATCH if that takes fewer requests than its file, ``on_existing`` is ``update`` and
        the API key may write contacts. ``True``: if there are more files than fit into the queue of ten, the smallest
        groups go by PATCH, but no group that takes several files. ``False``: all groups go into files; only consents
        that need a response go by PATCH.
    :raises ValueError: an argument is not valid; raised when the DAG is parsed.
    """

    _is_by_import = True

    def __init__(
        self,
        *,
        on_existing: OnExisting = "update",
        file_layout: FileLayout = "auto",
        delimiter: str = ",",
        poll_interval: timedelta | float = timedelta(seconds=20),
        timeout: timedelta | float = timedelta(hours=6),
        max_file_bytes: int = DEFAULT_FILE_BYTES,
        patch_leftovers: bool | None = None,
        **kwargs: Any,
    ) -> None:
        with final_where_mapped(self):
            check_switches({"patch_leftovers": patch_leftovers}, may_be_none=("patch_leftovers",))
            if on_existing not in _ON_EXISTING:
                raise ValueError(f"on_existing must be one of {', '.join(_ON_EXISTING)}, not {on_existing!r}")
            if file_layout not in _FILE_LAYOUTS:
                raise ValueError(f"file_layout must be one of {', '.join(_FILE_LAYOUTS)}, not {file_layout!r}")
            if file_layout == "column" and on_existing == "keep":
                raise ValueError(
                    "file_layout='column' cannot be combined with on_existing='keep': the first file of a contact "
                    "creates it, and the others would not be taken"
                )
            check_import_arguments(poll_interval, timeout, max_file_bytes)
            if patch_leftovers and on_existing != "update":
                raise ValueError("patch_leftovers=True needs on_existing='update': a PATCH changes contacts that exist")
        super().__init__(**kwargs)
        self.on_existing = on_existing
        self.file_layout = file_layout
        self.delimiter = delimiter
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_file_bytes = max_file_bytes
        self.patch_leftovers = patch_leftovers
        from airflow_provider_connectif.imports.layout import checked_delimiter

        with final_where_mapped(self):
            checked_delimiter(delimiter)

    def make_resource(self) -> ContactResource:
        """Return the resource for contacts, with the mapping from the arguments.

        :raises ValueError: an import cannot carry out a write mode.
        """
        resource = super().make_resource()
        refuse_on_create(resource)
        return resource

    def _make_sink(self, parts: Parts, start: Start) -> Sink[ContactResource]:
        return self._import_parts(parts, start).make_sink()

    def _make_check(self, parts: Parts) -> Sink[ContactResource]:
        from airflow_provider_connectif.runs.check_sink import CheckSink

        preview = self._import_parts(parts, Start({})).make_preview()
        wait_s = parts.client.longest_wait_s
        return CheckSink(parts.resource, parts.report, parts.journal, preview, longest_wait_s=wait_s)

    def _earlier(self, parts: Parts, journal: Journal, sink: Sink[Any]) -> EarlierWork | None:
        from airflow_provider_connectif.imports.import_sink import ImportSink

        return sink if isinstance(sink, ImportSink) else None

    def _way(self) -> str:
        return self._rules(Start({})).way

    def _without_definitions(self) -> str:
        from airflow_provider_connectif.imports.import_sink import WITHOUT_DEFINITIONS

        return WITHOUT_DEFINITIONS

    def _definitions_timeout_s(self) -> float:
        return seconds_of("timeout", self.timeout)

    def _trigger(self, deferral: Deferral) -> BaseTrigger:
        from airflow_provider_connectif.operators.import_parts import trigger_for

        return trigger_for(self, deferral)

    def _describe(self) -> str:
        return f"By import; contacts that exist: {self.on_existing}"

    def _import_parts(self, parts: Parts, start: Start) -> ImportParts:
        from airflow_provider_connectif.operators.import_parts import ImportParts

        return ImportParts(self, parts, start, self._rules(start))

    def _rules(self, start: Start) -> ImportRules:
        from airflow_provider_connectif.operators.import_parts import make_rules

        return make_rules(
            self,
            start,
            on_existing=self.on_existing,
            file_layout=self.file_layout,
            delimiter=self.delimiter,
            patch_leftovers=self.patch_leftovers,
        )
