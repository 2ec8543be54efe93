"""Writes patches to CSV files on disk, row by row."""

from __future__ import annotations

import contextlib
import os
import shutil
from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.layout import Columns, Lines, Writers
from airflow_provider_connectif.imports.limits import DEFAULT_FILE_BYTES
from airflow_provider_connectif.imports.shapes import Layout, Shapes
from airflow_provider_connectif.imports.work_folder import guarded_files
from airflow_provider_connectif.journal.import_state import Group, SentFile
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.rows import InvalidRow

NO_GROUP = -1
_MOST_HELD_BYTES = 1_000_000  # of lines in memory, before they are written to their files
_MOST_GROUPS = 1000  # further groups with the same first file become one, which is settled with its last file


class ImportFile:
    """One file on disk: UTF-8 without byte order mark, lines end with CRLF, the first line is the header.

    No handle stays open: lines are buffered and written in blocks. ``rows``: lines without the header. ``size``: bytes.

    :param folder: contains the file.
    :param number: the number of the file in this run.
    :param columns: the field ids of the columns, without the column of the contact key.
    :param header: the first line.
    :param only_empty: whether the file's import fills only empty fields.
    :param is_first: whether the file is uploaded before the other files of the run.
    """

    __slots__ = ("_lines", "columns", "is_first", "number", "only_empty", "path", "rows", "size")

    def __init__(
        self,
        folder: Path,
        number: int,
        columns: Columns,
        header: bytes,
        *,
        only_empty: bool = False,
        is_first: bool = False,
    ) -> None:
        self.number = number
        self.only_empty = only_empty
        self.is_first = is_first
        self.path = folder / f"contacts-{number:06}.csv"
        self.columns = columns
        self._lines = [header]
        self.rows = 0
        self.size = len(header)

    def add(self, line: bytes) -> None:
        """Add a line."""
        self._lines.append(line)
        self.rows += 1
        self.size += len(line)

    def as_sent(self) -> SentFile:
        """Return the file's entry in the state of the run."""
        return SentFile(self.number, self.rows, list(self.columns), only_empty=self.only_empty)

    def write_out(self) -> None:
        """Write the buffered lines to the file. Without rows, no file is created."""
        if self.rows and self._lines:
            with self.path.open("ab") as file:
                file.write(b"".join(self._lines))
            self._lines.clear()


@dataclass
class _Part:
    """The common data of files with the same columns, and the file that is being filled."""

    columns: Columns
    writers: Writers
    only_empty: bool = False
    is_alone: bool = False
    file: ImportFile | None = None


