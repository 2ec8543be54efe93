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
    assert "| no end recorded |" in command("journal", "runs").out
    assert command("journal", "runs", "-o", "json").data[0]["verdict"] is None


@pytest.mark.parametrize(("task", "name"), [("contacts[-1]", "contacts"), ("contacts[3]", "contacts[3]")])
def test_journal_runs_names_a_task_as_airflow_does(
    command: Callable[..., Shown], journal: JournalDatabase, task: str, name: str
) -> None:
    deliver("night 1", rows=[{"email": "ana@example.com"}])
    journal.query(f"update connectif_journal_runs set task = '{task}'")
    assert command("journal", "runs", "-o", "json").data[0]["task"] == name
    assert f"\n  task: {name}\n" in command("journal", "runs", "-o", "yaml").out


def test_check_answers_first_and_shows_no_zeros(
    command: Callable[..., Shown], journal: JournalDatabase, query: Callable[..., list[str]]
) -> None:
    people = [{"email": "ana@example.com", "_points": 1}, {"email": "bea@example.com", "_points": 1}]
    deliver("night 1", rows=people)
    source = query({**people[0], "_points": 2}, people[1], {"email": "cai@example.com", "_points": "x"})
    shown = command("check", *source, "--sync-id", "nightly", "--fields", "builtin", "--failure-budget", "1")
    assert shown.out.splitlines()[:4] == [
        "The query could be delivered",
        "1 of 3 rows would be sent, 1 refused.",
        "A run would take 1 request, less than a minute.",
        "",
    ]
    assert not [line for line in shown.out.splitlines() if line.endswith(("| 0", "| 0.0"))]
    assert "| 0 " not in shown.out
    failed = command("check", *source, "--fields", "builtin")
    assert failed.out.splitlines()[:4] == [
        "The check failed: 1 of 3 rows was refused; failure_budget allows 0",
        "2 of 3 rows would be sent, 1 refused.",
        "A run would take 2 requests, less than a minute.",
        "Without a journal every valid row counts as new.",
    ]


def test_check_as_json_has_its_zeros(
    command: Callable[..., Shown], query: Callable[..., list[str]], strict: StrictServer
) -> None:
    shown = command("check", *query({"email": "ana@example.com"}), "--fields", "builtin", "-o", "json").data
    assert (shown["invalid"], shown["rejected"], shown["valid"]) == (0, 0, 1)


@pytest.mark.parametrize("verbose", [(), ("--verbose",)], ids=["usual", "verbose"])
def test_explain_gives_a_reason_once_and_without_a_number_of_its_own(
    command: Callable[..., Shown], journal: JournalDatabase, query: Callable[..., list[str]], verbose: tuple[str, ...]
) -> None:
    deliver("night 1", rows=[{"email": "ana@example.com"}])
    source = query({"email": "bea@example.com", "_points": 1}, {"email": "ana@example.com", "_points": "x"})
    shown = command("explain", "ana@example.com", *source, "--fields", "builtin", *verbose)
    assert shown.code == 0, shown.err
    assert 'Reason: column "_points" must be a whole number' in shown.out
    assert "(row 1)" not in shown.err
    assert bool(shown.err) == bool(verbose)


def test_explain_does_not_warn_that_the_query_has_no_row_of_the_contact(
    command: Callable[..., Shown], journal: JournalDatabase, query: Callable[..., list[str]]
) -> None:
    deliver("night 1", rows=[{"email": "ana@example.com"}])
    shown = command("explain", "ana@example.com", *query({"email": "bea@example.com"}), "--fields", "builtin")
    assert (shown.code, shown.err) == (0, "")
    assert "the query has no row of the contact" in shown.out


def test_explain_is_about_the_only_sync(command: Callable[..., Shown], journal: JournalDatabase) -> None:
    deliver("night 1", rows=[{"email": "ana@example.com"}])
    arguments = ["explain", "ana@example.com", "-o", "json"]
    assert command(*arguments).data["sync_id"] == "nightly"
    deliver("week 1", rows=[{"email": "ana@example.com"}], sync_id="weekly")
    several = command(*arguments)
    assert (several.code, several.out) == (2, "")
    assert several.err == "the journal has several syncs ('nightly', 'weekly'): choose one with --sync-id\n"
    journal.query("delete from connectif_journal_syncs")
    none_yet = "the journal has no sync yet: the first run of a sync adds it\n"
    assert (command(*arguments).code, command(*arguments).err) == (1, none_yet)
