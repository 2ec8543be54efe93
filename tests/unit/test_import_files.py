"""Patches on their way into files and back: nothing shifted, nothing lost, each contact once."""

from __future__ import annotations

import itertools
import os
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFiles, ImportSet
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.rows import InvalidRow
from tests.support.import_files import BY_ID, MAPPING, TYPED, contents, patch, read, write

VALUES: dict[str, Any] = {
    "birthday": "1990-05-17", "mobile": "+34600123456", "visits": 7, "spent": 0.5, "vip": True, "tier": "gold",
}  # fmt: skip
NASTY = st.text(st.one_of(st.sampled_from('",;|\t\r\n =+-@\ufeff\u2028é😀'), st.characters(codec="utf-8")), max_size=30)
CELLS = NASTY.filter(lambda text: text and "\0" not in text)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    return (tmp_path / f"run{number}" for number in itertools.count())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), delimiter=st.sampled_from(",;\t|^ "))
def test_any_text_comes_back_as_it_was(folders: Iterator[Path], rows: list[Any], delimiter: str) -> None:
    patches = [patch(n, f"u{n}@example.com", note=note, city=city) for n, (note, city) in enumerate(rows, 1)]
    with ImportFiles(next(folders), MAPPING, delimiter=delimiter) as files:
        [file] = write(files, patches).files
        expected = [{"_email": p.key, **p.properties} for p in patches]
        assert read(file) == expected
        own = [dict(zip(file.header, cells, strict=True)) for _, cells in file.records()]
        assert own == expected


def test_a_header_of_a_thousand_columns(tmp_path: Path) -> None:
    ids = [f"field[{n}]" if n else 'odd,"id"' for n in range(1000)]
    mapping = ContactMapping(definitions=[Field(field_id, "text") for field_id in ids])
    values = {
        field_id: ["plain", 'quote "', "line\r\nbreak", "a,b", "=1+1", "😀"][n % 6] for n, field_id in enumerate(ids)
    }
    with ImportFiles(tmp_path / "x", mapping) as files:
        [file] = write(files, [Patch(1, "ana@example.com", values, {})]).files
        assert read(file) == [{"_email": "ana@example.com", **values}]
        assert file.header[0] == "_email"


