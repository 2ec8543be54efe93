"""The import of one run: writes files, uploads them, and settles their imports or leaves them to a later process."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.contacts_of_files import ContactsOfFiles, PlannedContacts, StoredContacts
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.cost import ImportCosts
from airflow_provider_connectif.imports.earlier import settle_attempt
from airflow_provider_connectif.imports.files import ImportFile
from airflow_provider_connectif.imports.giving_back import give_back
from airflow_provider_connectif.imports.patching import Patching
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.suppressed import SuppressedContacts
from airflow_provider_connectif.imports.tally import ImportTally
from airflow_provider_connectif.imports.uploads import Uploads, what_is_left
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.imports.writing import Split, rewrite_files, write_files
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.left_behind import ChangesLeft, ContactsOfFilesLeft
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.verdict import ImportFailed, ImportForbidden, Verdict, WaitTooLong


class ImportJob:
    """Writes the files of one run, uploads them, and settles their imports.

    ``state``: the state of these imports. ``tally``: counts contacts by outcome. ``watch``: polls imports.
    ``is_loaded``: whether the state that an earlier process stored is loaded. ``is_deferred``: whether the task must
    wait without a worker, and continue after that.

    :param context: the context of the run.
    :param mapping: the mapping as the DAG's author gave it.
    :param patching: delivers by PATCH the contacts that take fewer requests that way.
    :param carried: the state of an earlier process, carried by a trigger. It is used if there is no journal.
    :param clock: measures the waits.
    :param costs: computes the cost of a plan. Default: without the speed of earlier imports.
    """

    def __init__(
        self,
        context: ImportContext,
        mapping: ContactMapping,
        patching: Patching,
        carried: Mapping[str, Any] | None,
        clock: Clock = SYSTEM_CLOCK,
        costs: ImportCosts | None = None,
    ) -> None:
        self._context = context
        self._rules = context.rules
        self._journal = context.journal
        self._lines = None if context.journal is None else context.journal.lines
        self._report = context.report
        self._log = context.log
        self._mapping = mapping
        self._patching = patching
        self._carried = carried
        self._planned_at = time.time()
        self.costs = costs or ImportCosts(context.rules, context.client.quota)
        self.predicted_end: float | None = None  # in seconds since the epoch
        self._types: Mapping[str, str] = {}  # field types of the columns, by field id
        self._removals: Callable[[], Iterator[Sequence[Patch]]] = lambda: iter(())
        self.state = ImportState()
        self.tally = ImportTally(self._report)
        self.watch = Watch(context, clock, Waiting(context, clock, self.describe, self._describe_next_attempt))
        self._uploads = Uploads(context, self.watch, self.save)
        self.is_loaded = self.is_deferred = False
        self._give_back: Callable[[], None] | None = None

    def give_back(self) -> bool:
        """After a forbidden upload, reduce the plan to the contacts without an outcome.

        :return: ``False`` if no upload was forbidden, and nothing was done.
        """
        if self._give_back is None:
            return False
        self._give_back()
        self.state = ImportState()
        return True

    def deliver(self, folder: Path, changes: PendingChanges, mapping: ContactMapping) -> None:
        """Import the changes of a plan.

        :raises ImportFailed: the API key is refused, or the time of the run has passed.
        """
        self._mapping = mapping
        self.is_loaded = True  # an earlier process has left nothing
        self.watch.polls_left = self.costs.most_polls
        if self.costs.seconds is not None:
            self.predicted_end = time.time() + self.costs.seconds
        split = self.costs.split or Split(changes, mapping, self._rules)
        if self._journal is not None:
            self._journal.left_behind = ChangesLeft(
                lambda: itertools.chain(self._patching.left_behind(), split.by_file()), mapping.same_contact
            )
        self._patching.deliver(split, mapping)
        self._commit()
        if self._context.is_to_stop():
            return
        with split.files(folder / "files") as files:
            self.state = ImportState(groups=files.groups)
            contacts = PlannedContacts(split, self.state, files, self._lines)
            suppressed = SuppressedContacts(self._context, mapping, self.state, contacts)
            made = write_files(self._context, mapping, files, split.by_file())
            self._types = files.types
            self._removals = split.removals
            self.state.files = [file.as_sent() for file in made]
            self.state.is_all_sent = not made
            self.state.removals_left = next(split.removals(), None) is not None
            self._note_files_as_left()
            self.watch.waiting.begin()
            settlement = self._settlement(folder, contacts)
            try:
                self._send(settlement, {file.number: file for file in made}, suppressed)
            except ImportForbidden:
                self._give_back = partial(give_back, self._context, split, files, suppressed.taken_out)
                raise

    def resume(self, folder: Path) -> bool:
        """Continue the imports of an earlier process of the task; return ``False`` if the source must be read.

        :raises ImportFailed: as :meth:`deliver`.
        """
        is_known = self._recall()
        if self._needs_no_row:
            self._restore()
            self._continue(folder)
            return True
        if self._key_of_state != self._mapping.key:
            self._log.warning(wording.PLAN_OF_ANOTHER_KIND)
        elif self._rules.comes_back:
            self._log.info(wording.UPLOADS_UNKNOWN)
        if is_known and self._journal is not None:
            settle_attempt(self._context, self.watch, ContactMapping(self._key_of_state), self.state, folder)
            self.state = ImportState()
        elif self._rules.comes_back or (self._journal is None and self._rules.has_earlier_attempts):
            self.watch.waiting.begin()
            self.watch.until_none_is_open(0.0, ())  # older values of an earlier attempt must not arrive last
        return False

    def describe(self) -> str:
        """Describe the state of the imports in words."""
        return self.watch.describe(self.state.files)

    def saved_state(self) -> dict[str, Any]:
        """The state that the next process needs to continue; JSON-ready, without personal data."""
        self.state.run = {
            "key": self._mapping.key,
            "unaccounted": self.tally.unaccounted,
            "on_existing": self._rules.on_existing,
            "generation": self._journal.generation if self._journal is not None else 0,
            "timeout_at": self.watch.waiting.timeout_at,
            "planned_at": self._planned_at,
            "predicted_end": self.predicted_end,
            "polls_left": self.watch.polls_left,
            "types": dict(self._types),
            # Without imports that ended in error: another attempt imports and reports their rows.
            "troubles": [failure.words for failure in self.tally.failures if failure.verdict is Verdict.FAILED],
            **self._report.as_state(),
        }
        return self.state.as_json()

    def save(self) -> None:
        """Store the state of the run, if there is a journal."""
        if self._journal is not None:
            self._journal.plan.save(self.saved_state())

    def _recall(self) -> bool:
        """Load the state that an earlier process stored; return whether there was one."""
        saved = self._carried if self._journal is None else self._journal.plan.load()
        state = ImportState.from_json(saved)
        if state is None and self._journal is not None:
            # The state is another version's or another operator's, or its process has uploaded nothing.
            self._journal.plan.drop()
        self.state = state or ImportState()
        self._report.import_ids = sorted(self.state.known_ids)
        self.is_loaded = True
        return state is not None

    @property
    def _key_of_state(self) -> KeyKind:
        """The kind of contact key in the loaded state. It may not be the mapping's, since DAGs change."""
        found = self.state.run.get("key")
        return next((kind for kind in get_args(KeyKind) if kind == found), self._mapping.key)

    @property
    def _needs_no_row(self) -> bool:
        state, journal = self.state, self._journal
        if self._key_of_state != self._mapping.key:
            return False
        if self._rules.comes_back:
            return state.is_complete or state.is_parked
        # A cleared task imports again if an import was cancelled, or if Connectif reported no result for some rows.
        return journal is not None and state.is_complete and (journal.series.tries > 1 or not state.run["troubles"])

    def _restore(self) -> None:
        run, comes_back = self.state.run, self._rules.comes_back
        self._report.restore(run)
        self.tally.failures.extend(ImportFailed(Verdict.FAILED, words) for words in run["troubles"])
        self.tally.unaccounted = run.get("unaccounted", 0)
        self._planned_at, self._types = run.get("planned_at", time.time()), run.get("types", {})
        self.predicted_end = run.get("predicted_end")
        if (polls_left := run.get("polls_left")) is not None:
            self.watch.polls_left = polls_left - self._rules.trigger_requests
        if comes_back:
            self._report.effort.restore(run["effort"])
            self._report.effort.add_requests(self._rules.trigger_requests, self._rules.trigger_rate_limited)
        self.watch.waiting.begin(run["timeout_at"] if comes_back else None)

    def _continue(self, folder: Path) -> None:
        """Continue after an earlier process that has read every row, and has uploaded or stored every file."""
        contacts = None if self._lines is None else StoredContacts(self._lines, self._mapping, self.state)
        self._note_files_as_left()
        settlement = self._settlement(folder, contacts)
        self.watch.was_away = not self._rules.comes_back
        self._log.info(wording.CONTINUING_IMPORTS, wording.details(*what_is_left(self.state.files)))
        ended = self._or_defer(settlement.settle_once)
        if self.is_deferred:
            return
        if not self.state.is_all_sent and contacts is not None:
            self.watch.wait_for_lost(self.state)
            suppressed = SuppressedContacts(self._context, self._mapping, self.state, contacts)
            files = rewrite_files(self._context, self.state, contacts, folder / "files", self._mapping, self._types)
            self._send(settlement, files, suppressed)
        elif ended or not self._rules.comes_back:
            self._wait(settlement)
        else:  # no import has ended, so another trigger would fire at once, again and again
            self._or_defer(settlement.settle_all)

    def _note_files_as_left(self) -> None:
        """Note the contacts of files without a result: they count as undelivered if the run ends early."""
        if self._journal is not None:
            lines = self._journal.plan.import_lines
            self._journal.left_behind = ContactsOfFilesLeft(lines, lambda: self.state)

    def _settlement(self, folder: Path, contacts: ContactsOfFiles | None) -> Settlement:
        return Settlement(
            self._context, self.watch, self.state, contacts, self._lines, self.tally, folder, self.saved_state
        )

    def _send(self, settlement: Settlement, files: Mapping[int, ImportFile], suppressed: SuppressedContacts) -> None:
        """Upload the remaining files, then wait for all imports."""
        try:
            is_all = self._uploads.upload(
                self.state, files, settlement, self._planned_at, self._may_leave_files, suppressed.take_out
            )
        except ImportFailed as failure:
            if failure.is_about_the_key:
                raise
            self.tally.failures.append(failure)  # uploaded files are settled all the same
            is_all = True
        if self.state.removals_left and not self.tally.failures:
            self._follow_who_left()
        if self._context.is_to_stop():
            return
        if not is_all:
            self._log.info(wording.QUEUE_FULL_DEFERRED)
            suppressed.in_files.keep_values()
            self.is_deferred = True
            return
        self._wait(settlement)

    def _follow_who_left(self) -> None:
        """Carry out ``on_removed`` for the contacts that left the source.

        Until this is done, the next attempt reads the source again, since the stored state has none of these contacts.
        """
        began = time.monotonic()
        self._patching.follow(self._removals())
        self.watch.was_away = time.monotonic() - began > self._rules.poll_interval_s
        self._commit()
        if not self._context.is_to_stop():
            self.state.removals_left = False
            self.save()

    def _commit(self) -> None:
        """Write the outcomes of requests to the journal, before a stored state says that no row is to be read again."""
        if self._lines is not None:
            self._lines.commit()

    def _wait(self, settlement: Settlement) -> None:
        if self._rules.deferrable and self.state.open_ids and not self.tally.failures:
            self.is_deferred = True
        else:
            self._or_defer(settlement.settle_all)

    def _or_defer(self, settle: Callable[[], int]) -> int:
        """Settle imports, or defer if Connectif asks for a delay that is too long for a worker."""
        try:
            return settle()
        except WaitTooLong:
            may_come_back = self.state.is_complete or self.state.is_parked
            if not (self._rules.deferrable and may_come_back and not self.tally.failures):
                raise
            self._log.info(wording.PAUSE_TOO_LONG_FOR_WORKER)
            self.is_deferred = True
            return 0

    def _may_leave_files(self) -> bool:
        """Whether files may be left to another process: only a journal stores their contacts."""
        return self._rules.deferrable and self._journal is not None and not self.tally.failures

    def _describe_next_attempt(self) -> str:
        """Describe what the next attempt does if imports are still open then; empty if that is not known, or if there
        will be none.
        """
        is_final = any(failure.final for failure in self.tally.failures)
        is_known = self._journal is not None and self.state.is_complete and self.state.open_ids and not is_final
        return "The next attempt waits for the same imports and uploads nothing" if is_known else ""
