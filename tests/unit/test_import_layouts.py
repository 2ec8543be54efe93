"""Which files a plan becomes: never more than one for each column that may be empty, and one."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest

from airflow_provider_connectif.contacts.fields import Field, FieldTable
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.shapes import Layout, Shapes, Survey
from airflow_provider_connectif.records.changes import Patch

NEWS = "_newsletterSubscriptionStatus"
NAMES = tuple(f"p{n}" for n in range(10))


def survey_of(rows: dict[tuple[str, ...], int]) -> Survey:
    return Survey(Counter({tuple(sorted(shape)): count for shape, count in rows.items()}))


def lines_of(layout: Layout, survey: Survey) -> Counter[tuple[str, ...]]:
    """Lines by the columns of their file."""
    lines = Counter[tuple[str, ...]]()
    for shape, count in survey.rows.items():
        if shape not in layout.patched:
            lines.update(dict.fromkeys(layout.parts(shape), count))
    return lines


def split(dice: random.Random, count: int, share: float) -> int:
    """How many of so many rows have something that each has with this probability."""
    if count <= 200:
        return sum(dice.random() < share for _ in range(count))
    spread = math.sqrt(count * share * (1 - share))
    return max(0, min(count, round(dice.gauss(count * share, spread))))


def random_table(seed: int) -> Counter[tuple[str, ...]]:
    """Rows by shape: 100 to 1,000,000 of ten columns, each empty as often as chance says, alone or with others."""
    dice = random.Random(seed)
    count = round(10 ** dice.uniform(2, 6))
    shares = [dice.choice([0.0, 0.000_01, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1.0]) for _ in NAMES]
    shapes: Counter[tuple[str, ...]] = Counter({(): count})
    for name, share in zip(NAMES, shares, strict=True):
        finer: Counter[tuple[str, ...]] = Counter()
        for shape, rows in shapes.items():
            here = share
            if shape and dice.random() < 0.3:  # columns that come together
                here = dice.choice([0.0, share, 1.0])
            filled = split(dice, rows, here)
            finer[(*shape, name)] += filled
            finer[shape] += rows - filled
        shapes = +finer
    return shapes


# What a file of these rows takes is estimated from a sample, as of a real plan.
@pytest.mark.sampled(53)
@pytest.mark.parametrize("seed", range(200))
def test_any_pattern_takes_at_most_a_file_for_each_column_that_may_be_empty_and_one(seed: int) -> None:
    rows = random_table(seed)
    cells = {name: "x" * random.Random(f"{seed}{name}").choice([1, 8, 40, 200]) for name in NAMES}
    key = "someone-000000@example.com"
    sample = [
        Patch(n, key, dict.fromkeys(shape, "") | {c: cells[c] for c in shape}, {}) for n, shape in enumerate(rows)
    ]
    survey = Survey.of([[patch] * 50 for patch in sample], Shapes())
    survey.rows = rows
    layout = ImportRules().layout(survey)
    count, optional, lines = rows.total(), len(survey.optional), lines_of(layout, survey)

    table_bytes = sum(n * (len(key) + 2 + sum(len(cells[c]) + 1 for c in shape)) for shape, n in rows.items())
    times_48_mb = math.ceil(table_bytes / 48_000_000)
    assert layout.files <= (optional + 1) * times_48_mb
    assert layout.requests <= min(count, (optional + 1) * times_48_mb)
    assert len(lines) <= min(optional + 1, len(rows))
    assert layout.files == sum(
        math.ceil(n * (len(key) + 2 + sum(len(cells[c]) + 1 for c in columns)) / 48_000_000)
        for columns, n in lines.items()
    )
    assert layout.patches == sum(rows[shape] for shape in layout.patched)
    for shape in rows:
        parts = layout.parts(shape)
        # Each property is in one file, and no file has a column that a contact in it does not fill.
        assert sorted(name for part in parts for name in part) == sorted(shape)


def test_random_tables_are_small_and_large_and_of_few_and_many_shapes() -> None:
    tables = [random_table(seed) for seed in range(200)]
    sizes = sorted(table.total() for table in tables)
    assert 100 <= sizes[0] < 150
    assert 900_000 < sizes[-1] <= 1_000_000
    assert min(map(len, tables)) <= 4
    assert max(map(len, tables)) >= 200


def test_few_shapes_take_a_file_each() -> None:
    layout = ImportRules().layout(survey_of({("a", "b"): 500, ("a",): 300}))
    assert (layout.columns, layout.files, layout.patches) == (None, 2, 0)


@pytest.mark.parametrize(
    ("arguments", "columns", "files", "patches"),
    [
        ({}, {"c", "d", "e"}, 4, 0),
        ({"file_layout": "shape"}, None, 8, 0),
        ({"on_existing": "fill_empty"}, {"c", "d", "e"}, 4, 0),
        ({"on_existing": "keep"}, None, 8, 0),  # the first of several files would create the contact
    ],
)
def test_many_shapes_take_a_file_for_each_column(
    arguments: dict[str, Any], columns: set[str] | None, files: int, patches: int
) -> None:
    rows = {
        ("a", "b", *(name for bit, name in enumerate("cde") if number >> bit & 1)): 10 + number for number in range(8)
    }
    layout = ImportRules(**arguments).layout(survey_of(rows))
    assert (layout.columns, layout.files, layout.patches) == (columns, files, patches)


def test_a_file_layout_can_be_forced() -> None:
    survey = survey_of({("a", "b"): 500, ("a",): 300})
    assert ImportRules(file_layout="column").layout(survey).columns == {"b"}
    assert ImportRules(file_layout="shape").layout(survey).columns is None


def test_files_that_fill_set_what_may_have_a_default_when_they_create_the_contact() -> None:
    names = ("_name", NEWS, "a", "b", "must", "options", "vip")
    kinds = dict.fromkeys(names, "text") | {"options": "checkbox", "vip": "boolean"}
    fields = FieldTable("email", (Field(name, kind, required=name == "must") for name, kind in kinds.items()))
    shapes = [("a", "b"), ("a", "vip"), ("_name", "b", "must"), ("b", "options"), (NEWS,), ("_name", "a", "b")]
    survey = survey_of(dict.fromkeys(shapes, 500))
    layout = ImportRules(on_existing="fill_empty", file_layout="column").layout(survey, fields)
    assert layout.columns == {"_name", "a", "b"}
    assert layout.parts(("_name", "a", "must", "vip")) == [("must", "vip"), ("_name",), ("a",)]
    assert layout.files == 7
    assert ImportRules(file_layout="column").layout(survey, fields).columns == set(names)


@pytest.mark.parametrize(("letter", "count"), [("y", 300), ("ñ", 150), ("本", 100), ("🎉", 75)])
def test_files_are_counted_by_their_bytes(letter: str, count: int) -> None:
    patches = [Patch(n, f"u{n:04}@example.com", {"x": letter * count}, {}) for n in range(1000)]
    assert ImportRules(max_file_bytes=100_000).layout(Survey.of([patches], Shapes())).files == 4


def test_large_files_are_counted_too() -> None:
    """By column each contact's key stands in several files: where these are large, files by shape are fewer."""
    shapes = Shapes()
    patches = [
        Patch(n, f"a-long-address-{n:06}@example.com", {"x": "y" * 50, **dict.fromkeys("abcde"[: n % 6], "1")}, {})
        for n in range(6000)
    ]
    survey = Survey.of([patches], shapes)
    by_shape, by_column = (
        ImportRules(file_layout=way, max_file_bytes=50_000).layout(survey)  # type: ignore[arg-type]
        for way in ("shape", "column")
    )
    assert ImportRules(max_file_bytes=50_000).layout(survey).files == by_shape.files < by_column.files


