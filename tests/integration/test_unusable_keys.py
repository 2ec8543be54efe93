"""Rows whose key names nobody are refused, and never taken for rows that did not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.import_runs import import_rows
from tests.support.journals import DATABASES, JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

KEYS: dict[str, Any] = {
    "none": None,
    "blank": "",
    "spaces": "  ",
    "a word": "x",
    "a word that is not ASCII": "zoé-sin-arroba",
    "a number": 7,
    "bytes": b"ana@example.com",
    "a control character": "ana\t@example.com",
    "NUL": "ana\0@example.com",
    "text that no encoding takes": "ana\ud800@example.com",
}
BY_ID = {"key": "external_id", "key_column": "email"}
ANA = {"email": "ana@example.com", "_name": "Ana"}


def patch(run_id: str, **arguments: Any) -> Run:
    return deliver(run_id, **({"fields": "live"} | arguments))


def check(run_id: str, **arguments: Any) -> Run:
    return patch(run_id, check_only=True, **arguments)


def refresh(run_id: str, **arguments: Any) -> Run:
    return patch(run_id, full_refresh=True, **arguments)


def load(run_id: str, **arguments: Any) -> Run:
    return import_rows(run_id, journal_conn_id="journal", **arguments)


@pytest.fixture(params=DATABASES)
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def at_any_pace(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5))


@pytest.mark.parametrize("way", [patch, check, refresh, load])
@pytest.mark.parametrize("name", KEYS)
def test_a_row_without_a_usable_key_is_invalid(
    name: str, way: Callable[..., Run], journal: JournalDatabase, strict: StrictServer
) -> None:
    source = [{"email": KEYS[name], "_name": letter} for letter in "ABC"]
    alone = way("alone", rows=source)
    assert (alone.state, alone.summary["invalid"], alone.summary["unchanged"]) == ("failed", 3, 0)
    beside_a_good_one = way("beside", rows=[*source, ANA])
    assert (beside_a_good_one.state, beside_a_good_one.summary["invalid"]) == ("failed", 3)
    again = way("again", rows=[ANA, *source])
    assert (again.state, again.summary["invalid"]) == ("failed", 3)
    assert strict.contacts.keys() <= {"ana@example.com"}


@pytest.mark.parametrize("way", [patch, check, refresh, load])
@pytest.mark.parametrize("key", [None, "", "\t"])
def test_a_row_without_a_usable_external_id_is_invalid(
    key: str | None, way: Callable[..., Run], journal: JournalDatabase, strict: StrictServer
) -> None:
    run = way("night", rows=[{"email": key, "_name": "A"}, {"email": key, "_name": "B"}], **BY_ID)
    assert (run.state, run.summary["invalid"], run.summary["unchanged"]) == ("failed", 2, 0)


def test_a_join_that_finds_nobody_is_no_quiet_night(journal: JournalDatabase, strict: StrictServer) -> None:
    people = [{"email": f"user{n}@example.com", "_name": f"N{n}"} for n in range(3000)]
    assert patch("first night", rows=people).state == "success"
    broken = patch("second night", rows=[{**row, "email": None} for row in people])
    assert (broken.state, broken.summary["invalid"], broken.summary["unchanged"]) == ("failed", 3000, 0)
    assert patch("third night", rows=people).summary["unchanged"] == 3000
