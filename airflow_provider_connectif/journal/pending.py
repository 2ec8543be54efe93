"""Stores the changes of a run between planning and sending: a few in memory, more in a file without a name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.journal.merging import are_rows, merged
from airflow_provider_connectif.journal.pending_file import PendingFile
from airflow_provider_connectif.journal.pending_lines import (
    COLUMNS,
    HELD,
    MERGED,
    REFUSED_AGAIN,
    WAITS,
    ChangeLines,
    PendingChange,
    Rank,
    size_of,
)
from airflow_provider_connectif.journal.plan_counts import PlanCounts
from airflow_provider_connectif.journal.seen_texts import SeenTexts
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.samples import evenly

__all__ = ["BATCH_CHANGES", "PENDING_LIMIT_BYTES", "PendingChange", "PendingChanges", "Rank"]

PENDING_LIMIT_BYTES = 10_000_000_000
BATCH_CHANGES = 500
_BATCH_BYTES = 4_000_000  # a batch of wide rows is shorter
_KEYS_AT_ONCE = 500


class PendingChanges:
    """The changes that a run has to send, one for each contact.

    Several rows of a contact become one change: see the module "merging".

    Rows are stored with their changes, for the rejects file, and to conceal values that a response quotes.

    The file is a SQLite database that is unlinked as soon as it is open. However the process ends, nothing remains.

    :param resource: merges two rows of one key.
    :param differences: reduces patches to the properties to send; ``None``: all properties are sent.
    :param folder: the folder of the file. Default: the system's temporary folder.
    :param limit_bytes: largest size of the file in bytes. A larger one is an error, since a source must end.
    :raises PendingError: the folder cannot be written to.
    """

    def __init__(
        self,
        resource: Resource,
        differences: Differences | None = None,
        *,
        folder: Path | None = None,
        limit_bytes: int = PENDING_LIMIT_BYTES,
    ) -> None:
        self._resource = resource
        self._differences = differences
        self._file = PendingFile(folder, limit_bytes)
        self._database = self._file.database
        self._lines = ChangeLines(resource)
        self.counts = PlanCounts(resource, sends_all=differences is not None and differences.sends_all)
        """The counts of the pending changes."""
        self._contacts = SeenTexts()
        self._is_indexed = False
        self._count = self._last_id = 0
        self._ranks: set[int] = set()
        self._position = (-1, 0)
        self.merged = 0
        """Number of rows that became part of another row's change."""
        self.merged_contacts: list[str] = []
        """The contacts of these rows. The caller clears the list."""

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> PendingChanges:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Delete the pending changes, and free their space."""
        self._file.close()

    def begin_sending(self) -> None:
        """Note that changes are sent from now on. Errors then do not say that nothing was sent."""
        self._file.is_sending = True

    @property
    def size_bytes(self) -> int:
        """The size of the file in bytes. While all changes are in memory, it is the size that the file would have."""
        return self._file.size_bytes

    @property
    def beside(self) -> int:
        """Number of urgent parts that are sent alone: their rows already have an outcome."""
        return self.count_of(Rank.BESIDE)

    def add(self, changes: Iterable[PendingChange]) -> None:
        """Add changes, in the order of their rows.

        :raises PendingError: the disk is full, or the limit is reached.
        """
        lines: dict[str, tuple[Any, ...]] = {}
        for change in changes:  # each is packed at once, since a line takes less memory than a change
            earlier = lines.get(change.contact)
            if earlier is not None:
                first = self._lines.unpacked(earlier)
                self.counts.add(first, -1)
                change = self._merged(first, change)
            self.counts.add(change)
            lines[change.contact] = self._lines.packed(change)
        if not lines:
            return
        size = sum(map(size_of, lines.values()))
        again = []
        for contact, (line_id, *line) in self._stored(self._contacts.add(lines)).items():
            both = self._lines.unpacked(line), self._lines.unpacked(lines.pop(contact))
            change = self._merged(*both)
            for part, sign in (*((part, -1) for part in both), (change, 1)):
                self.counts.add(part, sign)
            again.append((*self._lines.packed(change), line_id))
        last = self._last_id
        self._last_id += len(lines)
        new = [(line_id, *line) for line_id, line in enumerate(lines.values(), last + 1)]
        self._file.guarded(lambda: self._write(new, again), size)
        self._ranks.update(line[2] for line in new)
        self._ranks.update(line[1] for line in again)
        self._count += len(new)

    def holds(self, contacts: Collection[str]) -> set[str]:
        """Return those of some contacts that have a pending change."""
        return set(self._found(contacts))

    def patches_of(self, contacts: Collection[str]) -> dict[str, Patch]:
        """Return the pending patches of some contacts, by contact."""
        return {contact: self._lines.unpacked(line[1:]).patch for contact, line in self._found(contacts).items()}

    def take_acknowledged(self) -> Iterator[str]:
        """Yield the contacts of merged changes that Connectif has accepted already.

        These changes are removed when the last contact was yielded.
        """
        return (change.contact for change in self._taken(_IS_HELD, HELD))

    def take_single(self) -> Iterator[PendingChange]:
        """Yield changes of single rows that Connectif has accepted already.

        These changes are removed when the last one was yielded.
        """
        return self._taken(_IS_SINGLE, HELD)

    def take_refused(self) -> list[PendingChange]:
        """Remove and return merged changes that were rejected before and have not changed."""
        return list(self._taken(_IS_REFUSED, REFUSED_AGAIN))

    def _taken(self, which: str, flag: int | None = None) -> Iterator[PendingChange]:
        """Yield changes one by one, since there may be many; remove them after the last one.

        :param which: the SQL condition for the changes.
        :param flag: a flag that all of them have. If no change ever had it, the file is not read.
        """
        if flag is not None and not self._lines.flags & flag:
            return
        for line in self._file.rows(f"select {_COLUMNS} from changes where {which}"):  # noqa: S608
            change = self._lines.unpacked(line)
            self.counts.add(change, -1)
            yield change
        self._count -= self._file.change(f"delete from changes where {which}", [()])  # noqa: S608

    def contacts(self) -> Iterator[str]:
        """Yield the contacts of all changes, as keys in the journal's form."""
        for (contact,) in self._file.rows("select contact from changes"):
            yield contact.decode("utf-8", "surrogatepass")

    def unraise(self, contact: str) -> Digests | None:
        """Remove raised ranked properties from the change of a contact; it then counts as a change of several rows.

        :return: the digests to store for the contact, if nothing is left to send; otherwise ``None``.
        """
        if self._differences is None:
            return None
        ((_, *line),) = self._found([contact]).values()
        change = self._lines.unpacked(line)
        patch = self._differences.unraised(change.patch)
        now = change._replace(patch=patch, is_merged=True, is_held=not (patch.properties or patch.later))
        self.replace(now)
        return patch.digests if now.is_held else None

    def replace(self, change: PendingChange) -> None:
        """Replace the pending change of the same contact."""
        ((line_id, *line),) = self._found([change.contact]).values()
        self.counts.add(self._lines.unpacked(line), -1)
        self.counts.add(change)
        self._file.guarded(lambda: self._write([], [(*self._lines.packed(change), line_id)]), 0)
        self._ranks.add(change.rank)

    def drop(self, contacts: Collection[str]) -> None:
        """Remove the changes of some contacts."""
        found = self._found(contacts).values()
        for line in found:
            self.counts.add(self._lines.unpacked(line[1:]), -1)
        self._count -= self._file.change("delete from changes where id = ?", [(line[0],) for line in found])

    @property
    def place(self) -> int:
        """The id of the change that was added last; 0 if none was added."""
        return self._last_id

    def drop_since(self, place: int) -> None:
        """Remove the changes that were added since :attr:`place` had a value. Each must be of another contact."""
        for _ in self._taken(f"id > {int(place)}"):
            pass

    def count_of(self, rank: Rank) -> int:
        """Return the number of changes with a rank."""
        if rank not in self._ranks:
            return 0
        ((count,),) = self._file.rows("select count(*) from changes where rank = ?", (rank,))
        return int(count)

    def batches(self, only: Collection[Rank] = tuple(Rank)) -> Iterator[list[Patch]]:
        """Yield the patches in batches, in the order of their ranks, and within a rank in the order of their rows.

        A batch is read when it is needed. It has 500 patches at most, and fewer if they are large.

        :param only: the ranks of the patches to yield. Default: all.
        """
        # One query for all ranks would sort all changes in memory.
        for rank in sorted(self._ranks.intersection(only)):
            self._position = (rank, 0)
            while batch := self._batch(*self._position):
                self._position = (rank, batch[-1][0])
                yield [patch for _, patch in batch]

    def waiting(self) -> Iterator[Patch]:
        """Yield the patches whose number of requests depends on a response or a look-up."""
        for line in self._file.rows(f"select {_COLUMNS} from changes where flags & {WAITS}"):  # noqa: S608
            yield self._lines.unpacked(line).patch

    def spread(self, most: int) -> list[Patch]:
        """Return patches that are spread evenly over those that :meth:`batches` has not yielded yet.

        :meth:`batches` does not yield the returned patches any more.

        :param most: largest number of patches.
        """
        rank, last = self._position
        left = "not taken and (rank > ? or (rank = ? and id > ?))"
        query = f"select id from changes where {left} order by rank, id"  # noqa: S608 - a text of ours
        ((count,),) = self._file.rows(f"select count(*) from changes where {left}", (rank, rank, last))  # noqa: S608
        places = set(evenly(count, most))
        ids = [row[0] for place, row in enumerate(self._file.rows(query, (rank, rank, last))) if place in places]
        marks = ",".join("?" * len(ids))
        self._file.change(f"update changes set taken = 1 where id in ({marks})", [ids])  # noqa: S608 - marks only
        found = self._file.rows(f"select {_COLUMNS} from changes where id in ({marks})", ids)  # noqa: S608
        return [self._lines.unpacked(line).patch for line in found]

    def _batch(self, rank: int, last: int) -> list[tuple[int, Patch]]:
        found, size = [], 0
        for line in self._file.rows(_SELECT_RANK, (rank, last, BATCH_CHANGES)):
            found.append((line[0], self._lines.unpacked(line[1:]).patch))
            size += size_of(line)
            if size >= _BATCH_BYTES:
                break
        return found

    def _merged(self, earlier: PendingChange, later: PendingChange) -> PendingChange:
        if are_rows(earlier, later):
            self.merged += 1
            self.merged_contacts.append(earlier.contact)
        return merged(earlier, later, self._resource, self._differences)

    def _found(self, contacts: Collection[str]) -> dict[str, Sequence[Any]]:
        """Return the lines of some contacts, by contact. The first value of a line is its id."""
        return self._stored(self._contacts.maybe(contacts) if self._count else [])

    def _stored(self, asked: Collection[str]) -> dict[str, Sequence[Any]]:
        """Return the lines of some contacts, by contact, each read from the file, whether or not it may have one."""
        if not asked:
            return {}
        if not self._is_indexed:
            self._file.guarded(lambda: self._database.execute(_INDEX_ALL), 0)
            self._is_indexed = True
        by_key = {contact.encode("utf-8", "surrogatepass"): contact for contact in asked}
        keys = list(by_key)
        found: dict[str, Sequence[Any]] = {}
        for first in range(0, len(keys), _KEYS_AT_ONCE):
            part = keys[first : first + _KEYS_AT_ONCE]
            query = _SELECT_CONTACTS.format(",".join("?" * len(part)))
            found.update((by_key[line[1]], line) for line in self._file.rows(query, part))
        return found

    def _write(self, new: Sequence[tuple[Any, ...]], again: Sequence[tuple[Any, ...]]) -> None:
        self._database.executemany(_INSERT, new)
        if self._is_indexed:
            self._database.executemany("insert or replace into places values (?, ?)", [line[1::-1] for line in new])
        if again:
            self._database.executemany(_UPDATE, again)


# The index is made when a contact may occur for the second time. Without an index, a write takes a third less time.
_INDEX_ALL = "insert into places (contact, id) select contact, id from changes"
_COLUMNS = ", ".join(COLUMNS)
_INSERT = f"insert into changes (id, {_COLUMNS}) values (?{', ?' * len(COLUMNS)})"  # noqa: S608 - names of ours
_UPDATE = f"update changes set {', '.join(f'{name} = ?' for name in COLUMNS)} where id = ?"  # noqa: S608 - likewise
_SELECT_CONTACTS = (
    f"select changes.id, {', '.join(f'changes.{name}' for name in COLUMNS)} "  # noqa: S608 - names of ours, and marks
    "from places join changes on changes.id = places.id where places.contact in ({})"
)
_SELECT_RANK = f"select id, {_COLUMNS} from changes where rank = ? and id > ? and not taken order by id limit ?"  # noqa: S608
_IS_HELD = f"flags & {MERGED | HELD} = {MERGED | HELD}"
_IS_SINGLE = f"flags & {MERGED | HELD} = {HELD}"
_IS_REFUSED = f"flags & {MERGED | REFUSED_AGAIN} = {MERGED | REFUSED_AGAIN}"
