"""Patches on their way into files and back: nothing shifted, nothing lost."""

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
from airflow_provider_connectif.imports import files as import_files
from airflow_provider_connectif.imports.files import NO_GROUP, ImportFiles, write_again
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.shapes import Layout, Shapes, Survey
from airflow_provider_connectif.imports.suppressed import rewrite_without
from airflow_provider_connectif.imports.work_folder import IMPORT_PREFIX, work_folder
from airflow_provider_connectif.journal.import_state import SentFile
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import FilesError
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


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), delimiter=st.sampled_from(",;\t|^ "))
def test_any_text_comes_back_as_it_was(folders: Iterator[Path], rows: list[Any], delimiter: str) -> None:
    patches = [patch(n, f"u{n}@example.com", note=note, city=city) for n, (note, city) in enumerate(rows, 1)]
    with ImportFiles(next(folders), MAPPING, delimiter=delimiter) as files:
        [file] = write(files, patches)
        assert read(file, delimiter) == [{"_email": p.key, **p.properties} for p in patches]


def test_a_header_of_a_thousand_columns(tmp_path: Path) -> None:
    ids = [f"field[{n}]" if n else 'odd,"id"' for n in range(1000)]
    mapping = ContactMapping(definitions=[Field(field_id, "text") for field_id in ids])
    values = {
        field_id: ["plain", 'quote "', "line\r\nbreak", "a,b", "=1+1", "😀"][n % 6] for n, field_id in enumerate(ids)
    }
    with ImportFiles(tmp_path / "x", mapping) as files:
        [file] = write(files, [Patch(1, "ana@example.com", values, {})])
        assert read(file) == [{"_email": "ana@example.com", **values}]


