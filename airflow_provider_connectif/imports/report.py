"""The error report of an import, matched to contacts of its file where a column of it holds their keys.

All that is documented is that it is a CSV (help centre). So nothing is read by a column's name: a column counts if each
of its cells, but for a header, is the key of a contact in the file. A report may be anything, of any size.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from airflow_provider_connectif.imports.report_records import DELIMITERS, records

_SAMPLE = 200  # records
_MOST_CELLS = 5000  # of the sample
_LONGEST_KEY = 320  # characters; an e-mail has 254 at most
_AT_ONCE = 500
_LONGEST_REASON = 1000

KeysOf = Callable[[Collection[str]], Mapping[str, int]]
"""The numbers of contacts in a file, by those of some cells that are their keys."""


class Way(NamedTuple):
    """How a report is read: its delimiter, the column of keys, and whether the first record is a header."""

    delimiter: str
    column: int
    has_header: bool


class ErrorReport:
    """The contacts that a report names; a context manager, since they are kept on disk.

    :param path: the report as it was fetched; beside it the contacts are kept.
    :param delimiter: of the file that was imported.
    :param rows: of that file.
    :param keys_of: finds its contacts.
    :raises OSError: the report cannot be read.
    """

    def __init__(self, path: Path, delimiter: str, rows: int, keys_of: KeysOf) -> None:
        self.named: int | None = None
        """How many contacts it names; ``None`` where some record names none, so that nobody knows of the others."""
        self._database_path = path.with_suffix(".named")
        self._database_path.unlink(missing_ok=True)
        self._database = sqlite3.connect(self._database_path, isolation_level=None)
        try:
            self._read(path, delimiter, rows, keys_of)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ErrorReport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was kept."""
        self._database.close()
        self._database_path.unlink(missing_ok=True)

    def batches(self) -> Iterator[dict[str, str]]:
        """The reasons by key as the report has it, in the order of rows, some hundred at a time.

        Connectif's own words, which may quote values.
        """
        with closing(self._database.execute("select key, reason from named order by number")) as cursor:
            while batch := cursor.fetchmany(_AT_ONCE):
                yield dict(batch)

    def numbers(self) -> Iterator[list[int]]:
        """The numbers of the contacts' rows, some hundred at a time."""
        with closing(self._database.execute("select number from named")) as cursor:
            while batch := cursor.fetchmany(_AT_ONCE):
                yield [number for (number,) in batch]

    def _read(self, path: Path, delimiter: str, rows: int, keys_of: KeysOf) -> None:
        for setting in ("journal_mode = off", "synchronous = off", "temp_store = file"):
            self._database.execute(f"pragma {setting}")
        self._database.execute("create table named (number integer primary key, key text, reason text)")
        way = find_way(path, delimiter, rows, keys_of)
        if way is None:
            return
        self._database.execute("begin")
        found = itertools.islice(records(path, way.delimiter), int(way.has_header), None)
        while batch := list(itertools.islice(found, _AT_ONCE)):
            keys = [record[way.column] if way.column < len(record) else "" for record in batch]
            numbers = keys_of({key for key in keys if key})
            if any(key not in numbers for key in keys):
                return
            reasons = (" ".join(_others(record, way.column))[:_LONGEST_REASON] for record in batch)
            lines = [(numbers[key], key, reason) for key, reason in zip(keys, reasons, strict=True)]
            self._database.executemany(_ADD, lines)
        self._database.execute("commit")
        [(self.named,)] = self._database.execute("select count(*) from named")


_ADD = (
    "insert into named values (?, ?, ?) "
    "on conflict do update set reason = substr(reason || '; ' || excluded.reason, 1, 1000)"
)


def find_way(path: Path, delimiter: str, rows: int, keys_of: KeysOf) -> Way | None:
    """The one column of keys in the first records of a report, or ``None``.

    External ids that are small whole numbers may as well be the numbers of lines: these are no keys for sure.

    :param rows: of the file.
    """
    for tried in dict.fromkeys((delimiter, *DELIMITERS)):
        sample = _first_records(path, tried)
        cells = {cell for record in sample for cell in record if cell and len(cell) <= _LONGEST_KEY}
        numbers = keys_of(cells)
        ways = {}
        for column in range(max(map(len, sample), default=0)):
            named = [numbers.get(record[column]) if column < len(record) else None for record in sample]
            has_header = bool(named) and named[0] is None
            of_rows = named[has_header:]
            if of_rows and None not in of_rows and not _may_be_lines(sample, column, has_header, rows):
                ways[Way(tried, column, has_header)] = of_rows
        if ways:
            first, *others = ways
            return first if all(ways[other] == ways[first] for other in others) else None
    return None


def _may_be_lines(sample: list[tuple[str, ...]], column: int, has_header: bool, rows: int) -> bool:
    cells = [record[column] for record in sample[has_header:]]
    return all(cell.isascii() and cell.isdigit() and len(cell) < 12 and int(cell) <= rows + 1 for cell in cells)


def _others(record: tuple[str, ...], column: int) -> Iterator[str]:
    return (cell for place, cell in enumerate(record) if place != column and cell)


def _first_records(path: Path, delimiter: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    cells = 0
    for record in itertools.islice(records(path, delimiter), _SAMPLE):
        cells += len(record)
        if found and cells > _MOST_CELLS:
            break
        found.append(record)
    return found
