"""Records of a CSV that nothing is known about: delimiter and encoding undocumented, perhaps no CSV at all."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

DELIMITERS = (",", ";", "\t", "|")
"""Tried after the one of the file itself."""

_MOST_CELLS = 256  # of a record; the others are not looked at
_LONGEST_CELL = 500
_LONGEST_LINE = 100_000
_LONGEST_RECORD = 1_000_000  # an opening quote without its end would take in the rest of the file

_MARKS: Sequence[tuple[bytes, str]] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _TooLong(Exception):
    pass


class _Lines:
    """Lines for one reader, none of them long, until a record takes too many of them."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.left = _LONGEST_RECORD
        self.ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self.left <= 0:
            raise _TooLong
        line = self._text.readline(_LONGEST_LINE)
        if not line:
            self.ended = True
            raise StopIteration
        self.left -= len(line)
        return line


def records(path: Path, delimiter: str) -> Iterator[tuple[str, ...]]:
    """The records of any file, as far as it has some; their cells cut short, and trimmed.

    Memory is bounded whatever the file holds. What cannot be decoded is replaced, blank lines are left out, and what
    cannot be a record counts as one without cells.
    """
    with path.open(encoding=_encoding(path), errors="replace", newline="") as text:
        while True:
            lines = _Lines(text)
            try:
                for cells in csv.reader(lines, delimiter=delimiter):
                    lines.left = _LONGEST_RECORD
                    short = tuple(cell[:_LONGEST_CELL].strip() for cell in cells[:_MOST_CELLS])
                    if any(short):
                        yield short
            except (csv.Error, _TooLong):
                yield ()
            if lines.ended:
                return


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        beginning = file.read(4)
    return next((encoding for mark, encoding in _MARKS if beginning.startswith(mark)), "utf-8")