def test_bytes_are_utf_8_without_a_mark_and_lines_end_with_crlf(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        [file] = write(files, [patch(1, "a@example.com", note='Jo "é"', city="=1")])
        assert file.path.read_bytes() == '_email,city,note\r\na@example.com,=1,"Jo ""é"""\r\n'.encode()


def test_by_external_id_the_key_comes_first_and_the_e_mail_is_a_column(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", BY_ID) as files:
        [file] = write(files, [Patch(1, "17", {"_email": "a@example.com"}, {}), Patch(2, "a,b", {"_email": "x"}, {})])
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
        assert len(made) == 64
        assert [file.rows for file in made] == sorted((file.rows for file in made), reverse=True)
        found = {row["_email"]: row for file in made for row in read(file)}
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
        assert (files.rows, files.incomplete) == (3, 2)
        assert [read(file) for file in made] == [
            [{"_email": "a@example.com", "city": "Vic"}, {"_email": "b@example.com", "city": "Vic"}],
            [{"_email": "c@example.com"}],
        ]


@pytest.mark.parametrize("slack", [0, 1, 2])
def test_files_stay_below_their_size_to_the_byte(tmp_path: Path, slack: int) -> None:
    header, row = len("_email,note\r\n"), len("é0@example.com,x\r\n".encode())
    with ImportFiles(tmp_path / "x", MAPPING, max_file_bytes=header + 3 * row + slack) as files:
        made = write(files, (patch(n, f"é{n}@example.com", note="x") for n in range(7)))
        assert all(file.size < header + 3 * row + slack for file in made)
        assert sorted(file.rows for file in made) == ([1, 2, 2, 2] if slack == 0 else [1, 3, 3])
        assert sorted(row["_email"] for file in made for row in read(file)) == [f"é{n}@example.com" for n in range(7)]


def test_a_row_too_long_for_any_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", MAPPING, max_file_bytes=100) as files:
        with pytest.raises(InvalidRow, match="a file must be smaller than max_file_bytes, 100"):
            files.add(patch(1, "a@example.com", note="x" * 100))
        assert (files.close(), files.rows, files.groups) == ([], 0, [])
        assert list(files.folder.iterdir()) == []


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    def run(folder: Path) -> tuple[Any, Any]:
        random_ = random.Random(7)
        with ImportFiles(folder, MAPPING, max_file_bytes=2000) as files:
            for number in range(600):
                values = {column: VALUES[column] for column in TYPED if random_.random() < 0.7}
                files.add(patch(number, f"u{number}@example.com", **values))
            made = files.close()
            return [file.path.name for file in made], contents(folder)

    first = run(tmp_path / "a")
    assert first == run(tmp_path / "b")
    assert len(first[0]) > 20
    assert all(name.endswith(".csv") for name in first[1])


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


def test_a_full_disk_is_an_error_that_names_the_folder_of_the_settings(tmp_path: Path) -> None:
    with (
        work_folder(IMPORT_PREFIX, tmp_path) as folder,
        ImportFiles(folder / "files", MAPPING, nothing_sent=True) as files,
    ):
        (files.folder / "contacts-000000.csv").symlink_to("/dev/full")
        with pytest.raises(FilesError, match=r"; nothing was sent\. Free space there, or set ") as error:
            write(files, [patch(1, "ana@example.com", note="x" * 3_000)])
    assert f"the disk is full: the import's files take 3 kB in {str(tmp_path)!r} so far" in str(error.value)
    assert "ana@" not in str(error.value)
    assert not error.value.final
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_when_people_are_removed_from_a_file_is_an_error(tmp_path: Path) -> None:
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        [file] = write(files, [patch(1, "ana@example.com", note="x"), patch(2, "ben@example.com", note="x")])
        file.path.with_suffix(".again").symlink_to("/dev/full")
        with pytest.raises(FilesError, match="No space left on device") as error:
            rewrite_without(file, {"ana@example.com"}, MAPPING, ",")
    assert "nothing was sent" not in str(error.value)
    assert "ana@" not in str(error.value)


def open_files_below(folder: Path) -> int:
    links = map(Path, os.listdir("/proc/self/fd"))
    return sum(os.path.realpath("/proc/self/fd" / link).startswith(str(folder)) for link in links)


@pytest.mark.slow
def test_thousands_of_groups_need_neither_handles_nor_much_memory(tmp_path: Path) -> None:
    ids = [f"f{n}" for n in range(12)]
    mapping = ContactMapping(definitions=[Field(field_id, "text") for field_id in ids])
    sets = [[ids[bit] for bit in range(12) if number >> bit & 1] for number in range(4096)]
    tracemalloc.start()
    with ImportFiles(tmp_path / "x", mapping) as files:
        for number, columns in enumerate(sets * 3):
            files.add(Patch(number, f"u{number}@example.com", dict.fromkeys(columns, "x"), {}))
            assert number % 256 or open_files_below(tmp_path) <= 1
        made = files.close()
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
        assert len(made) == 4096
        assert {file.rows for file in made} == {3}
    tracemalloc.stop()


BY_COLUMN = Layout(frozenset(("visits", "spent")))


def test_by_column_a_file_has_what_every_contact_fills_and_one_each_of_the_other_columns(tmp_path: Path) -> None:
    patches = [
        patch(1, "a@example.com", note="x", city="v", visits=1),
        patch(2, "b@example.com", note="y", city="w", spent=0.5, visits=2),
        patch(3, "c@example.com", note="z", city="u"),
        patch(4, "d@example.com", note="z", city="u", spent=None, visits=None),
    ]
    with ImportFiles(tmp_path / "x", MAPPING, BY_COLUMN) as files:
        made = write(files, patches)
        assert [file.columns for file in made] == [("city", "note"), ("visits",), ("spent",)]
        assert [[row["_email"][0] for row in read(file)] for file in made] == [["a", "b", "c", "d"], ["a", "b"], ["b"]]
        assert [read(file)[-1] for file in made[1:]] == [
            {"_email": "b@example.com", "visits": "2"},
            {"_email": "b@example.com", "spent": "0.5"},
        ]
        # Contacts in the same files are a group.
        assert [files.group_of(number) for number in range(6)] == [NO_GROUP, 0, 1, 2, 2, NO_GROUP]
        assert [(group.files, group.rows) for group in files.groups] == [([0, 1], 1), ([0, 2, 1], 1), ([0], 2)]
        assert (files.rows, files.incomplete) == (4, 1)


def test_by_column_the_key_alone_is_written_for_contacts_without_any_column(tmp_path: Path) -> None:
    patches = [patch(1, "a@example.com", visits=1), patch(2, "b@example.com"), patch(3, "c@example.com", spent=1.5)]
    with ImportFiles(tmp_path / "x", MAPPING, BY_COLUMN) as files:
        assert {file.columns: len(read(file)) for file in write(files, patches)} == {
            (): 1,
            ("visits",): 1,
            ("spent",): 1,
        }


def test_groups_are_few_and_what_is_beyond_shares_one(tmp_path: Path) -> None:
    ids = [f"f{n}" for n in range(11)]
    mapping = ContactMapping(definitions=[Field(field_id, "text") for field_id in ids])
    with ImportFiles(tmp_path / "x", mapping, Layout(frozenset(ids))) as files:
        for number in range(2048):
            files.add(
                Patch(number, f"u{number}@example.com", {f"f{bit}": "x" for bit in range(11) if number >> bit & 1}, {})
            )
        made = files.close()
        assert len(files.groups) <= 1001 + len(made)
        assert sum(group.rows for group in files.groups) == 2048
        for number in range(2048):
            shape = {f"f{bit}" for bit in range(11) if number >> bit & 1}
            group = files.groups[files.group_of(number)]
            assert shape <= {name for file in made if file.number in group.files for name in file.columns}


# Where groups share one, the files that are begun later must not get the contacts of those before them.
@pytest.mark.parametrize("at_once", [set(), {"vip", "tier"}])  # columns in the first file of a contact
@pytest.mark.parametrize(("most_groups", "max_file_bytes"), [(1000, 48_000_000), (3, 48_000_000), (3, 700), (1, 300)])
def test_files_that_were_kept_are_written_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_groups: int, max_file_bytes: int, at_once: set[str]
) -> None:
    monkeypatch.setattr(import_files, "_MOST_GROUPS", most_groups)
    random_ = random.Random(3)
    patches = [
        patch(n, f"u{n}@example.com", note=f"n{n}", **{c: VALUES[c] for c in TYPED if random_.random() < 0.5})
        for n in range(100)
    ]
    layout = Layout(frozenset(TYPED).difference(at_once))
    with ImportFiles(tmp_path / "x", MAPPING, layout, max_file_bytes=max_file_bytes) as files:
        made = write(files, patches)
        wanted = [SentFile(file.number, file.rows, list(file.columns)) for file in made[1:]]
        kept = [[(files.groups[files.group_of(p.number)], p) for p in patches]]
        # Without definitions: the types are what is left of them.
        again = write_again(tmp_path / "y", ContactMapping(), ",", files.types, wanted, kept)
        assert {number: file.path.read_bytes() for number, file in again.items()} == {
            file.number: file.path.read_bytes() for file in made[1:]
        }
        assert [(file.rows, file.columns) for file in again.values()] == [(f.rows, f.columns) for f in made[1:]]


LONG = "x" * 200_000  # more than the csv module reads as one cell
ODD_IDS = ["plain", "=1+1", "a,b", 'say "hi"', "semi;colon", '""', "tab\tx", "ü-é", "-", '"']


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "="])
@pytest.mark.parametrize("left_out", [{0}, {3, 5}, {1, 2, 4, 9}, set(range(10)), {99}])
def test_a_file_without_some_contacts_is_as_if_they_had_never_been_in_it(
    tmp_path: Path, delimiter: str, left_out: set[int]
) -> None:
    notes = [
        "plain",
        LONG,
        "line\r\nbreak",
        "line\nbreak",
        'quote " in it',
        '"',
        'a\r\n"b"\r\n,c',
        ",",
        "\ufeff",
        "é😀",
    ]
    patches = [patch(n, key, note=note) for n, (key, note) in enumerate(zip(ODD_IDS, notes, strict=True))]
    others = [each for n, each in enumerate(patches) if n not in left_out]
    with (
        ImportFiles(tmp_path / "x", BY_ID, delimiter=delimiter) as files,
        ImportFiles(tmp_path / "y", BY_ID, delimiter=delimiter) as without,
    ):
        [file], expected = write(files, patches), write(without, others)
        keys = {BY_ID.same_contact(ODD_IDS[n]) if n < 10 else "nobody" for n in left_out}
        assert rewrite_without(file, keys, BY_ID, delimiter) == keys - {"nobody"}
        lines = expected[0].path.read_bytes() if expected else file.path.read_bytes()[: file.size]
        assert (file.path.read_bytes(), file.rows) == (lines, len(others))


