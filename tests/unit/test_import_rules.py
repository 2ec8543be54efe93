"""Which imports of the list a lost upload may have begun, and what the numbers of an import come to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.imports.rules import FATES, ON_EXISTING, Fate, ImportRules, Numbers, numbers_of
from airflow_provider_connectif.imports.watch import _may_be
from airflow_provider_connectif.journal.import_state import Group, ImportState, SentFile, has_open_files

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPEN: dict[str, Any] = {
    "id": "1",
    "type": "contacts",
    "origin": "api",
    "status": "inProgress",
    "createdAt": "2026-01-01T12:00:05Z",
}


@pytest.mark.parametrize(
    ("change", "may_be"),
    [
        ({}, True),
        ({"status": "queued"}, True),
        ({"status": "paused"}, True),  # not documented
        ({"status": None}, True),
        ({"status": "finished"}, False),
        ({"status": "error"}, False),
        ({"status": "cancelled"}, False),
        ({"createdAt": "2026-01-01T11:58:30Z"}, True),  # its clock may be behind
        ({"createdAt": "2026-01-01T11:57:00Z"}, False),
        ({"createdAt": "2026-01-01T14:57:00+03:00"}, False),
        ({"createdAt": "2026-01-01T11:57:00"}, True),  # of which zone is not known
        ({"createdAt": "2027-01-01T00:00:00Z"}, True),
        ({"createdAt": None}, True),
        ({"type": "products"}, False),
        ({"type": None}, True),
        ({"origin": "app"}, False),
        ({"origin": None}, True),
    ],
)
def test_which_import_an_upload_without_a_response_may_have_begun(change: dict[str, Any], may_be: bool) -> None:
    assert _may_be(Import.parse({**OPEN, **change}), SINCE.timestamp()) is may_be


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        ({"total": 10, "success": 10, "errors": 0}, Numbers(10, 0, 0, True)),
        ({"total": 10, "success": 7, "errors": 3}, Numbers(7, 3, 0, True)),
        ({"total": 10, "success": 7, "errors": 1}, Numbers(7, 1, 2, True)),
        ({"success": 10, "errors": 0}, Numbers(10, 0, 0, True)),
        ({"total": 9, "success": 9, "errors": 0}, Numbers(0, 0, 10, False)),
        ({"total": 11, "success": 10, "errors": 0}, Numbers(0, 0, 10, False)),
        ({"total": 10, "success": 12, "errors": 0}, Numbers(0, 0, 10, False)),
        ({"total": 10, "success": 8, "errors": 8}, Numbers(0, 0, 10, False)),
        ({"total": 10}, Numbers(0, 0, 10, False)),
        ({"total": 10, "success": 10}, Numbers(0, 0, 10, False)),
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


def test_the_switches_of_an_upload() -> None:
    """API reference, "create-import"."""
    assert {choice: tuple(ImportRules(on_existing=choice).flags) for choice in ON_EXISTING} == {
        "update": (True, False),
        "fill_empty": (True, True),
        "keep": (False, False),
    }


def test_only_empty_fields_requires_to_override() -> None:
    """API reference, "create-import"."""
    assert all(flags.override_existing or not flags.update_only_empty_fields for flags in ON_EXISTING.values())


def test_a_state_is_read_as_it_was_saved() -> None:
    begun = SentFile(0, 1, ["_name"], since=1.0)
    failed = SentFile(1, 1, [], since=1.0, import_id="x", is_settled=True, is_failed=True)
    state = ImportState([begun, failed], [Group([0, 1], 3, 1), Group([1], 2, is_counted=True)], False, False, {"a": 1})
    assert ImportState.from_json(json.loads(json.dumps(state.as_json()))) == state
    assert state.lost_since == 1.0
    assert (state.open_ids, state.known_ids, state.groups_in(0)) == ([], {"x"}, [0])


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"files": 7},
        {"files": [{"x": 1}], "is_all_sent": False, "run": {}},
        {"is_read": True},
        {"files": [], "is_all_sent": True, "run": {}},
    ],
)
def test_what_is_no_state_is_none(state: Any) -> None:
    assert ImportState.from_json(state) is None


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ImportState([SentFile(0, 1, since=1.0)]).as_json(), True),
        (ImportState([SentFile(0, 1, since=1.0, import_id="x")]).as_json(), True),
        (ImportState([SentFile(0, 1, since=1.0, import_id="x", is_settled=True)]).as_json(), False),
        ({}, False),
        ({"is_read": True, "tally": {}}, False),  # a delivery by PATCH
        ({"files": [{"x": 1}]}, False),
        ({"files": 7}, False),
    ],
)
def test_which_plans_name_open_imports(state: dict[str, Any], expected: bool) -> None:
    assert has_open_files(state) is expected
