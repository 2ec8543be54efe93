"""When two rows, patches, mappings and keys have one digest, and what the journal's SQL is in each dialect."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import hmac
import json
import os
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.journal.digests import RowDigester, key_digester, mapping_digest, patch_digest
from airflow_provider_connectif.journal.tables import JournalTables

MAPPED = ContactMapping(properties={"tier": "a", "visits": "b"})
OPEN = ContactMapping()
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


class Colour(enum.StrEnum):
    RED = "red"


# Two rows, and whether a mapping of the columns a and b may take them for one.
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "the same": ({"a": "x", "b": 1}, {"a": "x", "b": 1}, True),
    "the same in another order": ({"a": "x", "b": 1}, {"b": 1, "a": "x"}, True),
    "a column that is not mapped": ({"a": "x", "b": 1}, {"a": "x", "b": 1, "c": 2}, True),
    "another value": ({"a": "x", "b": 1}, {"a": "x", "b": 2}, False),
    "values that change places": ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, False),
    "values that run into each other": ({"a": "x', 'y", "b": "z"}, {"a": "x", "b": "y', 'z"}, False),
    "text and number": ({"a": "1", "b": 1}, {"a": 1, "b": 1}, False),
    "text and the None that looks like it": ({"a": "None", "b": 1}, {"a": None, "b": 1}, False),
    "None and a column that is missing": ({"a": None, "b": 1}, {"b": 1}, False),
    "blank and None": ({"a": "", "b": 1}, {"a": None, "b": 1}, False),
    "a composed and a decomposed accent": ({"a": "é", "b": 1}, {"a": "e\u0301", "b": 1}, False),
    "lone surrogates": ({"a": "\ud800", "b": 1}, {"a": "\ud801", "b": 1}, False),
    "decimals of another scale": ({"a": Decimal("1.10"), "b": 1}, {"a": Decimal("1.1"), "b": 1}, False),
    "floats a hair apart": ({"a": 0.1 + 0.2, "b": 1}, {"a": 0.3, "b": 1}, False),
    "a moment with and without its zone": ({"a": NOON, "b": 1}, {"a": NOON.replace(tzinfo=None), "b": 1}, False),
    "one wall clock in two zones": (
        {"a": dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/Madrid")), "b": 1},
        {"a": dt.datetime(2026, 1, 1, tzinfo=ZoneInfo("Europe/London")), "b": 1},
        False,
    ),
    "a date and its midnight": ({"a": dt.date(2026, 1, 1), "b": 1}, {"a": dt.datetime(2026, 1, 1), "b": 1}, False),
    "bytes and text": ({"a": b"x", "b": 1}, {"a": "x", "b": 1}, False),
    "lists of another order": ({"a": ["x", "y"], "b": 1}, {"a": ["y", "x"], "b": 1}, False),
    "UUIDs": ({"a": uuid.UUID(int=1), "b": 1}, {"a": uuid.UUID(int=2), "b": 1}, False),
    "enumerations and their text": ({"a": Colour.RED, "b": 1}, {"a": "blue", "b": 1}, False),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_of_one_digest_are_sent_alike(case: str) -> None:
    one, other, same = ROWS[case]
    digest = RowDigester(MAPPED)
    assert (digest(one) == digest(other)) is same


def test_without_a_mapping_every_column_counts() -> None:
    digest = RowDigester(OPEN)
    rows = [{"email": "a@example.com"}, {"email": "a@example.com", "tier": None}, {"email": "a@example.com", "tier": 1}]
    assert len({digest(row) for row in rows}) == 3


def test_a_row_that_cannot_be_printed_raises_and_is_not_taken_for_another() -> None:
    with pytest.raises(ValueError, match="digits"):
        RowDigester(MAPPED)({"a": 10**5000, "b": 1})


# Two patches, and whether they are one to Connectif.
PATCHES: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "another order": ({"tier": "x", "_name": "y"}, {"_name": "y", "tier": "x"}, True),
    "null and nothing": ({"tier": None}, {}, False),
    "number and text": ({"tier": 1}, {"tier": "1"}, False),
    "true and one": ({"tier": True}, {"tier": 1}, False),
    "names and values that run into each other": ({'a":1,"b': 1}, {"a": 1, "b": 1}, False),
    "options in another order": ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, False),
}


@pytest.mark.parametrize("case", PATCHES)
def test_patches(case: str) -> None:
    one, other, same = PATCHES[case]
    assert (patch_digest(one) == patch_digest(other)) is same


def mapping(**changes: Any) -> ContactMapping:
    fields = changes.pop("fields", {"tier": {"type": "text", "maxLength": 5}, "size": "text"})
    return ContactMapping(**({"properties": {"tier": "a"}, "definitions": fields_of_author(fields)} | changes))


# What is changed, and whether every row must be looked at once more.
MAPPINGS: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing": ({}, False),
    "a column": ({"properties": {"tier": "b"}}, True),
    "one property more": ({"properties": {"tier": "a", "size": "s"}}, True),
    "no mapping": ({"properties": None}, True),
    "the key's column": ({"key_column": "mail"}, True),
    "the kind of key": ({"key": "external_id"}, True),
    "nulls": ({"nulls": "clear"}, True),
    "the region": ({"default_region": "ES"}, True),
    "a definition that is used": ({"fields": {"tier": {"type": "text", "maxLength": 6}, "size": "text"}}, True),
    "a definition that is not used": ({"fields": {"tier": {"type": "text", "maxLength": 5}, "size": "integer"}}, False),
    "definitions that nobody knows": ({"fields": {}}, True),
}


@pytest.mark.parametrize("case", MAPPINGS)
def test_mappings(case: str) -> None:
    changes, differs = MAPPINGS[case]
    assert (mapping_digest(mapping(**changes)) != mapping_digest(mapping())) is differs
    row = {"a": "x", "b": "x", "email": "a@example.com", "mail": "a@example.com"}
    if changes.get("properties", "") is not None:
        same_row = RowDigester(mapping(**changes))(row) == RowDigester(mapping())(row)
        assert same_row is not differs


@pytest.mark.slow
def test_digests_are_the_same_in_another_process_also_of_sets() -> None:
    script = """
