"""What the API's documents say of a file of contacts to import, read strictly and without the ``csv`` module.

Sources: API reference "create-import"; help centre 360020966799 and 360014217640 (imports), 360015491240 (field
types); RFC 4180. A *fault* is what no client should ever put into a file; an *error* refuses one row.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.support.strict_rules import FIELDS, is_email, is_external_id, is_phone

KEY_COLUMNS = ("_externalId", "_email")  # the first that is there has priority
_FIELDS = {field["id"]: field for field in FIELDS}
_INTEGER = re.compile(r"-?[1-9][0-9]{0,18}|0")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,99})(?:\.[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PHONE = re.compile(r"(\+)?[0-9]{1,15}")

Check = Callable[[str], Any]
"""The typed value of a cell; raises :class:`CellError`."""


class FileFault(Exception):
    """The file cannot be read on; what no client should have sent."""


class CellError(Exception):
    """The cell does not fit its field."""


def records(path: Path, delimiter: str) -> Iterator[list[str]]:
    """The cells of each record; lines end with LF or CRLF, within quotes they are part of the cell."""
    with path.open("rb") as content:
        if content.read(3) == b"\xef\xbb\xbf":
            raise FileFault("the file begins with a BOM")
    pending, width = "", 0
    with path.open(encoding="utf-8", errors="strict", newline="\n") as lines:
        try:
            for line in lines:
                if not pending and '"' not in line:
                    cells = _ended(line, bare=True).split(delimiter)
                else:
                    pending += line
                    if pending.count('"') % 2:
                        continue
                    cells, pending = _quoted_cells(_ended(pending), delimiter, width), ""
                width = width or len(cells)
                yield cells
        except UnicodeDecodeError:
            raise FileFault("the file is not UTF-8") from None
    if pending:
        raise FileFault("a quoted cell has no end")


def _ended(record: str, bare: bool = False) -> str:
    text = record.removesuffix("\n").removesuffix("\r")
    if bare and "\r" in text:
        raise FileFault("a carriage return stands outside of quotes")
    return text


def _quoted_cells(record: str, delimiter: str, width: int) -> list[str]:
    """The cells of a record; as many as the header has, where that is known already."""
    for cells in (width, 0):
        match = _record_pattern(delimiter, cells).fullmatch(record)
        if match is not None:
            found = match.groups() if cells else _cell_pattern(delimiter).findall(record)
            return [cell[1:-1].replace('""', '"') if cell.startswith('"') else cell for cell in found]
    raise FileFault("quotes are not as RFC 4180 has them")


def _cell(delimiter: str) -> str:
    return f'"[^"]*(?:""[^"]*)*"|[^"{re.escape(delimiter)}\r\n]*'


@lru_cache
def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    return re.compile(f"(?:^|(?<={re.escape(delimiter)}))({_cell(delimiter)})(?={re.escape(delimiter)}|\\Z)")


@lru_cache
def _record_pattern(delimiter: str, cells: int) -> re.Pattern[str]:
    """A record of so many cells, a group each; with 0, of any number and without groups."""
    if cells:
        return re.compile(re.escape(delimiter).join([f"({_cell(delimiter)})"] * cells))
    return re.compile(f"(?:{_cell(delimiter)})(?:{re.escape(delimiter)}(?:{_cell(delimiter)}))*")


def count_rows(path: Path, delimiter: str) -> int:
    """Rows without the header, as far as the file can be read; its faults are found when it is processed."""
    count = -1
    try:
        for _ in records(path, delimiter):
            count += 1
    except FileFault:
        pass
    return max(0, count)


class Header:
    """The first record: which column is the key, and how each cell is read.

    :param zero: whether ``0`` is an integer; the documents say both.
    """

    def __init__(self, columns: list[str], zero: bool = True) -> None:
        self.columns = columns
        self.faults = [f"column {name} is none of the account's" for name in columns if _is_unknown(name)]
        self.faults += [f"column {name} is read-only" for name in columns if _is_read_only(name)]
        if len(set(columns)) != len(columns):
            self.faults.append("a column stands twice")
        keys = [name for name in KEY_COLUMNS if name in columns]
        if not keys:
            self.faults.append("there is no column of contact keys")
        self.key = keys[0] if keys else ""
        self.has_both_keys = len(keys) == 2
        self.key_at = columns.index(self.key) if keys else 0
        self._checks = [(at, name, _check_of(name, zero)) for at, name in enumerate(columns) if not _is_unknown(name)]

    def read(self, cells: list[str]) -> tuple[str, dict[str, Any]]:
        """Contact key and typed properties of one record.

        :raises CellError: a cell does not fit; the text is the column and the reason.
        :raises FileFault: the record has another number of cells than the header.
        """
        if len(cells) != len(self.columns):
            raise FileFault(f"a record has {len(cells)} cells and the header {len(self.columns)}")
        try:
            values = {name: check(cells[at]) for at, name, check in self._checks}
        except CellError:
            raise self._first_error(cells) from None
        return values.pop(self.key), values

    def _first_error(self, cells: list[str]) -> CellError:
        for at, name, check in self._checks:
            try:
                check(cells[at])
            except CellError as error:
                return CellError(f"{name}: {error}")
        raise AssertionError("a check said no and then yes")


def _is_unknown(name: str) -> bool:
    return name not in _FIELDS and name not in KEY_COLUMNS


def _is_read_only(name: str) -> bool:
    return name not in KEY_COLUMNS and _FIELDS.get(name, {}).get("readOnly", False)


def _check_of(name: str, zero: bool) -> Check:
    if name == "_externalId":
        return _external_id
    field = _FIELDS[name]
    return _MAKERS[field["type"]](field, zero)


def _external_id(cell: str) -> str:
    if not is_external_id(cell):
        raise CellError("must have 1 to 50 characters that can be seen")
    return cell


def _text(field: dict[str, Any], _: bool) -> Check:
    longest = field.get("maxLength", 1 << 30)

    def check(cell: str) -> str:
        if "\0" in cell:
            raise FileFault("a cell has a NUL character")
        if len(cell) > longest:
            raise CellError("is too long")
        return cell  # a blank one empties the field, as far as anybody knows

    return check


def _email(_field: dict[str, Any], _: bool) -> Check:
    def check(cell: str) -> str:
        if not is_email(cell):
            raise CellError("must be an e-mail address")
        return cell

    return check


def _phone(field: dict[str, Any], _: bool) -> Check:
    def check(cell: str) -> str:
        match = _PHONE.fullmatch(cell)
        number = cell if match is None or match[1] else f"+{field['defaultCountryCode']}{cell}"
        if not is_phone(number):
            raise CellError("must be a phone number without spaces")
        return number

    return check


def _number(pattern: re.Pattern[str], kind: Callable[[str], float]) -> Callable[[dict[str, Any], bool], Check]:
    def make(field: dict[str, Any], zero: bool) -> Check:
        least, most = field.get("minValue", float("-inf")), field.get("maxValue", float("inf"))

        def check(cell: str) -> float:
            if pattern.fullmatch(cell) is None or (pattern is _INTEGER and cell == "0" and not zero):
                raise CellError("must be a number without leading zeros")
            value = kind(cell)
            if not least <= value <= most:
                raise CellError("is out of range")
            return value

        return check

    return make


def _boolean(_field: dict[str, Any], _: bool) -> Check:
    def check(cell: str) -> bool:
        if cell not in ("true", "false"):
            raise CellError("must be true or false")
        return cell == "true"

    return check


def _date(_field: dict[str, Any], _: bool) -> Check:
    @lru_cache(100_000)
    def check(cell: str) -> str:
        try:
            if _DATE.fullmatch(cell) and datetime.date.fromisoformat(cell):
                return cell
        except ValueError:
            pass
        raise CellError("must be a date, yyyy-mm-dd")

    return check


def _radio(field: dict[str, Any], _: bool) -> Check:
    options = {option["id"]: option["id"] for option in field["options"]}

    def check(cell: str) -> str:
        if cell not in options:
            raise CellError("must be the id of an option")
        return options[cell]

    return check


def _checkbox(field: dict[str, Any], _: bool) -> Check:
    options = {option["id"] for option in field["options"]}

    @lru_cache(1000)
    def check(cell: str) -> list[str]:
        chosen = cell.split("|") if cell else []  # not among the types whose cells must not be blank
        if len(set(chosen)) != len(chosen) or not options.issuperset(chosen):
            raise CellError("must be ids of options, joined by |")
        return chosen

    return check


_MAKERS: dict[str, Callable[[dict[str, Any], bool], Check]] = {
    "text": _text,
    "email": _email,
    "phone": _phone,
    "integer": _number(_INTEGER, int),
    "decimal": _number(_DECIMAL, float),
    "boolean": _boolean,
    "date": _date,
    "radio": _radio,
    "checkbox": _checkbox,
}