def test_bytes_are_utf_8_without_a_mark_and_lines_end_with_crlf(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        [file] = write(files, [patch(1, "a@example.com", note='Jo "é"', city="=1")]).files
        assert file.path.read_bytes() == '_email,city,note\r\na@example.com,=1,"Jo ""é"""\r\n'.encode()


def test_by_external_id_the_key_comes_first_and_the_e_mail_is_a_column(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", BY_ID) as files:
        [file] = write(
            files, [Patch(1, "17", {"_email": "a@example.com"}, {}), Patch(2, "a,b", {"_email": "x"}, {})]
        ).files
        assert read(file) == [{"_externalId": "17", "_email": "a@example.com"}, {"_externalId": "a,b", "_email": "x"}]


def test_sparse_rows_go_to_a_file_for_each_set_of_columns(tmp_path: Path) -> None:
    random_ = random.Random(1)
    rows = [{c: VALUES[c] for c in TYPED if random_.random() < 0.5} for _ in range(2000)]
    for row in rows[::2]:
        random_.shuffle(items := list(row.items()))
        row.clear()
        row.update(items)
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        made = write(files, (patch(n, f"u{n}@example.com", **row) for n, row in enumerate(rows)))
        assert len(made.files) == 64
        assert [file.rows for file in made.files] == sorted((file.rows for file in made.files), reverse=True)
        found = {row["_email"]: row for file in made.files for row in read(file)}
    assert all(cell for row in found.values() for cell in row.values())
    cells = {"visits": "7", "spent": "0.5", "vip": "true"}
    assert found == {
        f"u{n}@example.com": {"_email": f"u{n}@example.com", **{c: cells.get(c, row[c]) for c in row}}
        for n, row in enumerate(rows)
    }


def test_blank_values_are_left_out_and_told(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        made = write(
            files,
            [
                patch(1, "a@example.com", note="", visits=None, tags=[], city="Vic"),
                patch(2, "b@example.com", city="Vic"),
                patch(3, "c@example.com", note=""),
            ],
        )
        assert (made.rows, made.incomplete) == (3, 2)
        assert [read(file) for file in made.files] == [
            [{"_email": "a@example.com", "city": "Vic"}, {"_email": "b@example.com", "city": "Vic"}],
            [{"_email": "c@example.com"}],
        ]
        assert [row.complete for row in made.files[0].ledger] == [False, True]


@pytest.mark.parametrize("slack", [0, 1, 2])
def test_files_stay_below_their_size_to_the_byte(tmp_path: Path, slack: int) -> None:
    header, row = len("_email,note\r\n"), len("é0@example.com,x\r\n".encode())
    with ImportFiles(tmp_path / "x", MAPPING, max_file_bytes=header + 3 * row + slack) as files:
        made = write(files, (patch(n, f"é{n}@example.com", note="x") for n in range(7)))
        assert all(file.size < header + 3 * row + slack for file in made.files)
        assert sorted(file.rows for file in made.files) == ([1, 2, 2, 2] if slack == 0 else [1, 3, 3])
        assert sorted(row["_email"] for file in made.files for row in read(file)) == [
            f"é{n}@example.com" for n in range(7)
        ]


def test_a_row_too_long_for_any_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", MAPPING, max_file_bytes=100) as files:
        with pytest.raises(InvalidRow, match="too many for a file of 100"):
            files.add(patch(1, "a@example.com", note="x" * 100))
        made = files.close()
        assert made == ImportSet([], 0, 0, 0)
        assert list(files.folder.iterdir()) == []


@pytest.mark.parametrize("hash_key", [hash, lambda key: 5])
def test_the_last_row_of_a_contact_wins_wherever_it_is(tmp_path: Path, hash_key: Any) -> None:
    """Also where hashes collide: with a constant for a hash all keys look alike."""
    patches = [
        patch(1, "Ana@Example.com", note="first"),
        patch(2, "eva@example.com", note="only"),
        patch(3, "ana@example.com", note="second", visits=1),
        patch(4, "jo@example.com", visits=4, note="superseded in the other file"),
        patch(5, "ANA@EXAMPLE.COM", note='la"st'),
        patch(6, "jo@example.com", note="last"),
        patch(7, "JOSÉ@example.com", note="x"),
        patch(8, "jose\u0301@example.com", note="composed is the same"),
    ]
    with ImportFiles(tmp_path / "x", MAPPING, hash_key=hash_key) as files:
        made = write(files, patches)
        assert (made.rows, made.duplicates) == (4, 4)
        [file] = made.files  # the one with visits has no rows left
        assert [(row["_email"], row["note"]) for row in read(file)] == [
            ("eva@example.com", "only"), ("ANA@EXAMPLE.COM", 'la"st'), ("jo@example.com", "last"),
            ("jose\u0301@example.com", "composed is the same"),
        ]  # fmt: skip
        assert [(row.line, row.number) for row in file.ledger] == [(0, 2), (1, 5), (2, 6), (3, 8)]
        assert not list(files.folder.glob("contacts-000001*"))


def test_external_ids_of_another_case_are_other_contacts(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", BY_ID) as files:
        made = write(files, [patch(1, "a1", city="x"), patch(2, "A1", city="y"), patch(3, "a1", city="z")])
        assert [[(r["_externalId"], r["city"]) for r in read(file)] for file in made.files] == [
            [("A1", "y"), ("a1", "z")]
        ]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 8), st.booleans(), st.sets(st.sampled_from(TYPED), max_size=3), CELLS), max_size=40
    ),
    buckets=st.integers(1, 3),
)
def test_every_contact_once_with_its_last_row(folders: Iterator[Path], rows: list[Any], buckets: int) -> None:
    patches = [
        patch(n, f"{'U' if loud else 'u'}{who}@example.com", note=note, **{c: VALUES[c] for c in columns})
        for n, (who, loud, columns, note) in enumerate(rows, 1)
    ]
    last = {p.key.lower(): p for p in patches}
    with ImportFiles(
        next(folders), MAPPING, max_file_bytes=400, keep_properties=True, hash_key=lambda key: hash(key) % buckets
    ) as files:
        made = write(files, patches)
        assert (made.rows, made.duplicates) == (len(last), len(patches) - len(last))
        back = [p for file in made.files for p in file.patches()]
        assert {p.number: (p.key, p.properties) for p in back} == {
            p.number: (p.key, p.properties) for p in last.values()
        }
        for file in made.files:
            numbers = [row.number for row in file.ledger]
            assert numbers == sorted(numbers)
            assert [r["note"] for r in read(file)] == [patches[number - 1].properties["note"] for number in numbers]


