"""Rows as texts of a database: when two have one digest, and that they are the rows that they stand for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_connectif.contacts.column_values import ColumnValues
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.journal.digests import RowDigester
from airflow_provider_connectif.records.raw_rows import RawBatch, RawRow, Texts
from airflow_provider_connectif.records.rows import InvalidRow, RowBatch

INT, TEXT = 23, 25
COLUMNS = ("email", "a", "b")
MAPPED = RowDigester(ContactMapping(properties={"tier": "a", "visits": "b"}))
OPEN = RowDigester(ContactMapping())


class Decoded:
    """Texts of a database that are texts, whatever their types are called."""

    def __init__(self, types: Sequence[int] | None = (TEXT, TEXT, TEXT), settings: tuple[str, ...] = ("UTC",)) -> None:
        self.types = types
        self.settings = settings

    def row(self, raw: Texts) -> Sequence[Any]:
        return [None if text is None else text.decode() for text in raw]

    def column(self, rows: Iterable[Texts], position: int) -> list[Any]:
        return [self.row(row)[position] for row in rows]

    def loader(self, position: int) -> Callable[[bytes], Any]:
        return bytes.decode


def digest(row: Texts, digester: RowDigester = MAPPED, columns: Sequence[str] = COLUMNS, **converted: Any) -> str:
    (only,) = digester.of_batch(RawBatch(columns, [row], Decoded(**converted)))
    return only


TEXTS = st.one_of(st.none(), st.sampled_from([b"", b"0", b"[0]", b"[1, 2]", b"a", b"\\N"]), st.binary(max_size=4)).map(
    lambda text: text if text is None else text.replace(b"\0", b"-")
)
ROWS = st.tuples(TEXTS, TEXTS, TEXTS)


@pytest.mark.parametrize("digester", [MAPPED, OPEN])
def test_rows_of_other_texts_never_share_a_digest(digester: RowDigester) -> None:
    texts = (None, b"", b"a", b"aa", b"0", b"[0]", b"[0, 1]", b"None")
    rows = list(itertools.product(texts, repeat=3))
    assert len({digest(row, digester) for row in rows}) == len(rows)


@given(first=ROWS, second=ROWS)
def test_two_rows_share_a_digest_only_if_they_are_equal(first: Texts, second: Texts) -> None:
    assert (digest(first) == digest(second)) == (first == second)


@given(row=ROWS)
def test_the_digests_of_texts_are_never_those_of_values(row: Texts) -> None:
    values = RowBatch(COLUMNS, [row])
    assert digest(row) not in MAPPED.of_batch(values)


ROW = (b"ana@example.com", b"gold", b"7")


@pytest.mark.parametrize(
    ("row", "former"),
    [
        (ROW, "a47a54ca32ca71edf67b20e9d4582e42"),
        ((b"ana@example.com", None, b""), "7325969afb48b8ad809974aa750686c2"),
    ],
)
def test_the_digest_of_an_earlier_version_is_known(row: Texts, former: str) -> None:
    (of_texts,) = RawBatch(COLUMNS, [row], Decoded())
    assert isinstance(of_texts, RawRow)
    assert MAPPED.former_of_texts(of_texts) == former != digest(row)
    (of_an_author,) = RawBatch(COLUMNS, [row], Decoded(types=None))
    assert isinstance(of_an_author, RawRow)
    assert MAPPED.former_of_texts(of_an_author) is None  # its digest was one of values


OTHERWISE: dict[str, dict[str, Any]] = {
    "another type": {"types": (TEXT, TEXT, INT)},
    "types that change places": {"types": (TEXT, INT, TEXT)},
    "another setting": {"settings": ("Europe/Madrid",)},
    "one more setting": {"settings": ("UTC", "UTC")},
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_what_makes_another_value_of_the_same_text_makes_another_digest(case: str) -> None:
    assert digest(ROW, **OTHERWISE[case]) != digest(ROW)


def test_a_column_that_is_missing_is_not_one_without_a_value() -> None:
    missing = digest(ROW[:2], columns=COLUMNS[:2], types=(TEXT, TEXT))
    assert missing not in (digest((*ROW[:2], None)), digest((*ROW[:2], b"")))
    # Of two mapped columns the other one is there.
    assert digest(ROW[:2], columns=("email", "b"), types=(TEXT, TEXT)) != missing


def test_only_mapped_columns_count_and_in_any_order() -> None:
    more = digest((b"x", b"7", b"gold", b"ana@example.com"), columns=("c", "b", "a", "email"), types=(TEXT,) * 4)
    assert more == digest(ROW)
    assert digest(ROW, OPEN) != digest(ROW, OPEN, columns=("email", "a", "c"))


def test_of_columns_of_one_name_the_last_counts_as_in_a_mapping() -> None:
    twice = (b"ana@example.com", b"silver", b"gold", b"7")
    assert digest(twice, columns=("email", "a", "a", "b"), types=(TEXT,) * 4) == digest(ROW)
    batch = RawBatch(("email", "a", "a", "b"), [twice], Decoded())
    assert batch[0] == {"email": "ana@example.com", "a": "gold", "b": "7"}


def test_where_an_author_s_code_converts_the_values_are_digested() -> None:
    (values,) = MAPPED.of_batch(RowBatch(COLUMNS, [("ana@example.com", "gold", "7")]))
    assert digest(ROW, types=None) == values


def test_a_part_of_a_batch_is_a_batch() -> None:
    batch = RawBatch(COLUMNS, [ROW, (b"bea@example.com", None, b"")], Decoded())
    assert len(batch) == 2
    part = batch[1:]
    assert isinstance(part, RawBatch)
    assert list(part) == [{"email": "bea@example.com", "a": None, "b": ""}]
    assert batch.values_at(0) == ["ana@example.com", "bea@example.com"]


def reasons_or_patch(mapping: ContactMapping, row: Mapping[str, Any]) -> Any:
    try:
        patch = mapping.patch(1, row)
    except InvalidRow as invalid:
        return invalid.reasons
    return patch.key, list(patch.properties.items())


FIT = [(b"ana@example.com", b"gold", b"7"), (b"bea@example.com", b"gold", b"8"), (b"Ana@example.com", None, b"7")]
UNFIT = [(b"nobody", b"gold", b"7"), (None, b"gold", b"x"), (b"ana@example.com", b"a\xed\xa0\x80", b"1e5")]


@pytest.mark.parametrize(
    "mapping",
    [
        ContactMapping(properties={"tier": "a", "_points": "b"}),
        ContactMapping(properties={"tier": "a", "_points": "b"}, nulls="clear"),
        ContactMapping(properties={"tier": "a", "level": "c"}),
        ContactMapping(),
    ],
)
def test_a_row_of_texts_is_mapped_as_its_values_are(mapping: ContactMapping) -> None:
    class Careful(Decoded):
        def row(self, raw: Texts) -> Sequence[Any]:
            return [None if text is None else text.decode("utf-8", "surrogatepass") for text in raw]

        def loader(self, position: int) -> Callable[[bytes], Any]:
            return lambda text: text.decode("utf-8", "surrogatepass")

    for row in RawBatch(COLUMNS, [*FIT, *UNFIT, *FIT], Careful()):
        assert reasons_or_patch(mapping, row) == reasons_or_patch(mapping, dict(row))


def test_a_value_that_was_seen_is_found_by_its_text_alone() -> None:
    loaded: list[bytes] = []
    values = ColumnValues(lambda text: loaded.append(text) or text.decode(), str.upper)
    texts = [b"gold", b"silver", b"gold", b"x" * 200, b"x" * 200]
    assert [values[text] for text in texts] == [text.decode().upper() for text in texts]
    assert loaded == [b"gold", b"silver", b"x" * 200, b"x" * 200]
    for number in range(5000):
        assert values[b"%d" % number] == str(number)
    assert len(values) <= 1000


@pytest.mark.parametrize(("nulls", "sent"), [("omit", {"visits": "7"}), ("clear", {"tier": None, "visits": "7"})])
def test_a_text_that_means_no_value_is_like_null(nulls: Any, sent: dict[str, Any]) -> None:
    class Json(Decoded):
        """A column of JSON, whose ``null`` is a text and not NULL."""

        def loader(self, position: int) -> Callable[[bytes], Any]:
            return lambda text: None if text == b"null" else text.decode()

    mapping = ContactMapping(properties={"tier": "a", "visits": "b"}, nulls=nulls)
    rows = RawBatch(COLUMNS, [(b"ana@example.com", tier, b"7") for tier in (b"null", None, b"null")], Json())
    assert [mapping.patch(1, row).properties for row in rows] == [sent] * 3


def test_a_list_is_made_for_each_patch() -> None:
    values = ColumnValues(bytes.decode, lambda text: [text])
    assert values[b"a"] == values[b"a"] == ["a"]
    assert values[b"a"] is not values[b"a"]