from airflow_provider_connectif.journal.digests import *
from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping
import json
options = [{"id": str(n)} for n in range(40)]
fields = fields_of_author({"tags": {"type": "checkbox", "options": options}})
mapping = ContactMapping(properties={"tags": "a"}, definitions=fields)
row = {"email": "a@example.com", "a": {str(n) for n in range(40)}}
plain = {"email": "a@example.com", "a": ["1", "2"]}
patch = mapping.patch(1, row)
rows = [RowDigester(mapping)(plain), RowDigester(mapping)(row)]
print(json.dumps([mapping_digest(mapping), *rows, patch_digest(patch.properties)]))
"""
    outputs = {
        subprocess.check_output([sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, text=True)
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(set(json.loads(outputs.pop()))) == 4


def test_keys_are_written_as_they_are_or_as_hmac_sha256() -> None:
    assert key_digester(None)("ana@example.com") == "ana@example.com"
    expected = hmac.new(b"secret", b"ana@example.com", hashlib.sha256).hexdigest()
    assert key_digester(b"secret")("ana@example.com") == expected
    assert key_digester(b"another")("ana@example.com") != expected


DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql, "mysql": mysql, "mariadb": mysql}


def sql(statement: Any, dialect: str) -> str:
    return " ".join(str(statement.compile(dialect=DIALECTS[dialect].dialect())).split())


def test_in_mysql_what_the_others_are_compared_with_is_assigned_last() -> None:
    columns = ["generation", "patch_digest", "properties", "row_digest", "state"]
    statement = JournalTables("journal", None).upsert("mysql", columns)
    _, _, update = sql(statement, "mysql").partition(" ON DUPLICATE KEY UPDATE ")
    order = ("properties", "state", "row_digest", "patch_digest", "generation")
    assigned = [update.index(f"{column} = CASE") for column in order]
    assert assigned == sorted(assigned)
    assert "journal.generation <= VALUES(generation)" in update


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_elsewhere_a_conflict_is_an_update(dialect: str) -> None:
    statement = JournalTables("journal", "s").upsert(dialect, ["generation", "state"])
    assert "ON CONFLICT (sync_id, contact_key) DO UPDATE SET" in sql(statement, dialect)


def test_statements_about_lines_are_built_once() -> None:
    tables = JournalTables("journal", None)
    upsert, update = (
        tables.upsert("sqlite", ["generation", "state"]),
        tables.update_properties(["state"], is_doubt=True),
    )
    assert tables.upsert("sqlite", ["generation", "state"]) is upsert
    assert tables.update_properties(["state"], is_doubt=True) is update
    others = [
        tables.upsert("sqlite", ["generation"]),
        tables.upsert("sqlite", ["generation", "state"], is_late=True),
        tables.update_properties(["state"], is_doubt=False),
    ]
    assert len({sql(statement, "sqlite") for statement in (upsert, update, *others)}) == 5


@pytest.mark.parametrize("dialect", ["mysql", "mariadb"])
def test_mysql_compares_keys_letter_by_letter_and_can_index_them(dialect: str) -> None:
    tables = JournalTables("journal", None)
    engine = DIALECTS[dialect].dialect()
    engine.name = dialect
    created = " ".join(str(CreateTable(tables.lines).compile(dialect=engine)).split())
    exact = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
    assert f"sync_id VARCHAR(250) {exact}" in created
    assert f"contact_key VARCHAR(320) {exact}" in created
    assert 4 * (250 + 320) <= 3072  # bytes of a key in InnoDB


@pytest.mark.parametrize("dialect", ["oracle", "mssql", "snowflake"])
def test_another_dialect_is_refused_in_words(dialect: str) -> None:
    with pytest.raises(ValueError, match=f"no journal in a {dialect} database: use PostgreSQL"):
        JournalTables("journal", None).upsert(dialect, ["state"])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_names_are_quoted(dialect: str) -> None:
    quote = "`" if dialect in ("mysql", "mariadb") else '"'
    statement = JournalTables(f"a{quote}; drop table b --", "S x").upsert(dialect, ["state"])
    assert f"INSERT INTO {quote}S x{quote}.{quote}a{quote}{quote}; drop table b --{quote} " in sql(statement, dialect)
