"""The operator that brings many rows to Connectif in few requests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.operators.arguments import ContactsArguments
from airflow_provider_connectif.operators.base import Parts, Start, SyncOperator
from airflow_provider_connectif.operators.rejects_file import RejectsFile, report_file
from airflow_provider_connectif.operators.switches import check_switches, final_where_mapped
from airflow_provider_connectif.reporting.failure_budget import FailureBudget

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_connectif.contacts.resource import ContactResource
    from airflow_provider_connectif.imports.memory import Memory
    from airflow_provider_connectif.imports.rules import ImportRules, OnExisting
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.records.deferrals import Deferral
    from airflow_provider_connectif.runs.run import EarlierWork
    from airflow_provider_connectif.runs.sink import Sink

_LARGEST_FILE = 50_000_000  # API reference, "create-import": 50 MB
_DEFAULT_FILE = 48_000_000
_LEAST_FILE = 1_000
_ON_EXISTING = ("update", "fill_empty", "keep")


class ContactImportOperator(ContactsArguments, SyncOperator):
    """Imports rows as Connectif contacts: CSV files by ``POST /imports/``, hundreds of thousands of rows a request.

    Beside the arguments below it takes those of
    :class:`airflow_provider_connectif.operators.arguments.ContactsArguments` and of
    :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments`. Rows are read, mapped and checked as
    :class:`airflow_provider_connectif.operators.contacts.ContactPatchOperator` does; what is blank is left out, and of
    several rows of a contact one change is made. A task that dies finds its imports again and does not upload twice.

    The summary has besides: ``imported``, ``duplicates`` (``merged`` under its earlier name), ``imports`` (ids, the
    first twenty), ``files``, ``deferrals``; with ``on_existing="keep"`` also ``not_taken``.

    ``deferrable``: here, wait without a worker once everything is uploaded, and for another run of the sync.

    :param on_existing: what happens to contacts that exist: ``update`` (default) sets what the rows hold,
        ``fill_empty`` only properties that are empty at Connectif, ``keep`` nothing.
    :param delimiter: between the cells of a file.
    :param poll_interval: between two looks at an import, and before a full queue is tried again. Default 20 seconds.
    :param timeout: from the first upload to the end of the last import, for each try. Default 6 hours: how long
        imports take is not documented, and a nightly one that takes longer is somebody's business before the next.
        Before that the field definitions have as long. Reading the source does not count.
    :param max_file_bytes: every file is smaller. Default 48 MB; Connectif takes 50 MB.
    :param patch_leftovers: where the sets of filled columns make more files than the queue of ten takes, deliver the
        smallest by PATCH, a request a contact. Default: they are uploaded once there is room.
    :raises ValueError: when the DAG is parsed: an argument that cannot work.
    """

    _is_by_import = True

    def __init__(
        self,
        *,
        on_existing: OnExisting = "update",
        delimiter: str = ",",
        poll_interval: timedelta = timedelta(seconds=20),
        timeout: timedelta = timedelta(hours=6),
        max_file_bytes: int = _DEFAULT_FILE,
        patch_leftovers: bool = False,
        **kwargs: Any,
    ) -> None:
        with final_where_mapped(self):
            check_switches({"patch_leftovers": patch_leftovers})
            if on_existing not in _ON_EXISTING:
                raise ValueError(f"on_existing must be one of {', '.join(_ON_EXISTING)}, not {on_existing!r}")
            for name, value in (("poll_interval", poll_interval), ("timeout", timeout)):
                if not isinstance(value, timedelta) or value <= timedelta():
                    raise ValueError(f"{name} must be a timedelta above zero, not {value!r}")
            if type(max_file_bytes) is not int or not _LEAST_FILE <= max_file_bytes <= _LARGEST_FILE:
                raise ValueError(f"max_file_bytes must be a whole number from {_LEAST_FILE:,} to {_LARGEST_FILE:,}")
            if patch_leftovers and on_existing != "update":
                raise ValueError("patch_leftovers=True needs on_existing='update': a PATCH changes contacts that exist")
        super().__init__(**kwargs)
        self.on_existing = on_existing
        self.delimiter = delimiter
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.max_file_bytes = max_file_bytes
        self.patch_leftovers = patch_leftovers
        from airflow_provider_connectif.imports.layout import checked_delimiter

        with final_where_mapped(self):
            checked_delimiter(delimiter)

    def _make_sink(self, parts: Parts, start: Start) -> Sink[ContactResource]:
        from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
        from airflow_provider_connectif.delivery.sender import Patience
        from airflow_provider_connectif.imports.import_sink import LEFTOVERS_AT_ONCE, ImportSink
        from airflow_provider_connectif.operators.requests import make_sender

        event = _read_event(start.event)
        sender, _ = make_sender(
            parts,
            ResponsePolicy(),
            Patience(parts.client.longest_wait_s),
            max_in_flight=LEFTOVERS_AT_ONCE,
            stops_when_all_rejected=not FailureBudget(self.failure_budget).is_unlimited,
        )
        return ImportSink(
            parts.client,
            self._rules(start, event),
            self._memory(parts.journal, start.context, event["carried"]),
            sender,
            parts.report,
            self._mapping(),
            parts.journal,
            keep_report=None if self.rejects_path is None else partial(report_file, self.rejects_path),
        )

    def _make_check(self, parts: Parts) -> Sink[ContactResource]:
        from airflow_provider_connectif.imports.check_sink import ImportCheckSink

        rules = self._rules(Start({}), {})
        return ImportCheckSink(parts.report, parts.journal, rules, longest_wait_s=parts.client.longest_wait_s)

    def _earlier(self, parts: Parts, journal: Journal, sink: Sink[Any]) -> EarlierWork | None:
        from airflow_provider_connectif.imports.import_sink import ImportSink

        return sink if isinstance(sink, ImportSink) else None

    def _way(self) -> str:
        return self._rules(Start({}), {}).way

    def _without_definitions(self) -> str:
        from airflow_provider_connectif.imports.import_sink import WITHOUT_DEFINITIONS

        return WITHOUT_DEFINITIONS

    def _definitions_timeout_s(self) -> float:
        return self.timeout.total_seconds()

    def _rejects_file(self, path: str, start: Start) -> RejectsFile:
        return RejectsFile(path, goes_on=True)  # the run knows whether it goes on

    def _trigger(self, deferral: Deferral) -> BaseTrigger:
        from airflow_provider_connectif.triggers.imports import ImportTrigger

        interval_s = self.poll_interval.total_seconds()
        return ImportTrigger(self.connectif_conn_id, deferral.import_ids, interval_s, deferral.until, deferral.state)

    def _describe(self) -> str:
        return f"; by import, contacts that exist: {self.on_existing}"

    def _memory(self, journal: Journal | None, context: Any, carried: Mapping[str, Any] | None) -> Memory:
        from airflow_provider_connectif.imports.memory import JournalMemory, NoMemory
        from airflow_provider_connectif.journal.import_state import ImportState
        from airflow_provider_connectif.operators.task_state import TaskStateMemory

        if journal is not None:
            return JournalMemory(journal)
        if ImportState.from_json(carried) is None:
            carried = None
        store = context.get("task_state_store")
        return NoMemory(carried) if store is None else TaskStateMemory(store, carried)

    def _rules(self, start: Start, event: Mapping[str, Any]) -> ImportRules:
        from airflow_provider_connectif.imports.rules import ImportRules
        from airflow_provider_connectif.operators.task_state import has_earlier_tries, has_run_before

        limit = self.execution_timeout if self.deferrable else None
        return ImportRules(
            on_existing=self.on_existing,
            delimiter=self.delimiter,
            poll_interval_s=self.poll_interval.total_seconds(),
            timeout_s=self.timeout.total_seconds(),
            max_file_bytes=self.max_file_bytes,
            patch_leftovers=self.patch_leftovers,
            deferrable=self.deferrable,
            comes_back=start.comes_back,
            is_retry=start.comes_back or has_earlier_tries(start.context),
            has_earlier_attempts=start.comes_back or has_run_before(start.context),
            time_limit_s=None if limit is None else limit.total_seconds(),
            trigger_requests=event.get("requests", 0),
            trigger_rate_limited=event.get("rate_limited", 0),
        )


def _read_event(event: object) -> dict[str, Any]:
    """The payload of a trigger's event, whatever has come: it passed through Airflow's database.

    :return: ``requests`` and ``rate_limited``, numbers that are zero where there is none, and ``carried``, a mapping
        or ``None``.
    """
    payload = event if isinstance(event, Mapping) else {}
    carried = payload.get("carried")
    counts = {name: payload.get(name) for name in ("requests", "rate_limited")}
    return {
        **{name: value if type(value) is int and value >= 0 else 0 for name, value in counts.items()},
        "carried": carried if isinstance(carried, Mapping) else None,
    }
