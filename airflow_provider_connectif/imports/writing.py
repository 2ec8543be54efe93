"""Writes a plan to files, except changes that go by PATCH, and stores what a later process needs in the journal's
database.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from airflow_provider_connectif.contacts.by_import import LOOK_UPS_AT_MOST, Ways, is_without_effect, withdrawn_part
from airflow_provider_connectif.contacts.identity import people_beside_key
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.contacts_of_files import ContactsOfFiles
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.files import ImportFile, ImportFiles, write_again
from airflow_provider_connectif.imports.layout import Lines
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.shapes import Shapes, Survey, blank_in
from airflow_provider_connectif.imports.suppressed import account_for_removed, suppressed_in, without_suppressed
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.patch_columns import accepted, refused_before, remaining
from airflow_provider_connectif.journal.pending import PendingChanges, Rank
from airflow_provider_connectif.journal.properties import entries_of, only, updated, without
from airflow_provider_connectif.journal.states import REMOVED
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.rows import InvalidRow
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import describe_bytes, plural


class Split:
    """Splits the contacts of a plan into those that go by PATCH and those that go into files.

    A contact with a value that no file can contain goes into files, and writing them refuses it. Contacts that left the
    source never go into files: :meth:`by_patch` yields those whose consent is withdrawn, :meth:`removals` the others.

    :param changes: the changes of the plan.
    :param mapping: has the field definitions of the run.
    :param rules: the rules of the import.
    """

    def __init__(self, changes: PendingChanges, mapping: ContactMapping, rules: ImportRules) -> None:
        self.changes = changes
        self.mapping = mapping
        self._rules = rules
        self._shapes = Shapes()
        self._lines = Lines(mapping, rules.delimiter)
        self._ways = Ways(rules.on_existing == "update", sets_empty=rules.on_existing != "keep")
        self.decided = self.looked_up = self.kept = 0
        """Number of contacts that must go by PATCH, of those among them that must be looked up, of kept consents."""
        self.lines = 0
        """Number of lines in all files, without their headers."""
        self._look()
        if self.looked_up > LOOK_UPS_AT_MOST:
            self._ways.looks_up = False
            self._look()

    @property
    def patches(self) -> int:
        """Number of contacts that go by PATCH."""
        return self.decided + self.layout.patches

    def patch_nothing(self) -> None:
        """Put all contacts into files, since the API key cannot write contacts."""
        self._ways.may_patch = False
        self._look()

    def by_patch(self) -> Iterator[Patch]:
        """Yield the contacts that go by PATCH before the files."""
        if self.patches:
            for batch in self.changes.batches():
                yield from filter(self._is_patched, self._ways.of(batch))

    def by_file(self) -> Iterator[list[Patch]]:
        """Yield the contacts that go into files, in batches."""
        for batch in self.changes.batches():
            ways = self._ways.of([patch for patch in batch if patch.removal is None])
            yield [self._ways.in_files(patch) for patch in ways if not (self.patches and self._is_patched(patch))]

    def removals(self) -> Iterator[list[Patch]]:
        """Yield the contacts that left the source and go by request after the files, in batches."""
        if self.changes.counts.removals:
            for batch in self.changes.batches((Rank.URGENT, Rank.REMOVED)):
                if left := [patch for patch in batch if patch.removal is not None and not self._is_patched(patch)]:
                    yield left

    def is_patched(self, patch: Patch) -> bool:
        """Whether a contact is among those of :meth:`by_patch`."""
        return bool(self.patches) and self._is_patched(*self._ways.of([patch]))

    def files(self, folder: Path) -> ImportFiles:
        """Return the object that writes the files; no file is written yet.

        :param folder: is created, and must not exist.
        """
        return ImportFiles(
            folder,
            self.mapping,
            self.layout,
            self._shapes,
            delimiter=self._rules.delimiter,
            max_file_bytes=self._rules.max_file_bytes,
            nothing_sent=not (self.patches or self._rules.comes_back),
        )

    def _look(self) -> None:
        self.decided = self.kept = 0
        survey = Survey.of(self._undecided(), self._shapes)
        self.layout = self._rules.layout(survey, self.mapping.fields, may_patch=self._ways.may_patch)
        self.lines = self.layout.lines(survey)

    def _undecided(self) -> Iterator[list[Patch]]:
        """Yield the contacts that can go into files, and count the others."""
        for batch in self.changes.batches():
            left = []
            for patch in self._ways.of(batch):
                if patch.removal is not None:
                    self.decided += self._ways.needs_patch(patch)
                    continue
                self.kept += len(patch.kept)
                if self._ways.needs_patch(patch):
                    self.decided += 1
                    self.looked_up += self._ways.needs_look_up(patch)
                elif not is_without_effect(patch := self._ways.in_files(patch)):
                    left.append(patch)
            yield left

    def _is_patched(self, patch: Patch) -> bool:
        if patch.removal is not None or self._ways.needs_patch(patch):
            return self._ways.needs_patch(patch)
        if is_without_effect(self._ways.in_files(patch)):
            return False
        shape = self._shapes.of(patch.properties)
        if not self.layout.patches_all and (patch.counted_as is not None or shape not in self.layout.patched):
            return False
        with contextlib.suppress(InvalidRow):
            return bool(self._lines.line(patch.key, self._lines.writers(shape), patch.properties))
        return False


def write_files(
    context: ImportContext, mapping: ContactMapping, files: ImportFiles, batches: Iterable[Sequence[Patch]]
) -> list[ImportFile]:
    """Write the files, and store their contacts without values in the journal's database.

    :param batches: batches of contacts; a contact that no file can contain is reported as invalid.
    :return: the files in the order of their uploads.
    """
    report, journal = context.report, context.journal
    lines = None if journal is None else journal.plan.import_lines
    if lines is not None:
        lines.begin()
    for batch in batches:
        written = []
        batch = without_suppressed(context, mapping, batch)
        if journal is not None:
            batch = _settle_unsent(context, journal, mapping, batch)
            known = [patch for patch in batch if not patch.is_new]
            for are_rows in (True, False):  # the urgent part of a refused row must not change the state of its line
                going = [patch for patch in known if (patch.counted_as is None) is are_rows]
                doubts = {mapping.same_contact(patch.key): remaining(patch) for patch in going}
                journal.lines.doubt(doubts, are_rows=are_rows)
            batch = [p._replace(digests=accepted(p)) if p.kept or p.counted_as or p.standings else p for p in batch]
        for patch in batch:
            try:
                group, is_complete = files.add(patch)
                written.append((patch if is_complete else _as_files_set_it(patch), group, is_complete))
            except InvalidRow as invalid:
                if patch.counted_as is None:
                    reasons, contact = invalid.reasons, mapping.same_contact(patch.key)
                    is_known = journal is not None and _is_known_invalid(journal, contact, patch, "; ".join(reasons))
                    row = (patch.number, patch.row)
                    report.refuse(*row, Outcome.INVALID, None, reasons, contact=contact, is_known=is_known)
                    written += add_withdrawn_part(files, patch, context.rules)
        if lines is not None and written:
            lines.add(written, mapping.same_contact, people_beside_key)
        report.progress.tick()
    made = files.close()
    if made:
        report.log.info(
            wording.WRITTEN_INTO_FILES,
            plural(len(made), "file"),
            describe_bytes(sum(file.size for file in made)),
            plural(files.rows, "contact"),
        )
    if files.incomplete and journal is not None:
        report.log.info(
            wording.BLANK_TEXTS,
            "1 contact has" if files.incomplete == 1 else f"{files.incomplete:,} contacts have",
        )
    return made


def add_withdrawn_part(files: ImportFiles, patch: Patch, rules: ImportRules) -> list[tuple[Patch, int, bool]]:
    """Write only the withdrawn consents of a contact, since no file can contain its row.

    With ``keep`` nothing is written: the file would create a contact that never gets the rest of its row.

    :return: the contact as written, its group, and whether its files contain everything; empty if nothing is written.
    """
    if rules.on_existing == "keep" or (part := withdrawn_part(patch)) is None:
        return []
    if part.digests is not None:
        refused = refused_before(part)
        part = part._replace(
            properties={name: part.properties[name] for name in part.properties if name not in refused}
        )
        part = part._replace(digests=accepted(part))
        if not part.properties:
            return []
    with contextlib.suppress(InvalidRow):  # no file can contain the contact's key
        return [(part, *files.add(part))]
    return []


def _settle_unsent(
    context: ImportContext, journal: Journal, mapping: ContactMapping, batch: Sequence[Patch]
) -> list[Patch]:
    """Acknowledge the contacts for which no file needs a line; return the other contacts."""
    unsent = [patch for patch in batch if is_without_effect(patch)]
    for patch in unsent:
        if (digests := accepted(patch)) is not None:
            journal.lines.confirm(mapping.same_contact(patch.key), digests)
    context.report.shown.consent_kept += sum(len(patch.kept) for patch in unsent)
    left = [patch for patch in batch if not is_without_effect(patch)] if unsent else list(batch)
    # Not acknowledged: a PATCH can still send the blank values.
    blank = [mapping.same_contact(patch.key) for patch in left if sets_nothing(patch)]
    delivered = _delivered_earlier(journal, blank)
    for contact, outcome in delivered.items():
        context.report.tally.outcomes[outcome] += 1
        if (history := context.report.history) is not None:
            history.keep(outcome.value, contact)
    context.report.tally.count_many(Outcome.UNCHANGED, len(unsent) + len(blank) - len(delivered))
    return [patch for patch in left if not sets_nothing(patch)] if blank else left


def sets_nothing(patch: Patch) -> bool:
    """Whether files need no line for a change: its contact exists, and only blank values are left to set."""
    blank = len(blank_in(patch.properties)) + len(blank_in(patch.later))
    is_all = 0 < blank == len(patch.properties) + len(patch.later)
    return is_all and patch.was_delivered and patch.counted_as is None and not patch.kept


def _delivered_earlier(journal: Journal, contacts: Sequence[str]) -> dict[str, Outcome]:
    """Return the outcomes of contacts that an earlier attempt of the run has delivered."""
    if not contacts or not journal.series.has_earlier:
        return {}
    lines = journal.lines.differing(dict.fromkeys(contacts, ""), all_differ=True)
    return {
        contact: Outcome(line.delivered_as)
        for contact, line in lines.items()
        if line is not None and journal.series.delivered_earlier(line) and line.delivered_as not in (None, REMOVED)
    }


def _as_files_set_it(patch: Patch) -> Patch:
    """Return a change with the digests of its contact after the import, which leaves blank values out.

    The properties with blank values have the digests from before the import.
    """
    digests = patch.digests
    if digests is None or digests.properties is None:
        return patch
    blank = [*blank_in(patch.properties), *blank_in(patch.later)]
    held = entries_of(only(digests.before or b"", blank))
    return patch._replace(digests=digests._replace(properties=updated(without(digests.properties, blank), held)))


def rewrite_files(
    context: ImportContext,
    state: ImportState,
    contacts: ContactsOfFiles,
    folder: Path,
    mapping: ContactMapping,
    types: Mapping[str, str],
) -> dict[int, ImportFile]:
    """Write files again that an earlier process did not upload; return them by their number in the plan.

    :param contacts: yields the contacts of these files; suppressed contacts are removed first.
    :param folder: is created, and must not exist.
    :param types: the field types of their columns, by field id.
    """
    if context.journal is not None:
        lines = context.journal.plan.import_lines
        for batch in contacts.batches():
            lines.remove([batch[place].number for place in suppressed_in(context, mapping, batch)])
    batches = (
        [(state.groups[contacts.group_of(patch.number)], patch) for patch in batch] for batch in contacts.batches()
    )
    wanted = [sent for sent in state.files if sent.import_id is None]
    made = write_again(folder, mapping, context.rules.delimiter, types, wanted, batches)
    account_for_removed(context, state, made)
    return made


def _is_known_invalid(journal: Journal, key: str, patch: Patch, reason: str) -> bool:
    """Record a row as invalid in the journal; return whether an earlier run has met the same row."""
    if patch.digests is None:
        return False
    (line,) = journal.lines.differing({key: ""}, all_differ=True).values()
    return journal.lines.meets_invalid(key, patch.digests.row or patch.digests.patch, line, reason)