@pytest.mark.parametrize(
    ("leftovers", "may_patch", "patched"),
    [(None, True, {("a", "z")}), (None, False, set()), (False, True, set()), (True, True, set())],
)
def test_a_group_goes_by_patch_where_that_takes_fewer_requests_than_its_file(
    leftovers: bool | None, may_patch: bool, patched: set[tuple[str, ...]]
) -> None:
    survey = survey_of({("a",): 500, ("a", "b"): 2, ("a", "z"): 1})
    layout = ImportRules(patch_leftovers=leftovers).layout(survey, may_patch=may_patch)
    assert layout.patched == patched


def test_a_column_of_one_contact_needs_no_file_of_its_own() -> None:
    rows = {("a", *(name for bit, name in enumerate("bcd") if number >> bit & 1)): 100 for number in range(8)} | {
        ("a", "b", "z"): 1
    }
    layout = ImportRules().layout(survey_of(rows))
    assert (layout.columns, layout.patched, layout.files) == ({"b", "c", "d"}, {("a", "b", "z")}, 4)


def test_an_import_that_must_not_change_contacts_never_patches() -> None:
    survey = survey_of({("a",): 1})
    assert ImportRules().layout(survey).patches == 1
    assert ImportRules(on_existing="fill_empty").layout(survey).patches == 0
    assert ImportRules(on_existing="keep").layout(survey).patches == 0


