"""Error reports of shapes that nobody has documented: matched where there is one way to read them, else counted."""

from __future__ import annotations

import csv
import os
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFile, ImportFiles
from airflow_provider_connectif.imports.report import ErrorReport
from tests.support.import_files import BY_ID, MAPPING, patch

ROWS = 50
BAD = [3, 17, 41]  # places in the file, from 0
Make = Callable[..., ImportFile]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A file of fifty rows, with keys that a function makes of their places."""
    opened: list[ImportFiles] = []

    def one(key_of: Callable[[int], str], mapping: ContactMapping = MAPPING, rows: int = ROWS) -> ImportFile:
        opened.append(ImportFiles(tmp_path / f"files{len(opened)}", mapping).__enter__())
        for n in range(rows):
            opened[-1].add(patch(n + 1, key_of(n), note=f"note {n}", city=f"City\nof {n % 7}", visits=n % 5))
        [file] = opened[-1].close().files
        return file

    yield one
    for files in opened:
        files.__exit__(None, None, None)


def email(n: int) -> str:
    return f"user{n}@example.com"


def report(path: Path, records: Sequence[Sequence[Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(records)
    return path


def outcome(path: Path, file: ImportFile, mapping: ContactMapping = MAPPING) -> tuple[Any, ...]:
    with ErrorReport(path, file, mapping.same_contact) as read:
        rejected = list(read.rejected())
        assert len(rejected) == read.matched
        others = [row.line for row in read.others()]
        assert sorted(others + [r.row.line for r in rejected]) == list(range(file.rows))
        return read.matched_by, [r.row.line for r in rejected], read.unmatched, [r.reasons for r in rejected]


NO_REASONS: list[tuple[str, ...]] = [(), (), ()]
REASONS = [("Type does not fit",), ("Unknown option given",), ("Type does not fit",)]
WORDS = [reasons[0] for reasons in REASONS]


@pytest.mark.parametrize(
    ("records", "reasons"),
    [
        ([["email", "error"], *([email(n), w] for n, w in zip(BAD, WORDS, strict=True))], REASONS),
        ([[email(n), w] for n, w in zip(BAD, WORDS, strict=True)], REASONS),
        ([["x"], *([f" {email(n).upper()} "] for n in BAD)], NO_REASONS),
        ([["Fila", "Motivo", "Email"], *([n + 2, w, email(n)] for n, w in zip(BAD, WORDS, strict=True))], REASONS),
        (
            [["_email", "city", "note", "visits", "why"]]
            + [[email(n), f"City\nof {n % 7}", f"note {n}", n % 5, w] for n, w in zip(BAD, WORDS, strict=True)],
            REASONS,
        ),
        ([["a", "b", "c"], *([email(n), "two words", "and more"] for n in BAD)], NO_REASONS),
    ],
)
@pytest.mark.parametrize(("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16")])
def test_by_key(tmp_path: Path, make: Make, records: list[Any], reasons: Any, delimiter: str, encoding: str) -> None:
    path = report(tmp_path / "report", records, delimiter, encoding)
    assert outcome(path, make(email)) == ("key", BAD, 0, reasons)


def test_several_reasons_of_a_row_and_any_order(tmp_path: Path, make: Make) -> None:
    said = [(41, "Bad phone number"), (3, "Bad date given"), (41, "Bad option given"), (41, "Bad phone number")]
    path = report(tmp_path / "report", [["who", "why"], *([email(n), why] for n, why in said)])
    assert outcome(path, make(email)) == (
        "key", [3, 41], 0, [("Bad date given",), ("Bad phone number", "Bad option given")],
    )  # fmt: skip


def test_records_that_name_no_row_are_counted(tmp_path: Path, make: Make) -> None:
    strangers = [["nobody@example.com", "Bad date given"], ["", "Bad date given"]]
    path = report(tmp_path / "report", [["email", "why"], *([email(n), "Bad date given"] for n in BAD), *strangers])
    assert outcome(path, make(email))[:3] == ("key", BAD, 2)


def test_a_column_of_other_contacts_mails_is_no_key(tmp_path: Path, make: Make) -> None:
    """Two columns hold keys of this file in each record, and they name different rows."""
    path = report(tmp_path / "report", [["a", "b"], *([email(n), email(n + 1)] for n in BAD)])
    assert outcome(path, make(email))[:3] == (None, [], 3)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_by_line_number_if_the_lines_are_quoted(tmp_path: Path, make: Make, first: int) -> None:
    records = [["line", "value", "why"], *([n + first, f"note {n}", w] for n, w in zip(BAD, WORDS, strict=True))]
    path = report(tmp_path / "report", records)
    assert outcome(path, make(email)) == ("line", BAD, 0, REASONS)


@pytest.mark.parametrize(
    "records",
    [
        [["line", "why"], *([n + 2, "Type does not fit"] for n in BAD)],
        [["line", "value", "why"], *([n + 2, "City", "Type does not fit"] for n in BAD)],
        [["line", "value"], *([n + 2, n % 5] for n in BAD)],
        [["line", "value"], [5, "note 3"], [19, "note 16"]],
        [["why"], ["Type does not fit"], ["Type does not fit"], ["Type does not fit"]],
    ],
)
def test_what_could_mean_several_rows_is_only_counted(tmp_path: Path, make: Make, records: list[Any]) -> None:
    path = report(tmp_path / "report", records)
    assert outcome(path, make(email))[:3] == (None, [], len(records) - 1)


def test_external_ids_that_could_be_line_numbers(tmp_path: Path, make: Make) -> None:
    """Ids from 2 on: a report of bare numbers may mean either; one that quotes the rows says which."""
    file = make(lambda n: str(n + 3), BY_ID)
    bare = report(tmp_path / "bare", [["?", "why"], *([n + 3, "Type does not fit"] for n in BAD)])
    assert outcome(bare, file, BY_ID)[:3] == (None, [], 3)
    quoting = report(tmp_path / "quoting", [["?", "note"], *([n + 3, f"note {n}"] for n in BAD)])
    assert outcome(quoting, file, BY_ID)[:3] == ("key", BAD, 0)
    lines = report(tmp_path / "lines", [["?", "note"], *([n + 2, f"note {n}"] for n in BAD)])
    assert outcome(lines, file, BY_ID)[:3] == ("line", BAD, 0)


def test_external_ids_beyond_the_lines_are_keys(tmp_path: Path, make: Make) -> None:
    path = report(tmp_path / "report", [["?", "why"], *([900_000 + n, "Type does not fit"] for n in BAD)])
    assert outcome(path, make(lambda n: str(900_000 + n), BY_ID), BY_ID)[:3] == ("key", BAD, 0)


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "a byte order mark": b"\xef\xbb\xbf",
    "binary": random.Random(1).randbytes(300_000),
    "NUL": b"\0" * 300_000,
    "a quote without end": b'"' + b"user3@example.com,x\r\n" * 200_000,
    "one line": b"x" * 5_000_000,
    "delimiters": b"," * 3_000_000,
    "blank lines": b"\r\n" * 100_000,
    "half of a UTF-16": b"\xff\xfe" + "user3@example.com".encode("utf-16-le") + b"\x00",
    "numbers": b"5,5,5,5,5,5,5,5\n" * 50_000,
    "HTML": b"<!doctype html><html><title>Access denied</title></html>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_it_is_it_is_survived_in_little_memory(tmp_path: Path, make: Make, name: str) -> None:
    path, file = tmp_path / "report", make(email)
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    lines = outcome(path, file)[1]
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()
    assert lines == ([3] if name == "a quote without end" else [])  # it is read again behind what the quote took in


def test_a_quote_without_end_costs_only_what_follows_it_closely(tmp_path: Path, make: Make) -> None:
    lines = [f"{email(n)},Bad date given" for n in BAD] + ['"never closed'] + ["filler,x"] * 150_000
    path = tmp_path / "report"
    path.write_text("\r\n".join(lines))
    matched_by, matched, unmatched, _ = outcome(path, make(email))
    assert (matched_by, matched) == (None, [])  # most of its records name nobody
    assert unmatched > 10_000


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_any_bytes(tmp_path: Path, make: Make, data: bytes) -> None:
    path = tmp_path / "report"
    path.write_bytes(data)
    matched_by, lines, unmatched, _ = outcome(path, make(email, rows=3))
    assert (matched_by, lines) == (None, [])
    assert unmatched >= 0


def test_a_report_on_every_one_of_many_rows_takes_little_memory(tmp_path: Path, make: Make) -> None:
    file = make(email, rows=20_000)
    records = [["email", "why"], *([email(n), f"Bad date given in row {n}"] for n in range(20_000))]
    random.Random(3).shuffle(records)
    path = report(tmp_path / "report", records)
    del records
    tracemalloc.start()
    with ErrorReport(path, file, MAPPING.same_contact) as read:
        assert (read.matched, read.matched_by) == (20_000, "key")
        assert all(r.reasons == (f"Bad date given in row {r.row.line}",) for r in read.rejected())
        assert list(read.others()) == []
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert not [name for name in os.listdir(file.path.parent) if name.endswith(".matches")]
