"""The tables of the commands, which people read: short, without names and numbers that only a program needs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.commands import Shown
from tests.support.journals import JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.versions


@pytest.fixture
def journal(
    request: pytest.FixtureRequest, airflow_db: None, monkeypatch: pytest.MonkeyPatch, strict: StrictServer
) -> JournalDatabase:
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")
    monkeypatch.setenv("COLUMNS", "300")
    return journal_database("sqlite", request)


def test_journal_runs_says_of_a_killed_run_that_it_has_not_ended(
    command: Callable[..., Shown], journal: JournalDatabase
) -> None:
    deliver("night 1", rows=[{"email": "ana@example.com"}])
    journal.query("update connectif_journal_runs set verdict = null, ended_at = null")
    assert "| not ended |" in command("journal", "runs").out
    assert command("journal", "runs", "-o", "json").data[0]["verdict"] is None


@pytest.mark.parametrize(("task", "name"), [("contacts[-1]", "contacts"), ("contacts[3]", "contacts[3]")])
def test_journal_runs_names_a_task_as_airflow_does(
    command: Callable[..., Shown], journal: JournalDatabase, task: str, name: str
) -> None:
    deliver("night 1", rows=[{"email": "ana@example.com"}])
    journal.query(f"update connectif_journal_runs set task = '{task}'")
    assert command("journal", "runs", "-o", "json").data[0]["task"] == name
    assert f"\n  task: {name}\n" in command("journal", "runs", "-o", "yaml").out
