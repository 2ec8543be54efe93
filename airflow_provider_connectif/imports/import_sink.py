"""The sink that imports: it writes changes to files, uploads them, and records the outcome of every contact."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.cost import ImportCosts
from airflow_provider_connectif.imports.earlier import settle_earlier
from airflow_provider_connectif.imports.job import ImportJob
from airflow_provider_connectif.imports.layout import refuse_columns
from airflow_provider_connectif.imports.patching import Patching
from airflow_provider_connectif.imports.rules import TRIGGER_GRACE_S
from airflow_provider_connectif.imports.watch import listed
from airflow_provider_connectif.imports.work_folder import IMPORT_PREFIX, work_folder
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, JournalError, Outcome, Stop, StopKind
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.counts import NOT_UPLOADED
from airflow_provider_connectif.reporting.formats import clock, iso_time
from airflow_provider_connectif.reporting.requests import Cost
from airflow_provider_connectif.reporting.verdict import End, ImportFailed, Verdict

LEFTOVERS_AT_ONCE = 8
WITHOUT_DEFINITIONS = "custom fields cannot be imported"
_IDS_IN_SUMMARY = 20
_LAST_RESPONSE_S = 30.0  # wait for a response after a request to stop; Airflow kills the task after 60 seconds
_INTERVALS_WHEN_FULL = 3  # before the next upload to a queue that is full of other imports


class ImportSink:
    """Delivers a plan by import.

    :param context: the context of the run.
    :param mapping: the mapping as the DAG's author gave it.
    :param patching: delivers by PATCH the contacts that take fewer requests that way.
    :param carried: the state of an earlier process, carried by a trigger. It is used if there is no journal.
    :param costs: computes the cost of a plan.
    :param scope_of_removals: the permissions that the API key needs for contacts that left the source.
    :param instead: end of the message after a 403: the way to deliver without the permission to import.
    """

    checked_only = 0

    def __init__(
        self,
        context: ImportContext,
        mapping: ContactMapping,
        patching: Patching,
        carried: Mapping[str, Any] | None,
        costs: ImportCosts | None = None,
        scope_of_removals: str = "",
        instead: str = "",
    ) -> None:
        self._context = context
        self._rules = context.rules
        self._journal = context.journal
        self._mapping = mapping
        self._patching = patching
        self._scope_of_removals = scope_of_removals
        self._instead = instead
        self._own_stop: Stop | None = None
        self._open = ExitStack()
        self._job = ImportJob(context, mapping, patching, carried, costs=costs)
        self._waiting = self._job.watch.waiting
        self._own_thread = threading.current_thread()

    @property
    def scope(self) -> str:
        """The permissions that the API key must have."""
        if self._patching.stop_is_of_removals:
            return self._scope_of_removals
        more = ", or Contacts: Write" if self._rules.patch_leftovers else ""
        return f"Imports: Write or Imports: Read{more}{self._instead}"

    @property
    def stop(self) -> Stop | None:
        """The reason why the import ended early; ``None`` if it did not end early."""
        return self._own_stop or self._patching.stop

    @property
    def overwrites(self) -> bool:
        """Whether the import overwrites values of existing contacts."""
        return self._rules.on_existing == "update"

    @property
    def longest_pause_s(self) -> float:
        """The longest pause in seconds that Connectif may ask for; a longer one ends the run."""
        return self._context.client.longest_wait_s

    @property
    def failures(self) -> list[ImportFailed]:
        """Failures other than refused rows that keep the run from success."""
        return self._job.tally.failures

    @property
    def unaccounted(self) -> int:
        """Number of rows for which it is not known whether they were delivered."""
        return self._job.tally.unaccounted

    @property
    def summary_is_complete(self) -> bool:
        """Whether the summary covers the whole run.

        ``False`` until this process has loaded the state that an earlier process stored.
        """
        return self._job.is_loaded or not self._rules.comes_back

    @property
    def is_early(self) -> bool:
        """Whether this process leaves rows to another process or attempt."""
        return self._job.is_deferred or bool(self.failures)

    @property
    def deferral(self) -> Deferral | None:
        """The deferral that ended this process; ``None`` if there is none.

        If all files are uploaded, the task waits for the last import: as far as is known, Connectif processes imports
        in order. Otherwise it waits for an import in the middle, after which the queue has room for several files. If
        no import of this run is open, it waits for some poll intervals.
        """
        if not self._job.is_deferred:
            return None
        ids, deadline, now = self._job.state.open_ids, self._waiting.deadline, time.time()
        left_s = max(0.0, deadline - now) + TRIGGER_GRACE_S
        if not ids:
            return Deferral(min(deadline, now + _INTERVALS_WHEN_FULL * self._rules.poll_interval_s), left_s)
        awaited = ids[-1] if self._job.state.is_all_sent else ids[len(ids) // 2]
        state = self._job.saved_state() if self._journal is None else None
        left = self._job.watch.polls_left
        # After the deferral, the task itself polls each open import once more.
        polls_left = None if left is None else max(1, left - len(ids))
        return Deferral(deadline, left_s, [awaited], state, polls_left=polls_left)

    def kill(self) -> str:
        """Stop now. Running imports continue at Connectif. Safe in a signal handler.

        :return: words about the imports that are still running; empty if there are none.
        """
        self._patching.kill()
        if self._job.state.lost_since is not None:  # else an upload would wait ten minutes for its response
            abort = threading.Timer(_LAST_RESPONSE_S, self._context.client.abort)
            abort.daemon = True
            abort.start()
        ids = self._job.state.open_ids
        return f"; imports still running at Connectif: {listed(ids)}" if ids else ""

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, if there is one, and wait until no other run of the sync is under way."""
        self.begin(is_to_stop)
        if self._journal is not None:
            self._journal.open(is_to_stop, self._context.log.info, comes_back=True, counted=self._context.report)

    def begin(self, is_to_stop: Callable[[], bool]) -> None:
        """Take over the run, in this thread. The journal is open already, or is opened next.

        :param is_to_stop: returns whether the run must stop.
        """
        self._context.is_to_stop = is_to_stop
        self._context.client.quota.while_waiting = self._on_rate_limit

    def give_back(self) -> bool:
        """Leave the contacts without an outcome to another sink, if Connectif has forbidden the first upload.

        :return: ``False`` if it has not forbidden that, and nothing was done.
        """
        return self._job.give_back()

    def end(self) -> None:
        """Stop working on the run: another sink continues it."""
        self._context.client.quota.while_waiting = _nothing_to_do
        self._open.close()

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Store the open imports, which another process or attempt must find, and close the journal.

        :param verdict: the verdict on the attempt.
        :param keyless: number of rows without a valid key; ``None`` if the source was not read to its end.
        """
        job, journal = self._job, self._journal
        is_kept = any(sent.is_open for sent in job.state.files)
        self._context.report.imported_in = job.state.imported_in or self._context.report.imported_in
        try:
            with self._open:
                if job.is_loaded and (job.is_deferred or is_kept) and not job.state.is_half_counted:
                    job.save()
        finally:
            if journal is not None and job.is_deferred:
                try:
                    journal.park(job.saved_state(), self._waiting.deadline)
                except JournalError as error:
                    job.is_deferred = False
                    self._context.report.cause = str(error)
                    journal.close(Verdict.TRY_AGAIN, keyless=keyless, keeps_plan=True)
                    raise
            elif journal is not None:
                journal.close(verdict, keyless=keyless, keeps_plan=not job.is_loaded or is_kept)

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> Deferral | None:
        """Wait for the open imports of earlier runs of the sync.

        :return: the deferral after which to call this again; ``None``: no such import is open.
        :raises ImportFailed: the time of this run has passed, or the API key is refused.
        :raises RunStopped: the run must stop.
        """
        if self._journal is None or not (found := self._journal.plan.with_open_imports()):
            return None
        self._waiting.begin()
        return settle_earlier(replace(self._context, is_to_stop=is_to_stop), self._mapping, found)

    def resume(self) -> bool:
        """Continue the work of an earlier process of the task; return ``False`` if the source must be read."""
        with self._noted():
            return self._job.resume(self._folder)
        return True  # an error has ended the run

    def check_columns(self, columns: Sequence[str] | None, resource: ContactResource) -> None:
        """Check that an import's files can have these columns.

        :raises MappingError: some cannot; the error names them.
        """
        refuse_columns(columns, resource.mapping)

    def cost(self, changes: PendingChanges, resource: ContactResource) -> Cost:
        """Return the cost of a plan: its files, one poll for each, and the changes that are sent by PATCH."""
        return self._job.costs.cost(changes, resource)

    def deliver(self, changes: PendingChanges, resource: ContactResource) -> None:
        """Write files, upload them, and settle their imports, or wait for them without a worker."""
        self._patching.begin(resource)
        with self._noted():
            self._job.deliver(self._folder, changes, resource.mapping)

    def check_time_limits(self) -> None:
        """Do nothing: the waits of an import have their own time limit."""

    def react_to_pause(self, error: Error | None, asked_s: float) -> None:
        """End the run, if Connectif asks for a pause longer than :attr:`longest_pause_s`.

        :param error: the response that asks for the pause.
        :param asked_s: length of the pause in seconds.
        """
        if asked_s > self.longest_pause_s:
            self._own_stop = Stop(StopKind.LEFT_ALONE, error, asked_s, self.longest_pause_s)

    def summary(self) -> dict[str, Any]:
        """Return the entries that an import adds to the summary of the run.

        A deferred run also has ``pending`` and ``predicted_end``. ``pending``: rows of files whose imports are not
        settled. ``predicted_end``: computed from the speed of earlier imports; ``None`` if it is not known.
        """
        report, files = self._context.report, self._job.state.files
        outcomes = report.tally.outcomes
        summary = report.shown.summary()
        summary |= {"imported": outcomes[Outcome.IMPORTED], "duplicates": outcomes[Outcome.MERGED]}
        if self._rules.on_existing == "keep":
            summary["not_taken"] = outcomes[Outcome.NOT_TAKEN]
        if self._job.is_deferred:
            ends_at = self._job.predicted_end
            summary["pending"] = sum(sent.rows for sent in files if not sent.is_settled)
            summary["predicted_end"] = None if ends_at is None else iso_time(ends_at)
        ids = [sent.import_id for sent in files if sent.import_id is not None]
        return summary | {
            "imports": ids[:_IDS_IN_SUMMARY],
            "files": len(files),
            "deferrals": report.effort.deferrals,
        }

    def log_end(self, end: End) -> None:
        """Log the end of the run, or its deferral."""
        if not self._job.is_deferred:
            report = self._context.report
            if not any(sent.is_sent or sent.is_open for sent in self._job.state.files):
                report.tally.unsettled_at_end = NOT_UPLOADED
            report.shown.log_end()
            report.progress.log_end(end)
            return
        until = clock(self._waiting.deadline)
        self._context.log.info(wording.IMPORTS_DEFERRED, until, self._job.describe())

    @cached_property
    def _folder(self) -> Path:
        """The folder of the files. It exists until the sink is closed."""
        nothing_sent = not self._rules.comes_back  # the folder comes before this attempt's first upload or PATCH
        return self._open.enter_context(work_folder(IMPORT_PREFIX, self._rules.work_folder, nothing_sent=nothing_sent))

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Store an error that ends the work on imports; the end of the run reports it."""
        try:
            yield
        except ImportFailed as failure:
            if failure.is_about_the_key:
                self._own_stop = Stop(StopKind.FAIL, failure.error)
            else:
                self.failures.append(failure)
        except RunStopped:
            self._own_stop = self.stop or Stop(StopKind.KILLED)

    def _on_rate_limit(self) -> None:
        # This thread makes most requests, and cannot check the time limit elsewhere while a request waits. The threads
        # that load definitions or send PATCHes report their waits themselves.
        if threading.current_thread() is self._own_thread:
            self._context.report.progress.tick()
            self._waiting.check()
            if (wait := self._context.client.quota.wait) is not None:
                self._waiting.check_length(wait.until - time.time())


def _nothing_to_do() -> None:
    """Do nothing while a request waits for the rate limit."""
