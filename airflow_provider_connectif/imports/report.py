"""The error report of an import, matched to the rows of its file where that can be done for sure.

All that is documented is that it is a CSV (help centre). So nothing is read by a column's name: see
:mod:`airflow_provider_connectif.imports.report_evidence` for how rows are recognised. A report may be
anything, of any size; memory is constant.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple

from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.report_evidence import Way, find_way, line_of
from airflow_provider_connectif.imports.report_records import records
from airflow_provider_connectif.records.changes import LedgerRow

_MOST_REASONS = 5  # kept of one row


class ReportedRow(NamedTuple):
    """A row of the file, and what the report says of it.

    ``reasons``: in Connectif's own words, which may quote values; empty where they cannot be told apart.
    """

    row: LedgerRow
    reasons: tuple[str, ...]


class ErrorReport:
    """One report matched to one file; a context manager, since the matches are kept on disk beside the file.

    ``matched_by``: ``key``, ``line``, or ``None`` if rows could not be recognised. ``records``: of the report,
    without a first one that names no row, which is a header. ``matched``: rows of the file that it names.
    ``unmatched``: records that name no row of the file; as long as there are some, nobody knows of the other rows
    whether they were imported.

    :param path: the report as it was fetched.
    :param file: the file that was imported.
    :param same_contact: one form for all spellings of a key: :meth:`ContactMapping.same_contact`.
    :raises OSError: the report cannot be read, or nothing be written.
    """

    def __init__(self, path: Path, file: ImportFile, same_contact: Callable[[str], str]) -> None:
        self._file = file
        self._same_contact = same_contact
        self._way = find_way(path, file, same_contact)
        self.matched_by: Literal["key", "line"] | None = None
        self.matched = self.unmatched = self.records = 0
        self._database_path = file.path.with_suffix(".matches")
        self._database_path.unlink(missing_ok=True)
        self._database = sqlite3.connect(self._database_path, isolation_level=None)
        try:
            self._read(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ErrorReport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was kept."""
        self._database.close()
        self._database_path.unlink(missing_ok=True)

    def rejected(self) -> Iterator[ReportedRow]:
        """The rows that the report names, in the file's order, read one by one."""
        return (ReportedRow(row, reasons) for row, reasons in self._rows() if reasons is not None)

    def others(self) -> Iterator[LedgerRow]:
        """The rows that the report does not name; imported, if nothing is unmatched."""
        return (row for row, reasons in self._rows() if reasons is None)

    def _rows(self) -> Iterator[tuple[LedgerRow, tuple[str, ...] | None]]:
        reported = closing(self._database.execute("select line, reason from match order by line, record"))
        with reported as cursor:
            line, reason = next(cursor, (None, ""))
            for row in self._file.ledger:
                if row.line != line:
                    yield row, None
                    continue
                reasons: dict[str, None] = {}
                while row.line == line:
                    if reason and len(reasons) < _MOST_REASONS:
                        reasons[reason] = None
                    line, reason = next(cursor, (None, ""))
                yield row, tuple(reasons)

    def _read(self, path: Path) -> None:
        database, way = self._database, self._way
        for setting in ("journal_mode = off", "synchronous = off", "temp_store = file"):
            database.execute(f"pragma {setting}")
        database.execute("create table report (record integer, place, reason text)")
        database.execute("create table match (record integer, line integer, reason text)")
        database.execute("begin")
        if way is None:
            self.records = self.unmatched = max(sum(1 for _ in records(path, self._file.delimiter)) - 1, 0)
            return
        self.matched_by = "key" if way.reading == "key" else "line"
        database.executemany("insert into report values (?, ?, ?)", self._places(path, way))
        database.execute("create index by_place on report (place)")
        find = "insert into match select record, ?, reason from report where place = ?"
        place_of: Callable[[LedgerRow], object] = (lambda r: r.key) if way.reading == "key" else (lambda r: r.line)
        database.executemany(find, ((row.line, place_of(row)) for row in self._file.ledger))
        database.execute("create index by_line on match (line, record)")
        [(recorded, first)] = database.execute("select count(*), min(record) from match")
        [(self.matched,)] = database.execute("select count(distinct line) from match")
        [(self.records,)] = database.execute("select count(*) from report")
        if self.records and first != 0:
            self.records -= 1
        self.unmatched = self.records - recorded

    def _places(self, path: Path, way: Way) -> Iterator[tuple[int, str | int | None, str]]:
        for number, record in enumerate(records(path, way.delimiter)):
            cell = record[way.column] if way.column < len(record) else ""
            place = self._same_contact(cell) if way.reading == "key" else line_of(cell, way.reading)
            yield number, place, record[way.reason] if way.reason is not None and way.reason < len(record) else ""