def test_the_ledger_gives_back_digests_and_exact_properties(tmp_path: Path) -> None:
    digests = Digests("r" * 32, "p" * 32, "m" * 32)
    properties = {
        "birthday": "1990-05-17T08:30:00+02:00",
        "spent": 1e-7,
        "tags": ["x", "y"],
        "note": 'tab\t\n"é😀',
        "city": None,
    }
    with ImportFiles(tmp_path / "x", MAPPING, keep_properties=True) as files:
        [file] = write(files, [Patch(9, "Ana@example.com", properties, {}, digests)]).files
        [row] = file.ledger
        assert (row.number, row.key, row.written_key, row.digests) == (9, "ana@example.com", "Ana@example.com", digests)
        [back] = file.patches()
        assert back == Patch(9, "Ana@example.com", properties, {"_email": "Ana@example.com", **properties}, digests)
        assert list(file.records({0})) == [(row, ["Ana@example.com", "1990-05-17", 'tab\t\n"é😀', "0.0000001", "x|y"])]
        assert list(file.records(())) == []


def test_properties_that_were_not_kept_are_not_made_up(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        [file] = write(files, [patch(1, "a@example.com", city="x")]).files
        with pytest.raises(ValueError, match="keep_properties"):
            list(file.patches())


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    def run(folder: Path) -> tuple[Any, Any, Any]:
        random_ = random.Random(7)
        with ImportFiles(folder, MAPPING, max_file_bytes=2000) as files:
            for number in range(600):
                values = {column: VALUES[column] for column in TYPED if random_.random() < 0.7}
                files.add(patch(number, f"u{random_.randrange(200)}@example.com", **values))
            made = files.close()
            return [file.path.name for file in made.files], [file.digest() for file in made.files], contents(folder)

    first = run(tmp_path / "a")
    assert first == run(tmp_path / "b")
    assert len(first[0]) > 20
    assert all(name.endswith((".csv", ".ledger")) for name in first[2])


def test_the_folder_goes_whatever_happens_and_is_nobody_elses(tmp_path: Path) -> None:
    folder = tmp_path / "x"

    def fails() -> None:
        with ImportFiles(folder, MAPPING) as files:
            write(files, [patch(1, "a@example.com", note="x")])
            assert folder.stat().st_mode & 0o077 == 0
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert not folder.exists()
    folder.mkdir()
    (folder / "precious").touch()
    with pytest.raises(FileExistsError), ImportFiles(folder, MAPPING):
        pass
    assert (folder / "precious").exists()


def test_thousands_of_groups_need_neither_handles_nor_much_memory(tmp_path: Path) -> None:
    ids = [f"f{n}" for n in range(12)]
    mapping = ContactMapping(definitions=[Field(field_id, "text") for field_id in ids])
    sets = [[ids[bit] for bit in range(12) if number >> bit & 1] for number in range(4096)]
    before = len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    with ImportFiles(tmp_path / "x", mapping) as files:
        for number, columns in enumerate(sets * 3):
            files.add(Patch(number, f"u{number}@example.com", dict.fromkeys(columns, "x"), {}))
            assert len(os.listdir("/proc/self/fd")) <= before + 1
        made = files.close()
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
        assert len(made.files) == 4096
        assert {file.rows for file in made.files} == {3}
    tracemalloc.stop()
