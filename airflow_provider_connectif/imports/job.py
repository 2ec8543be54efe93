"""The work of one import: write files, upload them, settle their imports, or leave them to a later process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.imports.contacts_of_files import ContactsOfFiles, PlannedContacts, StoredContacts
from airflow_provider_connectif.imports.files import ImportFile, ImportFiles
from airflow_provider_connectif.imports.layout import Lines
from airflow_provider_connectif.imports.patching import FirstPatch
from airflow_provider_connectif.imports.report import Reports
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.saved import SavedImports
from airflow_provider_connectif.imports.settlement import Account, Settlement
from airflow_provider_connectif.imports.shapes import Layout, Shapes, Survey
from airflow_provider_connectif.imports.uploads import Uploads
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.confirmation import remaining
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.rows import InvalidRow
from airflow_provider_connectif.reporting.progress import describe_bytes, describe_seconds, plural
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.summary import Tally
from airflow_provider_connectif.reporting.verdict import Trouble, WaitTooLong

_AT_ONCE = 500  # patches that are handed over together


@dataclass
class Plan:
    """What is uploaded.

    :param mapping: of the run; with the definitions that the rows were checked against, where they are known.
    :param made_at: when the source was read, in seconds since the epoch.
    :param types: of the columns.
    """

    mapping: ContactMapping
    made_at: float
    types: Mapping[str, str]


class Split(NamedTuple):
    """A plan's contacts by the way that they go. What no file can carry is left to the files, which refuse it."""

    changes: PendingChanges
    layout: Layout
    shapes: Shapes
    lines: Lines

    def by_patch(self) -> Iterator[Patch]:
        """Those that go by PATCH."""
        return (patch for batch in self.changes.batches() for patch in batch if self.is_by_patch(patch))

    def by_file(self) -> Iterator[list[Patch]]:
        """The others, in batches."""
        for batch in self.changes.batches():
            yield [patch for patch in batch if not self.is_by_patch(patch)] if self.layout.patched else batch

    def is_by_patch(self, patch: Patch) -> bool:
        """Whether a contact goes by PATCH."""
        shape = self.shapes.of(patch.properties)
        return shape in self.layout.patched and self.lines.can_carry(patch.key, shape, patch.properties)


