"""A run that imports: rows become files, files become imports, and of every row it is known what became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.contacts.mapping import InvalidRow, MappingError
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
from airflow_provider_connectif.records.outcomes import Outcome, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client, Source
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.reporting.progress import clock, describe_seconds, plural
from airflow_provider_connectif.reporting.summary import Tally
from airflow_provider_connectif.reporting.verdict import Trouble, Verdict, WaitTooLong
from airflow_provider_connectif.runs.sync import SENT_AGAIN, ContactSync

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

_LEFTOVERS_AT_ONCE = 8
_MOST_IDS = 20  # in the summary


class ContactImport(ContactSync):
    """Imports the rows of a source.

    :param rules: how.
    :param memory: where it is kept which imports there are.
    :param keep_report: where error reports are kept as they are; ``None``: nowhere.
    :param arguments: as of :class:`airflow_provider_connectif.runs.run.Run`.
    """

    _by_import = True
    _without_definitions = "an import cannot take custom fields that it does not know"

    def __init__(
        self,
        client: Client,
        *arguments: Any,
        rules: ImportRules,
        memory: Memory,
        keep_report: KeepReport | None = None,
        **named_arguments: Any,
    ) -> None:
        super().__init__(client, *arguments, max_in_flight=_LEFTOVERS_AT_ONCE, **named_arguments)
        self._rules = rules
        self._memory = memory
        self._keep_report = keep_report
        self._is_loaded = False
        self.account_is_known = not rules.comes_back
        self._unaccounted = 0
        self._waiting = Waiting(rules, self._effort, lambda: self.stop is not None, self._log, client.longest_wait_s)
        requests = ImportRequests(client, rules, self._policy, self._waiting, self._log, self._effort.add_failure)
        self._watch = Watch(requests, rules, self._waiting, self._log)
        self._uploads = Uploads(requests, self._watch, rules, memory, self._journal, self._log)
        self._waiting.describe = self._describe_imports
        self._waiting.describe_next_try = self._uploads.describe_next_try
        self._own_thread = threading.current_thread()
        client.quota.while_waiting = self._tell_wait
        self.is_deferred = False
        """The task is to wait without a worker, and then to go on."""

    @property
    def _left_behind(self) -> int:
        # What a finished import does not account for may be there or not: these rows have no outcome.
        is_open = self.is_deferred or bool(self._troubles) or self.stop is not None or self._is_broken
        return max(0, self._unsettled - self._unaccounted) if is_open else 0

    @property
    def _scope(self) -> str:
        return "Imports: Write or Imports: Read" + (", or Contacts: Write" if self._rules.patch_leftovers else "")

    @property
    def _sends_consent_again(self) -> bool:
        return self._rules.on_existing == "update"

    @property
    def deadline(self) -> float:
        """When the imports are given up on, in seconds since the epoch."""
        return self._waiting.deadline

    @property
    def open_imports(self) -> list[str]:
        """The imports that are not known to be over, by id."""
        return [sent.import_id for sent in self._uploads.state.files if sent.is_open and sent.import_id is not None]

    @property
    def state(self) -> dict[str, Any]:
        """What a process needs to go on; JSON-ready, without personal data."""
        self._uploads.state.run = {
            "tally": self._tally.as_state(),
            "effort": self._effort.as_state(),
            "remapped": self._changes.remapped if self._changes else 0,
            "unaccounted": self._unaccounted,
            "on_existing": self._rules.on_existing,
            "generation": self._journal.generation if self._journal is not None else 0,
            "rejects": self._rejects.lines,
            "timeout_at": self._waiting.timeout_at,
            # Of imports that another try imports again it tells itself.
            "troubles": [trouble.words for trouble in self._troubles if trouble.verdict is Verdict.FAILED],
        }
        return self._uploads.state.as_json()

    def kill(self) -> str:
        """Stop now; safe in a signal handler. Imports that are under way are left alone."""
        counts = super().kill()
        if ids := self.open_imports:
            counts += f"; imports that go on at Connectif: {', '.join(ids)}"
        return counts

    def _tell_wait(self) -> None:
        # Most requests here are this thread's own, so that it cannot look at the clock while one of them waits. What
        # other threads wait for, with definitions or leftovers, it tells beside them.
        if threading.current_thread() is self._own_thread:
            self._progress.tick()
            self._waiting.check_quota(self._client.quota)

    def _open_journal(self) -> None:
        if self._journal is not None:
            self._journal.open(self._is_to_stop, self._log.info, comes_back=True)

    def _close_journal(self) -> None:
        try:
            if self._is_loaded and (self.is_deferred or self._is_to_be_kept):
                self._save()
            elif self._is_loaded:
                self._memory.drop()
        finally:
            if self._journal is not None and self.is_deferred:
                self._journal.park(self.state, self.deadline)
            elif self._journal is not None:
                keeps_plan = not self._is_loaded or self._is_to_be_kept
                self._journal.close(self._recorded_verdict, keyless=self._keyless, keeps_plan=keeps_plan)

    @property
    def _is_to_be_kept(self) -> bool:
        """Whether another try has to find the imports of this one."""
        if any(sent.is_open for sent in self._uploads.state.files):
            return True
        # What is settled is in the journal, where there is one.
        is_there_more = self._journal is None and any(sent.is_at_connectif for sent in self._uploads.state.files)
        return is_there_more and self.verdict()[0] is Verdict.TRY_AGAIN

    def _work(self, open_source: Callable[[], Source]) -> None:
        try:
            with work_folder("connectif-import-") as self._folder:
                self._begin_or_go_on(open_source)
        except Trouble as trouble:
            self._note(trouble)
        except QuotaClosed:
            self._own_stop = self.stop or Stop(StopKind.KILLED)

    def _earlier_imports(self, journal: Journal) -> EarlierImports:
        self._waiting.begin()
        return EarlierImports(
            self._client,
            self._rules,
            self._watch,
            self._waiting,
            journal,
            self._mapping,
            self._log,
            self._keep_report,
        )

    def _begin_or_go_on(self, open_source: Callable[[], Source]) -> None:
        self._settle_earlier_imports()
        self._waiting.describe = self._describe_imports
        self._uploads.recall()
        self._is_loaded = self.account_is_known = True
        self._settlement = Settlement(
            self._rules,
            Reports(
                self._client,
                self._folder,
                self._same_contact,
                self._keep_report,
                self._log,
                self._waiting.pause,
            ),
            self._rejects,
            self._journal,
            self._rows_of,
            self._log,
        )
        if self._is_all_done_but_waiting:
            self._go_on()
            return
        if self._rules.comes_back:
            self._log.info("Going on after a deferral: what was uploaded is not remembered; the rows are read again")
        self._rejects.begin_anew()
        if self._journal is not None and self._uploads.state.files:
            self._settle_earlier()
        super()._work(open_source)

    @property
    def _is_all_done_but_waiting(self) -> bool:
        state = self._uploads.state
        if not state.is_complete or self._rules.comes_back:
            return state.is_complete
        # What a user clears is to be done again where it was cancelled or could not be accounted for.
        return self._journal is not None and (self._rules.is_retry or not state.run["troubles"])

    def _go_on(self) -> None:
        """Everything was read and uploaded by an earlier process."""
        run = self._uploads.state.run
        self._tally.go_on(run["tally"])
        self._progress.rows_to_read = self._tally.read
        self._troubles += [Trouble(Verdict.FAILED, words) for words in run["troubles"]]
        self._changes = self._made_changes(remapped=run["remapped"])
        self._rejects.lines = run.get("rejects", 0)
        self._unaccounted = run.get("unaccounted", 0)
        if self._rules.comes_back:
            self._effort.go_on(run["effort"])
            self._effort.add_requests(self._rules.trigger_requests, self._rules.trigger_rate_limited)
        self._waiting.begin(run["timeout_at"] if self._rules.comes_back else None)
        self._log.info("Going on with what an earlier process has uploaded: %s", self._describe_imports())
        self._wait_and_settle(self._tally)

    def _settle_earlier(self) -> None:
        """An earlier attempt died before all was uploaded: what it did upload is waited for, and acknowledged."""
        self._waiting.begin()
        self._log.info("An earlier attempt did not upload everything: %s", self._describe_imports())
        self._wait_and_settle(Tally())
        self._uploads.wait_for_lost()
        for trouble in self._troubles:
            self._log.warning("Earlier attempt: %s", trouble.words)
        self._troubles.clear()
        self._unaccounted = 0
        self._uploads.forget()

    def _process(self, source: Source) -> None:
        with self._files(self._folder / "files") as files:
            self._write(files, source)
            if self.stop:
                return
            made = files.close()
            self._tell_files(made)
            self._tally.count_many(Outcome.MERGED, made.duplicates)
            self._waiting.begin()
            left = made.files[QUEUE_LENGTH:] if self._rules.patch_leftovers else []
            self._uploads.identify(made.files[: len(made.files) - len(left)])
            self._patch_leftovers(left)
            if self.stop:
                return
            self._waiting.begin()
            self._upload()
            if self.stop:
                return
            if self._rules.deferrable and self.open_imports and not self._troubles:
                self.is_deferred = True
                return
            self._wait_and_settle(self._tally)

    def _files(self, folder: Path) -> ImportFiles:
        return ImportFiles(
            folder,
            self._mapping,
            delimiter=self._rules.delimiter,
            max_file_bytes=self._rules.max_file_bytes,
            keep_properties=self._rules.patch_leftovers,
        )

    def _write(self, files: ImportFiles, source: Source) -> None:
        for patch in self._patches(source):
            try:
                files.add(patch)
            except InvalidRow as invalid:
                is_known = self._changes is not None and self._changes.note_invalid_patch(patch)
                self._refuse(patch.number, patch.row, Outcome.INVALID, None, invalid.reasons, is_known=is_known)

    def _patch_leftovers(self, files: Sequence[ImportFile]) -> None:
        """Deliver by PATCH what is too much for the queue, once no older import can come after it."""
        if files:
            rows = sum(file.rows for file in files)
            self._log.info("Delivering the smallest files by PATCH: %s", plural(rows, "row"))
            self._deliver(lambda: self._send(chain.from_iterable(file.patches() for file in files)))

    def _upload(self) -> None:
        try:
            self._uploads.upload(self._save)
        except Trouble as trouble:
            self._note(trouble)  # what was uploaded is settled all the same

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
            if not (self._rules.deferrable and self._uploads.state.is_complete and not self._troubles):
                raise
            self._log.info("Connectif asks for a delay that is too long for a worker")
            self.is_deferred = True

    def _note_end(self, trouble: Trouble, unaccounted: int) -> None:
        self._troubles.append(trouble)
        self._unaccounted += unaccounted

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

    def _delivery_traits(self) -> dict[str, Any]:
        return super()._delivery_traits() | {"way": self._rules.way, "settles_later": True}

    def _check_columns(self, source: Source, batch: Sequence[Row]) -> None:
        super()._check_columns(source, batch)
        mapped = self._mapping.properties
        columns = (source.columns or ()) if mapped is None else mapped
        faults = header_faults(self._mapping.fields, [c for c in columns if c != self._mapping.key_column])
        if faults:
            raise MappingError(f"the mapping does not fit an import: {describe_faults(faults)}")

    def _tell_files(self, made: ImportSet) -> None:
        self._log.info(
            "Read %s in %s: %s in %s of %.1f MB together",
            plural(self._tally.read, "row"),
            describe_seconds(self._effort.duration_s),
            plural(made.rows, "row"),
            plural(len(made.files), "file"),
            sum(file.size for file in made.files) / 1e6,
        )
        if made.duplicates and self._journal is not None:
            stand = "1 row stands" if made.duplicates == 1 else f"{made.duplicates:,} rows stand"
            self._log.warning("%s before another one of the same contact that differs: %s", stand, SENT_AGAIN)
        if made.incomplete and self._journal is not None:
            self._log.info(
                "%s blank texts, which an import leaves out: the journal does not call them delivered",
                "1 row has" if made.incomplete == 1 else f"{made.incomplete:,} rows have",
            )

    def _describe_imports(self) -> str:
        return self._watch.describe(self._uploads.state.files)

    def _more_in_summary(self) -> dict[str, Any]:
        outcomes = self._tally.outcomes
        ids = [sent.import_id for sent in self._uploads.state.files if sent.import_id is not None]
        merged = outcomes[Outcome.MERGED]
        more: dict[str, Any] = {"imported": outcomes[Outcome.IMPORTED], "merged": merged, "duplicates": merged}
        if self._rules.on_existing == "keep":
            more["not_taken"] = outcomes[Outcome.NOT_TAKEN]
        return (
            super()._more_in_summary()
            | more
            | {
                "imports": ids[:_MOST_IDS],
                "files": len(self._uploads.state.files),
                "deferrals": self._effort.deferrals,
            }
        )

    def _log_end(self) -> None:
        if not self.is_deferred:
            super()._log_end()
            return
        until = clock(self.deadline)
        self._log.info("Deferred, without a worker, until %s at the latest: %s", until, self._describe_imports())
