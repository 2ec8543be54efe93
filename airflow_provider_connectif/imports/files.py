"""Patches become CSV files on disk, row by row and in constant memory."""

from __future__ import annotations

import contextlib
import os
import shutil
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.duplicates import LastRows
from airflow_provider_connectif.imports.import_file import ImportFile, ImportSet
from airflow_provider_connectif.imports.layout import Layout, Layouts, checked_delimiter, header_faults
from airflow_provider_connectif.imports.ledger import Ledger, ledger_note, length_in
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.rows import InvalidRow

__all__ = ["MAX_FILE_BYTES", "ImportFile", "ImportFiles", "ImportSet", "checked_delimiter", "header_faults"]

MAX_FILE_BYTES = 48_000_000
"""Below the 50 MB that Connectif takes (API reference, "Create import"), whatever it takes a megabyte for."""

_MOST_HELD_BYTES = 2_000_000  # of lines and notes together, before they are written to their files
_MOST_ORDERS = 1000  # orders of columns remembered; rows out of JSON may have an order each


class _Part:
    """A file that is being written: no handle stays open, lines are held until there are enough of them."""

    __slots__ = ("bytes", "incomplete", "layout", "lines", "notes", "rows", "stem")

    def __init__(self, stem: Path, layout: Layout) -> None:
        self.stem = stem
        self.layout = layout
        self.rows = self.incomplete = 0
        self.bytes = len(layout.header)
        self.lines: list[bytes] = [layout.header]
        self.notes: list[bytes] = []

    @property
    def path(self) -> Path:
        return self.stem.with_suffix(".csv")

    @property
    def ledger_path(self) -> Path:
        return self.stem.with_suffix(".ledger")

    def write_out(self) -> None:
        for path, held in ((self.path, self.lines), (self.ledger_path, self.notes)):
            with path.open("ab") as file:
                file.write(b"".join(held))
            held.clear()

    def without(self, lines: Sequence[int]) -> None:
        """Write the files anew, without some of their rows."""
        is_superseded = bytearray(self.rows)
        for line in lines:
            is_superseded[line] = 1
        kept_path, kept_ledger_path = self.stem.with_suffix(".csv.new"), self.stem.with_suffix(".ledger.new")
        self.bytes = len(self.layout.header)
        self.incomplete = 0
        with (
            self.path.open("rb") as rows,
            self.ledger_path.open("rb") as notes,
            kept_path.open("wb") as kept_rows,
            kept_ledger_path.open("wb") as kept_notes,
        ):
            kept_rows.write(rows.read(len(self.layout.header)))
            for note, leave_out in zip(notes, is_superseded, strict=True):
                row = rows.read(length_in(note))
                if not leave_out:
                    kept_rows.write(row)
                    kept_notes.write(note)
                    self.bytes += len(row)
                    self.incomplete += note.split(b"\t", 3)[2] == b"0"
        os.replace(kept_path, self.path)
        os.replace(kept_ledger_path, self.ledger_path)
        self.rows -= len(lines)

    def remove(self) -> None:
        self.path.unlink()
        self.ledger_path.unlink()


