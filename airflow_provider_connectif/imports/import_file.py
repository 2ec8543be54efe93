"""A finished file: what is uploaded, and what is known of it."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from airflow_provider_connectif.imports.layout import cells_of
from airflow_provider_connectif.imports.ledger import Ledger
from airflow_provider_connectif.records.changes import LedgerRow, Patch


@dataclass(frozen=True)
class ImportFile:
    """One file on disk.

    :param path: UTF-8 without byte order mark, lines end with CRLF, the first is the header.
    :param header: field ids, the contact key's first.
    :param rows: lines without the header; at least one.
    :param size: the file's bytes.
    :param ledger: where each line came from.
    :param delimiter: between cells.
    """

    path: Path
    header: tuple[str, ...]
    rows: int
    size: int
    ledger: Ledger
    delimiter: str

    def records(self, lines: Container[int] | None = None) -> Iterator[tuple[LedgerRow, list[str]]]:
        """Rows with their cells as they stand in the file, read one by one; a cell for each of ``header``.

        :param lines: the places of those that are wanted, from 0; by default all.
        """
        for row, line in self.lines(lines):
            yield row, cells_of(line, self.delimiter)

    def lines(self, wanted: Container[int] | None = None) -> Iterator[tuple[LedgerRow, bytes]]:
        """Rows as they stand in the file; see :meth:`records`."""
        with self.path.open("rb") as file:
            file.readline()  # ids are printable, so the header is one line
            for row in self.ledger:
                line = file.read(row.length)
                if wanted is None or row.line in wanted:
                    yield row, line

    def patches(self) -> Iterator[Patch]:
        """The patches of all rows, for delivery by PATCH; see :meth:`Ledger.patches`."""
        return self.ledger.patches(self.header[0])

    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal: equal in another try if its rows are."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class ImportSet(NamedTuple):
    """What a run is to import.

    ``files``: most rows first. ``rows``: in all files. ``duplicates``: rows that a later one of the same contact
    superseded; they are in no file. ``incomplete``: rows in the files that left blank values out.
    """

    files: list[ImportFile]
    rows: int
    duplicates: int
    incomplete: int
