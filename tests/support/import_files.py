"""What the tests of import files share: a mapping with typed fields, and files read back by foreign readers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFile, ImportFiles
from airflow_provider_connectif.records.changes import Patch
from tests.support import rfc4180

TYPED = ("birthday", "mobile", "visits", "spent", "vip", "tier")
DEFINITIONS = fields_of_author(
    {
        "birthday": "date",
        "mobile": {"type": "phone", "defaultCountryCode": "34"},
        "visits": "integer",
        "spent": "decimal",
        "vip": "boolean",
        "tier": {"type": "radio", "options": ["gold", "silver"]},
        "tags": {"type": "checkbox", "options": ["x", "y", "a|b"]},
        "note": "text",
        "city": "text",
    }
)
MAPPING = ContactMapping(definitions=DEFINITIONS)
BY_ID = ContactMapping("external_id", definitions=DEFINITIONS)


def patch(number: int, key: str, **properties: Any) -> Patch:
    return Patch(number, key, properties, {"email": key, **properties})


def write(files: ImportFiles, patches: Iterable[Patch]) -> list[ImportFile]:
    for one in patches:
        files.add(one)
    return files.close()


def read(file: ImportFile, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows by two readers that are not ours, which must agree; the header is checked on the way."""
    text = file.path.read_bytes().decode("utf-8")
    records = rfc4180.parse(text, delimiter)
    with file.path.open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream, delimiter=delimiter, strict=True)) == records
    header = records[0]
    assert tuple(header[1:]) == file.columns
    assert len(records) == file.rows + 1
    assert file.path.stat().st_size == file.size
    assert all(len(record) == len(header) for record in records)
    return [dict(zip(header, record, strict=True)) for record in records[1:]]


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
