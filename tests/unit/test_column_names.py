"""Column names in another case than the mapping has them: Snowflake and Oracle give capitals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.records.rows import RowBatch
from airflow_provider_connectif.runs.column_names import AmbiguousColumnError, described, other_case
from airflow_provider_connectif.runs.columns import SourceColumns
from tests.unit.test_run import Night, Rows

MAPPING = ContactMapping(properties={"_name": "name", "_surname": "Surname"})


class Result(Rows):
    """A query's result, in two batches of one row each."""

    def __init__(self, columns: Sequence[str], form: str, more: tuple[Any, ...] = ()) -> None:
        rows = [("ana@example.com", "Ana", "Paz", *more), ("ben@example.com", "Ben", "Rey", *more)]
        batches: list[Any] = [
            RowBatch(columns, [row]) if form == "tuples" else [dict(zip(columns, row, strict=True))] for row in rows
        ]
        super().__init__(*batches)
        self.columns = list(columns)


CASES: dict[str, tuple[Sequence[str], Sequence[str], dict[str, str]]] = {
    "all as they are": (["email", "name"], ["email", "name"], {}),
    "capitals": (["email", "name"], ["EMAIL", "NAME"], {"EMAIL": "email", "NAME": "name"}),
    "an exact name comes first": (["email"], ["EMAIL", "email"], {}),
    "a column is used by its exact name only": (["email", "EMAIL"], ["EMAIL"], {}),
    "a column that stands twice is left to the mapping": (["email"], ["EMAIL", "EMAIL"], {"EMAIL": "email"}),
    "no such column": (["email"], ["mail"], {}),
    "a letter that only capitals make two": (["straße"], ["STRASSE"], {}),
    "others do not matter": (["email"], ["Email", "NAME", "name"], {"Email": "email"}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_column_is_found_by_its_exact_name_or_else_by_its_only_spelling(case: str) -> None:
    wanted, columns, found = CASES[case]
    assert other_case(wanted, columns) == found


def test_two_columns_that_may_be_meant_are_refused() -> None:
    with pytest.raises(AmbiguousColumnError, match=r'"email" may be any of "EMAIL", "Email"\. .*exact name') as refusal:
        other_case(["email"], ["EMAIL", "Email"])
    assert refusal.value.final


def test_two_names_for_one_column_are_refused() -> None:
    with pytest.raises(AmbiguousColumnError, match='"name" and "Name" would both be column "NAME"'):
        other_case(["name", "Name"], ["NAME"])


@pytest.mark.parametrize("form", ["tuples", "mappings"])
def test_a_run_reads_capitals_and_says_so_once(form: str) -> None:
    source = Result(["EMAIL", "NAME", "SURNAME"], form)
    night = Night(None, source, mapping=MAPPING).run()
    assert (night.sent, night.run_of.summary["invalid"]) == (2, 0)
    words = described({"EMAIL": "email", "NAME": "name", "SURNAME": "Surname"})
    assert sum(words in line for line in night.log) == 1


@pytest.mark.parametrize("form", ["tuples", "mappings"])
def test_rows_get_the_names_of_the_mapping(form: str) -> None:
    night = Night(None, mapping=MAPPING)
    columns = SourceColumns(ContactResource(MAPPING), night.delivery.sink, night.delivery.report.log)
    source = Result(["EMAIL", "NAME", "SURNAME", "ID"], form, more=(7,))
    rows = [dict(row) for batch in source for row in columns.look_at(source.columns, batch)]
    assert rows == [
        {"email": "ana@example.com", "name": "Ana", "Surname": "Paz", "ID": 7},
        {"email": "ben@example.com", "name": "Ben", "Surname": "Rey", "ID": 7},
    ]


def test_the_key_is_found_where_every_column_is_a_property() -> None:
    night = Night(None, Result(["EMAIL", "_name", "_surname"], "tuples"), mapping=ContactMapping()).run()
    assert night.sent == 2


def test_a_run_that_cannot_know_which_column_is_meant_sends_nothing() -> None:
    night = Night(None, Result(["EMAIL", "Name", "NAME"], "tuples"), mapping=MAPPING)
    with pytest.raises(AmbiguousColumnError):
        night.run()
    assert night.sent == 0
