"""A sink that imports: changes become files, files become imports, and of every row it is known what became of it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.contacts.mapping import ContactMapping, MappingError
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.imports.account import KeepReport, Reports
from airflow_provider_connectif.imports.earlier import EarlierImports
from airflow_provider_connectif.imports.files import ImportFiles, ImportSet, header_faults
from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.layout import KEY_PROPERTIES, describe_faults
from airflow_provider_connectif.imports.memory import Memory
from airflow_provider_connectif.imports.pending_file import restored_file
from airflow_provider_connectif.imports.requests import ImportRequests
from airflow_provider_connectif.imports.rules import QUEUE_LENGTH, ImportRules
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.uploads import Uploads
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.journal.import_state import SentFile
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.rows import InvalidRow
from airflow_provider_connectif.reporting.progress import clock, describe_seconds, plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.summary import Tally
from airflow_provider_connectif.reporting.verdict import Trouble, Verdict, WaitTooLong

LEFTOVERS_AT_ONCE = 8
WITHOUT_DEFINITIONS = "an import cannot take custom fields that it does not know"
_MOST_IDS = 20  # in the summary
_GRACE_S = 60.0  # a trigger ends waiting by itself; this is for one that nobody runs
_AT_ONCE = 500  # leftovers that are handed over together


class ImportSink:
    """Delivers a plan by import.

    :param client: of the API.
    :param rules: how.
    :param memory: where it is kept which imports there are.
    :param sender: delivers by PATCH what does not fit into the queue.
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
        memory: Memory,
        sender: RequestSender,
        report: Report,
        mapping: ContactMapping,
        journal: Journal | None,
        *,
        keep_report: KeepReport | None = None,
    ) -> None:
        self._client = client
        self._rules = rules
        self._memory = memory
        self._sender = sender
        self._report = report
        self._log = report.log
        self._mapping = mapping
        self._journal = journal
        self._keep_report = keep_report
        self._own_stop: Stop | None = None
        self._is_to_stop: Callable[[], bool] = lambda: self.stop is not None
        self._is_loaded = False
        self._open = ExitStack()
        self.summary_is_complete = not rules.comes_back
        self.troubles: list[Trouble] = []
        self.unaccounted = 0
        self._waiting = Waiting(rules, report.effort, lambda: self._is_to_stop(), self._log, client.longest_wait_s)
        requests = ImportRequests(client, rules, ResponsePolicy(), self._waiting, self._log, report.effort.add_failure)
        self._watch = Watch(requests, rules, self._waiting, self._log)
        self._uploads = Uploads(requests, self._watch, rules, memory, journal, self._log)
        self._waiting.describe = self._describe_imports
        self._waiting.describe_next_try = self._uploads.describe_next_try
        self._own_thread = threading.current_thread()
        client.quota.while_waiting = self._tell_wait
        self.is_deferred = False
        """The task is to wait without a worker, and then to continue."""

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
    def is_early(self) -> bool:
        """Whether rows are left that another process or attempt settles."""
        return self.is_deferred or bool(self.troubles)

    @property
    def deadline(self) -> float:
        """When the imports are given up on, in seconds since the epoch."""
        return self._waiting.deadline

    @property
    def open_imports(self) -> list[str]:
        """The imports that are not known to be over, by id."""
        return [sent.import_id for sent in self._uploads.state.files if sent.is_open and sent.import_id is not None]

    @property
    def deferral(self) -> Deferral | None:
        """The imports that are to be waited for without a worker, if the process ended for that."""
        if not self.is_deferred:
            return None
        left_s = max(0.0, self.deadline - time.time()) + _GRACE_S
        state = self.state if self._journal is None else None
        return Deferral(self.deadline, left_s, self.open_imports, state)

    @property
    def state(self) -> dict[str, Any]:
        """What a process needs to continue; JSON-ready, without personal data."""
        self._uploads.state.run = {
            "unaccounted": self.unaccounted,
            "on_existing": self._rules.on_existing,
            "generation": self._journal.generation if self._journal is not None else 0,
            "timeout_at": self._waiting.timeout_at,
            # Of imports that another attempt imports again it reports itself.
            "troubles": [trouble.words for trouble in self.troubles if trouble.verdict is Verdict.FAILED],
            **self._report.as_state(),
        }
        return self._uploads.state.as_json()

    def kill(self) -> str:
        """Stop now; safe in a signal handler. Imports that are under way are left alone."""
        self._sender.kill()
        ids = self.open_imports
        return f"; imports that go on at Connectif: {', '.join(ids)}" if ids else ""

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, if there is one, and wait until no other run of the sync is under way."""
        self._is_to_stop = is_to_stop
        if self._journal is not None:
            self._journal.open(is_to_stop, self._log.info, comes_back=True, counted=self._report)

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Leave the journal, with the imports that another process or attempt has to find."""
        is_kept = self._is_to_be_kept(verdict)
        try:
            with self._open:
                if self._is_loaded and (self.is_deferred or is_kept):
                    self._save()
                elif self._is_loaded:
                    self._memory.drop()
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
        if self._journal is None or not found:
            return
        self._waiting.begin()
        earlier = EarlierImports(
            self._client,
            self._rules,
            self._watch,
            self._waiting,
            self._journal,
            self._mapping,
            self._log,
            self._keep_report,
        )
        for plan, state in found:
            earlier.settle(plan, state)
        self._waiting.describe = self._describe_imports

    def resume(self) -> bool:
        """Continue what an earlier process of the task has begun; whether it had read and uploaded everything."""
        with self._noted():
            self._folder: Path = self._open.enter_context(work_folder("connectif-import-"))
            self._uploads.recall()
            self._is_loaded = self.summary_is_complete = True
            self._settlement = self._made_settlement(self._mapping)
            if self._is_all_done_but_waiting:
                self._continue()
                return True
            if self._rules.comes_back:
                self._log.info("Continuing after a deferral: what was uploaded is not known any more; reading again")
            self._report.rejects.begin_anew()
            if self._journal is not None and self._uploads.state.files:
                self._settle_earlier_attempt()
            return False
        return True  # there is nothing more to do

    def check_columns(self, columns: Sequence[str] | None, resource: ContactResource) -> None:
        """Refuse columns that cannot be a column of a file.

        :raises MappingError: names them.
        """
        check_import_columns(columns, resource.mapping)

    def deliver(self, changes: PendingChanges, resource: ContactResource) -> None:
        """Write files, upload them, and settle their imports, or wait for them without a worker."""
        mapping = resource.mapping
        with self._noted():
            self._mapping = mapping
            self._settlement = self._made_settlement(mapping)
            with ImportFiles(
                self._folder / "files",
                mapping,
                delimiter=self._rules.delimiter,
                max_file_bytes=self._rules.max_file_bytes,
                keep_properties=self._rules.patch_leftovers,
            ) as files:
                self._write(files, changes)
                self._upload(files.close())

    def look_at_the_clock(self) -> None:
        """What is waited for has its own time limit."""

    def leave_alone(self, error: Error | None, asked_s: float) -> None:
        """Connectif asks for a pause of so many seconds: one that is too long ends the run."""
        if asked_s > self.longest_pause_s:
            self._own_stop = Stop(StopKind.LEFT_ALONE, error, asked_s, self.longest_pause_s)

    def summary(self) -> dict[str, Any]:
        """``imported``, ``merged`` (and ``duplicates``), ``imports``, ``files``, ``deferrals``, ``not_taken``."""
        outcomes = self._report.tally.outcomes
        ids = [sent.import_id for sent in self._uploads.state.files if sent.import_id is not None]
        merged = outcomes[Outcome.MERGED]
        summary: dict[str, Any] = {"unconfirmed": self._report.unconfirmed} if self._report.unconfirmed else {}
        summary |= {"imported": outcomes[Outcome.IMPORTED], "duplicates": merged}
        if self._rules.on_existing == "keep":
            summary["not_taken"] = outcomes[Outcome.NOT_TAKEN]
        files, deferrals = len(self._uploads.state.files), self._report.effort.deferrals
        return summary | {"imports": ids[:_MOST_IDS], "files": files, "deferrals": deferrals}

    def log_end(self, how: str, notes: str, reasons_in_exception: Collection[str]) -> None:
        """Log the end of the run, or that it gives its worker back."""
        if not self.is_deferred:
            self._report.progress.log_end(how, notes, reasons_in_exception)
            return
        until = clock(self.deadline)
        self._log.info("Deferred, without a worker, until %s at the latest: %s", until, self._describe_imports())

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

    def _tell_wait(self) -> None:
        # Most requests here are this thread's own, so that it cannot look at the clock while one of them waits. What
        # other threads wait for, with definitions or leftovers, it reports beside them.
        if threading.current_thread() is self._own_thread:
            self._report.progress.tick()
            self._waiting.check_quota(self._client.quota)

    def _is_to_be_kept(self, verdict: Verdict) -> bool:
        """Whether another attempt has to find the imports of this one."""
        if any(sent.is_open for sent in self._uploads.state.files):
            return True
        # What is settled is in the journal, where there is one.
        is_there_more = self._journal is None and any(sent.is_at_connectif for sent in self._uploads.state.files)
        return is_there_more and verdict is Verdict.TRY_AGAIN

    def _made_settlement(self, mapping: ContactMapping) -> Settlement:
        reports = Reports(
            self._client,
            self._folder,
            self._same_contact,
            self._keep_report,
            self._log,
            self._waiting.pause,
        )
        return Settlement(self._rules, reports, self._report.rejects, self._journal, self._rows_of, self._log)

    @property
    def _is_all_done_but_waiting(self) -> bool:
        state = self._uploads.state
        if not state.is_complete or self._rules.comes_back:
            return state.is_complete
        # What a user clears is to be done again where it was cancelled or could not be accounted for.
        return self._journal is not None and (self._rules.is_retry or not state.run["troubles"])

    def _continue(self) -> None:
        """Everything was read and uploaded by an earlier process."""
        run = self._uploads.state.run
        self._report.restore(run)
        self.troubles += [Trouble(Verdict.FAILED, words) for words in run["troubles"]]
        self.unaccounted = run.get("unaccounted", 0)
        if self._rules.comes_back:
            self._report.effort.go_on(run["effort"])
            self._report.effort.add_requests(self._rules.trigger_requests, self._rules.trigger_rate_limited)
        self._waiting.begin(run["timeout_at"] if self._rules.comes_back else None)
        self._log.info("Continuing with what an earlier process has uploaded: %s", self._describe_imports())
        self._wait_and_settle(self._report.tally)

    def _settle_earlier_attempt(self) -> None:
        """An earlier attempt died before all was uploaded: what it did upload is waited for, and acknowledged."""
        self._waiting.begin()
        self._log.info("An earlier attempt did not upload everything: %s", self._describe_imports())
        self._wait_and_settle(Tally())
        self._uploads.wait_for_lost()
        for trouble in self.troubles:
            self._log.warning("Earlier attempt: %s", trouble.words)
        self.troubles.clear()
        self.unaccounted = 0
        self._uploads.forget()

    def _write(self, files: ImportFiles, changes: PendingChanges) -> None:
        for batch in changes.batches():
            if self._journal is not None:
                self._journal.doubt({self._mapping.same_contact(patch.key) for patch in batch if not patch.is_new})
            for patch in batch:
                try:
                    files.add(patch)
                except InvalidRow as invalid:
                    is_known = self._is_known_invalid(patch)
                    self._report.refuse(
                        patch.number, patch.row, Outcome.INVALID, None, invalid.reasons, is_known=is_known
                    )
            self._report.progress.tick()

    def _is_known_invalid(self, patch: Patch) -> bool:
        if self._journal is None or patch.digests is None:
            return False
        key = self._mapping.same_contact(patch.key)
        (line,) = self._journal.differing({key: ""}, all_differ=True).values()
        return self._journal.meets_invalid(key, patch.digests.row or patch.digests.patch, line)

    def _upload(self, made: ImportSet) -> None:
        self._tell_files(made)
        self._waiting.begin()
        left = made.files[QUEUE_LENGTH:] if self._rules.patch_leftovers else []
        self._uploads.identify(made.files[: len(made.files) - len(left)])
        self._patch_leftovers(left)
        if self.stop:
            return
        self._waiting.begin()
        try:
            self._uploads.upload(self._save)
        except Trouble as trouble:
            self._note(trouble)  # what was uploaded is settled all the same
        if self.stop:
            return
        if self._rules.deferrable and self.open_imports and not self.troubles:
            self.is_deferred = True
            return
        self._wait_and_settle(self._report.tally)

    def _patch_leftovers(self, files: Sequence[ImportFile]) -> None:
        """Deliver by PATCH what is too much for the queue, once no older import can come after it."""
        if files:
            rows = sum(file.rows for file in files)
            self._log.info("Delivering the smallest files by PATCH: %s", plural(rows, "row"))
            self._sender.deliver(_batches(patch for file in files for patch in file.patches()))

    def _save(self) -> None:
        self._memory.save(self.state)

    def _saved_state(self) -> dict[str, Any]:
        if self._journal is None:  # which otherwise saves it with what became of the rows
            self._save()
        return self.state

    def _wait_and_settle(self, tally: Tally) -> None:
        try:
            self._settlement.settle_all(
                self._uploads.state.files, self._watch, tally, self._saved_state, self._note_end
            )
        except WaitTooLong:
            if not (self._rules.deferrable and self._uploads.state.is_complete and not self.troubles):
                raise
            self._log.info("Connectif asks for a delay that is too long for a worker")
            self.is_deferred = True

    def _note_end(self, trouble: Trouble, unaccounted: int) -> None:
        self.troubles.append(trouble)
        self.unaccounted += unaccounted

    def _rows_of(self, sent: SentFile) -> tuple[ImportFile, bool] | None:
        """The rows of a file, from the disk or from the journal's database, and whether keys are as written there."""
        file = self._uploads.on_disk.get(sent.file)
        if file is not None:
            return file, False
        if self._journal is None:
            return None
        rows = self._journal.plan.file_rows(sent.file)
        return restored_file(self._folder / "restored", rows, KEY_PROPERTIES[self._mapping.key]), True

    def _same_contact(self, key: str) -> str:
        """One form for all spellings of a key, as the rows at hand have it."""
        same = self._mapping.same_contact(key)
        return same if self._uploads.on_disk or self._journal is None else self._journal.written_key(same)

    def _tell_files(self, made: ImportSet) -> None:
        self._log.info(
            "Read %s in %s: %s in %s of %.1f MB together",
            plural(self._report.tally.read, "row"),
            describe_seconds(self._report.effort.duration_s),
            plural(made.rows, "row"),
            plural(len(made.files), "file"),
            sum(file.size for file in made.files) / 1e6,
        )
        if made.incomplete and self._journal is not None:
            self._log.info(
                "%s blank texts, which an import leaves out: the journal does not call them delivered",
                "1 row has" if made.incomplete == 1 else f"{made.incomplete:,} rows have",
            )

    def _describe_imports(self) -> str:
        return self._watch.describe(self._uploads.state.files)


def check_import_columns(columns: Sequence[str] | None, mapping: ContactMapping) -> None:
    """Refuse columns that cannot be a column of a file to import.

    :raises MappingError: names them.
    """
    used = (columns or ()) if mapping.properties is None else mapping.properties
    faults = header_faults(mapping.fields, [column for column in used if column != mapping.key_column])
    if faults:
        raise MappingError(f"the mapping does not fit an import: {describe_faults(faults)}")


def _batches(patches: Iterator[Patch]) -> Iterator[list[Patch]]:
    while batch := list(itertools.islice(patches, _AT_ONCE)):
        yield batch
