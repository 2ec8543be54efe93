"""Chooses the files of a plan: one for each shape of its contacts, or one for each column that may be empty.

A shape is a set of filled columns. Columns of typed fields must not have blanks (help centre, article 360014217640). So
each column of a file is filled in every row of that file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from airflow_provider_connectif.imports.layout import Columns
from airflow_provider_connectif.imports.limits import QUEUE_LENGTH
from airflow_provider_connectif.records.changes import JsonValue, Patch

FileLayout = Literal["auto", "shape", "column"]

_Part = TypeVar("_Part")  # a shape or a column that contacts share

UPLOAD_AND_POLL = 2
"""Least number of requests for a file: its upload and one poll."""

_MOST_WITHOUT_PROPERTIES = 20  # contacts that a worker may send by PATCH, one request each
_SAMPLE_EVERY = 50  # the size of one contact in 50 is measured
_MOST_ORDERS = 1000  # orders of columns in memory; each row out of JSON may have another order


def blank_in(properties: Mapping[str, JsonValue]) -> list[str]:
    """Return the properties that files leave out: their value is ``None``, empty text or an empty list."""
    return [name for name, value in properties.items() if value in (None, "", [])]


class Shapes:
    """Returns the shape of a patch: the same tuple for the same columns, whatever their order."""

    def __init__(self) -> None:
        self._sorted: dict[Columns, Columns] = {}

    def of(self, properties: Mapping[str, JsonValue]) -> Columns:
        """Return the names of the properties that have a value, sorted.

        ``None``, empty text and an empty list are no values.
        """
        values = properties.values()
        if None in values or "" in values or [] in values:
            filled = tuple([name for name, value in properties.items() if value not in (None, "", [])])
        else:
            filled = tuple(properties)
        shape = self._sorted.get(filled)
        if shape is None:
            shape = tuple(sorted(filled))
            if len(self._sorted) < _MOST_ORDERS:
                self._sorted[filled] = shape
        return shape


@dataclass
class Survey:
    """The shapes of a plan's contacts: how many contacts have each shape, and how large their values are.

    :param rows: number of contacts by shape, without those of ``alone``.
    :param fills: number of contacts by column, for files that fill only empty fields.
    :param alone: number of contacts by shape, of contacts whose rows already have an outcome. They share no file with
        other contacts.
    :param filled: number of contacts with a part in files of ``fills``. By PATCH, a response decides about that part.
    :param filled_only: number of contacts that are only in files of ``fills``.
    """

    rows: Counter[Columns] = field(default_factory=Counter)
    fills: Counter[str] = field(default_factory=Counter)
    alone: Counter[Columns] = field(default_factory=Counter)
    filled: int = 0
    filled_only: int = 0
    _sampled: int = 0
    _key_bytes: int = 0
    _cells: Counter[str] = field(default_factory=Counter)
    _cell_bytes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, batches: Iterable[Sequence[Patch]], shapes: Shapes) -> Survey:
        """Count the patches of a plan by shape, and measure the size of some of them."""
        survey, seen = cls(), 0
        for batch in batches:
            for patch in batch:
                survey._add(patch, shape := shapes.of(patch.properties), later := shapes.of(patch.later))
                if seen % _SAMPLE_EVERY == 0:
                    survey._sample(patch, (*shape, *later))
                seen += 1
        return survey

    @property
    def contacts(self) -> int:
        """Number of all contacts, each counted once."""
        return self.rows.total() + self.alone.total() + self.filled_only

    @property
    def optional(self) -> Columns:
        """The columns that at least one contact does not fill."""
        names = Counter[str]()
        for shape in self.rows:
            names.update(shape)
        return tuple(sorted(name for name, count in names.items() if count < len(self.rows)))

    def rows_with(self, column: str) -> int:
        """Return the number of contacts of ``rows`` that fill a column."""
        return sum(count for shape, count in self.rows.items() if column in shape)

    def without(self, shapes: Iterable[Columns]) -> Survey:
        """Return the survey without the contacts of some shapes."""
        left_out = set(shapes)
        return replace(self, rows=Counter({s: count for s, count in self.rows.items() if s not in left_out}))

    def files(self, columns: Columns, rows: int, max_file_bytes: int) -> int:
        """Return the approximate number of files that ``rows`` contacts with these columns need."""
        cells = sum(self._cell_bytes[name] / max(1, self._cells[name]) + 1 for name in columns)
        line = self._key_bytes / max(1, self._sampled) + cells + 2
        return max(1, math.ceil(rows * line / max_file_bytes))

    def more_files(self, max_file_bytes: int) -> int:
        """Return the approximate number of files for ``fills`` and ``alone``, which are the same in every layout."""
        fills = sum(self.files((name,), rows, max_file_bytes) for name, rows in self.fills.items())
        return fills + sum(self.files(shape, rows, max_file_bytes) for shape, rows in self.alone.items())

    def _add(self, patch: Patch, shape: Columns, later: Columns) -> None:
        if patch.counted_as is not None:
            self.alone[shape] += 1
            return
        self.fills.update(later)
        self.filled += bool(later)
        if shape or not later:
            self.rows[shape] += 1
        else:
            self.filled_only += 1

    def _sample(self, patch: Patch, columns: Columns) -> None:
        self._sampled += 1
        self._key_bytes += _bytes_in(patch.key)
        for name in columns:
            self._cells[name] += 1
            self._cell_bytes[name] += _bytes_in(str(patch.whole[name]))


def _bytes_in(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


@dataclass(frozen=True)
class Layout:
    """The assignment of contacts to files.

    :param columns: columns with a file of their own; ``None``: a file for each shape.
    :param patched: shapes whose contacts go by PATCH.
    :param files: approximate number of files.
    :param patches: number of contacts that go by PATCH.
    :param patches_all: whether every contact goes by PATCH.
    """

    columns: frozenset[str] | None = None
    patched: frozenset[Columns] = frozenset()
    files: int = 0
    patches: int = 0
    patches_all: bool = False

    @property
    def requests(self) -> int:
        """Number of uploads and PATCHes, without polls, which depend on how long imports take."""
        return self.files + self.patches

    def lines(self, survey: Survey) -> int:
        """Return the number of lines in all files, without their headers.

        :param survey: the shapes of the contacts.
        """
        if self.patches_all:
            return 0
        of_rows = sum(
            count * len(self.parts(shape)) for shape, count in survey.rows.items() if shape not in self.patched
        )
        return of_rows + survey.fills.total() + survey.alone.total()

    def parts(self, shape: Columns) -> list[Columns]:
        """Return the columns of each file with a part of a contact of this shape.

        The file with the columns that every contact fills is the first.
        """
        if self.columns is None:
            return [shape]
        common = tuple([name for name in shape if name not in self.columns])
        own = [(name,) for name in shape if name in self.columns]
        return [common, *own] if common or not own else [*own]


def choose(
    survey: Survey,
    file_layout: FileLayout,
    *,
    max_file_bytes: int,
    may_split: bool,
    leftovers: bool | None,
    must_fit: bool = False,
    at_once: Collection[str] = (),
) -> Layout:
    """Return the layout with the fewest requests; contacts that take fewer requests by PATCH go by PATCH.

    :param may_split: whether a contact may be in several files.
    :param leftovers: ``True``: contacts whose files do not fit into the queue go by PATCH. ``None``: contacts go by
        PATCH if that takes fewer requests than their file. ``False``: no contact goes by PATCH.
    :param must_fit: whether a worker would have to wait if the files do not fit into the queue. If so, a few contacts
        without any property may go by PATCH to save their file.
    :param at_once: columns that must be in the first file of a contact.
    """
    ways, more = [], survey.more_files(max_file_bytes)
    if file_layout != "column":
        ways.append(_by_shape(survey, max_file_bytes, leftovers))
    if file_layout != "shape" and may_split:
        layout = _by_column(survey, max_file_bytes, leftovers, at_once)
        if must_fit and layout.files + more > QUEUE_LENGTH and 0 < survey.rows[()] <= _MOST_WITHOUT_PROPERTIES:
            layout = _by_column(survey, max_file_bytes, leftovers, at_once, frozenset({()}))
        ways.append(layout)
    layout = min(ways, key=lambda layout: layout.requests)
    layout = replace(layout, files=layout.files + more)
    by_patch = survey.contacts + survey.filled  # the largest number of requests
    if leftovers is None and by_patch < UPLOAD_AND_POLL * layout.files + layout.patches:
        return Layout(None, frozenset(survey.rows), 0, survey.contacts, patches_all=True)
    return layout


def _by_shape(survey: Survey, max_file_bytes: int, leftovers: bool | None) -> Layout:
    files = {shape: survey.files(shape, rows, max_file_bytes) for shape, rows in survey.rows.items()}
    room = QUEUE_LENGTH - survey.more_files(max_file_bytes)
    patched = _patched(files, survey.rows, room, leftovers)
    return Layout(
        None,
        frozenset(patched),
        sum(count for shape, count in files.items() if shape not in patched),
        sum(survey.rows[shape] for shape in patched),
    )


def _by_column(
    survey: Survey,
    max_file_bytes: int,
    leftovers: bool | None,
    at_once: Collection[str],
    patched: frozenset[Columns] = frozenset(),
) -> Layout:
    rows = {name: survey.rows_with(name) for name in survey.optional if name not in at_once}
    files = {name: survey.files((name,), count, max_file_bytes) for name, count in rows.items()}
    rare = _patched(files, rows, QUEUE_LENGTH - 1 - survey.more_files(max_file_bytes), leftovers)
    patched |= {shape for shape in survey.rows if not rare.isdisjoint(shape)}
    left = survey.without(patched)
    columns = frozenset(left.optional).difference(at_once)
    layout = Layout(columns, patched)
    lines = Counter[Columns]()
    for shape, count in left.rows.items():
        lines.update(dict.fromkeys(layout.parts(shape), count))
    return Layout(
        columns,
        patched,
        sum(left.files(part, count, max_file_bytes) for part, count in lines.items()),
        sum(survey.rows[shape] for shape in patched),
    )


def _patched(files: Mapping[_Part, int], rows: Mapping[_Part, int], room: int, leftovers: bool | None) -> set[_Part]:
    """Return the shapes or columns whose contacts go by PATCH.

    :param files: number of files for each shape or column.
    :param rows: number of contacts with each shape or column.
    :param room: number of files for which the queue has room.
    """
    if leftovers is None:
        return {part for part, count in files.items() if rows[part] < UPLOAD_AND_POLL * count}
    patched, left = set[_Part](), sum(files.values())
    if leftovers:
        for part in sorted(files, key=lambda part: rows[part]):
            # A part of several files has some hundred thousand contacts: by PATCH these would take days.
            if left <= room or files[part] > 1:
                break
            patched.add(part)
            left -= files[part]
    return patched
