"""Which contacts of a plan go into which files, and which go by PATCH."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFiles
from airflow_provider_connectif.imports.layout import Lines
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.shapes import Shapes, Survey
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.changes import Patch


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
        return shape in self.layout.patched and self._lines.can_carry(patch.key, shape, patch.properties)
