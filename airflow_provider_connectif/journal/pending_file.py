"""The file of pending changes: a SQLite database in a file without a name."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from airflow_provider_connectif.records.folder_faults import (
    FOLDER_ADVICE,
    NOTHING_SENT,
    SPACE_ADVICE,
    cause_of,
    is_full,
)
from airflow_provider_connectif.records.outcomes import PendingError
from airflow_provider_connectif.reporting.formats import describe_bytes

T = TypeVar("T")

_CACHE_KIB = 4_000
_PAGE_BYTES = 8192


class PendingFile:
    """A SQLite database whose file is unlinked as soon as it is open. However the process ends, nothing remains.

    After a failed write or read, each further one raises the same error.

    :param folder: the folder of the file. Default: the system's temporary folder.
    :param limit_bytes: largest size of the file in bytes.
    :raises PendingError: the folder cannot be written to.
    """

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        self._limit_bytes = limit_bytes
        self._size = 0
        self._failure: PendingError | None = None
        self.is_sending = False
        """Whether changes may have been sent, so that no error says that nothing was sent."""
        self.database = self._opened()
        """The database with the tables ``changes`` and ``places``, to be written within :meth:`guarded`."""
        self.database.execute(f"pragma max_page_count = {max(8, limit_bytes // _PAGE_BYTES)}")

    def close(self) -> None:
        """Delete the file's content, and release its space."""
        with suppress(sqlite3.Error):
            self.database.close()

    @property
    def size_bytes(self) -> int:
        """The size of the file, or its future size while everything is in memory. After a failure: the last one."""
        if self._failure is None:
            with suppress(sqlite3.Error):
                (pages,) = self.database.execute("pragma page_count").fetchone()
                self._size = int(pages) * _PAGE_BYTES
        return self._size

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """Yield the rows of a query.

        :raises PendingError: the file cannot be read, or an earlier write or read has failed. A failed write leaves a
            torn file, since SQLite keeps no journal of it: what it still has is not known.
        """
        self._check()
        try:
            yield from self.database.execute(query, values)
            return
        except sqlite3.Error as error:
            words = str(error)
        raise self._failed(
            f"the pending changes cannot be read ({words}; {self._where(self._size)}){self._nothing_sent}"
        )

    def change(self, statement: str, values: Sequence[Sequence[Any]]) -> int:
        """Execute a statement once with each of some values; return the number of rows that it has changed.

        :raises PendingError: as :meth:`guarded`.
        """
        return self.guarded(lambda: self.database.executemany(statement, values), 0).rowcount

    def guarded(self, write: Callable[[], T], added_bytes: int) -> T:
        """Write in one transaction; return the result of ``write``.

        :param added_bytes: approximate number of bytes that are added.
        :raises PendingError: the disk is full, the limit is reached, or the file cannot be written to, now or earlier.
        """
        self._check()
        size = self.size_bytes  # before the write: afterwards it may be impossible to read
        try:
            self.database.execute("begin")
            result = write()
            self.database.execute("commit")
            self._size = size + added_bytes
            return result
        except sqlite3.Error as error:
            # "database or disk is full" is the error for both the limit and the disk.
            is_full = _is_full(error)
            words = str(error)
        where = self._where(size + added_bytes)
        if is_full and size + added_bytes >= 0.9 * self._limit_bytes:
            raise self._failed(
                f"the pending changes reach pending_limit, {self._limit_bytes / 1e9:g} GB ({where})"
                f"{self._nothing_sent}. Check that the query or function ends; if so many changes are right, raise "
                "pending_limit",
                final=True,
            )
        if is_full:
            raise self._failed(
                f"the disk is full: the pending changes take {where} so far{self._nothing_sent}. {SPACE_ADVICE}"
            )
        raise self._failed(
            f"the pending changes cannot be written ({words}; {where}){self._nothing_sent}. {FOLDER_ADVICE}"
        )

    def _check(self) -> None:
        if self._failure is not None:
            raise PendingError(str(self._failure), final=self._failure.final)

    def _failed(self, words: str, *, final: bool = False) -> PendingError:
        self._failure = PendingError(words, final=final)
        return self._failure

    @property
    def _nothing_sent(self) -> str:
        return "" if self.is_sending else NOTHING_SENT

    def _where(self, size_bytes: int) -> str:
        return f"{describe_bytes(size_bytes)} in {str(self._folder)!r}"

    def _opened(self) -> sqlite3.Connection:
        # Named beforehand, and not by tempfile: the task's time limit may interrupt any line, also the one that creates
        # the file.
        name = os.path.join(self._folder, f"connectif-pending-{uuid.uuid4().hex}")
        try:
            try:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o600))
                database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
                # After the first write the file stays open, and no longer needs a name.
                database.executescript(_SCHEMA)
            finally:
                try:  # noqa: SIM105 - suppress() is written in Python, so an interruption could come before the unlink
                    os.unlink(name)
                except FileNotFoundError:  # the file could not be created
                    pass
        except (OSError, sqlite3.Error) as error:
            advice = SPACE_ADVICE if _is_full(error) else FOLDER_ADVICE
            raise PendingError(
                f"the pending changes cannot be stored in {str(self._folder)!r} ({cause_of(error)}); nothing was sent. "
                f"{advice}"
            ) from None
        return database


def _is_full(error: OSError | sqlite3.Error) -> bool:
    if isinstance(error, OSError):
        return is_full(error)
    return getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE")


_SCHEMA = f"""
pragma page_size = {_PAGE_BYTES};
pragma journal_mode = off;
pragma synchronous = off;
pragma locking_mode = exclusive;
pragma temp_store = memory;
pragma cache_size = -{_CACHE_KIB};
create table changes (
    id integer primary key, contact blob not null, rank integer not null, number integer not null,
    flags integer not null, payload blob not null, taken integer not null default 0
);
create table places (contact blob primary key, id integer not null) without rowid;
"""
