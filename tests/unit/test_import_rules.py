"""Which imports of the list may be files of a run, and what the numbers of an import come to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.contacts.imports.account import Numbers, numbers_of
from airflow_provider_connectif.contacts.imports.memory import ImportState, SentFile
from airflow_provider_connectif.contacts.imports.rules import FATES, ON_EXISTING, Fate, ImportRules

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
OURS: dict[str, Any] = {
    "id": "1",
    "type": "contacts",
    "origin": "api",
    "total": 7,
    "options": {"delimiter": ",", "overrideExisting": True, "updateOnlyEmptyFields": False},
    "createdAt": "2026-01-01T12:00:05Z",
}


@pytest.mark.parametrize(
    ("change", "could_be"),
    [
        ({}, True),
        ({"createdAt": "2026-01-01T11:58:30Z"}, True),  # its clock may be behind
        ({"createdAt": "2026-01-01T11:57:00Z"}, False),
        ({"createdAt": None}, True),
        ({"total": 8}, False),
        ({"total": None}, False),
        ({"type": "products"}, False),
        ({"type": None}, True),
        ({"origin": "app"}, False),
        ({"options": {}}, True),
        ({"options": {**OURS["options"], "delimiter": ";"}}, False),
        ({"options": {**OURS["options"], "overrideExisting": False}}, False),
        ({"options": {**OURS["options"], "updateOnlyEmptyFields": True}}, False),
    ],
)
def test_what_could_be_ours(change: dict[str, Any], could_be: bool) -> None:
    assert ImportRules().could_be(Import.parse({**OURS, **change}), 7, SINCE.timestamp()) is could_be


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        ({"total": 10, "success": 10, "errors": 0}, Numbers(10, 0, 0, True)),
        ({"total": 10, "success": 7, "errors": 3}, Numbers(7, 3, 0, True)),
        ({"total": 10, "success": 7, "errors": 1}, Numbers(7, 1, 2, True)),
        ({"success": 10, "errors": 0}, Numbers(10, 0, 0, True)),
        ({"total": 9, "success": 9, "errors": 0}, Numbers(9, 0, 1, False)),
        ({"total": 10, "success": 12, "errors": 0}, Numbers(10, 0, 0, False)),
        ({"total": 10, "success": 8, "errors": 8}, Numbers(8, 2, 0, False)),
        ({"total": 10}, Numbers(0, 0, 10, False)),
        ({"total": 10, "success": 10}, Numbers(10, 0, 0, False)),
    ],
)
def test_numbers_add_up_to_the_rows_whatever_is_told(told: dict[str, int], numbers: Numbers) -> None:
    found = numbers_of(Import.parse({"id": "1", **told}), 10)
    assert found == numbers
    assert found.taken + found.refused + found.missing == 10


def test_every_documented_state_has_a_meaning_and_no_other() -> None:
    """API reference, resource "Import"."""
    assert set(FATES) == {"queued", "inProgress", "finished", "error", "cancelled"}
    assert [status for status, fate in FATES.items() if fate is Fate.WAIT] == ["queued", "inProgress"]


def test_only_empty_fields_requires_to_override() -> None:
    """API reference, "create-import"."""
    assert all(flags.override_existing or not flags.update_only_empty_fields for flags in ON_EXISTING.values())


def test_what_another_try_has_to_begin_with_is_not_remembered() -> None:
    begun = SentFile(0, "a", 1, since=1.0)
    failed = SentFile(1, "b", 1, since=1.0, import_id="x", is_settled=True, is_failed=True)
    done = SentFile(2, "c", 1, since=1.0, import_id="y", is_settled=True)
    saved = ImportState([begun, failed, done, SentFile(3, "d", 1)], ["k"], False, {"tally": 1}).as_json()
    assert ImportState.from_json(saved) == ImportState([begun, done], ["k"], False, {"tally": 1})


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"files": 7},
        {"files": [{"x": 1}], "known": []},
        {"is_read": True},
        {"files": [], "known": [], "is_all_sent": True, "run": {}},
    ],
)
def test_what_is_no_state_is_none(state: Any) -> None:
    assert ImportState.from_json(state) is None