class ImportFiles:
    """Writes patches to files that an import takes; a context manager, which removes the folder in the end, always.

    Rows are grouped by the columns that hold something, a file for each such set, since columns of typed fields must
    not have blanks (help centre, article 360014217640) and nothing says what a blank text does. Blank values
    (``None``, empty text or list) are left out and counted; what they would clear, only a PATCH may.

    Of several rows of one contact only the last is imported, also where they hold different columns and so would
    stand in different files: by PATCH such rows add up, here the last one speaks for the contact. A row that is
    refused supersedes none. In what order Connectif works off the files is not defined, and so none of them may
    depend on another.

    The same rows make byte-identical files. Memory does not grow with rows, but by about a kilobyte with each set
    of columns. It is all personal data, in a folder that only this user can read.

    :param folder: is made, and must not exist.
    :param mapping: with the definitions that the run checks against; it gives the kind of key.
    :param delimiter: between cells.
    :param max_file_bytes: every file is smaller than this, header included.
    :param keep_properties: keep the patches beside the files, for delivery by PATCH (:meth:`ImportFile.patches`).
    :param hash_key: spreads contact keys over files; for tests.
    :raises ValueError: a delimiter that cannot be one.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        mapping: ContactMapping,
        *,
        delimiter: str = ",",
        max_file_bytes: int = MAX_FILE_BYTES,
        keep_properties: bool = False,
        hash_key: Callable[[str], int] = hash,
    ) -> None:
        self.folder = Path(folder)
        self._mapping = mapping
        self._shared = Layouts(mapping, delimiter)
        self._max_file_bytes = max_file_bytes
        self._keep_properties = keep_properties
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._orders: dict[tuple[str, ...], Layout] = {}
        self._last_rows = LastRows(self.folder, hash_key)
        self._parts: list[_Part] = []
        self._held: dict[int, None] = {}
        self._held_bytes = 0

    def __enter__(self) -> ImportFiles:
        self.folder.mkdir(mode=0o700, parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def add(self, patch: Patch) -> None:
        """Write one row.

        :raises InvalidRow: values that a CSV cannot carry, columns that the account does not have, or a row that
            is too long for a file; names column and rule. Nothing of it is written then.
        """
        layout = self._layout(tuple(patch.properties))
        cells = layout.cells(patch.properties)
        complete = "" not in cells
        if not complete:
            filled = [p for p, cell in zip(layout.property_ids, cells, strict=True) if cell]
            layout, cells = self._layout(tuple(filled)), [cell for cell in cells if cell]
        line = layout.line(patch.key, cells)
        key = self._mapping.same_contact(patch.key)
        number = self._part_for(layout, len(line))
        part = self._parts[number]
        note = ledger_note(patch, key, len(line), complete, self._keep_properties)
        self._last_rows.note(key, number, part.rows)
        part.lines.append(line)
        part.notes.append(note)
        part.rows += 1
        part.bytes += len(line)
        part.incomplete += not complete
        self._held[number] = None
        self._held_bytes += len(line) + len(note)
        if self._held_bytes >= _MOST_HELD_BYTES:
            self._write_out()

    def close(self) -> ImportSet:
        """Finish the files: what is held is written, and rows that later ones supersede are taken out. Once only."""
        self._write_out()
        superseded: dict[int, array[int]] = self._last_rows.superseded()
        for number in sorted(superseded):
            self._parts[number].without(superseded[number])
        for part in self._parts:
            if not part.rows:
                part.remove()
        parts = [part for part in self._parts if part.rows]
        return ImportSet(
            # Most rows first, since by PATCH each row costs a request.
            files=[self._finished(part) for part in sorted(parts, key=lambda p: (-p.rows, -p.bytes, p.stem.name))],
            rows=sum(part.rows for part in parts),
            duplicates=sum(len(lines) for lines in superseded.values()),
            incomplete=sum(part.incomplete for part in parts),
        )

    def _layout(self, property_ids: tuple[str, ...]) -> Layout:
        layout = self._orders.get(property_ids)
        if layout is None:
            columns = tuple(sorted(property_ids))
            layout = self._layouts.get(columns)
            if layout is None:
                layout = self._layouts[columns] = self._shared.layout(columns)
            if len(self._orders) < _MOST_ORDERS:
                self._orders[property_ids] = layout
        return layout

    def _part_for(self, layout: Layout, length: int) -> int:
        """The number of the file that a line goes into."""
        number = layout.part
        if number is not None and self._parts[number].bytes + length < self._max_file_bytes:
            return number
        if len(layout.header) + length >= self._max_file_bytes:
            raise InvalidRow([f"the row takes {length:,} bytes, too many for a file of {self._max_file_bytes:,}"])
        layout.part = len(self._parts)
        self._parts.append(_Part(self.folder / f"contacts-{layout.part:06}", layout))
        return layout.part

    def _write_out(self) -> None:
        for number in self._held:
            self._parts[number].write_out()
        self._held.clear()
        self._held_bytes = 0

    def _finished(self, part: _Part) -> ImportFile:
        return ImportFile(
            path=part.path,
            header=(self._shared.key_property, *part.layout.property_ids),
            rows=part.rows,
            size=part.bytes,
            ledger=Ledger(part.ledger_path),
            delimiter=self._shared.delimiter,
        )
