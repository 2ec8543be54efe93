"""Error reports of shapes that nobody has documented: matched by a column of keys, else only counted."""

from __future__ import annotations

import csv
import os
import random
import tracemalloc
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_connectif.imports.report import KeysOf, read_report

ROWS = 50
BAD = [3, 17, 41]
WORDS = ["Type does not fit", "Unknown option given", "Type does not fit"]


def email(n: int) -> str:
    return f"user{n}@example.com"


def keys(*, rows: int = ROWS, of: Any = email) -> KeysOf:
    """The contacts of a file, whose keys are the same in any case."""
    there = {of(n).lower(): n for n in range(rows)}

    def find(cells: Collection[str]) -> Mapping[str, int]:
        return {cell: there[cell.lower()] for cell in cells if cell.lower() in there}

    return find


def report(path: Path, records: Sequence[Sequence[Any]], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(records)
    return path


def outcome(path: Path, keys_of: KeysOf, rows: int = ROWS) -> tuple[int | None, list[int], list[str]]:
    """How many contacts are named, which, and with which words."""
    with read_report(path, ",", rows, keys_of) as read:
        if read.count is None:
            return None, [], []
        said = {key: reason for batch in read.batches() for key, reason in batch.items()}
        numbers = [keys_of([key])[key] for key in said]
        assert len(numbers) == read.count
        return read.count, numbers, list(said.values())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([["email", "error"], *([email(n), w] for n, w in zip(BAD, WORDS, strict=True))], WORDS),
        ([[email(n), w] for n, w in zip(BAD, WORDS, strict=True)], WORDS),
        ([["x"], *([f" {email(n).upper()} "] for n in BAD)], ["", "", ""]),
        (
            [["Fila", "Motivo", "Email"], *([n + 2, w, email(n)] for n, w in zip(BAD, WORDS, strict=True))],
            [f"{n + 2} {w}" for n, w in zip(BAD, WORDS, strict=True)],
        ),
        # Two columns with the same keys, as where a report repeats the whole row.
        ([["a", "b"], *([email(n), email(n)] for n in BAD)], [email(n) for n in BAD]),
    ],
)
def test_by_key(tmp_path: Path, records: list[Any], words: list[str], delimiter: str, encoding: str) -> None:
    path = report(tmp_path / "report", records, delimiter, encoding)
    assert outcome(path, keys()) == (3, BAD, words)


def test_several_reasons_of_a_row_and_any_order(tmp_path: Path) -> None:
    said = [(41, "Bad phone number"), (3, "Bad date given"), (41, "Bad option given")]
    path = report(tmp_path / "report", [["who", "why"], *([email(n), why] for n, why in said)])
    assert outcome(path, keys()) == (2, [3, 41], ["Bad date given", "Bad phone number; Bad option given"])


@pytest.mark.parametrize(
    "records",
    [
        # Some record names nobody, early or late, so nobody knows of the other contacts.
        [["email", "why"], *([email(n), "x"] for n in BAD), ["nobody@example.com", "x"]],
        [["email", "why"], *([email(n), "x"] for n in BAD), ["", "x"]],
        [["email", "why"], *([email(n % ROWS), "x"] for n in range(400)), ["nobody@example.com", "x"]],
        # Two columns of keys that name different contacts.
        [["a", "b"], *([email(n), email(n + 1)] for n in BAD)],
        # Numbers of lines, with and without what stands in them.
        [["line", "why"], *([n + 2, "Type does not fit"] for n in BAD)],
        [["line", "value"], *([n + 2, f"note {n}"] for n in BAD)],
        [["why"], ["Type does not fit"], ["Type does not fit"]],
    ],
)
def test_what_is_no_column_of_keys_is_only_counted(tmp_path: Path, records: list[Any]) -> None:
    assert outcome(report(tmp_path / "report", records), keys()) == (None, [], [])


def test_external_ids_that_could_be_line_numbers_are_no_keys(tmp_path: Path) -> None:
    path = report(tmp_path / "report", [["?", "why"], *([n + 3, "Type does not fit"] for n in BAD)])
    assert outcome(path, keys(of=lambda n: str(n + 3)))[0] is None
    path = report(tmp_path / "report", [["?", "why"], *([900_000 + n, "Type does not fit"] for n in BAD)])
    assert outcome(path, keys(of=lambda n: str(900_000 + n)))[:2] == (3, BAD)


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


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_it_is_it_is_survived_in_little_memory(tmp_path: Path, name: str) -> None:
    path, of_file = tmp_path / "report", keys()
    path.write_bytes(HOSTILE[name])
    tracemalloc.start()
    assert outcome(path, of_file)[0] is None
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "report"
    path.write_bytes(data)
    assert outcome(path, keys(rows=3), 3)[0] is None


@pytest.mark.slow
def test_a_report_on_every_one_of_many_rows_takes_little_memory(tmp_path: Path) -> None:
    def of_file(cells: Collection[str]) -> Mapping[str, int]:
        numbers = {cell: cell.removeprefix("user").removesuffix("@example.com") for cell in cells}
        return {cell: int(number) for cell, number in numbers.items() if number.isdigit()}

    records = [["email", "why"], *([email(n), f"Bad date given in row {n}"] for n in range(20_000))]
    random.Random(3).shuffle(rest := records[1:])
    path = report(tmp_path / "report", [records[0], *rest])
    del records, rest
    tracemalloc.start()
    with read_report(path, ",", 20_000, of_file) as read:
        assert read.count == 20_000
        assert all(
            reason == f"Bad date given in row {of_file([key])[key]}"
            for batch in read.batches()
            for key, reason in batch.items()
        )
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert os.listdir(tmp_path) == ["report"]
