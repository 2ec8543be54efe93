"""The changes of a run between planning and sending: in memory while they are few, then in a file without a name."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from airflow_provider_connectif.journal.differences import Difference, Differences
from airflow_provider_connectif.journal.properties import Known
from airflow_provider_connectif.records.changes import Digests, Patch, conditions_of, with_conditions
from airflow_provider_connectif.records.outcomes import PendingError
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.rejects import jsonable

PENDING_LIMIT_BYTES = 10_000_000_000
BATCH_CHANGES = 500
_BATCH_BYTES = 4_000_000  # a batch of wide rows is shorter
_CACHE_KIB = 16_000
_PAGE_BYTES = 8192
_KEY_BYTES = 16  # of a contact's digest; a hundred million contacts collide with a probability below 1e-22
_KEYS_AT_ONCE = 500
_encoded = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps would make one for each


class Rank(IntEnum):
    """The order in which changes are sent; the lowest first.

    ``BESIDE``: must not wait, though its row is not sent and has its outcome. ``URGENT``: must not wait behind the
    others, whether the contact is new, was rejected before, or neither.
    """

    BESIDE = 0
    URGENT = 1
    NEW = 2
    CHANGED = 3
    REJECTED_BEFORE = 4


class PendingChange(NamedTuple):
    """A patch that is to be sent.

    ``patch``: with the digests that the journal gets. ``contact``: the one form of the contact's key
    (:meth:`airflow_provider_connectif.records.resource.Resource.same_key`). ``rank``: when it is sent.
    ``known_whole``: the digest of all that Connectif holds, where its properties are not known one by one.
    ``refused_digest``: of what was refused last. ``is_merged``: the change is made of several rows; then ``is_held``:
    Connectif holds all of it, ``is_refused``: it was refused as it is.
    """

    patch: Patch
    contact: str
    rank: Rank = Rank.NEW
    known_whole: str | None = None
    refused_digest: str | None = None
    is_merged: bool = False
    is_held: bool = False
    is_refused: bool = False


class PendingChanges:
    """What a run has to send, one change for each contact.

    Several rows of one contact become one change, by :meth:`Resource.merged`. Such a change has no row digest,
    so that its rows do not look unchanged one by one the next time.

    Rows stay beside their changes: for the file of refused rows, and to conceal what a server quotes of them.

    The file is a SQLite database that is unlinked as soon as it is open: whatever ends the process, nothing remains.

    :param resource: says what two rows of one key make together.
    :param differences: what of a patch is to be sent; ``None``: all of each.
    :param folder: where the file lies. Default: the system's temporary folder.
    :param limit_bytes: more than this is an error, since a source must end.
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
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        self._database = self._opened()
        self._database.execute(f"pragma max_page_count = {max(8, limit_bytes // _PAGE_BYTES)}")
        self._limit_bytes = limit_bytes
        self._count = 0
        self._position = (-1, 0)
        self.merged = 0
        """Rows that became part of another row's change."""

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> PendingChanges:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is pending, and the space it takes."""
        with suppress(sqlite3.Error):
            self._database.close()

    @property
    def beside(self) -> int:
        """How many changes are no row's: their rows have an outcome already."""
        return self.count_of(Rank.BESIDE)

    @property
    def size_bytes(self) -> int:
        """The size of the file, or what it would have where all is still in memory."""
        (pages,) = self._database.execute("pragma page_count").fetchone()
        return int(pages) * _PAGE_BYTES

    def add(self, changes: Iterable[PendingChange]) -> None:
        """Keep changes, in the order of their rows.

        :raises PendingError: the disk is full, or the limit is reached.
        """
        by_contact: dict[bytes, PendingChange] = {}
        for change in changes:
            digest = _digest(change.contact)
            earlier = by_contact.get(digest)
            by_contact[digest] = change if earlier is None else self._merged(earlier, change)
        if not by_contact:
            return
        known = self._rows_of(by_contact)
        for digest, row in known.items():
            by_contact[digest] = self._merged(_unpacked(row), by_contact[digest])
        lines = [self._packed(digest, change) for digest, change in by_contact.items()]
        self._guarded(lambda: self._database.executemany(_UPSERT, lines), sum(len(line[-1]) for line in lines))
        self._count += len(by_contact) - len(known)

    def holds(self, contacts: Collection[str]) -> set[str]:
        """Which of these contacts have a change that is pending."""
        if not self._count or not contacts:
            return set()
        by_digest = {_digest(contact): contact for contact in contacts}
        return {by_digest[digest] for digest in self._rows_of(by_digest)}

    def patches_of(self, contacts: Collection[str]) -> dict[str, Patch]:
        """The patches of these contacts that are pending."""
        by_digest = {_digest(contact): contact for contact in contacts}
        found = self._rows_of(by_digest)
        return {by_digest[digest]: _unpacked(row).patch for digest, row in found.items()}

    def drop_acknowledged(self) -> int:
        """Take out merged changes that Connectif holds already; how many."""
        dropped = self._database.execute("delete from changes where merged and held").rowcount
        self._count -= dropped
        return dropped

    def take_refused(self) -> list[PendingChange]:
        """Take out merged changes that were refused before as they are."""
        is_refused = "merged and refused_again"
        found = self._database.execute(f"select {_COLUMNS} from changes where {is_refused}").fetchall()  # noqa: S608
        self._database.execute(f"delete from changes where {is_refused}")  # noqa: S608 - a text of ours
        self._count -= len(found)
        return [_unpacked(row) for row in found]

    def count_of(self, rank: Rank) -> int:
        """How many changes have a rank."""
        return int(self._database.execute("select count(*) from changes where rank = ?", (rank,)).fetchone()[0])

    def batches(self) -> Iterator[list[Patch]]:
        """All patches in the order of their rank, then of their rows; read while they are sent.

        A batch has at most 500 patches, and fewer of large ones.
        """
        ranks = [rank for (rank,) in self._database.execute("select distinct rank from changes order by rank")]
        for rank in ranks:
            self._position = (rank, 0)
            while batch := self._batch(*self._position):
                self._position = (rank, batch[-1][0])
                yield [patch for _, patch in batch]

    def spread(self, most: int) -> list[Patch]:
        """Patches taken evenly from those that :meth:`batches` has not given yet, and will not give any more."""
        rank, last = self._position
        left = "not taken and (rank > ? or (rank = ? and id > ?))"
        query = f"select id from changes where {left} order by rank, id"  # noqa: S608 - a text of ours
        (count,) = self._database.execute(f"select count(*) from changes where {left}", (rank, rank, last)).fetchone()  # noqa: S608
        places = {n * (count - 1) // max(1, most - 1) for n in range(most)} if count > most else set(range(count))
        ids = [row[0] for place, row in enumerate(self._database.execute(query, (rank, rank, last))) if place in places]
        marks = ",".join("?" * len(ids))
        self._database.execute(f"update changes set taken = 1 where id in ({marks})", ids)  # noqa: S608 - marks only
        found = self._database.execute(f"select {_COLUMNS} from changes where id in ({marks})", ids)  # noqa: S608
        return [_unpacked(row).patch for row in found]

    def _batch(self, rank: int, last: int) -> list[tuple[int, Patch]]:
        found, size = [], 0
        for row in self._database.execute(_SELECT_RANK, (rank, last, BATCH_CHANGES)):
            found.append((row[0], _unpacked(row[1:]).patch))
            size += len(row[-1])
            if size >= _BATCH_BYTES:
                break
        return found

    def _merged(self, earlier: PendingChange, later: PendingChange) -> PendingChange:
        both = (earlier.patch, later.patch)
        rows = [patch for patch in both if patch.counted_as is None]
        self.merged += len(rows) == len(both)
        properties = self._resource.merged(earlier.patch.whole, later.patch.whole)
        patch = (rows or both)[-1]._replace(
            properties=properties,
            others={},
            later={},
            looks_up=False,
            is_new=all(patch.is_new for patch in both),
            was_delivered=any(patch.was_delivered for patch in both),
        )
        if self._differences is None or earlier.patch.digests is None:
            merged = Difference(self._resource.arrange(patch, properties.keys()), is_held=False, is_refused=False)
        else:
            known = Known(earlier.patch.digests.before, earlier.known_whole)
            merged = self._differences.of(patch, earlier.contact, known, "", earlier.refused_digest)
        ranks = [change.rank for change in (earlier, later) if change.rank is not Rank.BESIDE]
        if rows and len(ranks) < len(both) and self._resource.is_urgent(merged.patch.properties):
            ranks.append(Rank.URGENT)
        return earlier._replace(
            patch=merged.patch,
            rank=min(ranks, default=Rank.BESIDE),
            is_merged=bool(rows),
            is_held=merged.is_held,
            is_refused=merged.is_refused,
        )

    def _rows_of(self, digests: Collection[bytes]) -> dict[bytes, Sequence[Any]]:
        if not self._count:
            return {}
        found: dict[bytes, Sequence[Any]] = {}
        asked = list(digests)
        for first in range(0, len(asked), _KEYS_AT_ONCE):
            part = asked[first : first + _KEYS_AT_ONCE]
            query = _SELECT_CONTACTS.format(",".join("?" * len(part)))
            found.update((row[0], row[1:]) for row in self._database.execute(query, part))
        return found

    def _packed(self, digest: bytes, change: PendingChange) -> tuple[Any, ...]:
        patch, digests = change.patch, change.patch.digests
        payload = _encoded(
            [
                patch.key,
                None if change.contact == patch.key else change.contact,
                patch.is_new,
                patch.properties,
                patch.others or None,
                jsonable(patch.row),
                None if digests is None else digests[:3],
                change.known_whole,
                change.refused_digest,
                conditions_of(patch),
            ]
        ).encode("utf-8", "surrogatepass")
        before, after = (None, None) if digests is None else (digests.before, digests.properties)
        flags = (change.is_merged, change.is_held, change.is_refused)
        return (digest, change.rank, patch.number, *flags, before, after, payload)

    def _opened(self) -> sqlite3.Connection:
        try:
            handle, name = tempfile.mkstemp(prefix="connectif-pending-", dir=self._folder)
            os.close(handle)
            try:
                database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
                # The first write opens the file for good; then it needs no name any more.
                database.executescript(_SCHEMA)
            finally:
                os.unlink(name)
        except (OSError, sqlite3.Error) as error:
            raise PendingError(f"pending changes cannot be kept in {str(self._folder)!r}: {error}") from None
        return database

    def _guarded(self, write: Callable[[], object], added_bytes: int) -> None:
        size = 0
        try:
            self._database.execute("begin")
            write()
            self._database.execute("commit")
            return
        except sqlite3.Error as error:
            # "database or disk is full" stands for both the limit and the disk.
            is_full = getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
            with suppress(sqlite3.Error):
                size = self.size_bytes
            words = str(error)
        where = f"{size / 1e6:,.0f} MB in {str(self._folder)!r}"
        if is_full and size + added_bytes >= 0.9 * self._limit_bytes:  # the size may be that before the write
            raise PendingError(
                f"the pending changes exceed pending_limit, {self._limit_bytes / 1e9:g} GB ({where}): "
                "does the source end?",
                final=True,
            )
        if is_full:
            raise PendingError(f"the disk is full: the pending changes take {where} so far; nothing was sent")
        raise PendingError(f"the pending changes cannot be written ({words}; {where}); nothing was sent")


_SCHEMA = f"""
pragma page_size = {_PAGE_BYTES};
pragma journal_mode = off;
pragma synchronous = off;
pragma locking_mode = exclusive;
pragma temp_store = memory;
pragma cache_size = -{_CACHE_KIB};
create table changes (
    id integer primary key, contact blob not null, rank integer not null, number integer not null,
    merged integer not null, held integer not null, refused_again integer not null, before blob, after blob,
    payload blob not null, taken integer not null default 0
);
create unique index contact on changes (contact);
"""
_UPSERT = (
    "insert into changes (contact, rank, number, merged, held, refused_again, before, after, payload) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "on conflict (contact) do update set rank = excluded.rank, number = excluded.number, merged = excluded.merged, "
    "held = excluded.held, refused_again = excluded.refused_again, after = excluded.after, payload = excluded.payload"
)
_COLUMNS = "rank, number, merged, held, refused_again, before, after, payload"
_SELECT_CONTACTS = f"select contact, {_COLUMNS} from changes where contact in ({{}})"  # noqa: S608 - marks only
_SELECT_RANK = f"select id, {_COLUMNS} from changes where rank = ? and id > ? and not taken order by id limit ?"  # noqa: S608


def _digest(contact: str) -> bytes:
    return hashlib.blake2b(contact.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def _unpacked(row: Sequence[Any]) -> PendingChange:
    rank, number, is_merged, is_held, is_refused, before, after, payload = row
    key, contact, is_new, properties, others, source_row, of_change, whole, refused, conditions = json.loads(payload)
    digests = None
    if of_change is not None:
        row_digest, patch_digest, mapping_digest = of_change
        digests = Digests(row_digest, patch_digest, mapping_digest, after, before)
    patch = Patch(number, key, properties, source_row, digests, is_new=is_new, others=others or {})
    patch = with_conditions(patch, conditions)
    flags = (bool(is_merged), bool(is_held), bool(is_refused))
    return PendingChange(patch, key if contact is None else contact, Rank(rank), whole, refused, *flags)
