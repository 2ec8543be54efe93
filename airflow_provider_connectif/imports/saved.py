"""The state of a run's imports between its processes: in the journal's database, or carried by the trigger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFile, ImportFiles, write_again
from airflow_provider_connectif.journal.import_state import Group, ImportState
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.changes import Patch

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

_LINES_AT_ONCE = 2000  # rows are held with them


class SavedImports:
    """Keeps the state, and with a journal the contacts of the files.

    :param journal: whose database keeps it; ``None``: only a trigger does.
    :param carried: what a trigger has carried.
    """

    def __init__(self, journal: Journal | None, carried: Mapping[str, Any] | None) -> None:
        self._journal = journal
        self._carried = carried
        self._new: list[tuple[Patch, int, bool]] = []
        self.state = ImportState()

    def recall(self) -> bool:
        """Take over what an earlier process has saved; whether there was something."""
        saved = self._carried if self._journal is None else self._journal.plan.load()
        state = ImportState.from_json(saved)
        if state is None and self._journal is not None:
            self._journal.plan.drop()  # another version's, another operator's, or of a process that uploaded nothing
        self.state = state or ImportState()
        return state is not None

    def save(self, state: Mapping[str, Any]) -> None:
        """Write down the state.

        :param state: JSON-ready.
        """
        if self._journal is not None:
            self._journal.plan.save(state)

    def forget(self) -> None:
        """There is nothing to come back to."""
        if self._journal is not None:
            self._journal.plan.drop()

    def begin_contacts(self) -> None:
        """From here on contacts are added."""
        if self._journal is not None:
            self._journal.plan.import_lines.begin()

    def add_contact(self, patch: Patch, group: int, mapping: ContactMapping, *, is_complete: bool) -> None:
        """Write down a contact without its values; they are written some thousand at once.

        :param is_complete: its files carry all that it sets.
        """
        if self._journal is None:
            return
        self._new.append((patch, group, is_complete))
        if len(self._new) >= _LINES_AT_ONCE:
            self.end_contacts(mapping)

    def end_contacts(self, mapping: ContactMapping) -> None:
        """Write down the rest."""
        if self._journal is not None and self._new:
            self._journal.plan.import_lines.add(self._new, mapping.same_contact)
        self._new.clear()

    def park(self, changes: PendingChanges, files: ImportFiles) -> None:
        """Keep the values of contacts that are in files which are not uploaded yet; only a journal can."""
        left = self._groups_left
        for batch in changes.batches():
            kept = [patch for patch in batch if files.group_of(patch.number) in left]
            if self._journal is not None:
                self._journal.plan.import_lines.keep_values(kept)
        self.state.is_parked = True

    def unpark(
        self, folder: Path, mapping: ContactMapping, delimiter: str, types: Mapping[str, str]
    ) -> dict[int, ImportFile]:
        """Write the files again that are not uploaded yet; by number.

        :param types: of their columns.
        """
        wanted = [sent for sent in self.state.files if sent.import_id is None]
        return write_again(folder, mapping, delimiter, types, wanted, self._parked())

    @property
    def _groups_left(self) -> set[int]:
        left = {sent.file for sent in self.state.files if sent.import_id is None}
        return {number for number, group in enumerate(self.state.groups) if not left.isdisjoint(group.files)}

    def _parked(self) -> Iterator[Sequence[tuple[Group, Patch]]]:
        kept = () if self._journal is None else self._journal.plan.import_lines.kept_values(self._groups_left)
        for batch in kept:
            yield [(self.state.groups[number], patch) for number, patch in batch]
