"""A warehouse for a test: a table of contacts in SQLite, in an Airflow connection."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class Warehouse:
    """A table ``contacts`` of texts, the key ``email`` among them.

    :param path: of the database; it must not exist.
    :param columns: beside the key.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ("name",)) -> None:
        self.path = path
        self._columns = columns
        with self._open() as database:
            database.execute(f"create table contacts (email, {', '.join(columns)})")

    def fill(self, keys: Iterable[str | None]) -> None:
        """These contacts and no others, all with the same name."""
        self.fill_rows([(key, *(["Ana"] + [None] * (len(self._columns) - 1))) for key in keys])

    def fill_rows(self, rows: Iterable[Sequence[Any]]) -> None:
        """These rows and no others, the key first."""
        with self._open() as database:
            database.execute("begin")
            database.execute("delete from contacts")
            marks = ", ".join("?" * (1 + len(self._columns)))
            database.executemany(f"insert into contacts values ({marks})", rows)
            database.execute("commit")

    def _open(self) -> Any:
        return contextlib.closing(sqlite3.connect(self.path, isolation_level=None))
