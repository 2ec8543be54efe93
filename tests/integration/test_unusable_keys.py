"""Rows whose key names nobody are refused, and never taken for rows that did not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.import_runs import import_rows
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
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


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def at_any_pace(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5))


@pytest.mark.slow
@pytest.mark.parametrize("way", [patch, check, refresh, load])
def test_rows_without_a_usable_key_are_invalid(
    way: Callable[..., Run], journal: JournalDatabase, strict: StrictServer
) -> None:
    for name, key in KEYS.items():
        alone = way(name, rows=[{"email": key, "_name": letter} for letter in "AB"])
        assert (name, alone.state, alone.summary["invalid"], alone.summary["unchanged"]) == (name, "failed", 2, 0)
    all_of_them = [{"email": key, "_name": "A"} for key in KEYS.values()]
    for source in ([*all_of_them, ANA], [ANA, *all_of_them]):  # new, and with the journal knowing her
        beside = way("beside a good one", rows=source)
        assert (beside.state, beside.summary["invalid"]) == ("failed", len(KEYS))
    assert strict.contacts.keys() <= {"ana@example.com"}


@pytest.mark.parametrize("way", [patch, load])
def test_rows_without_a_usable_external_id_are_invalid(
    way: Callable[..., Run], journal: JournalDatabase, strict: StrictServer
) -> None:
    for key in (None, "", "\t"):
        run = way("night", rows=[{"email": key, "_name": "A"}, {"email": key, "_name": "B"}], **BY_ID)
        assert (run.state, run.summary["invalid"], run.summary["unchanged"]) == ("failed", 2, 0)


@pytest.mark.slow
def test_a_join_that_finds_nobody_is_no_quiet_night(journal: JournalDatabase, strict: StrictServer) -> None:
    people = [{"email": f"user{n}@example.com", "_name": f"N{n}"} for n in range(3000)]
    assert patch("first night", rows=people).state == "success"
    broken = patch("second night", rows=[{**row, "email": None} for row in people])
    assert (broken.state, broken.summary["invalid"], broken.summary["unchanged"]) == ("failed", 3000, 0)
    assert patch("third night", rows=people).summary["unchanged"] == 3000
