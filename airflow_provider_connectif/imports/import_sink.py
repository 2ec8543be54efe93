"""A sink that imports: changes become files, files become imports, and every contact is accounted for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.imports.earlier import EarlierImports
from airflow_provider_connectif.imports.job import ImportJob, Plan
from airflow_provider_connectif.imports.layout import refuse_columns
from airflow_provider_connectif.imports.patching import FirstPatch
from airflow_provider_connectif.imports.report import KeepReport, Reports
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.saved import SavedImports
from airflow_provider_connectif.imports.settlement import Account
from airflow_provider_connectif.imports.watch import Watch, listed
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.reporting.progress import clock
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import Trouble, Verdict

LEFTOVERS_AT_ONCE = 8
WITHOUT_DEFINITIONS = "an import cannot take custom fields that it does not know"
_IDS_IN_SUMMARY = 20
_INTERVALS_WHEN_FULL = 3  # before a queue is tried again that is full of imports of others
_GRACE_S = 60.0  # a trigger ends waiting by itself; this is for one that nobody runs


class ImportSink:
    """Delivers a plan by import.

    :param client: of the API.
    :param rules: how.
    :param saved: what an earlier process of the task has left.
    :param sender: delivers by PATCH what takes fewer requests so.
    :param first_patch: shows whether the key may write contacts; it is the resource of ``sender``.
    :param report: of the run.
    :param mapping: of the run, as its author gave it.
    :param journal: what Connectif has acknowledged.
    :param keep_report: where error reports are kept as they are; ``None``: nowhere.
    """

    checked_only = 0

    def __init__(
        self,
        client: Client,
        rules: ImportRules,
        saved: SavedImports,
        sender: RequestSender,
        first_patch: FirstPatch,
        report: Report,
        mapping: ContactMapping,
        journal: Journal | None,
        *,
        keep_report: KeepReport | None = None,
    ) -> None:
        self._client = client
        self._rules = rules
        self._saved = saved
        self._sender = sender
        self._report = report
        self._log = report.log
        self._mapping = mapping
        self._journal = journal
        self._keep_report = keep_report
        self._own_stop: Stop | None = None
        self._is_to_stop: Callable[[], bool] = lambda: self.stop is not None
        self._is_loaded = False
        self._account = Account(report.tally, report.rejects)
        self._open = ExitStack()
        self.summary_is_complete = not rules.comes_back
        watch = Watch(client, rules, report.effort, lambda: self._is_to_stop(), self._log)
        self._waiting = watch.waiting
        self._job = ImportJob(
            rules,
            saved,
            self._account,
            lambda folder: Reports(client, folder, keep_report, report.log, self._waiting.pause),
            watch,
            sender,
            first_patch,
            report,
            journal,
            Plan(mapping, time.time(), {}),
            is_stopped=lambda: self.stop is not None,
            as_saved=lambda: self.state,
        )
        self._waiting.describe = self._job.describe
        self._waiting.describe_next_try = self._job.describe_next_attempt
        self._own_thread = threading.current_thread()
        client.quota.while_waiting = self._on_rate_limit

    @property
    def scope(self) -> str:
        """What the API key must allow."""
        return "Imports: Write or Imports: Read" + (", or Contacts: Write" if self._rules.patch_leftovers else "")

    @property
    def stop(self) -> Stop | None:
        """Why the import ended early, if it did."""
        return self._own_stop or self._sender.stop

    @property
    def overwrites(self) -> bool:
        """Whether contacts that Connectif has already get the whole patch."""
        return self._rules.on_existing == "update"

    @property
    def longest_pause_s(self) -> float:
        """Seconds that Connectif may ask for before the run ends."""
        return self._client.longest_wait_s

    @property
    def troubles(self) -> list[Trouble]:
        """What keeps the run from success, other than its rows."""
        return self._account.troubles

    @property
    def unaccounted(self) -> int:
        """Rows of which it is not known whether they were delivered."""
        return self._account.unaccounted

    @property
    def is_deferred(self) -> bool:
        """Whether the task is to wait without a worker, and then to continue."""
        return self._job.is_deferred

    @property
    def is_early(self) -> bool:
        """Whether rows are left that another process or attempt settles."""
        return self.is_deferred or bool(self.troubles)

    @property
    def deadline(self) -> float:
        """When the imports are given up on, in seconds since the epoch."""
        return self._waiting.deadline

    @property
    def awaited_import(self) -> str | None:
        """The import whose end makes it worth while to continue; ``None``: it is the queue that has no room.

        Where all is uploaded that is the last one, since imports are processed in their order as far as is known.
        Otherwise it is one in the middle, so that there is room for several files.
        """
        ids = self._state.open_ids
        if not ids:
            return None
        return ids[-1] if self._state.is_all_sent else ids[len(ids) // 2]

    @property
    def deferral(self) -> Deferral | None:
        """What is to be waited for without a worker, if the process ended for that."""
        if not self.is_deferred:
            return None
        now, awaited = time.time(), self.awaited_import
        left_s = max(0.0, self.deadline - now) + _GRACE_S
        if awaited is None:
            return Deferral(min(self.deadline, now + _INTERVALS_WHEN_FULL * self._rules.poll_interval_s), left_s)
        return Deferral(self.deadline, left_s, [awaited], self.state if self._journal is None else None)

    @property
    def state(self) -> dict[str, Any]:
        """What a process needs to continue; JSON-ready, without personal data."""
        self._state.run = {
            "unaccounted": self.unaccounted,
            "on_existing": self._rules.on_existing,
            "generation": self._journal.generation if self._journal is not None else 0,
            "timeout_at": self._waiting.timeout_at,
            "planned_at": self._job.plan.made_at,
            "types": dict(self._job.plan.types),
            # Rows of imports that ended in error are imported by another attempt, which reports that.
            "troubles": [trouble.words for trouble in self.troubles if trouble.verdict is Verdict.FAILED],
            **self._report.as_state(),
        }
        return self._state.as_json()

    def kill(self) -> str:
        """Stop now; safe in a signal handler. Imports that are under way are left alone."""
        self._sender.kill()
        ids = self._state.open_ids
        return f"; imports that go on at Connectif: {listed(ids)}" if ids else ""

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, if there is one, and wait until no other run of the sync is under way."""
        self._is_to_stop = is_to_stop
        if self._journal is not None:
            self._journal.open(is_to_stop, self._log.info, comes_back=True, counted=self._report)

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Leave the journal, with the imports that another process or attempt has to find."""
        is_kept = any(sent.is_open for sent in self._state.files)
        try:
            with self._open:
                if self._is_loaded and (self.is_deferred or is_kept):
                    self._saved.save(self.state)
                elif self._is_loaded:
                    self._saved.forget()
        finally:
            if self._journal is not None and self.is_deferred:
                self._journal.park(self.state, self.deadline)
            elif self._journal is not None:
                self._journal.close(verdict, keyless=keyless, keeps_plan=not self._is_loaded or is_kept)

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> None:
        """Wait for what earlier runs of the sync have left at Connectif.

        :raises Trouble: that cannot be waited for.
        :raises QuotaClosed: told to stop.
        """
        found = [] if self._journal is None else self._journal.plan.with_open_imports()
        if self._journal is not None and found:
            self._waiting.begin()
            earlier = EarlierImports(
                self._client, self._journal, self._mapping, self._report.effort, is_to_stop, self._log, self._rules,
                self._keep_report,
            )  # fmt: skip
            for plan, state in found:
                earlier.settle(plan, state)

    def resume(self) -> bool:
        """Continue what an earlier process of the task has begun; whether no row has to be read for that."""
        with self._noted():
            self._folder = self._open.enter_context(work_folder("connectif-import-", self._rules.work_folder))
            is_known = self._saved.recall()
            self._is_loaded = self.summary_is_complete = True
            if self._needs_no_row:
                self._continue()
                return True
            if self._rules.comes_back:
                self._log.info("Continuing after a deferral: what was uploaded is not known any more; reading again")
            self._report.rejects.begin_anew()
            if is_known and self._journal is not None:
                self._job.settle_earlier_attempt(self._folder, self._journal)
            elif self._rules.comes_back or (self._journal is None and self._rules.has_earlier_attempts):
                self._job.wait_for_unknown()
            return False
        return True  # there is nothing more to do

    def check_columns(self, columns: Sequence[str] | None, resource: ContactResource) -> None:
        """Refuse columns that cannot be a column of a file.

        :raises MappingError: names them.
        """
        refuse_columns(columns, resource.mapping)

    def deliver(self, changes: PendingChanges, resource: ContactResource) -> None:
        """Write files, upload them, and settle their imports, or wait for them without a worker."""
        mapping = resource.mapping
        with self._noted():
            self._job.deliver(self._folder, changes, mapping)

    def look_at_the_clock(self) -> None:
        """What is waited for has its own time limit."""

    def leave_alone(self, error: Error | None, asked_s: float) -> None:
        """Connectif asks for a pause of so many seconds: one that is too long ends the run."""
        if asked_s > self.longest_pause_s:
            self._own_stop = Stop(StopKind.LEFT_ALONE, error, asked_s, self.longest_pause_s)

    def summary(self) -> dict[str, Any]:
        """``imported``, ``merged`` (and ``duplicates``), ``imports``, ``files``, ``deferrals``, ``not_taken``."""
        outcomes = self._report.tally.outcomes
        ids = [sent.import_id for sent in self._state.files if sent.import_id is not None]
        summary = self._report.shown.summary()
        summary |= {"imported": outcomes[Outcome.IMPORTED], "duplicates": outcomes[Outcome.MERGED]}
        if self._rules.on_existing == "keep":
            summary["not_taken"] = outcomes[Outcome.NOT_TAKEN]
        files, deferrals = len(self._state.files), self._report.effort.deferrals
        return summary | {"imports": ids[:_IDS_IN_SUMMARY], "files": files, "deferrals": deferrals}

    def log_end(self, how: str, notes: str, reasons_in_exception: Collection[str]) -> None:
        """Log the end of the run, or that it gives its worker back."""
        if not self.is_deferred:
            self._report.progress.log_end(how, notes, reasons_in_exception)
            return
        until = clock(self.deadline)
        self._log.info("Deferred, without a worker, until %s at the latest: %s", until, self._job.describe())

    @property
    def _state(self) -> ImportState:
        return self._saved.state

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """What ends an import is kept for the end of the run."""
        try:
            yield
        except Trouble as trouble:
            self._note(trouble)
        except QuotaClosed:
            self._own_stop = self.stop or Stop(StopKind.KILLED)

    def _note(self, trouble: Trouble) -> None:
        if trouble.is_about_the_key:
            self._own_stop = Stop(StopKind.FAIL, trouble.error)
        else:
            self.troubles.append(trouble)

    def _on_rate_limit(self) -> None:
        # Most requests here are this thread's own, so that it cannot look at the clock while one of them waits. What
        # other threads wait for, with definitions or by PATCH, they report themselves.
        if threading.current_thread() is self._own_thread:
            self._report.progress.tick()
            self._waiting.check_quota(self._client.quota)

    @property
    def _needs_no_row(self) -> bool:
        state = self._state
        if self._rules.comes_back:
            return state.is_complete or state.is_parked
        # What a user clears is done again where an import was cancelled or could not be accounted for.
        is_retry = self._journal is not None and self._journal.series.tries > 1
        return self._journal is not None and state.is_complete and (is_retry or not state.run["troubles"])

    def _continue(self) -> None:
        """Every row was read by an earlier process, and its files were uploaded or kept."""
        run = self._state.run
        self._report.restore(run)
        self.troubles.extend(Trouble(Verdict.FAILED, words) for words in run["troubles"])
        self._account.unaccounted = run.get("unaccounted", 0)
        self._job.plan = Plan(self._mapping, run.get("planned_at", time.time()), run.get("types", {}))
        if self._rules.comes_back:
            self._report.effort.go_on(run["effort"])
            self._report.effort.add_requests(self._rules.trigger_requests, self._rules.trigger_rate_limited)
        self._waiting.begin(run["timeout_at"] if self._rules.comes_back else None)
        self._job.resume(self._folder)
