"""The text of a row's values is the same in every process, and for all other values what Python prints."""

from __future__ import annotations

import datetime as dt
import itertools
from collections import namedtuple
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.journal.digests import RowDigester
from airflow_provider_connectif.journal.row_texts import is_unstable, row_text, text_of_invalid
from airflow_provider_connectif.records.rows import RowBatch


def two_orders() -> tuple[set[str], set[str]]:
    """Return an equal set twice, printed in two orders, as two processes print it."""
    for one, other in itertools.combinations([f"option {n}" for n in range(200)], 2):
        first, second = {one}, {other}
        first.add(other)
        second.add(one)
        if repr(first) != repr(second):
            return first, second
    raise AssertionError


class Tags(set[str]):
    """A set of an author's own class."""


FIRST, SECOND = two_orders()
ENDLESS: list[Any] = [FIRST]
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "make",
    [
        lambda items: items,
        frozenset,
        Tags,
        lambda items: {frozenset(items), "x"},
        lambda items: [1, {"a": (items, "b")}],
        lambda items: memoryview(",".join(sorted(items)).encode()),
    ],
)
def test_equal_values_have_one_text(make: Any) -> None:
    first, second = make(FIRST), make(SECOND)
    assert row_text(("a", first)) == row_text(("a", second))
    digester = RowDigester(ContactMapping(properties={"tags": "t"}))
    rows = [(item,) for item in (first, second)]
    assert len({*digester.of_batch(RowBatch(["t"], rows)), *(digester({"t": item}) for (item,) in rows)}) == 1
    assert len(set(RowDigester(ContactMapping()).of_batch(RowBatch(["t"], rows)))) == 1


def test_other_values_have_another_text() -> None:
    values = [
        set(),
        frozenset(),
        {"a"},
        {"a", "b"},
        {"a, b"},
        frozenset({"a", "b"}),
        ["a", "b"],
        "{'a', 'b'}",
        Tags("ab"),
    ]
    values += [memoryview(b"a"), memoryview(b"b"), {"a": {1}}, {"a": {2}}, {"b": {1}}, ENDLESS]
    assert len({row_text((value,)) for value in values}) == len(values)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "Ana",
            "{}",
            "<memory at 0x1>",
            7,
            0.1,
            Decimal("1.10"),
            None,
            ...,
            b"{",
            dt.datetime(2026, 1, 1),
            set(),
            {"a"},
        ),
        *({}, {"a": [1, {"b": ("c",)}]}, [{"a": 1}], ({},), frozenset({"a"}), namedtuple("Pair", "a")(a={"b": 1})),
    ],
)
def test_the_text_of_all_other_values_is_the_one_in_todays_journals(value: Any) -> None:
    assert row_text((value, "{")) == repr((value, "{"))


def test_an_invalid_row_has_a_text_without_addresses() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("secret")

    for make in (object, Broken, lambda: [object()], lambda: 10**5000, lambda: (n for n in "ab")):
        kept = [make(), make()]
        assert is_unstable((kept[0],))
        assert text_of_invalid((kept[0], "a")) == text_of_invalid((kept[1], "a")) != text_of_invalid((kept[1], "b"))
    assert not is_unstable(("a", {"b", "c"}, memoryview(b"d")))
