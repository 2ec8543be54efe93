"""Values as MySQL's drivers hand them over: recorded from mysqlclient and PyMySQL, which need not be installed here."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.contacts.rules import InvalidValue
from airflow_provider_connectif.contacts.rules.addresses import external_id
from airflow_provider_connectif.contacts.rules.numbers import decimal, integer
from airflow_provider_connectif.databases.fetched_rows import VALUES
from airflow_provider_connectif.databases.mysql_values import form_of_mysql_rows, keep_unreadable_of_mysql
from airflow_provider_connectif.records.values import UnreadableValue

FLOAT, BIT, LONG, TEXT, BLOB, DATE = 4, 16, 3, 254, 252, 10
COLUMNS = [("one", BIT, 1, 0), ("bits", BIT, 8, 0), ("tags", TEXT, 12, 2048), ("binary", BLOB, 20, 128)]
ROW = (b"\x01", b"\x05", "a,b", "café".encode())


def cursor_of(driver: str, columns: list[tuple[str, int, int, int]]) -> Any:
    """A cursor that has run a query, with the flags of its columns where the driver has them."""
    described = [(name, kind, None, size, size, 0, 1) for name, kind, size, _ in columns]
    flags = [flag for *_, flag in columns]
    if driver == "MySQLdb":
        return SimpleNamespace(description=described, description_flags=tuple(flags))
    if driver == "pymysql":
        fields = [SimpleNamespace(flags=flag) for flag in flags]
        return SimpleNamespace(description=described, _result=SimpleNamespace(fields=fields))
    return SimpleNamespace(description=[(*column, flag) for column, flag in zip(described, flags, strict=True)])


@pytest.mark.parametrize("driver", ["MySQLdb", "pymysql", "mysql.connector"])
def test_bits_sets_and_binary_texts_are_what_they_stand_for(driver: str) -> None:
    form = form_of_mysql_rows(cursor_of(driver, COLUMNS))
    (row, empty) = form.batch_of([name for name, *_ in COLUMNS], [ROW, (None, None, "", b"\xff\x00")])
    assert row == {"one": b"\x01", "bits": 5, "tags": ["a", "b"], "binary": "café"}
    assert empty == {"one": None, "bits": None, "tags": [], "binary": b"\xff\x00"}


# The server writes a FLOAT with six digits: 1234567 was sent as 1234570, as the id of another contact, too.
@pytest.mark.parametrize("driver", ["MySQLdb", "pymysql", "mysql.connector"])
def test_a_float_that_the_server_has_rounded_is_no_whole_number(driver: str) -> None:
    form = form_of_mysql_rows(cursor_of(driver, [("n", FLOAT, 12, 0)]))
    exact, small, rounded, missing = (
        row["n"] for row in form.batch_of(["n"], [(999999.0,), (1.5,), (1234570.0,), (None,)])
    )
    assert (external_id(exact), small, missing) == ("999999", 1.5, None)
    for rule in (external_id, integer()):
        with pytest.raises(InvalidValue, match="must be exact"):
            rule(rounded)
    assert decimal()(rounded) == 1234570


def test_a_result_without_such_columns_is_left_alone() -> None:
    assert form_of_mysql_rows(cursor_of("MySQLdb", [("n", LONG, 11, 0)])) is VALUES


@pytest.mark.parametrize("attribute", ["converter", "decoders"])
def test_a_date_that_is_none_is_no_missing_value(attribute: str) -> None:
    def convert(text: str) -> Any:
        if text.startswith("0000"):
            return None if attribute == "converter" else text
        return datetime.date.fromisoformat(text)

    converters = {DATE: convert}
    keep_unreadable_of_mysql(SimpleNamespace(**{attribute: converters}))
    assert converters[DATE]("2026-01-02") == datetime.date(2026, 1, 2)
    zero = converters[DATE]("0000-00-00")
    assert type(zero) is UnreadableValue
    assert "cannot be read as a date" in zero.rule
