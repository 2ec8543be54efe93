"""The operator that brings many rows to Connectif in few requests."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.operators.arguments import ContactsArguments
from airflow_provider_connectif.operators.base import SyncOperator
from airflow_provider_connectif.operators.import_arguments import (
    DEFAULT_FILE,
    check_import_arguments,
    refuse_on_create,
    seconds_of,
)
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.rejects_file import RejectsFile
from airflow_provider_connectif.operators.switches import check_switches, final_where_mapped

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_connectif.contacts.resource import ContactResource
    from airflow_provider_connectif.imports.rules import ImportRules, OnExisting
    from airflow_provider_connectif.imports.shapes import FileLayout
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.operators.import_parts import ImportParts
    from airflow_provider_connectif.records.deferrals import Deferral
    from airflow_provider_connectif.runs.run import EarlierWork
    from airflow_provider_connectif.runs.sink import Sink

_ON_EXISTING = ("update", "fill_empty", "keep")
_FILE_LAYOUTS = ("auto", "shape", "column")


class ContactImportOperator(ContactsArguments, SyncOperator):
    """Imports rows as Connectif contacts: CSV files by ``POST /imports/``, hundreds of thousands of rows a request.

    Beside the arguments below it takes those of
    :class:`airflow_provider_connectif.operators.arguments.ContactsArguments` and of
    :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments`. Rows are read, mapped and checked as
    :class:`airflow_provider_connectif.operators.contacts.ContactPatchOperator` does; what is blank is left out, and of
    several rows of a contact one change is made. With a journal, a task that dies finds its imports again and does not
    upload twice.

    A consent that is not at its lowest rank goes in a file of its own that fills only what is empty, and so does a
    property whose ``write_modes`` is ``if_empty``; ``on_create`` is an error. What the source has raised since it was
    delivered, or lowered, goes by PATCH; without the scope Contacts: Write such a consent is kept. See "Consents" in
    the docs on the bulk import.

    The summary has besides: ``imported``, ``duplicates`` (``merged`` under its earlier name), ``imports`` (ids, the
    first twenty), ``files``, ``deferrals``; with ``on_existing="keep"`` also ``not_taken``.

    ``deferrable``: here, hold a worker only to read, write and upload; with a journal also where the queue is full, and
    while another run of the sync, or an import that an earlier one has left, is under way.

    :param on_existing: what happens to contacts that exist: ``update`` (default) sets what the rows hold,
        ``fill_empty`` only properties that are empty at Connectif, ``keep`` nothing.
    :param file_layout: which files contacts go into, since no column of a file may have blanks. ``shape``: one file
        for each set of filled columns. ``column``: one with the columns that every row fills, and one for each column
        that may be empty; then a new contact is complete only when its last file is processed. ``auto`` (default):
        the one with fewer requests. ``keep`` goes by shape only.
    :param delimiter: between the cells of a file.
    :param poll_interval: between two polls of an import, and before a full queue is tried again: a timedelta, or
        seconds. Default 20 seconds.
    :param timeout: from the first upload to the end of the last import, for each attempt: a timedelta, or seconds.
        Default 6 hours: how long imports take is not documented, and a nightly one that takes longer should be looked
        at before the next. Before that the field definitions have as long. Reading the source does not count.
    :param max_file_bytes: every file is smaller. Default 48 MB; Connectif takes 50 MB.
    :param patch_leftovers: ``None`` (default): a group of contacts goes by PATCH where that takes fewer requests than
        its file, ``on_existing`` is ``update`` and the API key may write contacts. ``True``: where there are more files
        than the queue of ten takes, the smallest go by PATCH, a request for each contact. ``False``: none does, but for
        consents that only a response can decide about.
    :raises ValueError: when the DAG is parsed: an argument that cannot work.
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
        max_file_bytes: int = DEFAULT_FILE,
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
                    "file_layout='column' does not go with on_existing='keep': the first file of a contact creates it, "
                    "and the others would not be taken"
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
        """Contacts, as the arguments map them.

        :raises ValueError: a mode that no file can keep to.
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

    def _rejects_file(self, path: str, start: Start) -> RejectsFile:
        return RejectsFile(path, goes_on=True)  # the run knows whether it goes on

    def _trigger(self, deferral: Deferral) -> BaseTrigger:
        from airflow_provider_connectif.operators.import_parts import trigger_for

        return trigger_for(self, deferral)

    def _describe(self) -> str:
        return f"By import; contacts that exist: {self.on_existing}"

    def _import_parts(self, parts: Parts, start: Start) -> ImportParts:
        from airflow_provider_connectif.operators.import_parts import ImportParts

        return ImportParts(self, parts, start, self._rules(start))

    def _rules(self, start: Start) -> ImportRules:
        from airflow_provider_connectif.operators.import_parts import made_rules

        return made_rules(
            self,
            start,
            on_existing=self.on_existing,
            file_layout=self.file_layout,
            delimiter=self.delimiter,
            patch_leftovers=self.patch_leftovers,
        )
