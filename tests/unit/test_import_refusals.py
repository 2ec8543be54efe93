"""What is refused before it is in a file: values that a CSV cannot carry, columns that would be dropped in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.contacts.fields import Field, FieldTable
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFiles
from airflow_provider_connectif.imports.layout import header_faults
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.rows import InvalidRow
from tests.support.import_files import DEFINITIONS, MAPPING, patch, read


@pytest.mark.parametrize(
    ("key", "properties", "reason"),
    [
        ("a@example.com", {"note": "a\0b"}, 'column "note" cannot be imported: it has a NUL character'),
        ("a\0@example.com", {"note": "x"}, 'column "email" cannot be imported: it has a NUL'),
        ("a@example.com", {"note": "\ud800"}, 'column "note" has a character that is not valid Unicode'),
        ("a@example.com", {"tags": ["a|b"]}, 'column "tags" cannot be imported: an option id has a "|"'),
        ("a@example.com", {"visits": object()}, 'column "visits" must be text, a number'),
        ("", {}, 'column "email" must not be blank'),
        ("a@example.com", {"nota": "x"}, 'column nota is not a field of this account (did you mean "note"?)'),
        ("a@example.com", {"_createdAt": "x"}, "column _createdAt is read-only"),
        ("a@example.com", {"_externalId": "x"}, "column _externalId would be taken for the contact key"),
    ],
)
def test_what_a_csv_cannot_carry_is_refused_and_the_next_row_is_not_shifted(
    tmp_path: Path, key: str, properties: dict[str, Any], reason: str
) -> None:
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        with pytest.raises(InvalidRow) as refused:
            files.add(Patch(1, key, properties, {}))
        assert [words for words in refused.value.reasons if words.startswith(reason)]
        files.add(patch(2, "b@example.com", note="fine"))
        assert [read(file) for file in files.close()] == [[{"_email": "b@example.com", "note": "fine"}]]


def test_a_reason_names_the_column_of_the_source() -> None:
    mapping = ContactMapping(properties={"note": "remarks"}, definitions=DEFINITIONS)
    with pytest.raises(InvalidRow, match=r'column "remarks" \(note\) has a NUL character'):
        ImportFiles("unused", mapping).add(mapping.patch(1, {"email": "a@example.com", "remarks": "\0"}))


def test_header_faults_name_columns_that_would_be_ignored() -> None:
    fields = FieldTable("email", [*DEFINITIONS, Field("fixed", "text", read_only=True)])
    assert header_faults(fields, ["_name", "note", "tier"]) == []
    assert header_faults(fields, ["nota", "fixed", "_email", "_clv"]) == [
        'nota is not a field of this account (did you mean "note"?)',
        "fixed is read-only",
        "_email is the contact key here, and cannot be set in a patch by e-mail",
        "_clv is read-only",
    ]
    [fault] = header_faults(FieldTable("email"), ["_name", "note"])
    assert fault.startswith("note is not a known field of this account")
    assert header_faults(FieldTable("external_id", DEFINITIONS), ["_email", "note"]) == []


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\r", "\n", "\0", "a", "0", "é"])
def test_a_delimiter_that_can_be_none_is_refused(tmp_path: Path, delimiter: str) -> None:
    with pytest.raises(ValueError, match="delimiter"):
        ImportFiles(tmp_path / "x", MAPPING, delimiter=delimiter)
