"""Finds the contacts that left the source, and plans what to do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_connectif.journal.digests import digest_salt
from airflow_provider_connectif.journal.left_lines import LeftLine
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.journal.spellings import sent_key
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import JsonValue
from airflow_provider_connectif.records.reads import MOST_KEYLESS_DIGESTS, Asker, Keyless, LastRead
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.runs.comparison import Comparison


@dataclass(frozen=True)
class ReadSettings:
    """The settings of a read that concern contacts that left the source.

    :param identity: the digest of the read's question: :func:`airflow_provider_connectif.records.reads.identity_of`.
    :param counts_left: whether to find the contacts that left the source.
    :param on_removed: the action for these contacts: ``delete``, or the properties to set; ``None``: no action.
    """

    identity: Mapping[str, Any] = field(default_factory=dict)
    counts_left: bool = False
    on_removed: Literal["delete"] | Mapping[str, JsonValue] | None = None


class Departures:
    """Finds the contacts that left the source, and plans changes for those to which ``on_removed`` applies now.

    :param journal: the open journal.
    :param settings: the author's settings.
    :param shown: all keys of the source.
    :param comparison: the comparison of this read, after the last row.
    """

    def __init__(self, journal: Journal, settings: ReadSettings, shown: ShownKeys, comparison: Comparison) -> None:
        self._journal = journal
        self._settings = settings
        self._shown = shown
        self._keyless_rows, self._keyless = comparison.keyless, comparison.keyless.record
        self._differences = comparison.differences
        self._last, asker = journal.reads.last, journal.reads.asker
        self._asker = asker if asker is not None else Asker(settings.identity, journal.generation)
        self.only_counted = why_only_counted(
            self._asker, self._last, keyless=self._keyless, came_back=comparison.came_back
        )
        """The reason why contacts that left are only counted, whatever ``on_removed`` is; empty: there is none."""
        self.are_of_others = are_of_others(self._asker, self._last)
        """Whether the contacts that seem to have left may be those of another task."""
        self.count = 0
        """Number of contacts that left since the last complete read, and earlier ones whose change is planned now.

        A contact whose ``on_removed`` was rejected counts again, in any case: guards still count it as known, too.
        """
        self.earlier = 0
        """Number of those in :attr:`count` that left before the last complete read."""
        self.postponed = 0
        """Number of contacts that left, but have no change yet, since a row without a valid key may be theirs."""
        self.shared = 0
        """Number of contacts that left, but have no change, since other syncs still have them."""
        self.sharing: set[str] = set()
        """The ids of these syncs."""
        self._unmarked = 0

    @property
    def what_follows(self) -> str:
        """The effect of later runs on contacts that are only counted, for the log; empty: it is not known."""
        if self._asker.identity.get("sql") is None or self.only_counted == ANOTHER_TASK:
            return ""
        if self._last is None or self._last.is_of(self._asker):
            return "A later run carries it out for those that have certainly left"
        return "No later run carries it out for contacts that no read since then has shown"

    @property
    def follows(self) -> bool:
        """Whether this run plans changes for contacts that left."""
        return self._settings.on_removed is not None and not self.only_counted

    def add_to(self, changes: PendingChanges, resource: Resource) -> None:
        """Add the planned changes for contacts that left.

        :param changes: the changes of the run, which has read its last row.
        :raises PendingError: the changes cannot be stored.
        """
        before, new, not_new, unmarked = changes.place, 0, 0, 0
        for batch in self._journal.left.missing(self._shown):
            due = [line for line in batch if self._is_due(line)]
            certain = [line for line in due if not self._may_be_there(line)]
            shared = self._of_other_syncs(certain)
            followed = [line for line in certain if line.key not in shared]
            changes.add(self._change(line, resource) for line in followed)
            self.postponed += len(due) - len(certain)
            self.shared += len(shared)
            self.sharing.update(*shared.values())
            new += sum(map(self._is_new, batch))
            not_new += sum(not self._is_new(line) for line in followed)
            unmarked += sum(not line.is_marked for line in batch)
            self.earlier += sum(left_earlier(line, self._last) for line in followed)
            self._unmarked -= sum(not line.is_marked for line in followed)
        if self._journal.reads.has_changed():
            # Another task reads for the sync at the same time: the contacts that it delivers are not in this source.
            self.only_counted = self.only_counted or ANOTHER_TASK
            self.are_of_others = True
            changes.drop_since(before)
            not_new = self.earlier = self._unmarked = self.postponed = self.shared = 0
        self.count = new + not_new
        self._unmarked += unmarked

    def mark(self) -> None:
        """Mark the lines of contacts that left and have no change.

        :raises JournalError: the database failed, or another process has taken over.
        """
        if not self._unmarked:
            return
        for batch in self._journal.left.missing(self._shown):
            left = [line for line in batch if not line.is_marked]
            certain = [line for line in left if self._is_due(line) and not self._may_be_there(line)]
            followed = {line.key for line in certain}.difference(self._of_other_syncs(certain))
            self._journal.left.mark([line.key for line in left if line.key not in followed])

    @property
    def looked_since(self) -> int:
        """The value of :attr:`LastRead.looked_since` for the record of this read."""
        is_first = self._last is None or not self._last.is_of(self._asker) or not self._last.looked_since
        return self._journal.generation if is_first or self._last is None else self._last.looked_since

    def _is_new(self, line: LeftLine) -> bool:
        """Whether the contact has left since the last complete read. An attempt after that read may have marked it."""
        return not line.is_marked or self._last is None or line.generation > self._last.generation

    def _is_due(self, line: LeftLine) -> bool:
        return self.follows and self._last is not None and was_shown(line, self._asker, self._last)

    def _may_be_there(self, line: LeftLine) -> bool:
        """Whether a row without a valid key may be the contact's.

        It may if this read has a row without a key that an earlier read with the contact did not have. It may, too, if
        the values of such a row do not differ from the contact's.
        """
        if self._last is None:
            return True
        was_shown_last = self._last.has_looked and not line.is_marked
        earlier = self._last.keyless if was_shown_last else self._last.always_keyless
        return self._keyless.has_others_than(earlier) or self._keyless_rows.may_have(
            line.key, line.properties, self._differences
        )

    def _of_other_syncs(self, left: Sequence[LeftLine]) -> Mapping[str, Sequence[str]]:
        """Return those of these contacts that other syncs still have, each with the ids of these syncs."""
        way = digest_salt(str(self._asker.identity.get("host")))
        return self._journal.other_syncs.having([line.key for line in left], way)

    def _change(self, line: LeftLine, resource: Resource) -> PendingChange:
        on_removed = self._settings.on_removed
        properties: Mapping[str, JsonValue] = on_removed if isinstance(on_removed, Mapping) else {}
        kind: Literal["patch", "delete"] = "patch" if isinstance(on_removed, Mapping) else "delete"
        # Where the spelling is not known, the journal's form of the key is the best guess.
        sent = sent_key(line.key, line.spelling) or line.key
        patch = self._differences.removal(line.key, sent, line.properties, kind, properties)
        return PendingChange(patch, line.key, Rank.URGENT if resource.is_urgent(properties) else Rank.REMOVED)


def are_of_others(asker: Asker, last: LastRead | None) -> bool:
    """Whether contacts that this read does not show may be those of another task. Pure.

    They may if another task has read for the sync since the last read of this task, or reads now.

    :param asker: the reader of this read.
    :param last: the last complete read.
    """
    if last is None or last.identity.get("task") != asker.identity.get("task"):
        return last is not None
    # If only the question differs, this task itself has begun a new series.
    return dict(last.identity) == dict(asker.identity) and not last.is_of(asker)


def left_earlier(line: LeftLine, last: LastRead | None) -> bool:
    """Whether a contact was already missing in the last complete read. Pure."""
    return (line.is_marked or line.is_rejected) and last is not None and line.generation <= last.generation


ANOTHER_TASK = "another task has read for this sync since the last complete read"


def was_shown(line: LeftLine, asker: Asker, last: LastRead) -> bool:
    """Whether an earlier read with the same question, and no other question in between, has shown the contact. Pure.

    :param line: the line of a contact that this read does not show.
    :param asker: the reader of this read.
    :param last: the last complete read, of the same series.
    """
    if line.delivered_generation is not None and line.delivered_generation >= asker.since:
        return True
    # A read that looks for contacts that left marks the contacts that it does not show. So it has shown those that are
    # not marked, and those that a later read has marked.
    # This also excludes lines that were written under another rule of keys, for another contact: no read with today's
    # rule has shown their key.
    return last.looked_since > 0 and (not line.is_marked or line.generation > last.looked_since)


def why_only_counted(asker: Asker, last: LastRead | None, *, keyless: Keyless, came_back: int = 0) -> str:
    """Return, for the log, why contacts that left are only counted; empty: changes may be planned for them. Pure.

    :param asker: the reader of this read.
    :param last: the last complete read.
    :param keyless: the rows without a valid key in this read.
    :param came_back: number of contacts that an earlier read has marked as left, and that this one shows.
    """
    if asker.identity.get("sql") is None:
        return "the rows do not come from SQL of this task"
    if last is None:
        return "no complete read of the sync is known yet"
    changed = [name for name in _IN_WORDS if last.identity.get(name) != asker.identity.get(name)]
    if changed:
        names = " and the ".join(_IN_WORDS[name] for name in changed)
        return f"the {names} {'has' if len(changed) == 1 else 'have'} changed since the last complete read"
    if not last.is_of(asker):
        return ANOTHER_TASK
    if keyless.digests is None:
        return f"more than {MOST_KEYLESS_DIGESTS} rows have no valid key, and any of them may be theirs"
    if keyless.count > last.keyless.count:
        return (
            f"{keyless.count:,} rows have no valid key, and {last.keyless.count:,} had none in the last complete read"
        )
    if keyless.has_others_than(last.keyless):
        return "a row without a valid key had one in the last complete read, or was not in it"
    if keyless.count and (came_back or asker.came_back):
        # Rows without a key are known only by their other columns. If two rows have the same, one may have got its key
        # back, and the other one may have lost its key.
        return "rows have no valid key, and contacts that have come back may have been such rows before"
    return ""


_IN_WORDS = {
    "rule": "rule of keys",
    "task": "task that reads for the sync",
    "host": "host",
    "key": "kind of key",
    "key_column": "key column",
    "sql_conn_id": "sql_conn_id",
    "hook_params": "argument hook_params",
    "sql": "SQL text",
    "parameters": "argument parameters",
}
