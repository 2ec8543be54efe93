"""Contacts that left the source: which, and what is done about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.journal.left_lines import LeftLine
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import JsonValue
from airflow_provider_connectif.records.reads import LastRead
from airflow_provider_connectif.records.resource import Resource


@dataclass(frozen=True)
class ReadSettings:
    """What is to be known of a read.

    :param identity: who asks whom for what: :func:`airflow_provider_connectif.records.reads.identity_of`.
    :param counts_left: find the contacts that left the source.
    :param on_removed: what is done about them: ``delete``, or properties that they get; ``None``: nothing.
    """

    identity: Mapping[str, Any] = field(default_factory=dict)
    counts_left: bool = False
    on_removed: Literal["delete"] | Mapping[str, JsonValue] | None = None


class Departures:
    """Finds the contacts that left the source, and makes changes of those that are to be followed.

    :param journal: open.
    :param settings: of the author.
    :param shown: the keys that the source has shown, to its end.
    :param last: the last complete read.
    :param keyless: rows without a valid key in this read.
    """

    def __init__(
        self, journal: Journal, settings: ReadSettings, shown: ShownKeys, last: LastRead | None, *, keyless: int
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._shown = shown
        self._last = last
        self.only_counted = why_only_counted(settings.identity, last, keyless=keyless)
        """Why nobody is followed whatever the author says; empty: they are."""
        self._left_since = 0 if last is None else last.left_since
        self.count = 0
        """Contacts that left since the last complete read, and those before them that are followed now."""
        self._unmarked = 0

    @property
    def follows(self) -> bool:
        """Whether the contacts that left are followed in this run."""
        return self._settings.on_removed is not None and not self.only_counted

    def add_to(self, changes: PendingChanges, resource: Resource, differences: Differences) -> None:
        """Add a change for each contact that is to be followed.

        :param changes: of the run, the rows' complete.
        :raises PendingError: the changes cannot be kept.
        """
        before = changes.place
        for batch in self._journal.left.missing(self._shown):
            followed = [line for line in batch if self._is_followed(line, resource)]
            changes.add(self._change(line, resource, differences) for line in followed)
            newly = sum(line.was_there for line in batch)
            newly_followed = sum(line.was_there for line in followed)
            self.count += newly - newly_followed + len(followed)
            self._unmarked += newly - newly_followed
        if self._journal.reads.has_changed():
            # A task beside this one sends to the sync: what it has delivered meanwhile was not shown here either.
            self.only_counted = self.only_counted or ANOTHER_TASK
            changes.drop_since(before)

    def mark(self, resource: Resource) -> None:
        """Write down who has left and is not followed.

        :raises JournalError: the database failed, or another process has taken over.
        """
        if not self._unmarked and self.follows:
            return
        for batch in self._journal.left.missing(self._shown):
            self._journal.left.mark(
                [line.key for line in batch if line.was_there and not self._is_followed(line, resource)]
            )

    @property
    def left_since(self) -> int:
        """As of :class:`LastRead`, for the record of this read."""
        return self._journal.generation + 1 if self.only_counted else self._left_since

    def _is_followed(self, line: LeftLine, resource: Resource) -> bool:
        if not self.follows or resource.is_of_another_before(line.key):
            return False
        return line.was_there or line.generation >= self._left_since

    def _change(self, line: LeftLine, resource: Resource, differences: Differences) -> PendingChange:
        on_removed = self._settings.on_removed
        properties: Mapping[str, JsonValue] = on_removed if isinstance(on_removed, Mapping) else {}
        kind: Literal["patch", "delete"] = "patch" if isinstance(on_removed, Mapping) else "delete"
        patch = differences.removal(line.key, line.properties, kind, properties)
        return PendingChange(patch, line.key, Rank.URGENT if resource.is_urgent(properties) else Rank.REMOVED)


ANOTHER_TASK = "another task has sent to this sync since the last complete read"


def why_only_counted(identity: Mapping[str, Any], last: LastRead | None, *, keyless: int) -> str:
    """Why contacts that left are only counted in a run, in words for the log; empty: they may be followed. Pure.

    :param identity: of this read.
    :param last: the last complete read.
    :param keyless: rows without a valid key in this read.
    """
    if identity.get("sql") is None:
        return "the rows do not come from SQL of this task"
    if last is None:
        return "no complete read of the sync is known yet"
    changed = [name for name in _IN_WORDS if last.identity.get(name) != identity.get(name)]
    if changed:
        return f"since the last complete read another {' and another '.join(_IN_WORDS[name] for name in changed)}"
    if last.is_mixed:
        return ANOTHER_TASK
    if keyless > last.keyless:
        return f"{keyless:,} rows have no valid key, and {last.keyless:,} had none in the last complete read"
    return ""


_IN_WORDS = {
    "rule": "rule of keys",
    "task": "task",
    "host": "host",
    "key": "kind of key",
    "key_column": "key column",
    "sql_conn_id": "sql_conn_id",
    "sql": "SQL text",
}
