"""How an error report names the rows that it is about, judged by its first records.

Nothing is documented of its columns. So each column is tried in each reading, under each delimiter, and one is taken
only if no other explains the report as well.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.layout import cells_of
from airflow_provider_connectif.imports.report_records import DELIMITERS, records

_SAMPLE = 200  # records
_MOST_CELLS = 5000  # of the sample
_LONGEST_KEY = 320  # characters; an e-mail has 254 at most
_SHORTEST_QUOTATION = 3  # characters; shorter cells are alike in many rows

Reading = Literal["key", 0, 1, 2]
"""``key``: the cell is a contact key. A number: that of the first row, counted from 0, from 1, or after the header."""

READINGS: tuple[Literal[0, 1, 2], ...] = (0, 1, 2)


class Way(NamedTuple):
    """How a report is read: its delimiter, the column that names rows, and in what sense.

    ``reason``: the column of the reasons, if one can be told apart.
    """

    delimiter: str
    column: int
    reading: Reading
    reason: int | None = None


class Sample(NamedTuple):
    """The first records of a report under one delimiter."""

    delimiter: str
    records: list[tuple[str, ...]]


class _Evidence:
    """What one way explains: by record of the sample the line that it names, and which of them quote that line."""

    def __init__(self) -> None:
        self.lines: dict[int, int] = {}
        self.quoting: set[int] = set()
        self.echoes: set[int] = set()


def find_way(report: Path, file: ImportFile, same_contact: Callable[[str], str]) -> Way | None:
    """The one way to read a report, or ``None`` where there is none, or more than one.

    By key: more than half of the records have a key of this file in that column, more than in any other. Keys that
    are small whole numbers may be line numbers instead, and line numbers are counted in one of three ways: so such
    must be borne out by a cell that the line has, too, in all records but the header, under this reading only.
    """
    samples = [
        Sample(delimiter, _first_records(report, delimiter))
        for delimiter in dict.fromkeys((file.delimiter, *DELIMITERS))
    ]
    evidence = _gather(samples, file, same_contact)
    for sample in samples:
        of_sample = {way: found for way, found in evidence.items() if way.delimiter == sample.delimiter}
        way = _by_key(sample, of_sample) or _borne_out(sample, of_sample)
        if way is not None:
            return way._replace(reason=_reason_column(sample, way, evidence[way]))
    return None


def line_of(cell: str, reading: Literal[0, 1, 2]) -> int | None:
    """The line that a cell names, from 0."""
    number = _whole(cell)
    return None if number is None or number < reading else number - reading


def _first_records(report: Path, delimiter: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    cells = 0
    for record in itertools.islice(records(report, delimiter), _SAMPLE):
        cells += len(record)
        if found and cells > _MOST_CELLS:
            break
        found.append(record)
    return found


def _whole(cell: str) -> int | None:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 12 else None


def _gather(samples: Sequence[Sample], file: ImportFile, same_contact: Callable[[str], str]) -> dict[Way, _Evidence]:
    by_key: dict[str, list[tuple[Sample, int, int]]] = defaultdict(list)
    by_number: dict[int, list[tuple[Sample, int, int]]] = defaultdict(list)
    for sample in samples:
        for place, record in enumerate(sample.records):
            for column, cell in enumerate(record):
                if cell and len(cell) <= _LONGEST_KEY:
                    by_key[same_contact(cell)].append((sample, place, column))
                    if (number := _whole(cell)) is not None:
                        by_number[number].append((sample, place, column))
    found: dict[Way, _Evidence] = defaultdict(_Evidence)
    for row, line in file.lines():
        named: Iterator[tuple[Reading, tuple[Sample, int, int]]] = itertools.chain(
            (("key", where) for where in by_key.get(row.key, ())),
            ((reading, where) for reading in READINGS for where in by_number.get(row.line + reading, ())),
        )
        own: set[str] | None = None
        for reading, (sample, place, column) in named:
            if own is None:
                own = {cell.strip() for cell in cells_of(line, file.delimiter)}
            evidence = found[Way(sample.delimiter, column, reading)]
            evidence.lines[place] = row.line
            echoes = {c for c, cell in enumerate(sample.records[place]) if c != column and cell and cell in own}
            evidence.echoes |= echoes
            if any(len(sample.records[place][c]) >= _SHORTEST_QUOTATION for c in echoes):
                evidence.quoting.add(place)
    return found


def _by_key(sample: Sample, evidence: dict[Way, _Evidence]) -> Way | None:
    """The column with the most keys; where two have as many, they must name the same rows."""
    by_key = {way: found for way, found in evidence.items() if way.reading == "key"}
    most = max((len(found.lines) for found in by_key.values()), default=0)
    if 2 * most <= len(_without_header(sample, by_key)):
        return None
    best = [way for way, found in by_key.items() if len(found.lines) == most]
    best.sort(key=lambda way: way.column)
    if any(by_key[way].lines != by_key[best[0]].lines for way in best):
        return None
    as_numbers = [evidence.get(best[0]._replace(reading=reading)) for reading in READINGS]
    if any(found and by_key[best[0]].lines.keys() <= found.lines.keys() for found in as_numbers):
        return None  # line numbers, as far as anybody can see
    return best[0]


def _borne_out(sample: Sample, evidence: dict[Way, _Evidence]) -> Way | None:
    """The only way under which each record names a line and quotes it."""
    needed = _without_header(sample, evidence)
    ways = [way for way, found in evidence.items() if needed and needed <= found.quoting]
    return ways[0] if len(ways) == 1 else None


def _without_header(sample: Sample, evidence: dict[Way, _Evidence]) -> set[int]:
    """The records that must name a row: all but a first one that names none."""
    places = set(range(len(sample.records)))
    return places if any(0 in found.lines for found in evidence.values()) else places - {0}


def _reason_column(sample: Sample, way: Way, found: _Evidence) -> int | None:
    """The one column that holds sentences, and never what the row itself holds."""
    width = max(len(sample.records[place]) for place in found.lines)
    columns = []
    for column in range(width):
        cells = [r[column] for place in found.lines if len(r := sample.records[place]) > column and r[column]]
        sentences = sum(" " in cell and any(letter.isalpha() for letter in cell) for cell in cells)
        if column != way.column and column not in found.echoes and 2 * sentences > len(cells):
            columns.append(column)
    return columns[0] if len(columns) == 1 else None
