"""The list of imports, their queue of ten, and the processing of each file over time."""

from __future__ import annotations

import asyncio
import csv
import io
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO

from airflow_provider_connectif.sandbox.account import Account, KeyTakenError
from airflow_provider_connectif.sandbox.import_rows import (
    ImportFileError,
    ImportRow,
    RowError,
    RowReader,
    read_records,
)
from airflow_provider_connectif.sandbox.request_log import utc_timestamp
from airflow_provider_connectif.sandbox.settings import Settings

QUEUE_LENGTH = 10
"""Documented: while ten imports are queued, another one is refused (400, E0401)."""

QUEUED, IN_PROGRESS, FINISHED, ERROR, CANCELLED = "queued", "inProgress", "finished", "error", "cancelled"

_BATCH = 200
_SPOOLED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImportFate:
    """The fate that a test can set for an import.

    ``stuck``: the state in which the import stays until it is released; None: it does not stay. ``end``: its last
    state, which may be any word. ``after_rows``: the number of rows after which it ends; None: all rows.
    """

    stuck: str | None = None
    end: str = FINISHED
    after_rows: int | None = None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The options of an import from its request."""

    delimiter: str = ","
    override_existing: bool = False
    update_only_empty_fields: bool = False


@dataclass(slots=True, eq=False)
class Import:
    """One import.

    ``file``: the uploaded file; None: there is none, or the import has ended. ``report``: the error report with the
    rejected rows; None: no row was rejected yet. ``report_addresses``: the monotonic time at which an address of the
    report expires, by its signature.
    """

    id: str
    origin: str
    options: ImportOptions
    fate: ImportFate
    file: IO[bytes] | None
    total: int
    status: str = QUEUED
    success: int = 0
    errors: int = 0
    times: dict[str, str] = field(default_factory=dict)
    created: float = field(default_factory=time.monotonic)
    report: IO[bytes] | None = None
    report_addresses: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the resource "Import", without the address of the error report."""
        return {
            "id": self.id,
            "type": "contacts",
            "origin": self.origin,
            "status": self.status,
            "total": self.total,
            "success": self.success,
            "errors": self.errors,
            "options": {
                "delimiter": self.options.delimiter,
                "overrideExisting": self.options.override_existing,
                "updateOnlyEmptyFields": self.options.update_only_empty_fields,
            },
            **self.times,
        }

    def end(self, status: str) -> None:
        """Set the last state, and close the file."""
        self.status = status
        if status == CANCELLED:
            self.times["cancelledAt"] = utc_timestamp()
        elif status in (FINISHED, ERROR):
            self.times["finishedAt"] = utc_timestamp()
        self._close_file()

    def new_report_address(self, valid_s: float) -> str | None:
        """Return the signature of a new address of the report; None: there is no report, or the import is not finished.

        ``valid_s``: seconds for which the address is valid.
        """
        if self.status != FINISHED or self.report is None:
            return None
        signature = secrets.token_urlsafe(16)
        self.report_addresses[signature] = time.monotonic() + valid_s
        return signature

    def close(self) -> None:
        """Close the file and the report."""
        self._close_file()
        if self.report is not None:
            self.report.close()

    def _close_file(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


class ImportList:
    """All imports of the account. As documented, the imports of the app and the API share one list and one queue.

    Assumptions: imports are processed one after another, at ``import_rows_per_second``; the newest import is first in
    the list; a stuck import does not delay the others.
    """

    def __init__(self, settings: Settings, account: Account) -> None:
        self._settings = settings
        self._account = account
        self._imports: dict[str, Import] = {}
        self._created = 0
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._imports)

    def latest_first(self) -> Iterator[Import]:
        """Return the imports, the latest first."""
        return reversed(self._imports.values())

    def find(self, import_id: str | None) -> Import | None:
        """Return an import by its id, or None."""
        return None if import_id is None else self._imports.get(import_id)

    @property
    def is_full(self) -> bool:
        """Whether ten imports are queued."""
        return sum(one.status == QUEUED for one in self._imports.values()) >= QUEUE_LENGTH

    def add(self, file: IO[bytes] | None, options: ImportOptions, fate: ImportFate, origin: str = "api") -> Import:
        """Queue an import and return it. Without a file it stands for one of the app or of another integration."""
        self._created += 1
        total = 0 if file is None else _count_rows(file, options.delimiter)
        one = Import(f"{self._created:024x}", origin, options, fate, file, total)
        one.times["createdAt"] = utc_timestamp()
        self._imports[one.id] = one
        self._wake()
        return one

    def remove(self, one: Import) -> None:
        """Remove an import from the list."""
        one.close()
        del self._imports[one.id]

    def release(self) -> None:
        """Release all stuck imports: they continue, or end."""
        for one in self._imports.values():
            if one.status == IN_PROGRESS and one.fate.stuck == IN_PROGRESS:
                one.end(one.fate.end)
            one.fate = ImportFate(None, one.fate.end, one.fate.after_rows)
        self._wake()

    def clear(self) -> None:
        """Remove all imports, and stop processing."""
        if self._worker is not None:
            self._worker.cancel()
            self._worker = None
        for one in self._imports.values():
            one.close()
        self._imports.clear()

    def _wake(self) -> None:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while (one := self._next()) is not None:
            wait_s = one.created + self._settings.import_queue_seconds - time.monotonic()
            await asyncio.sleep(max(0.0, wait_s))
            one.status = IN_PROGRESS
            one.times["startedAt"] = utc_timestamp()
            end = one.fate.end
            try:
                await self._apply(one)
            except ImportFileError:
                end = ERROR
            if one.fate.stuck != IN_PROGRESS:
                one.end(end)

    def _next(self) -> Import | None:
        return next((one for one in self._imports.values() if one.status == QUEUED and one.fate.stuck != QUEUED), None)

    async def _apply(self, one: Import) -> None:
        if one.file is None:
            return
        records = read_records(one.file, one.options.delimiter)  # type: ignore[arg-type]
        reader = RowReader(next(records, []), self._settings.fields)
        rows = enumerate(islice(records, one.fate.after_rows), start=2)
        began, done, speed = time.monotonic(), 0, self._settings.import_rows_per_second
        while batch := list(islice(rows, _BATCH)):
            for line, cells in batch:
                self._apply_row(one, reader, line, cells)
            done += len(batch)
            await asyncio.sleep(max(0.0, began + done / speed - time.monotonic()) if speed else 0)

    def _apply_row(self, one: Import, reader: RowReader, line: int, cells: list[str]) -> None:
        try:
            row = reader.read(cells)
            existing = self._account.find(row.key_property, row.key)
            patch = _patch(one.options, row, existing)
            # Assumption: a contact that stays unchanged counts as a success.
            if patch is not None:
                self._account.upsert(row.key_property, row.key, patch)
        except RowError as error:
            self._refuse(one, reader, line, cells, str(error))
        except KeyTakenError as taken:
            self._refuse(one, reader, line, cells, f"{taken.key_property}: belongs to another contact")
        else:
            one.success += 1

    def _refuse(self, one: Import, reader: RowReader, line: int, cells: list[str], reason: str) -> None:
        """Count a rejected row and add it to the report. Assumption: the columns are line (from 2 up), key, reason."""
        one.errors += 1
        key = cells[reader.key_column] if len(cells) > reader.key_column else ""
        rows = [(str(line), key, reason)]
        if one.report is None:
            one.report = SpooledTemporaryFile(max_size=_SPOOLED_BYTES)  # noqa: SIM115 - lives as long as the import
            rows.insert(0, ("line", reader.key_property, "error"))
        text = io.StringIO()
        csv.writer(text, delimiter=one.options.delimiter).writerows(rows)
        one.report.write(text.getvalue().encode("utf-8"))


def _patch(
    options: ImportOptions, row: ImportRow, existing: Mapping[str, object] | None
) -> Mapping[str, object] | None:
    """Return the properties that a row sets; None: the contact stays unchanged."""
    if existing is None:
        return row.properties
    if not options.override_existing:
        return None
    if not options.update_only_empty_fields:
        return row.properties
    return {name: value for name, value in row.properties.items() if existing.get(name) in (None, "", [])}


def _count_rows(file: IO[bytes], delimiter: str) -> int:
    """Return the number of rows without the header. If the file is broken, count the rows before the error."""
    count = -1
    try:
        for _ in read_records(file, delimiter):  # type: ignore[arg-type]
            count += 1
    except ImportFileError:
        return max(0, count)
    return max(0, count)