# Without a journal nobody but this worker can upload what does not fit into the queue of ten.
@pytest.mark.parametrize(
    ("rules", "empty", "files"),
    [
        ({"deferrable": True}, 20, 10),
        ({"deferrable": True}, 21, 11),
        ({"deferrable": True, "has_journal": True}, 3, 11),
        ({"deferrable": True, "patch_leftovers": False}, 3, 11),
        ({"deferrable": True, "on_existing": "fill_empty"}, 3, 11),
        ({}, 3, 11),
    ],
)
def test_contacts_without_a_property_are_not_one_file_too_many(rules: dict[str, Any], empty: int, files: int) -> None:
    dice = random.Random(1)
    rows = Counter(tuple(name for name in NAMES if dice.random() < 0.5) for _ in range(2640))
    rows[()] = empty
    layout = ImportRules(**rules).layout(Survey(rows))
    assert (layout.files, layout.patches) == (files, empty if files == 10 else 0)
    assert ImportRules(**rules).layout(Survey(rows), may_patch=False).files == 11


@pytest.mark.parametrize("file_layout", ["shape", "column"])
def test_leftovers_are_what_the_queue_does_not_take(file_layout: Any) -> None:
    names = [f"c{n:02}" for n in range(14)]
    survey = survey_of({(name,): 10 + n for n, name in enumerate(names)})
    layout = ImportRules(file_layout=file_layout, patch_leftovers=True).layout(survey)
    assert layout.files <= 10
    assert layout.patched == {(name,) for name in names[: len(layout.patched)]}


def test_a_group_of_several_files_never_goes_by_patch() -> None:
    """Twelve files of one shape do not fit into the queue either: they are uploaded as there is room."""
    shapes = Shapes()
    few = [Patch(n, f"few{n}@example.com", {"b": "x"}, {}) for n in range(5)]
    many = [Patch(n, f"many{n:04}@example.com", {"a": "x" * 70}, {}) for n in range(600)]
    rules = ImportRules(patch_leftovers=True, file_layout="shape", max_file_bytes=5_000)
    layout = rules.layout(Survey.of([few, many], shapes))
    assert (layout.patched, layout.files) == ({("b",)}, 12)


def test_the_order_of_columns_and_blanks_make_no_shape() -> None:
    shapes = Shapes()
    made = [{"b": 1, "a": 2}, {"a": 1, "b": 0, "c": None}, {"a": False, "b": "x", "d": "", "e": []}]
    assert {shapes.of(properties) for properties in made} == {("a", "b")}


@pytest.mark.parametrize(("count", "is_patched"), [(5, True), (19, True), (20, False), (200, False)])
def test_an_import_is_never_dearer_than_patch(count: int, is_patched: bool) -> None:
    """Ten columns, of which each contact has all but one or two: ten files, each uploaded and polled."""
    shapes = Counter(
        tuple(name for place, name in enumerate(NAMES) if place not in (n % 10, n * 7 % 10)) for n in range(count)
    )
    layout = ImportRules(file_layout="column").layout(Survey(shapes))
    assert 2 * layout.files + layout.patches <= count
    assert (layout.patches == count, layout.files == 0) == (is_patched, is_patched)
