"""The file of pending changes: a SQLite database in a file without a name."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from airflow_provider_connectif.records.outcomes import PendingError

_CACHE_KIB = 4_000
_PAGE_BYTES = 8192


class PendingFile:
    """A SQLite database whose file is unlinked as soon as it is open. However the process ends, nothing remains.

    :param folder: the folder of the file. Default: the system's temporary folder.
    :param limit_bytes: largest size of the file in bytes.
    :raises PendingError: the folder cannot be written to.
    """

    def __init__(self, folder: Path | None, limit_bytes: int) -> None:
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        self._limit_bytes = limit_bytes
        self.database = self._opened()
        """The database with the tables ``changes`` and ``places``. Outside :meth:`guarded`, each statement commits."""
        self.database.execute(f"pragma max_page_count = {max(8, limit_bytes // _PAGE_BYTES)}")

    def close(self) -> None:
        """Delete the file's content, and release its space."""
        with suppress(sqlite3.Error):
            self.database.close()

    @property
    def size_bytes(self) -> int:
        """The size of the file, or its future size while everything is in memory."""
        (pages,) = self.database.execute("pragma page_count").fetchone()
        return int(pages) * _PAGE_BYTES

    def guarded(self, write: Callable[[], object], added_bytes: int) -> None:
        """Write in one transaction.

        :param added_bytes: approximate number of bytes that are added.
        :raises PendingError: the disk is full, the limit is reached, or the file cannot be written to.
        """
        size = 0
        try:
            self.database.execute("begin")
            write()
            self.database.execute("commit")
            return
        except sqlite3.Error as error:
            # "database or disk is full" is the error for both the limit and the disk.
            is_full = getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
            with suppress(sqlite3.Error):
                size = self.size_bytes
            words = str(error)
        where = f"{size / 1e6:,.0f} MB in {str(self._folder)!r}"
        if is_full and size + added_bytes >= 0.9 * self._limit_bytes:  # the size may be that before the write
            raise PendingError(
                f"the pending changes reach pending_limit, {self._limit_bytes / 1e9:g} GB ({where}); nothing was sent. "
                "Check that the query or function ends; if so many changes are right, raise pending_limit",
                final=True,
            )
        if is_full:
            raise PendingError(f"the disk is full: the pending changes take {where} so far; nothing was sent")
        raise PendingError(f"the pending changes cannot be written ({words}; {where}); nothing was sent")

    def _opened(self) -> sqlite3.Connection:
        try:
            handle, name = tempfile.mkstemp(prefix="connectif-pending-", dir=self._folder)
            os.close(handle)
            try:
                database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
                # After the first write the file stays open, and no longer needs a name.
                database.executescript(_SCHEMA)
            finally:
                os.unlink(name)
        except (OSError, sqlite3.Error) as error:
            raise PendingError(
                f"the pending changes cannot be stored in {str(self._folder)!r} ({error}); nothing was sent"
            ) from None
        return database


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
