"""Every line of a task's log, and of its exception, fits Airflow's log view, which does not wrap."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.reporting import progress
from airflow_provider_connectif.reporting.folding import LINE_LIMIT
from tests.support.journals import JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_logs import raw_messages
from tests.support.task_runs import Run

COLUMNS = ("_name", "_surname", "_points", "_birthdate", "_mobilePhone", "_emailStatus", "visits", "spent")
SYNC_ID = "contacts_of_the_customers_of_all_shops_in_southern_europe.sync_contacts_to_connectif"
IMPORT = {"kind": "ContactImportOperator", "patch_leftovers": False, "poll_interval": 0.2}
DEFERRABLE = {"deferrable": True, "defer_after": timedelta(seconds=0.2)}

# What the server does, the operator's arguments, the state at the end, and words of its exception.
RUNS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "success": ({}, {}, "success", ""),
    "refused": ({"faults": [{"keys": ["user1@example.com"], "status": 422}]}, {"bad": 9}, "failed", "10 of 69 rows"),
    "within the budget": ({}, {"bad": 9, "failure_budget": 0.5}, "success", ""),
    "a refused key": ({"faults": [{"nth": [2, None], "status": 401}]}, {}, "failed", "refused the API key (401)"),
    "a missing scope": ({"faults": [{"nth": [2, None], "status": 403, "json": {"status": 403, "title": "Forbidden"}}]},
        {}, "failed", "does not have the scope"),
    "all rejected": ({"faults": [{"nth": [1, None], "status": 422}]}, {}, "failed", "were all rejections"),
    "a pause": (
        {"faults": [{"nth": [5, None], "status": 503, "headers": {"Retry-After": "900"}}]}, {}, "up_for_retry", "pause"
    ),
    "no response": ({"faults": [{"nth": [9, None], "drop": "after"}]}, {}, "up_for_retry", "does not respond"),
    "429": ({"limit": 40, "window_s": 3.0, "headers": "none", "retry_after": "seconds"}, {"many": 50}, "success", ""),
    "windows": ({"limit": 40, "window_s": 3.0, "headers": "fraction"}, {"many": 50}, "success", ""),
    "deferred": ({"limit": 20, "headers": "fraction"}, DEFERRABLE, "deferred", ""),
    "a check": ({}, {"check_only": True, "bad": 9}, "failed", "9 of 69 rows"),
    "an import": ({}, {**IMPORT, "bad": 3}, "failed", "3 of 63 rows"),
    "a deferred import": ({}, {**IMPORT, "deferrable": True}, "deferred", ""),
    "a check of an import": ({}, {**IMPORT, "check_only": True}, "success", ""),
    "an import that fails": ({"import_faults": [{"times": 9, "status": 500}]}, IMPORT, "up_for_retry", "in 4 attempts"),
    "a wrong mapping": (
        {}, {"properties": {name: f"{name}_of_the_customer" for name in COLUMNS}}, "failed", "mapping does not fit"
    ),
    "no rows": ({}, {"many": 0}, "success", ""),
}  # fmt: skip


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


@pytest.fixture
def messages(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """What was logged since the last call, as it was."""
    return lambda: raw_messages("".join(capfd.readouterr()))


def too_long(text: str) -> list[str]:
    """The lines that do not fit; a word or a quoted path that has a line of its own may be longer."""
    return [
        line for line in text.split("\n") if len(line) > LINE_LIMIT and not re.fullmatch(r"\S+|'[^']*'", line.strip())
    ]


def rows(many: int, bad: int) -> list[dict[str, Any]]:
    filled = dict.fromkeys(COLUMNS) | {"_name": "Ana", "visits": 1}
    good = [filled | {"email": f"user{n}@example.com", "_surname": f"name {n}"} for n in range(many)]
    faults = [{"_points": "x"}, {"_birthdate": "x"}, {"_mobilePhone": "600 123"}, {"_emailStatus": "x"}]
    wrong = [filled | {"email": f"bad{n}@example.com"} | faults[n % len(faults)] for n in range(bad)]
    return good + wrong


def a_run(folder: Path, many: int = 60, bad: int = 0, **arguments: Any) -> Run:
    given = {
        "rows": rows(many, bad),
        "properties": {column: column for column in COLUMNS},
        "fields": "live",
        "sync_id": SYNC_ID,
        "rejects_path": str(folder / ("a_folder_with_a_long_name/" * 6) / "rejects of the night.jsonl"),
        "max_in_flight": 1,
        **arguments,
    }
    if given.get("kind") == IMPORT["kind"]:
        del given["max_in_flight"]
    return deliver("scheduled__2026-11-27T02:30:00.123456+00:00_of_the_customers", **given)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", RUNS)
def test_each_line_fits(
    name: str,
    journal: JournalDatabase,
    strict: StrictServer,
    connection: Callable[..., None],
    messages: Callable[[], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_EVERY_S", 0.01)
    settings, arguments, state, words = RUNS[name]
    connection("connectif_default", **strict.connection(timeout=10, retries=4))
    (tmp_path / ("a_folder_with_a_long_name/" * 6)).mkdir(parents=True)
    strict.reset(**settings)
    run = a_run(tmp_path, **arguments)
    assert run.state == state, run.raised
    assert words in str(run.error or "")
    logged = messages()
    assert len(logged) > 1
    assert [line for message in logged for line in too_long(message)] == []
    assert too_long(run.raised) == []
    assert not any("example.com" in message for message in logged)


def test_the_last_screen_of_a_failed_task(
    journal: JournalDatabase,
    strict: StrictServer,
    connection: Callable[..., None],
    messages: Callable[[], list[str]],
    tmp_path: Path,
) -> None:
    connection("connectif_default", **strict.connection(timeout=10))
    (tmp_path / ("a_folder_with_a_long_name/" * 6)).mkdir(parents=True)
    run = a_run(tmp_path, many=3, bad=5)
    reasons, end = messages()[-2:]
    assert reasons.startswith("Rows not delivered, by reason:\n  2 x ")
    lines = end.split("\n")
    assert lines[0] == "Failed: 8 rows read, 3 delivered (3 created, 0 updated), 5 invalid, 6 requests"
    assert lines[1] == "  Failure budget: 5 refused, 0 allowed"
    assert lines[2:4] == ["  Rejects file:", f"      {run.summary['rejects_path']!r}"]
    assert lines[4].startswith("  Duration: ")
    assert run.raised == "5 of 8 rows were refused; failure_budget allows 0"
