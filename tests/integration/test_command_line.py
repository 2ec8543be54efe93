"""Every command, against the strict server and a real journal: what it prints, and what it must not show."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_connectif.databases import engines
from airflow_provider_connectif.journal.tables import JournalTables
from tests.integration.conftest import FAST
from tests.support.commands import Shown
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.versions

SECRET_VALUE = "Quetzalcoatl"
_AS_MODULE = [sys.executable, "-m", "airflow_provider_connectif"]
_IN_AIRFLOW = [str(Path(sys.executable).parent / "airflow"), "connectif"]
PROGRAMS = [_AS_MODULE, *([_IN_AIRFLOW] if tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 2) else [])]


@pytest.fixture
def explain(command: Callable[..., Shown]) -> Callable[..., Shown]:
    """Explain a contact of the sync ``nightly`` as JSON."""

    def run(name: str, *arguments: str) -> Shown:
        return command("explain", f"{name}@example.com", "--sync-id", "nightly", "--output", "json", *arguments)

    return run


@pytest.fixture(params=usually("sqlite"))
def journal(
    request: pytest.FixtureRequest, airflow_db: None, monkeypatch: pytest.MonkeyPatch, strict: StrictServer
) -> JournalDatabase:
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")
    return journal_database(request.param, request)


def row(name: str, **values: Any) -> dict[str, Any]:
    return {"email": f"{name}@example.com", **values}


def night(number: int = 1, *rows: dict[str, Any], **arguments: Any) -> Any:
    return deliver(f"night {number}", rows=list(rows), **arguments)


def add_outcome(journal: JournalDatabase, **values: Any) -> None:
    """Add a line to the history of a contact."""
    columns = JournalTables("connectif_journal", None).outcomes.columns
    needed = {column.name: 1 for column in columns if not (column.nullable or column.primary_key)}
    line = {**needed, "sync_id": "nightly", "run_key": "x", "contact_key": "ana@example.com"}
    line |= {"at": "2026-01-01 02:00:00", **values}
    journal.query(
        f"insert into connectif_journal_outcomes ({', '.join(line)}) values ({', '.join(map(repr, line.values()))})"
    )


def property_of(shown: Shown, name: str) -> dict[str, Any]:
    return {line["property"]: line for line in shown.data["properties"]}[name]


# fields


def test_fields_lists_the_account_and_proposes_a_mapping(
    command: Callable[..., Shown], strict: StrictServer, query: Callable[..., list[str]]
) -> None:
    listed = command("fields", "--output", "json")
    by_id = {field["id"]: field for field in listed.data}
    assert by_id["_name"]["custom"] is False
    assert len(by_id) > 7  # the server shows seven a page
    assert {"id", "name", "type", "read_only", "limits", "options"} <= by_id["_name"].keys()

    source = query({"E_MAIL": "a", "EMAIL": "a", "Surname": "b", "mobile_phone": "c", "zzz": "d"})
    proposal = command("fields", *source, "--output", "json").data["proposal"]
    assert proposal["key_column"] == "EMAIL"
    assert proposal["properties"]["_surname"] == "Surname"
    assert proposal["properties"]["_mobilePhone"] == "mobile_phone"
    assert proposal["columns_without_field"] == ["E_MAIL", "zzz"]
    table = command("fields", *source)
    assert '    "_surname": "Surname",' in table.out.splitlines()
    assert table.code == 0


@pytest.mark.parametrize(("columns", "words"), [("1 as visits", "no column"), ("1 as email, 2 as email", "several")])
def test_fields_without_one_column_of_the_key(
    command: Callable[..., Shown], query: Callable[..., list[str]], strict: StrictServer, columns: str, words: str
) -> None:
    query({"email": "ana@example.com"})
    shown = command("fields", "--sql", f"select {columns}", "--sql-conn-id", "source")
    assert (shown.code, shown.out) == (1, "")
    assert words in shown.err
    assert "--key-column" in shown.err


@pytest.mark.parametrize("form", ["table", "plain", "yaml"])
def test_fields_in_every_form(command: Callable[..., Shown], strict: StrictServer, form: str) -> None:
    shown = command("fields", "-o", form)
    assert shown.code == 0
    assert "_birthdate" in shown.out


# check


def test_check_shows_the_plan_and_sends_nothing(
    command: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, query: Callable[..., list[str]]
) -> None:
    rows = [row("ana", _points=1), row("bea", _points=1)]
    night(1, *rows)
    source = query(row("ana", _points=2), row("bea", _points=1), row("cai", _points=1))
    before = len(strict.log)

    shown = command("check", *source, "--sync-id", "nightly", "--fields", "builtin", "-o", "json")

    assert shown.code == 0, shown.err
    assert (shown.data["read"], shown.data["valid"], shown.data["unchanged"]) == (3, 2, 1)
    assert shown.data["requests_most"] == 2
    assert len(strict.log) == before
    assert command("check", *source, "--fields", "builtin", "-o", "json").data["valid"] == 3  # without a journal
    imported = command("check", *source, "--way", "import", "--fields", "builtin", "-o", "json")
    assert (imported.code, imported.data["valid"]) == (0, 3), imported.err
    assert len(strict.log) == before


def test_check_of_refused_rows_fails_and_says_why(
    command: Callable[..., Shown], strict: StrictServer, query: Callable[..., list[str]]
) -> None:
    source = query(row("ana", _points=1), row("bea", _points=SECRET_VALUE))
    shown = command("check", *source)
    assert shown.code == 1
    assert "Refused rows" in shown.out
    assert '"_points"' in shown.out
    assert "1 of 2 rows" in shown.err
    assert SECRET_VALUE not in shown.out + shown.err
    assert command("check", *source, "--failure-budget", "1").code == 0


def test_check_takes_the_mapping_of_the_operator(
    command: Callable[..., Shown], strict: StrictServer, query: Callable[..., list[str]]
) -> None:
    source = query({"id": "a1", "first": "Ana"})
    mapping = ["--key", "external_id", "--key-column", "id", "--properties", '{"_name": "first"}']
    assert command("check", *source, *mapping, "-o", "json").data["valid"] == 1
    wrong = command("check", *source, *mapping[:-1], '{"_name": "frist"}')
    assert wrong.code == 1
    assert 'did you mean "first"' in wrong.err


# explain


def test_explain_never_seen(
    explain: Callable[..., Shown], journal: JournalDatabase, query: Callable[..., list[str]]
) -> None:
    night(1, row("ana", _points=1))
    shown = explain("bea", "--live")
    assert shown.code == 0, shown.err
    assert shown.data["last"] is None
    assert shown.data["next_step"]["action"] == "send"
    assert shown.data["live"] == {"exists": False, "compared_with": "journal"}
    new = explain("bea", *query(row("bea", _points=1)), "--fields", "builtin")
    assert new.data["row"]["outcome"] == "sent"
    assert new.data["row"]["sent_first"] == ["_points"]


@pytest.mark.slow
def test_explain_unchanged_and_changed(
    explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, query: Callable[..., list[str]]
) -> None:
    night(1, row("ana", _points=1, _name=SECRET_VALUE))
    shown = explain("ANA", "--live")  # another spelling of the key
    assert shown.data["last"]["state"] == "acknowledged"
    assert shown.data["last"]["delivered_as"] == "created"
    assert shown.data["last_run"]["verdict"] == "success"
    assert shown.data["next_step"]["action"] == "compare"
    assert property_of(explain("ana", "--live"), "_points")["connectif"] == "equal"
    assert property_of(explain("ana", "--live"), "_name")["connectif"] == "equal"

    unchanged = explain("ana", *query(row("ana", _points=1, _name=SECRET_VALUE)), "--fields", "builtin")
    assert unchanged.data["row"]["outcome"] == "unchanged"
    changed = explain("ana", *query(row("ana", _points=2, _name=SECRET_VALUE)), "--live")
    assert (changed.data["row"]["outcome"], changed.data["row"]["sent_first"]) == ("sent", ["_points"])
    assert property_of(changed, "_points")["connectif"] == "differs"
    assert property_of(changed, "_name")["connectif"] == "equal"
    gone = explain("ana", *query(row("bea", _points=2, _name="x")))
    assert gone.data["row"]["outcome"] == "left"


@pytest.mark.parametrize("state", ["unchanged", "held"])
def test_explain_compares_and_shows_a_row_that_is_not_sent(
    state: str,
    explain: Callable[..., Shown],
    journal: JournalDatabase,
    strict: StrictServer,
    query: Callable[..., list[str]],
) -> None:
    source = row("ana", segment="regular", visits=1)
    if state == "held":
        night(1, source | {"visits": 0}, fields="live")
        strict.update(faults=[{"keys": ["ana@example.com"], "status": 422}])
    strict.update(stores="other forms")  # an option by its label
    night(2, source, fields="live")

    shown = explain("ana", *query(source), "--live", "--show-values")

    assert (shown.data["row"]["outcome"], shown.data["live"]["compared_with"]) == (state, "row"), shown.err
    line = property_of(shown, "segment")
    assert (line["next_run"], line["connectif"], line["value_of_row"]) == ("not sent", "equal", "regular")
    assert property_of(shown, "visits")["connectif"] == ("equal" if state == "unchanged" else "differs")
    gone = explain("ana", *query(row("bea", segment="regular", visits=1)), "--live")
    assert (gone.data["row"]["outcome"], gone.data["live"]["compared_with"]) == ("left", "journal")


def test_explain_of_a_change_whose_deferred_task_never_returns(
    explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=2, headers="fraction")
    rows = [row(name, visits=1) for name in ("ana", "bea", "cai", "dan")]
    assert night(1, *rows, deferrable=True, max_in_flight=1, defer_after=timedelta(seconds=0.2)).state == "deferred"
    strict.update(limit=0)
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5))
    journal.query("update connectif_journal_claims set lease_until = 0")
    shown = explain("dan")
    assert (shown.data["is_pending"], shown.data["last_run"]["holds_until"]) == (True, None)
    assert "If that task was ended instead, the next run drops the plan" in shown.data["next_step"]["words"]
    assert night(2, *rows).summary["created"] == 2
    assert not explain("dan").data["is_pending"]


def test_explain_does_not_say_that_nothing_is_done_about_a_contact_that_left(
    explain: Callable[..., Shown],
    command: Callable[..., Shown],
    journal: JournalDatabase,
    strict: StrictServer,
    query: Callable[..., list[str]],
) -> None:
    sql, words = "select * from people", "If the operator has on_removed, a run carries it out once"
    sync = {"kind": "ContactSyncOperator", "sql": sql, "sql_conn_id": "source", "max_removed": None, "min_rows": 0}
    query(row("ana", visits=1), row("bea", visits=1))
    deliver("night 1", **sync)
    source = query(row("bea", visits=1))
    arguments = ("explain", "ana@example.com", "--sync-id", "nightly", *source, "--fields", "builtin")
    assert words in command(*arguments).out  # it has been in no run's source for the first time
    deliver("night 2", **sync)
    assert words in command(*arguments).out
    step = explain("ana").data["next_step"]
    assert (step["action"], "unless the operator has on_removed" in step["words"]) == ("nothing", True)
    assert deliver("night 3", on_removed="delete", **sync).summary["removed"] == 1
    assert "ana@example.com" not in strict.contacts
    assert words not in command(*arguments).out
    assert "on_removed" not in explain("ana").data["next_step"]["words"]


def test_explain_live_shows_what_somebody_else_has_changed(
    explain: Callable[..., Shown], command: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer
) -> None:
    night(1, row("ana", _points=1, _name="Ana", _birthdate="1980-01-02"))
    strict.change_contacts({"ana@example.com": {"_points": 7, "_name": None, "_birthdate": "1980-01-02T00:00:00Z"}})

    shown = explain("ana", "--live")

    compared = {line["property"]: line["connectif"] for line in shown.data["properties"]}
    assert compared == {"_points": "differs", "_name": "missing", "_birthdate": "equal"}
    assert "value_at_connectif" not in property_of(shown, "_points")
    values = explain("ana", "--live", "--show-values")
    assert property_of(values, "_points")["value_at_connectif"] == 7
    table = command("explain", "ana@example.com", "--sync-id", "nightly", "--live")
    assert table.code == 0
    assert "differs" in table.out
    assert "Why: Connectif has accepted the row." in table.out


def test_explain_rejected_and_held(
    explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, query: Callable[..., list[str]]
) -> None:
    strict.update(faults=[{"keys": ["ana@example.com"], "status": 422}])
    night(1, row("ana", _points=1))
    shown = explain("ana", "--live")
    assert (shown.data["last"]["state"], shown.data["last"]["status_code"]) == ("rejected", 422)
    assert shown.data["next_step"]["action"] == "hold"
    assert shown.data["live"]["exists"] is False
    held = explain("ana", *query(row("ana", _points=1)), "--fields", "builtin")
    # Rows of SQL have the digests of rows that were handed over as mappings.
    assert held.data["row"]["outcome"] == "held"
    assert next(iter(held.data["row"]["reasons"])).startswith("held: HTTP 422")
    assert explain("ana", *query(row("ana", _points=2))).data["row"]["outcome"] == "sent"


def test_explain_invalid(
    explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, query: Callable[..., list[str]]
) -> None:
    night(1, row("ana", _points=1))
    night(2, row("ana", _points=SECRET_VALUE))
    shown = explain("ana", *query(row("ana", _points=SECRET_VALUE)))
    assert shown.data["last"]["state"] == "invalid"
    assert shown.data["last"]["delivered_at"] is not None
    assert shown.data["next_step"]["action"] == "hold"
    assert shown.data["row"]["outcome"] == "invalid"
    assert "_points" in next(iter(shown.data["row"]["reasons"]))
    assert SECRET_VALUE not in shown.out + shown.err


def test_explain_a_lost_response(explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer) -> None:
    night(1, row("ana", _points=1))
    strict.update(faults=[{"keys": ["ana@example.com"], "drop": "after"}])
    night(2, row("ana", _points=2))
    shown = explain("ana", "--live")
    assert shown.data["next_step"]["action"] in ("compare", "send")
    assert strict.contacts["ana@example.com"]["_points"] == 2


def test_explain_a_consent_that_belongs_to_the_person(
    explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer
) -> None:
    news = "_newsletterSubscriptionStatus"
    night(1, row("ana", _points=1, **{news: "subscribed"}))
    strict.change_contacts({"ana@example.com": {news: "unsubscribed"}})
    night(2, row("ana", _points=2, **{news: "subscribed"}))
    shown = explain("ana", "--live")
    line = property_of(shown, news)
    assert (line["journal"], line["connectif"]) == ("kept for the person", "differs")


def test_explain_a_contact_whose_key_is_an_hmac(
    explain: Callable[..., Shown],
    request: pytest.FixtureRequest,
    connection: Callable[..., None],
    journal: JournalDatabase,
    strict: StrictServer,
) -> None:
    hidden = journal_database(journal.kind, request, connectif_journal_secret="sesame")
    night(1, row("ana", _points=1), journal_key="sha256")
    shown = explain("ana", "--live")
    assert shown.data["last"]["state"] == "acknowledged"
    assert property_of(shown, "_points")["connectif"] == "equal"
    assert "ana@example.com" not in hidden.text()

    fields = json.loads(os.environ["AIRFLOW_CONN_JOURNAL"])
    del fields["extra"]["connectif_journal_secret"]
    connection("journal", **fields)
    without = explain("ana")
    assert without.code == 1
    assert "no connectif_journal_secret" in without.err


def test_explain_shows_the_history(
    explain: Callable[..., Shown], command: Callable[..., Shown], journal: JournalDatabase
) -> None:
    night(1, row("ana", _points=1))
    add_outcome(
        journal,
        run_id="dag/night 0",
        outcome="rejected",
        properties='["tier"]',
        status_code=422,
        reason="no [such] option",
    )
    (outcome,) = (entry for entry in explain("ana").data["history"] if entry["run_id"] == "dag/night 0")
    assert (outcome["outcome"], outcome["status_code"], outcome["properties"]) == ("rejected", 422, ["tier"])
    assert outcome["at"] == "2026-01-01T02:00:00+00:00"
    table = command("explain", "ana@example.com", "--sync-id", "nightly")
    assert "no [such] option" in table.out
    assert "2026-01-01 02:00:00 UTC" in table.out


def test_explain_reads_the_key_from_standard_input(
    command: Callable[..., Shown], journal: JournalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(1, row("ana", _points=1))
    monkeypatch.setattr("sys.stdin", io.StringIO("ana@example.com\n"))
    assert command("explain", "-", "--sync-id", "nightly", "-o", "json").data["last"]["state"] == "acknowledged"


# journal


def test_journal_runs(command: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer) -> None:
    night(1, row("ana", _points=1), row("bea", _points=SECRET_VALUE))
    night(2, row("ana", _points=2))
    deliver("weekly 1", rows=[row("ana", _points=3)], sync_id="weekly")
    runs = command("journal", "runs", "--output", "json").data
    assert [(run["sync_id"], run["run_id"]) for run in runs] == [
        ("weekly", "dag/weekly 1"),
        ("nightly", "dag/night 2"),
        ("nightly", "dag/night 1"),
    ]
    first = runs[-1]
    assert (first["verdict"], first["read"], first["delivered"], first["refused"]) == ("failed", 2, 1, 1)
    assert first["outcomes"] == {"created": 1, "invalid": 1}
    assert first["cause"] == "1 of 2 rows was refused; failure_budget allows 0"
    assert [run["cause"] for run in runs[:-1]] == ["", ""]
    told = command("journal", "runs").out
    assert told.index("Causes of failures") < told.index(first["cause"])
    assert [run["run_id"] for run in command("journal", "runs", "--not-green", "-o", "json").data] == ["dag/night 1"]
    only = command("journal", "runs", "--sync-id", "weekly", "--last", "1")
    assert only.code == 0
    assert "weekly 1" in only.out
    assert "night" not in only.out


@pytest.mark.slow
def test_journal_purge(
    command: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        night(number, row("ana", _points=number))
    for table, column in (("outcomes", "at"), ("runs", "started_at")):
        journal.query(f"update connectif_journal_{table} set {column} = '2026-01-01 02:00:00'")
    add_outcome(journal, run_id="dag/old", outcome="updated")
    ((outcomes,),) = journal.query("select count(*) from connectif_journal_outcomes")

    dry = command("journal", "purge", "--dry-run", "-o", "json")
    assert dry.data == {"to_delete": {"outcomes": outcomes, "runs": 2}}
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    asked = command("journal", "purge")
    assert (asked.code, asked.err.splitlines()[-1].endswith("nothing was deleted")) == (1, True)
    done = command("journal", "purge", "--yes", "-o", "json")
    assert (done.code, done.data) == (0, {"deleted": {"outcomes": outcomes, "runs": 2}})
    assert journal.query("select run_id from connectif_journal_runs") == [("dag/night 3",)]
    assert journal.acknowledged() == {"ana@example.com"}
    assert command("journal", "purge", "--yes", "-o", "json").data == {"to_delete": {"outcomes": 0, "runs": 0}}

    everything = command("journal", "purge", "--everything", "--sync-id", "nightly", "--yes", "-o", "json")
    assert everything.data["deleted"]["lines"] == 1
    assert journal.acknowledged() == set()
    assert night(4, row("ana", _points=3)).summary["requests"] == 1


def test_journal_purge_deletes_records_of_killed_runs_but_not_of_runs_under_way(
    command: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer
) -> None:
    for number in (1, 2, 3):
        night(number, row("ana", _points=number))
    never_ended = "started_at = '2026-01-01 02:00:00', ended_at = null, verdict = null"
    journal.query(f"update connectif_journal_runs set {never_ended} where run_id <> 'dag/night 3'")
    ((task,),) = journal.query("select task from connectif_journal_runs where run_id = 'dag/night 1'")
    for run_id, left_s in (("dag/night 1", 60), ("dag/night 2", -60)):  # the claim of a killed run runs out
        journal.query(
            "insert into connectif_journal_claims (holder, sync_id, run_id, task, lease_until) "
            f"values ('{run_id}', 'nightly', '{run_id}', '{task}', {time.time() + left_s})"
        )
    assert command("journal", "purge", "--yes", "-o", "json").data["deleted"]["runs"] == 1
    assert {run_id for (run_id,) in journal.query("select run_id from connectif_journal_runs")} == {
        "dag/night 1",
        "dag/night 3",
    }


def test_journal_purge_leaves_a_sync_alone_that_is_held(
    command: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(1, row("ana", _points=1))
    journal.query(
        "insert into connectif_journal_claims (holder, sync_id, run_id, task, lease_until) "
        f"values ('holder', 'nightly', 'dag/night 2', 'patch[-1]', {time.time() + 60})"
    )
    at = time.time
    monkeypatch.setattr(time, "time", lambda: at() + 120)  # this machine's clock is ahead of the database's
    shown = command("journal", "purge", "--everything", "--sync-id", "nightly", "--yes")
    assert shown.code == 1
    assert "is held by dag/night 2, task patch[-1]" in shown.err
    assert journal.acknowledged() == {"ana@example.com"}


def test_journal_purge_leaves_a_sync_alone_that_a_run_takes_before_the_answer(
    command: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(1, row("ana", _points=1))

    class Answer(io.StringIO):
        def readline(self, *_: Any) -> str:
            journal.query(
                "insert into connectif_journal_claims (holder, sync_id, run_id, task, lease_until) "
                f"values ('holder', 'nightly', 'dag/night 2', 'patch[-1]', {time.time() + 60})"
            )
            return "yes\n"

    monkeypatch.setattr("sys.stdin", Answer())
    shown = command("journal", "purge", "--everything", "--sync-id", "nightly")
    assert (shown.code, "is held by dag/night 2, task patch[-1]" in shown.err, shown.out) == (1, True, "")
    assert journal.acknowledged() == {"ana@example.com"}
    assert journal.query("select count(*) from connectif_journal_outcomes") == [(1,)]


# What goes wrong

EXPLAIN = ["explain", "ana@example.com", "--sync-id", "nightly"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required"),
        (["explian"], "invalid choice"),
        (["explain"], "KEY"),
        (["fields", "--output", "xml"], "invalid choice"),
        (["check", "--sql", "select 1"], "--sql-conn-id"),
        (["check", "--sql", "select 1", "--sql-conn-id", "source", "--properties", "[]"], "must be a JSON object"),
        (["check", "--sql", "select 1", "--sql-conn-id", "source", "--journal-conn-id", "j"], "needs --sync-id"),
        (["check", "--sql", "select 1", "--sql-conn-id", "source", "--failure-budget", "x"], "a number of rows"),
        (["check", "--sql", "select 1", "--sql-conn-id", "s", "--failure-budget", "2.5"], "failure_budget"),
        (["check", "--sql", "a", "--sql-conn-id", "s", "--way", "import", "--nulls", "clear"], "--nulls"),
        (["fields", "--sql", "select 1"], "belong together"),
        ([*EXPLAIN, "--sql", "select 1"], "belong together"),
        (["explain", "no key", "--sync-id", "nightly"], "not a valid e-mail"),
        (["explain", "", "--sync-id", "nightly", "--key", "external_id"], "not a valid external id"),
        (["journal", "runs", "--last", "0"], "whole number"),
        (["journal", "purge", "--older-than", "36501"], "from 1 to 36500"),
        (["journal", "purge", "--everything"], "--everything needs --sync-id"),
        (EXPLAIN, "no journal: give --journal-conn-id"),
    ],
)
def test_wrong_arguments(
    command: Callable[..., Shown], connection: Callable[..., None], arguments: list[str], words: str
) -> None:
    shown = command(*arguments)
    assert shown.code == 2
    assert words in shown.err
    assert shown.out == ""
    assert "no key" not in shown.err


def test_which_journal_is_meant(
    command: Callable[..., Shown], journal: JournalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    night(1, row("ana", _points=1))
    deliver("elsewhere", rows=[row("ana", _points=1)], journal_table="elsewhere", sync_id="other")
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal, another")
    several = command("journal", "runs")
    assert (several.code, "lists several ('journal', 'another')" in several.err) == (2, True)
    runs = command("journal", "runs", "--journal-conn-id", "journal:elsewhere", "-o", "json").data
    assert [run["sync_id"] for run in runs] == ["other"]
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal:elsewhere")
    for given in ([], ["--journal-conn-id", "journal"]):
        assert [run["sync_id"] for run in command("journal", "runs", *given, "-o", "json").data] == ["other"]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("arguments", [EXPLAIN, ["journal", "runs"], ["journal", "purge", "--yes"]])
def test_no_journal(
    command: Callable[..., Shown],
    journal: JournalDatabase,
    connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    none = command(*arguments)
    assert (none.code, "has no journal 'connectif_journal'" in none.err) == (1, True)
    unknown = command(*arguments, "--journal-conn-id", "nowhere")
    assert (unknown.code, unknown.err) == (
        1,
        "journal_conn_id='nowhere': Airflow has no connection of this name\n",
    )
    connection("unreachable", conn_type="sqlite", host="/")
    unreachable = command(*arguments, "--journal-conn-id", "unreachable")
    assert (unreachable.code, "cannot be reached or opened" in unreachable.err) == (1, True)
    assert "ana@example.com" not in none.err + unknown.err + unreachable.err


@pytest.mark.parametrize("arguments", [EXPLAIN, ["journal", "runs", "--sync-id", "nightly"], ["check"]])
def test_a_sync_that_the_journal_does_not_know(
    command: Callable[..., Shown],
    journal: JournalDatabase,
    strict: StrictServer,
    query: Callable[..., list[str]],
    arguments: list[str],
) -> None:
    deliver("weekly 1", rows=[row("ana", _points=3)], sync_id="weekly")
    more = [*query(row("ana", _points=1)), "--sync-id", "nightly"] if arguments == ["check"] else []
    shown = command(*arguments, *more)
    assert (shown.code, shown.err) == (1, "the journal has no sync 'nightly': it has 'weekly'\n")


def test_a_locked_journal(
    command: Callable[..., Shown],
    airflow_db: None,
    strict: StrictServer,
    tmp_path: Path,
    connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "_SQLITE_WAITS_S", 0.1)
    path = tmp_path / "locked.db"
    connection("journal", conn_type="sqlite", host=str(path))
    night(1, row("ana", _points=1))
    night(2, row("ana", _points=2))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("update connectif_journal_runs set started_at = '2026-01-01 02:00:00'")
        other.execute("begin exclusive")  # a reader is not in its way
        assert command(*EXPLAIN, "--journal-conn-id", "journal").code == 0
        purge = command("journal", "purge", "--yes", "--journal-conn-id", "journal")
        assert (purge.code, "cannot be reached or opened (OperationalError, database is locked)" in purge.err) == (
            1,
            True,
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("pragma locking_mode = exclusive")
        other.execute("update connectif_journal_runs set tries = 1")
        for arguments in (EXPLAIN, ["journal", "runs"], ["journal", "purge", "--yes"]):
            shown = command(*arguments, "--journal-conn-id", "journal")
            assert shown.code == 1
            assert (
                "connection 'journal', cannot be reached or opened (OperationalError, database is locked)" in shown.err
            )
            assert "ana@example.com" not in shown.err


@pytest.mark.slow
def test_a_wrong_key_and_an_unreachable_host(
    command: Callable[..., Shown],
    explain: Callable[..., Shown],
    journal: JournalDatabase,
    strict: StrictServer,
    connection: Callable[..., None],
    query: Callable[..., list[str]],
) -> None:
    night(1, row("ana", _points=1))
    source = query(row("ana", tier="gold"))
    wrong = strict.connection(requests_per_minute=FAST) | {"password": "wrong:wrong"}
    for fields, words in ((wrong, "401"), ({**wrong, "host": "http://127.0.0.1:9"}, "did not respond")):
        connection("connectif_default", **fields)
        listed = command("fields")
        assert (listed.code, words in listed.err, listed.out) == (1, True, "")
        assert command("check", *source).code == 1
        live = explain("ana", "--live")
        assert (live.code, words in live.err) == (1, True)
        assert live.data["last"]["state"] == "acknowledged"  # what the journal knows is shown all the same
        assert "ana@example.com" not in live.err
    for unusable in ({**wrong, "password": ""}, {**wrong, "extra": {"timeout": "soon"}}):
        connection("connectif_default", **unusable)
        live = explain("ana", "--live")
        assert (live.code, live.data["last"]["state"]) == (1, "acknowledged"), live.err
    missing = command("fields", "--connectif-conn-id", "nowhere")
    assert (missing.code, "Airflow has no connection of this name" in missing.err) == (1, True)


def test_a_key_that_may_not_read_contacts(
    explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer
) -> None:
    night(1, row("ana", _points=1))
    strict.update(may_read_contacts=False)
    shown = explain("ana", "--live")
    assert (shown.code, '"Contacts: Read"' in shown.err) == (1, True)


# Both command lines


def _in_a_process(program: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *arguments], capture_output=True, text=True, timeout=120, check=False, env={**os.environ}
    )


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_programs(program: list[str], journal: JournalDatabase, strict: StrictServer) -> None:
    night(1, row("ana", _points=1))
    runs = _in_a_process(program, "journal", "runs", "--output", "json")
    assert [run["run_id"] for run in json.loads(runs.stdout)] == ["dag/night 1"], runs.stderr
    assert runs.returncode == 0
    failed = _in_a_process(program, "explain", "ana@example.com", "--sync-id", "unknown", "--output", "yaml")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1] == "the journal has no sync 'unknown': it has 'nightly'"


@pytest.mark.slow
def test_a_row_of_postgres_is_recognised_as_held(
    explain: Callable[..., Shown], journal: JournalDatabase, strict: StrictServer, postgres: Any
) -> None:
    """Its rows are read as texts, whose digests are not those of values."""
    postgres.execute("create table people (email text, _points int)")
    postgres.execute("insert into people values ('bea@example.com', 1), (' Ana@example.com', 1)")
    sql = {"sql": "select * from people", "sql_conn_id": "postgres"}
    strict.update(faults=[{"keys": ["Ana@example.com"], "status": 422}])
    deliver("night 1", **sql)
    shown = explain("ana", "--sql", sql["sql"], "--sql-conn-id", "postgres", "--fields", "builtin")
    assert shown.data["row"]["outcome"] == "held", shown.err
    assert shown.data["row"]["rows"] == 1
