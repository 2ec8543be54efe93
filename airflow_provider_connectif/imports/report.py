"""Fetches the error report of an import, stores it unchanged, and finds the contacts that it names.

The help centre documents only that a report is a CSV. So no column is found by its name: a column has the keys if each
of its cells, except a header, is the key of a contact in the imported file. A report may have any content and any size.
"""

from __future__ import annotations

import codecs
import csv
import itertools
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    ErrorReportError,
    MalformedResponseError,
    NoResponseError,
    RunFailed,
)
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.work_folder import guarded_files
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.reporting import wording

_DELIMITERS = (",", ";", "\t", "|")  # tried after the delimiter of the imported file
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_LINE = 100_000  # characters; csv refuses a cell that is longer
_ADDRESSES = 3  # of one report; each request for the import returns a new address
_BETWEEN_ADDRESSES_S = 0.5
_SAMPLE = 200  # records
_MOST_CELLS = 5000  # of the sample
_LONGEST_KEY = 320  # characters; an e-mail address has at most 254
_AT_ONCE = 500
_LONGEST_REASON = 1000

KeysOf = Callable[[Collection[str]], Mapping[str, int]]
"""Finds the contacts of a file whose keys are among some cells; returns their row numbers by cell."""


class Way(NamedTuple):
    """The way to read a report: its delimiter, the column of keys, and whether the first record is a header."""

    delimiter: str
    column: int
    has_header: bool


@contextmanager
def read_report(path: Path, delimiter: str, rows: int, keys_of: KeysOf) -> Iterator[NamedContacts]:
    """Yield the contacts that a report names, stored on disk.

    :param path: the downloaded report; the contacts are stored beside it.
    :param delimiter: the delimiter of the imported file.
    :param rows: number of rows in the imported file.
    :param keys_of: finds the contacts of the imported file.
    :raises OSError: the report cannot be read.
    """
    beside = path.with_suffix(".named")
    beside.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(beside, isolation_level=None)) as database:
            contacts = NamedContacts(database)
            if (way := find_way(path, delimiter, rows, keys_of)) is not None:
                with suppress(csv.Error):
                    contacts.read(way, path, keys_of)
            yield contacts
    finally:
        beside.unlink(missing_ok=True)


class NamedContacts:
    """The contacts that a report names.

    ``count``: their number. ``None`` if a record names no contact of the imported file: then no record is used.

    :param database: an empty SQLite database.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.count: int | None = None
        for setting in ("journal_mode = off", "synchronous = off", "temp_store = file"):
            database.execute(f"pragma {setting}")
        database.execute("create table named (number integer primary key, key text, reason text)")

    def read(self, way: Way, path: Path, keys_of: KeysOf) -> None:
        """Read a report, and set ``count``.

        :raises csv.Error: it is not a CSV.
        """
        self._database.execute("begin")
        found = itertools.islice(_records(path, way.delimiter), int(way.has_header), None)
        while batch := list(itertools.islice(found, _AT_ONCE)):
            keys = [record[way.column] if way.column < len(record) else "" for record in batch]
            numbers = keys_of({key for key in keys if key})
            if any(key not in numbers for key in keys):
                return
            others = ((cell for place, cell in enumerate(record) if place != way.column and cell) for record in batch)
            reasons = (" ".join(cells)[:_LONGEST_REASON] for cells in others)
            lines = [(numbers[key], key, reason) for key, reason in zip(keys, reasons, strict=True)]
            self._database.executemany(_ADD, lines)
        self._database.execute("commit")
        [(self.count,)] = self._database.execute("select count(*) from named")

    def batches(self) -> Iterator[dict[str, str]]:
        """Yield the reason of each rejected contact by its key in the report, in the order of the rows, some hundred at
        a time.

        The reasons are the report's own words, which may quote values.
        """
        with closing(self._database.execute("select key, reason from named order by number")) as cursor:
            while batch := cursor.fetchmany(_AT_ONCE):
                yield dict(batch)


_ADD = (
    "insert into named values (?, ?, ?) "
    "on conflict do update set reason = substr(reason || '; ' || excluded.reason, 1, 1000)"
)


def find_way(path: Path, delimiter: str, rows: int, keys_of: KeysOf) -> Way | None:
    """Find the column of keys in the first records of a report.

    Small whole numbers may be line numbers instead of external ids, so they do not count as keys.

    :param rows: number of rows in the imported file.
    :return: ``None`` if no column has the keys, or if several columns name different contacts.
    """
    for tried in dict.fromkeys((delimiter, *_DELIMITERS)):
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


def _first_records(path: Path, delimiter: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    cells = 0
    with suppress(csv.Error):
        for record in itertools.islice(_records(path, delimiter), _SAMPLE):
            cells += len(record)
            if found and cells > _MOST_CELLS:
                break
            found.append(record)
    return found


def _records(path: Path, delimiter: str) -> Iterator[tuple[str, ...]]:
    """Yield the records of a report, with trimmed cells. Memory is bounded, whatever the report contains.

    :raises csv.Error: it is not a CSV.
    """
    with path.open("rb") as file:
        beginning = file.read(4)
    encoding = next((encoding for mark, encoding in _MARKS if beginning.startswith(mark)), "utf-8")
    with path.open(encoding=encoding, errors="replace", newline="") as text:
        for cells in csv.reader(iter(partial(text.readline, _LONGEST_LINE), ""), delimiter=delimiter):
            record = tuple([cell.strip() for cell in cells])
            if any(record):
                yield record


def fetch_report(context: ImportContext, one: Import, path: Path, pause: Callable[[float], None]) -> bool:
    """Fetch the report of an import with errors, and store it unchanged; return whether it was fetched.

    It is fetched at once, since it is not documented how long its address is valid. If an address fails, a new one is
    requested.

    :param path: the file to write.
    :param pause: waits for some seconds.
    """
    why = "Connectif names none"
    for attempt in range(_ADDRESSES):
        if attempt:
            pause(_BETWEEN_ADDRESSES_S * attempt)
            with suppress(ConnectifHttpError, NoResponseError, MalformedResponseError):
                one = context.client.get_import(one.id)
        if one.error_report_url is None:
            why = "Connectif names none"
            continue
        try:
            with guarded_files(path.parent), path.open("wb") as sink:
                context.client.download_error_report(one.error_report_url, sink)
        except ErrorReportError as error:
            why = error.what
            if error.is_passing:
                continue
            break
        _keep_report(context, one, path)
        return True
    context.log.warning(wording.NO_ERROR_REPORT, one.id, why)
    return False


def _keep_report(context: ImportContext, one: Import, path: Path) -> None:
    """Store a downloaded report unchanged. If that fails, the run can still settle the import.

    :raises JournalError: the journal failed when it recorded the path of the file.
    """
    if context.keep_report is None:
        return
    try:
        with path.open("rb") as report, context.keep_report(one.id) as kept:
            shutil.copyfileobj(report, kept)
    except JournalError:
        raise
    except (RunFailed, OSError) as error:
        context.log.warning(wording.REPORT_NOT_STORED, one.id, error)