CELLS_OF: dict[str, str] = {
    "birthday": "1990-05-17", "mobile": "+34600123456", "visits": "7", "spent": "0.5", "vip": "true", "tier": "gold",
    "note": 'a "note"', "city": "Vic", "tags": "x|y", "_name": "Ana",
}  # fmt: skip
ALL: dict[str, Any] = VALUES | {"note": 'a "note"', "city": "Vic", "tags": ["x", "y"], "_name": "Ana"}


@pytest.mark.sampled(26)
@pytest.mark.parametrize("seed", range(200))
def test_any_pattern_of_blanks_arrives_whole(tmp_path: Path, seed: int) -> None:
    """Whatever files there are, what they hold together is each contact's row, without a blank."""
    dice = random.Random(seed)
    share = {name: dice.choice([0.0, 0.01, 0.2, 0.5, 0.9, 1.0]) for name in ALL}
    patches = [
        patch(n, f"u{n}@example.com", **{name: ALL[name] for name in ALL if dice.random() < share[name]})
        for n in range(100)
    ]
    shapes = Shapes()
    rules = ImportRules(file_layout=dice.choice(["auto", "column"]))
    survey = Survey.of([patches], shapes)
    layout = rules.layout(survey, may_patch=False)
    with ImportFiles(tmp_path / "x", MAPPING, layout, shapes) as files:
        made = write(files, patches)
        found: dict[str, dict[str, str]] = {p.key: {} for p in patches}
        seen: set[str] = set()
        for file in made:
            for row in read(file):
                assert all(row.values())
                seen.add(row["_email"])
                assert found[row["_email"]].keys().isdisjoint(row)
                found[row.pop("_email")] |= row
    assert seen == found.keys()
    assert found == {p.key: {name: CELLS_OF[name] for name in p.properties} for p in patches}
    assert len(made) == layout.files <= max(1, len(survey.optional) + 1)