class ImportJob:
    """The work of one run.

    :param rules: how.
    :param saved: the state of the run's imports.
    :param account: gets what became of contacts.
    :param reports: makes what fetches error reports into a folder.
    :param watch: polls imports.
    :param sender: delivers by PATCH what takes fewer requests so.
    :param first_patch: shows whether the key may write contacts; it is the resource of ``sender``.
    :param report: of the run.
    :param journal: what Connectif has acknowledged.
    :param plan: of the run, as far as it is known.
    :param is_stopped: whether the run was told to stop.
    :param as_saved: the state as it is saved.
    """

    def __init__(
        self,
        rules: ImportRules,
        saved: SavedImports,
        account: Account,
        reports: Callable[[Path], Reports],
        watch: Watch,
        sender: RequestSender,
        first_patch: FirstPatch,
        report: Report,
        journal: Journal | None,
        plan: Plan,
        *,
        is_stopped: Callable[[], bool],
        as_saved: Callable[[], dict[str, Any]],
    ) -> None:
        self._rules = rules
        self._saved = saved
        self._account = account
        self._reports = reports
        self._watch = watch
        self._sender = sender
        self._first_patch = first_patch
        self._report = report
        self._log = report.log
        self._journal = journal
        self._is_stopped = is_stopped
        self._as_saved = as_saved
        self._uploads = Uploads(watch, rules, self._save, report.log)
        self.plan = plan
        self.is_deferred = False
        """The task is to wait without a worker, and then to continue."""

    @property
    def _state(self) -> ImportState:
        return self._saved.state

    def deliver(self, folder: Path, changes: PendingChanges, mapping: ContactMapping) -> None:
        """Import the changes of a plan.

        :raises Trouble: the API key is refused, or the time of the run has ended.
        """
        shapes = Shapes()
        survey = Survey.of(changes.batches(), shapes)
        layout = self._rules.layout(survey)
        split = Split(changes, layout, shapes, Lines(mapping, self._rules.delimiter))
        if layout.patched and not self._patch(split, mapping):
            layout = self._rules.layout(survey, may_patch=False)
            split = split._replace(layout=layout)
        if self._is_stopped():
            return
        with ImportFiles(
            folder / "files",
            mapping,
            layout,
            shapes,
            delimiter=self._rules.delimiter,
            max_file_bytes=self._rules.max_file_bytes,
        ) as files:
            self._write(files, split.by_file(), mapping)
            made = files.close()
            self.plan = Plan(mapping, self.plan.made_at, files.types)
            self._log_files(files, made)
            self._saved.state = ImportState(
                [SentFile(file.number, file.rows, list(file.columns)) for file in made],
                files.groups,
                is_all_sent=not made,
            )
            self._watch.waiting.begin()
            contacts = PlannedContacts(changes, mapping, self._state, files.group_of)
            settlement = self._settlement(folder, contacts, self._account)
            on_disk = {file.number: file for file in made}
            self._send(settlement, on_disk, lambda: self._saved.park(changes, files))

    def resume(self, folder: Path) -> None:
        """Continue with the imports of an earlier process; no row is read for that.

        :raises Trouble: as :meth:`deliver`.
        """
        contacts = None
        if self._journal is not None:
            contacts = StoredContacts(self._journal.lines, self.plan.mapping, self._state)
        settlement = self._settlement(folder, contacts, self._account)
        self._log.info("Continuing with the imports of an earlier process: %s", self.describe())
        ended = self._or_defer(settlement.settle_once)
        if self.is_deferred:
            return
        if not self._state.is_all_sent:
            if (since := self._state.lost_since) is not None:
                self._watch.until_none_is_open(since, self._state.known_ids)
            files = self._saved.unpark(folder / "files", self.plan.mapping, self._rules.delimiter, self.plan.types)
            self._send(settlement, files, lambda: None)
        elif ended or not self._rules.comes_back:
            self._wait(settlement)
        else:  # the trigger would fire at once, again and again
            self._or_defer(settlement.settle_all)

    def settle_earlier_attempt(self, folder: Path, journal: Journal) -> None:
        """Wait for what an earlier attempt has uploaded before it died, and acknowledge it.

        :raises Trouble: as :meth:`deliver`.
        """
        self._watch.waiting.begin()
        self._log.info("An earlier attempt did not upload everything: %s", self.describe())
        account = Account(Tally(), Rejects(None))
        contacts = StoredContacts(journal.lines, self.plan.mapping, self._state)
        self._settlement(folder, contacts, account).settle_all()
        if (since := self._state.lost_since) is not None:
            self._watch.until_none_is_open(since, self._state.known_ids)
        for trouble in account.troubles:
            self._log.warning("Earlier attempt: %s", trouble.words)
        self._saved.forget()
        self._saved.state = ImportState()

    def wait_for_unknown(self) -> None:
        """Wait for the imports that are open now: older values of an earlier attempt's must not come last.

        :raises Trouble: as :meth:`deliver`.
        """
        self._watch.waiting.begin()
        self._watch.until_none_is_open(0.0, ())

    def describe(self) -> str:
        """How the imports stand, in words."""
        return self._watch.describe(self._state.files)

    def describe_next_attempt(self) -> str:
        """What the next attempt does while the imports are open, as a sentence; empty where that is not known."""
        is_open = any(sent.is_open for sent in self._state.files)
        if self._journal is None or not (self._state.is_complete and is_open):
            return ""
        return "The next attempt waits for the same imports and uploads nothing"

    def _settlement(self, folder: Path, contacts: ContactsOfFiles | None, account: Account) -> Settlement:
        return Settlement(
            self._state,
            self._rules,
            self._watch,
            self._reports(folder),
            contacts,
            None if self._journal is None else self._journal.lines,
            account,
            self._as_saved,
            self._log,
        )

    def _patch(self, split: Split, mapping: ContactMapping) -> bool:
        """Deliver contacts by PATCH; whether the API key allows that."""
        patches = split.by_patch()
        if self._rules.leftovers is None:
            first = next(patches, None)
            if first is None:
                return True
            if self._journal is not None and not first.is_new:
                self._journal.lines.doubt({mapping.same_contact(first.key): remaining(first)})
            if not self._first_patch.is_allowed(first):
                self._log.info("The API key may not write contacts (403), so that all of them go into files")
                return False
            patches = itertools.chain([first], patches)
        self._log.info("Delivering %s by PATCH", plural(split.layout.patches, "contact"))
        self._sender.deliver(_batches(patches))
        return True

    def _write(self, files: ImportFiles, batches: Iterator[list[Patch]], mapping: ContactMapping) -> None:
        self._saved.begin_contacts()
        for batch in batches:
            if self._journal is not None:
                known = [patch for patch in batch if not patch.is_new]
                self._journal.lines.doubt({mapping.same_contact(patch.key): remaining(patch) for patch in known})
            for patch in batch:
                try:
                    group, is_complete = files.add(patch)
                except InvalidRow as invalid:
                    is_known = self._is_known_invalid(patch, mapping)
                    self._report.refuse(
                        patch.number, patch.row, Outcome.INVALID, None, invalid.reasons, is_known=is_known
                    )
                else:
                    self._saved.add_contact(patch, group, mapping, is_complete=is_complete)
            self._report.progress.tick()
        self._saved.end_contacts(mapping)

    def _is_known_invalid(self, patch: Patch, mapping: ContactMapping) -> bool:
        if self._journal is None or patch.digests is None:
            return False
        key = mapping.same_contact(patch.key)
        (line,) = self._journal.lines.differing({key: ""}, all_differ=True).values()
        return self._journal.lines.meets_invalid(key, patch.digests.row or patch.digests.patch, line)

    def _send(self, settlement: Settlement, files: Mapping[int, ImportFile], park: Callable[[], None]) -> None:
        """Upload what is not uploaded, then wait for all imports.

        :param park: keeps what another process needs to write the files that are left.
        """
        try:
            is_all = self._uploads.upload(self._state, files, settlement, self.plan.made_at, self._may_park)
        except Trouble as trouble:
            if trouble.is_about_the_key:
                raise
            self._account.troubles.append(trouble)  # what was uploaded is settled all the same
            is_all = True
        if self._is_stopped():
            return
        if not is_all:
            self._log.info("The queue of imports is full; those of the app count too. Waiting without a worker")
            park()
            self.is_deferred = True
            return
        self._wait(settlement)

    def _wait(self, settlement: Settlement) -> None:
        if self._rules.deferrable and self._state.open_ids and not self._account.troubles:
            self.is_deferred = True
        else:
            self._or_defer(settlement.settle_all)

    def _or_defer(self, settle: Callable[[], int]) -> int:
        """Settle imports, unless Connectif asks for a delay that is too long for a worker."""
        try:
            return settle()
        except WaitTooLong:
            may_come_back = self._state.is_complete or self._state.is_parked
            if not (self._rules.deferrable and may_come_back and not self._account.troubles):
                raise
            self._log.info("Connectif asks for a delay that is too long for a worker")
            self.is_deferred = True
            return 0

    def _may_park(self) -> bool:
        """Whether to leave files to another process: only a journal keeps what they are made of."""
        return self._rules.deferrable and self._journal is not None and not self._account.troubles

    def _save(self) -> None:
        self._saved.save(self._as_saved())

    def _log_files(self, files: ImportFiles, made: Sequence[ImportFile]) -> None:
        self._log.info(
            "Read %s in %s: %s in %s, together %s",
            plural(self._report.tally.read, "row"),
            describe_seconds(self._report.effort.duration_s),
            plural(files.rows, "contact"),
            plural(len(made), "file"),
            describe_bytes(sum(file.size for file in made)),
        )
        if files.incomplete and self._journal is not None:
            self._log.info(
                "%s blank texts, which an import leaves out: the journal does not call them delivered",
                "1 contact has" if files.incomplete == 1 else f"{files.incomplete:,} contacts have",
            )


def _batches(patches: Iterator[Patch]) -> Iterator[list[Patch]]:
    while batch := list(itertools.islice(patches, _AT_ONCE)):
        yield batch
