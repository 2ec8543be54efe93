"""A plan becomes files on disk, but for what goes by PATCH; the journal's database gets what a later process needs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.files import ImportFile, ImportFiles, write_again
from airflow_provider_connectif.imports.layout import Lines
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.shapes import Shapes, Survey
from airflow_provider_connectif.journal.confirmation import remaining
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.rows import InvalidRow
from airflow_provider_connectif.reporting.progress import describe_bytes, describe_seconds, plural


class Split:
    """The contacts of a plan by the way that they go. What no file can carry is left to the files, which refuse it.

    :param changes: the plan.
    :param mapping: with the definitions that the rows were checked against.
    :param rules: of the run.
    """

    def __init__(self, changes: PendingChanges, mapping: ContactMapping, rules: ImportRules) -> None:
        self._changes = changes
        self._mapping = mapping
        self._rules = rules
        self._shapes = Shapes()
        self._lines = Lines(mapping, rules.delimiter)
        self._survey = Survey.of(changes.batches(), self._shapes)
        self.layout = rules.layout(self._survey)

    def patch_nothing(self) -> None:
        """All contacts go into files: the API key may not write contacts."""
        self.layout = self._rules.layout(self._survey, may_patch=False)

    def by_patch(self) -> Iterator[Patch]:
        """Those that go by PATCH."""
        if self.layout.patched:
            for batch in self._changes.batches():
                yield from filter(self._is_patched, batch)

    def by_file(self) -> Iterator[list[Patch]]:
        """The others, in batches."""
        for batch in self._changes.batches():
            yield [patch for patch in batch if not self._is_patched(patch)] if self.layout.patched else batch

    def files(self, folder: Path) -> ImportFiles:
        """The files that the others go into, not written yet.

        :param folder: is made, and must not exist.
        """
        return ImportFiles(
            folder,
            self._mapping,
            self.layout,
            self._shapes,
            delimiter=self._rules.delimiter,
            max_file_bytes=self._rules.max_file_bytes,
        )

    def _is_patched(self, patch: Patch) -> bool:
        shape = self._shapes.of(patch.properties)
        if shape not in self.layout.patched:
            return False
        with contextlib.suppress(InvalidRow):
            return bool(self._lines.line(patch.key, self._lines.writers(shape), patch.properties))
        return False


def write_files(
    context: ImportContext, mapping: ContactMapping, files: ImportFiles, batches: Iterable[Sequence[Patch]]
) -> list[ImportFile]:
    """Write the files, and into the journal's database their contacts without values.

    :param batches: of the contacts that go into files; one that no file can carry is reported as invalid.
    :return: the files in the order of their uploads.
    """
    report, journal = context.report, context.journal
    lines = None if journal is None else journal.plan.import_lines
    if lines is not None:
        lines.begin()
    for batch in batches:
        if journal is not None:
            known = [patch for patch in batch if not patch.is_new]
            journal.lines.doubt({mapping.same_contact(patch.key): remaining(patch) for patch in known})
        written = []
        for patch in batch:
            try:
                written.append((patch, *files.add(patch)))
            except InvalidRow as invalid:
                is_known = journal is not None and _is_known_invalid(journal, mapping, patch)
                report.refuse(patch.number, patch.row, Outcome.INVALID, None, invalid.reasons, is_known=is_known)
        if lines is not None and written:
            lines.add(written, mapping.same_contact)
        report.progress.tick()
    made = files.close()
    report.log.info(
        "Read %s in %s: %s in %s, together %s",
        plural(report.tally.read, "row"),
        describe_seconds(report.effort.duration_s),
        plural(files.rows, "contact"),
        plural(len(made), "file"),
        describe_bytes(sum(file.size for file in made)),
    )
    if files.incomplete and journal is not None:
        report.log.info(
            "%s blank texts, which an import leaves out: the journal does not call them delivered",
            "1 contact has" if files.incomplete == 1 else f"{files.incomplete:,} contacts have",
        )
    return made


def keep_values(journal: Journal, state: ImportState, changes: PendingChanges, files: ImportFiles) -> None:
    """Keep the values of the contacts in files that are not uploaded yet, for :func:`rewrite_files`."""
    left = state.groups_left
    for batch in changes.batches():
        journal.plan.import_lines.keep_values([patch for patch in batch if files.group_of(patch.number) in left])
    state.is_parked = True


def rewrite_files(
    context: ImportContext, state: ImportState, folder: Path, mapping: ContactMapping, types: Mapping[str, str]
) -> dict[int, ImportFile]:
    """Write the files of an earlier process again that are not uploaded yet; by number.

    :param folder: is made, and must not exist.
    :param types: of their columns.
    """
    kept = () if context.journal is None else context.journal.plan.import_lines.kept_values(state.groups_left)
    contacts = ([(state.groups[number], patch) for number, patch in batch] for batch in kept)
    wanted = [sent for sent in state.files if sent.import_id is None]
    return write_again(folder, mapping, context.rules.delimiter, types, wanted, contacts)


def _is_known_invalid(journal: Journal, mapping: ContactMapping, patch: Patch) -> bool:
    """Whether an earlier run has met the same row; it is noted as invalid in the journal."""
    if patch.digests is None:
        return False
    key = mapping.same_contact(patch.key)
    (line,) = journal.lines.differing({key: ""}, all_differ=True).values()
    return journal.lines.meets_invalid(key, patch.digests.row or patch.digests.patch, line)