class ImportFiles:
    """Writes patches to import files. As a context manager, it always removes the folder at the end.

    Blank values (``None``, empty text or list) are left out: only a PATCH can clear a field. Each contact occurs once:
    the plan has merged its rows.

    The same patches make byte-identical files. Memory grows by four bytes with each row of the source, and by some
    hundred bytes with each shape. The files are personal data, in a folder that only this user can read.

    :param folder: is created, and must not exist.
    :param mapping: has the field definitions of the run, and the kind of contact key.
    :param layout: assigns contacts to files. Default: one file for each shape.
    :param shapes: returns the shape of a patch.
    :param delimiter: the character between cells.
    :param max_file_bytes: every file is smaller than this, header included.
    :param nothing_sent: whether nothing is sent before :meth:`close`. An error then says so.
    :raises ValueError: the delimiter is not valid.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        mapping: ContactMapping,
        layout: Layout | None = None,
        shapes: Shapes | None = None,
        *,
        delimiter: str = ",",
        max_file_bytes: int = DEFAULT_FILE_BYTES,
        nothing_sent: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self._layout = layout or Layout()
        self._shapes = shapes or Shapes()
        self._lines = Lines(mapping, delimiter)
        self._max_file_bytes = max_file_bytes
        self._nothing_sent = nothing_sent
        self._parts: dict[object, list[_Part]] = {}
        self._part_by_columns: dict[object, _Part] = {}
        self._all: list[ImportFile] = []
        self._held_bytes = 0
        self._group_numbers: dict[tuple[object, ...], int] = {}
        self._group_of = array("i")
        self._shared_groups: dict[int, int] = {}  # by the first file of their contacts
        self.groups: list[Group] = []
        """The groups of contacts, each with the files that contain them."""
        self.rows = self.incomplete = 0
        """Number of contacts in files, and number of those whose blank values were left out."""

    def __enter__(self) -> ImportFiles:
        with guarded_files(self.folder, nothing_sent=self._nothing_sent):
            self.folder.mkdir(mode=0o700, parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder)

    def add(self, patch: Patch) -> tuple[int, bool]:
        """Write one contact.

        :return: the number of its group, and whether its files contain everything that the patch sets.
        :raises InvalidRow: a CSV cannot contain a value, a column is not a known field of the account, or the row is
            too long for a file. The error names the column and the rule, and nothing of the row is written.
        :raises FilesError: the disk is full, or the folder cannot be written to.
        """
        shape = self._shapes.of(patch.properties)
        later = self._shapes.of(patch.later) if patch.later else ()
        counted_as = patch.counted_as
        kind: object = (shape, later, counted_as is None) if later or counted_as is not None else shape
        parts = self._parts.get(kind)
        if parts is None:
            parts = self._parts[kind] = self._parts_of(shape, later, is_alone=counted_as is not None)
        lines = [
            self._lines.line(patch.key, part.writers, patch.later if part.only_empty else patch.properties)
            for part in parts
        ]
        numbers: tuple[int, ...] = ()
        for part, line in zip(parts, lines, strict=True):
            file = part.file
            if file is None or file.size + len(line) >= self._max_file_bytes:
                file = self._begin_file(part, len(line))
            numbers += (file.number,)
        for number, line in zip(numbers, lines, strict=True):
            self._all[number].add(line)
            self._held_bytes += len(line)
        if self._held_bytes >= _MOST_HELD_BYTES:
            self._write_out()
        self.rows += 1
        is_complete = len(shape) + len(later) == len(patch.properties) + len(patch.later)
        self.incomplete += not is_complete
        group = self._group_numbers.get(numbers if counted_as is None else (counted_as, *numbers))
        if group is None:
            group = self._group_for(numbers, counted_as)
        members = self.groups[group]
        members.rows += 1
        members.filled += bool(later)
        members.kept += len(patch.kept)
        self._group_of.extend([NO_GROUP] * (patch.number + 1 - len(self._group_of)))
        self._group_of[patch.number] = group
        return group, is_complete

    @property
    def types(self) -> dict[str, str]:
        """The field types of the columns, by field id."""
        return self._lines.types

    def group_of(self, number: int) -> int:
        """Return the number of a row's group; :data:`NO_GROUP` if the row is in no file.

        :param number: the number of the row in the source.
        """
        return self._group_of[number] if 0 <= number < len(self._group_of) else NO_GROUP

    def close(self) -> list[ImportFile]:
        """Write the buffered lines, and return the files in the order of their uploads.

        1. Files whose contacts must not wait for other rows.
        2. Files that fill only empty fields. The other files create contacts, which may get default values.
        3. With a layout by column, the files with the columns that every contact fills.
        4. The other files. Among files of the same kind, those with the most rows are first.
        """
        self._write_out()
        common = self._layout.columns

        def order(file: ImportFile) -> tuple[bool, bool, bool, int, int]:
            is_optional = common is not None and not common.isdisjoint(file.columns)
            return not file.is_first, not file.only_empty, is_optional, -file.rows, file.number

        return [file for file in sorted(self._all, key=order) if file.rows]

    def _parts_of(self, shape: Columns, later: Columns, *, is_alone: bool) -> list[_Part]:
        if is_alone:
            return [self._part_of(shape, is_alone=True)]
        own = self._layout.parts(shape) if shape or not later else []
        return [*(self._part_of(columns) for columns in own), *(self._part_of((n,), only_empty=True) for n in later)]

    def _part_of(self, columns: Columns, *, only_empty: bool = False, is_alone: bool = False) -> _Part:
        kind = columns, only_empty, is_alone
        part = self._part_by_columns.get(kind)
        if part is None:
            part = _Part(columns, self._lines.writers(columns), only_empty, is_alone)
            self._part_by_columns[kind] = part
        return part

    def _begin_file(self, part: _Part, length: int) -> ImportFile:
        header = self._lines.header(part.columns)
        if len(header) + length >= self._max_file_bytes:
            reason = (
                f"the row and the header of its file take {len(header) + length:,} bytes, and a file must be smaller "
                f"than max_file_bytes, {self._max_file_bytes:,}"
            )
            raise InvalidRow([reason])
        if part.file is not None:
            self._shared_groups.clear()  # in a group, no two files have the same columns
        number, switches = len(self._all), {"only_empty": part.only_empty, "is_first": part.is_alone}
        part.file = ImportFile(self.folder, number, part.columns, header, **switches)
        self._all.append(part.file)
        return part.file

    def _group_for(self, files: tuple[int, ...], counted_as: str | None) -> int:
        if len(files) == 1 or len(self._group_numbers) < _MOST_GROUPS:
            self.groups.append(Group(list(files), counted_as=counted_as))
            self._group_numbers[files if counted_as is None else (counted_as, *files)] = len(self.groups) - 1
            return len(self.groups) - 1
        # Only contacts with the same first file share a group. A rewritten contact goes into each file of its group
        # whose columns it fills, and it may also fill the columns of another contact's first file.
        number = self._shared_groups.setdefault(files[0], len(self.groups))
        if number == len(self.groups):
            self.groups.append(Group([]))
        group = self.groups[number]
        group.files += [file for file in files if file not in group.files]
        return number

    def _write_out(self) -> None:
        _write_out(self.folder, self._all, nothing_sent=self._nothing_sent)
        self._held_bytes = 0


def _write_out(folder: Path, files: Collection[ImportFile], *, nothing_sent: bool = False) -> None:
    with guarded_files(folder, lambda: sum(file.size for file in files), nothing_sent=nothing_sent):
        for file in files:
            file.write_out()


def write_again(
    folder: Path,
    mapping: ContactMapping,
    delimiter: str,
    types: Mapping[str, str],
    files: Sequence[SentFile],
    contacts: Iterable[Sequence[tuple[Group, Patch]]],
) -> dict[int, ImportFile]:
    """Write files again that an earlier process did not upload, from the stored plan; return them by their number.

    :param types: the field types of their columns, by field id.
    :param files: the entries of these files in the state of the run.
    :param contacts: batches of contacts, each contact with its group.
    :raises FilesError: the disk is full, or the folder cannot be written to.
    """
    with guarded_files(folder):
        folder.mkdir(mode=0o700, parents=True)
    lines, shapes = Lines(mapping, delimiter, types), Shapes()
    made = {
        sent.file: ImportFile(
            folder, sent.file, tuple(sent.columns), lines.header(tuple(sent.columns)), only_empty=sent.only_empty
        )
        for sent in files
    }
    for batch in contacts:
        for group, patch in batch:
            for file in [made[number] for number in group.files if number in made]:
                properties = patch.later if file.only_empty else patch.properties
                if set(shapes.of(properties)).issuperset(file.columns):
                    file.add(lines.line(patch.key, lines.writers(file.columns), properties))
        _write_out(folder, made.values())
    return made
