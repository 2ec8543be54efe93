"""What a row could try. Each test fails without its defence: ``mutations.py``."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFiles
from airflow_provider_connectif.records.rows import InvalidRow
from airflow_provider_connectif.reporting.rejects import Rejects
from tests.security.hostile import EMAIL, always, client, http, serving, target
from tests.support.import_files import MAPPING, patch, read, write

BY_ID = ContactMapping("external_id", properties={})
FORMULA = "=cmd|' /C calc'!A0"


@pytest.mark.parametrize(
    "key", ["../../store/", "a/b", "a?x=1", "a#b", "%2e%2e%2fstore", "..\\store", "a;b=c", "//evil"]
)
def test_a_contact_key_stays_one_segment_of_the_path(key: str) -> None:
    with serving(always(http())) as server:
        client(server).patch_contact_by_external_id(key, {})
        prefix, _, segment = target(server.requests[0]).rpartition("/")
        assert prefix == "/contacts/external-id"
        assert unquote(segment) == key


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_a_contact_key_of_dots_is_not_sent(key: str) -> None:
    with serving(always(http())) as server:
        with pytest.raises(ValueError, match="cannot be part of a URL"):
            client(server).patch_contact(key, {})
        assert server.requests == []


def test_a_contact_key_cannot_become_a_header() -> None:
    with serving(always(http())) as server:
        client(server).patch_contact("x\r\nX-Evil: 1\r\n\r\nPATCH /contacts/y", {})
        assert len(server.requests) == 1
        assert b"X-Evil%3A%201" in server.requests[0].split(b"\r\n")[0]
        assert b"\r\nX-Evil" not in server.requests[0]


@pytest.mark.parametrize("key", ["a\nb", "a\x00b", "a\x1b[2Kb", "a\u2028b"])
def test_a_contact_key_has_no_control_characters(key: str) -> None:
    with pytest.raises(InvalidRow, match="control character"):
        BY_ID.patch(1, {"external_id": key})


def test_a_cell_of_an_import_cannot_become_another_row(tmp_path: Path) -> None:
    note = 'x",y\r\nvictim@example.com,"owned'
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        [file] = write(files, [patch(1, EMAIL, note=note, city="a")])
        assert read(file) == [{"_email": EMAIL, "note": note, "city": "a"}]


def rejected(row: Any) -> list[Any]:
    """The lines of a rejects file that has one row."""
    sink = io.StringIO()
    Rejects(sink).write(1, EMAIL, "invalid", None, ["why"], row)
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def test_a_formula_reaches_no_spreadsheet() -> None:
    (line,) = rejected({"email": EMAIL, "name": FORMULA, "note": '\n{"row_number": 2}'})
    assert line["row"]["name"] == FORMULA


def test_a_row_that_holds_itself_is_written_once() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert len(rejected({"email": EMAIL, "tags": loop})) == 1
