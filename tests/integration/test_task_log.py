"""A task's log for somebody who reads it at night: short, in order, nothing twice, and true."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.reporting import progress
from tests.support.import_runs import import_rows
from tests.support.journals import JournalDatabase, Process, deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_logs import provider_lines
from tests.support.task_runs import run_operator

Lines = Callable[..., list[str]]
CLOCK = r"\d\d:\d\d:\d\d UTC"


@pytest.fixture
def lines(capfd: pytest.CaptureFixture[str]) -> Lines:
    """What the provider has logged since the last call, but for the plan, which has tests of its own."""

    def logged(**only: Any) -> list[str]:
        told = provider_lines("".join(capfd.readouterr()), **only)
        return [line for line in told if not line.startswith("Plan: ")]

    return logged


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


NO_ROWS = "The source had no rows: if that is unexpected, check the query or the upstream task"


def rows(count: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": n} for n in range(count)]


# Windows


@pytest.mark.slow
def test_each_window_is_one_line(strict: StrictServer, connection: Callable[..., None], lines: Lines) -> None:
    connection("connectif_default", **strict.connection(timeout=10))
    strict.reset(limit=20, window_s=6.0, headers="fraction")
    assert run_operator(rows=rows(50), fields="builtin", max_in_flight=4).state == "success"
    told = lines()
    assert [line.split(" ")[0] for line in told] == ["Delivering", "Rate", "Rate", "Done:"]
    assert told[-1].startswith("Done: ")
    assert "50 delivered" in told[-1]
    assert re.search(r"\n  Duration: [\d.]+ s\n  Waited [\d.]+ s for the rate limit$", told[-1])


@pytest.mark.sampled(1)
@pytest.mark.parametrize("is_counted", [True, False], ids=["a list", "a generator"])
def test_the_time_that_is_left_is_that_of_all_rows(
    is_counted: bool, strict: StrictServer, connection: Callable[..., None], tmp_path: Path, airflow_db: None
) -> None:
    connection("connectif_default", **strict.connection(timeout=10))
    strict.reset(limit=20, window_s=30.0, headers="fraction")
    source = rows(1000)
    process = Process(tmp_path, "night", rows=source if is_counted else iter(source), journal_conn_id=None)
    process.wait_until_it_says("Rate limit: ")
    process.kill(signal.SIGTERM)
    (told,) = [line for line in provider_lines(process.output()) if line.startswith("Rate limit")]
    found = re.fullmatch(
        rf"Rate limit: the window's requests are used up; waiting \d+ s, until {CLOCK}\n"
        r"  \d+ of 1,000 sent, about (.*) left\n  1,000 rows read, \d+ delivered.* 20 requests",
        told,
    )
    assert found, told
    # 980 more, and what is on its way: 49 or 50 windows, the first of which is waited for now.
    assert re.match(r"(48|49) min", found[1])


def test_without_an_allowance_from_the_server_it_says_what_it_assumes(
    strict: StrictServer, connection: Callable[..., None], tmp_path: Path, airflow_db: None
) -> None:
    connection("connectif_default", **strict.connection(timeout=10))
    strict.reset(limit=0, headers="none")
    process = Process(tmp_path, "night", rows=rows(130), journal_conn_id=None)
    process.wait_until_it_says("Rate limit: ")
    process.kill(signal.SIGTERM)
    (told,) = [line for line in provider_lines(process.output()) if line.startswith("Rate limit")]
    assert told.startswith("Rate limit: no rate-limit headers; assuming 100 requests a minute; waiting ")


def test_a_cap_of_the_connection_is_named_as_the_cause(
    strict: StrictServer, connection: Callable[..., None], tmp_path: Path, airflow_db: None
) -> None:
    connection("connectif_default", **strict.connection(timeout=10, requests_per_minute=7))
    process = Process(tmp_path, "night", rows=rows(20), journal_conn_id=None)
    process.wait_until_it_says("Rate limit: requests_per_minute of the connection, 7, is used up; waiting ")
    process.kill(signal.SIGTERM)
    # 13 more, and what is on its way: 7 in the next minute, the rest after another one or two.
    assert re.search(r"\d of 20 sent, about [123] min.* left\n .*, 7 requests", process.output())


@pytest.mark.slow
def test_an_import_tells_each_window_that_it_waits_for(
    strict: StrictServer, connection: Callable[..., None], lines: Lines, airflow_db: None
) -> None:
    connection("connectif_default", **strict.connection(timeout=10))
    strict.reset(limit=1, window_s=6.0, headers="none", retry_after="seconds")
    source = [{"email": f"user{n}@example.com", "_name": "Ana"} for n in range(3)]
    run = import_rows(rows=source, fields="builtin", timeout=timedelta(minutes=2))
    assert run.state == "success"
    told = lines()
    # The upload is in the first window, the first poll in the second.
    assert [line.split(" ")[0] for line in told] == ["Delivering", "Wrote", "Uploaded", "Rate", "Done:"]
    waits = [line for line in told if line.startswith("Rate")]
    pattern = (
        rf"Rate limit: Connectif responded 429; waiting \d+ s, until {CLOCK}\n  3 rows read, 0 imported, 3 without"
    )
    assert all(re.match(pattern, line) for line in waits), waits


def test_an_upload_that_fails_and_is_tried_again_is_a_warning(
    strict: StrictServer, lines: Lines, airflow_db: None
) -> None:
    strict.update(import_faults=[{"times": 1, "status": 500}, {"times": 1, "drop": "before"}])
    assert import_rows(rows=[{"email": "user@example.com", "_name": "Ana"}], patch_leftovers=False).state == "success"
    told = lines(level="warning")
    uncertain = "It is not certain that file 1 of 1 was uploaded"
    again = "follows when no import that this upload may have begun is open"
    assert len(told) == 2
    assert re.fullmatch(rf"{uncertain}: HTTP 500[^.]*\n  Upload 2 of 5 {again}", told[0]), told[0]
    assert re.fullmatch(rf"{uncertain}: the connection broke\n  Upload 3 of 5 {again}", told[1]), told[1]


# Failures


def refused(strict: StrictServer) -> str:
    """The address of a port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


# What the server does, what is checked against, where requests go to, and which cause the log names.
FAILURES: dict[str, tuple[dict[str, Any], str, Callable[[StrictServer], str], str]] = {
    "contacts": ({"faults": [{"attempts": 2, "status": 500}]}, "builtin", lambda s: s.url, "HTTP 500 Internal Server"),
    "definitions": ({"fields_fault": {"status": 503}}, "live", lambda s: s.url, "HTTP 503 Service Unavailable"),
    "nobody there": ({}, "builtin", refused, "the connection was refused"),
}


@pytest.mark.sampled(2)
@pytest.mark.usefixtures("usual_delays")
@pytest.mark.parametrize("name", FAILURES)
def test_requests_that_fail_and_are_tried_again_are_told_with_their_cause(
    name: str,
    strict: StrictServer,
    connection: Callable[..., None],
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_EVERY_S", 0.01)
    settings, fields, address, cause = FAILURES[name]
    strict.update(**settings)
    connection("connectif_default", **(strict.connection(timeout=10, retries=3) | {"host": address(strict)}))
    run_operator(rows=rows(1), fields=fields)
    told = lines()
    failed = rf"Retried: (\d) failed requests?, last: {cause}"
    counts = [int(found[1]) for line in told if line.startswith("Progress") and (found := re.search(failed, line))]
    # How many lines fall between two retries depends on their random delays.
    assert counts, told
    assert counts == sorted(counts), told
    assert set(counts) <= {1, 2}, told
    assert any("Retried: 2 failed requests, " in line for line in told if not line.startswith("Progress"))  # the end's


def test_nothing_is_said_of_failures_where_there_are_none(strict: StrictServer, lines: Lines) -> None:
    assert run_operator(rows=rows(1), fields="builtin").state == "success"
    assert "failed" not in lines()[-1]


# Ends


def selected(sql: str) -> dict[str, Any]:
    return {"rows": None, "sql": sql, "sql_conn_id": "warehouse"}


# What the server does, the operator's arguments, and the beginnings of the last line and the exception.
ENDS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "all is well": ({}, {}, "Done", ""),
    "over the budget": (
        {"faults": [{"keys": ["user1@example.com"], "status": 422}]},
        {},
        "Failed",
        "1 of 3 rows",
    ),
    "a refused key": ({"faults": [{"nth": [2, None], "status": 401}]}, {}, "Stopped early", "Connectif refused"),
    "skipped": (
        {"faults": [{"nth": [2, None], "status": 404}]},
        {"on_response": {404: "skip_task"}},
        "Skipped",
        "on_response says to skip",
    ),
    "a wrong statement": (
        {},
        selected("select * from nowhere"),
        "Failed",
        "the database of 'warehouse' refuses the SQL statement",
    ),
    "a wrong mapping": ({}, {"properties": {"_points": "nowhere"}}, "Failed", "the mapping does not fit"),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_last_line_says_which_end_it_was(
    name: str, strict: StrictServer, lines: Lines, connection: Callable[..., None], tmp_path: Path, airflow_db: None
) -> None:
    connection("warehouse", conn_type="sqlite", host=str(tmp_path / "warehouse.db"))
    server, arguments, words, error = ENDS[name]
    strict.update(**server)
    run = run_operator(**({"rows": rows(3), "fields": "builtin", "max_in_flight": 1} | arguments))
    last = lines()[-1]
    assert re.match(rf"{words}: \d rows? read, .*\n(  .*\n)*  Duration: \d+\.\d s$", last), last
    assert str(run.error or "").startswith(error)
    assert "not settled yet" not in last


def test_the_last_line_says_whether_rows_were_sent_in_vain(strict: StrictServer, lines: Lines) -> None:
    arguments: dict[str, Any] = {"rows": rows(9), "fields": "builtin", "max_in_flight": 1}
    strict.update(faults=[{"nth": [2, None], "status": 401}])
    run_operator(**arguments)
    assert ", 1 undelivered, 7 not sent, " in lines()[-1]
    strict.reset(faults=[{"nth": [2, None], "status": 503, "headers": {"Retry-After": "3600"}}])
    run_operator(**arguments)
    assert re.search(r", \d not sent or without an outcome, ", lines()[-1]), lines()[-1]


def test_an_import_that_is_refused_was_not_uploaded(strict: StrictServer, lines: Lines, airflow_db: None) -> None:
    strict.update(import_faults=[{"status": 400}])
    source = [{"email": f"u{n}@example.com", "_name": "Ana"} for n in range(3)]
    run = import_rows(rows=source, patch_leftovers=False, fields="builtin")
    assert run.state == "failed"
    assert str(run.error) == "Connectif rejected file 1 of 1: HTTP 400 Bad Request; another attempt does not help"
    assert ", 0 imported, 3 not uploaded, " in lines()[-1]


@pytest.mark.slow
def test_the_budget_and_the_rejects_stand_at_the_end(strict: StrictServer, lines: Lines, tmp_path: Path) -> None:
    strict.update(faults=[{"keys": ["user1@example.com"], "status": 422}])
    path = tmp_path / "rejects.jsonl"
    arguments: dict[str, Any] = {"rows": rows(50), "fields": "builtin", "rejects_path": str(path)}
    assert run_operator(**arguments, failure_budget=3).state == "success"
    told = lines()
    assert told[1].startswith("Rows not delivered, by reason:\n  1 x HTTP 422")
    notes = ("Failure budget: 1 refused, 3 allowed", f"Rejects file: {str(path)!r}", "Duration: ")
    assert "".join(f"\n  {note}" for note in notes) in told[2]
    assert run_operator(**arguments, failure_budget=0.05).state == "success"
    assert "\n  Failure budget: 1 refused, 2 allowed (5 % of the rows read)\n" in lines()[2]
    strict.update(faults=[])
    assert run_operator(**arguments, failure_budget=3).state == "success"
    assert "\n  Failure budget: 0 refused, 3 allowed\n  Duration: " in lines()[-1]
    assert run_operator(**arguments).state == "success"
    assert " requests\n  Duration: " in lines()[-1]


@pytest.mark.parametrize(
    ("status", "state"), [(401, "failed"), (403, "failed"), (302, "failed"), (503, "up_for_retry")]
)
def test_a_row_that_nobody_has_refused_is_not_called_refused(
    status: int, state: str, strict: StrictServer, lines: Lines, connection: Callable[..., None], tmp_path: Path
) -> None:
    connection("connectif_default", **strict.connection(timeout=5, retries=1))
    strict.update(faults=[{"keys": ["user1@example.com"], "status": status}])
    path = tmp_path / "rejects.jsonl"
    run = run_operator(rows=rows(3), fields="builtin", max_in_flight=1, rejects_path=str(path))
    assert run.state == state
    assert '"outcome": "undelivered"' in path.read_text()
    (last,) = [line for line in lines() if " rows read, " in line]
    assert f"\n  Rejects file: {str(path)!r}\n" in last
    assert "refused" not in last


def test_a_retry_without_a_journal_says_that_it_sends_every_row_again(
    strict: StrictServer, lines: Lines, journal: JournalDatabase
) -> None:
    told = (
        "Attempt 2 of this task, without a journal: every row is sent again\n"
        "  With journal_conn_id, a retry sends only what is left"
    )
    assert run_operator(rows=rows(1), fields="builtin", tries_before=1).state == "success"
    assert lines()[1] == told
    others: list[dict[str, Any]] = [{}, {"check_only": True, "tries_before": 1}, {"journal_conn_id": "journal"}]
    for arguments in others:
        assert run_operator(rows=rows(1), fields="builtin", sync_id="nightly", **arguments).state == "success"
        assert told not in lines()


def test_a_403_does_not_deny_what_its_reason_tells(strict: StrictServer, lines: Lines) -> None:
    said = {"status": 403, "json": {"title": "Forbidden", "detail": "The account is blocked by the billing team"}}
    strict.update(faults=[{"nth": [1, None], **said}])
    error = str(run_operator(rows=rows(1), fields="builtin").error)
    assert error == (
        f"Connectif responded 403 to connection 'connectif_default' at {strict.url}: either the API key does "
        "not have the scope Contacts: Write, or the account is blocked"
    )
    told, end = lines(level="warning")
    assert end.startswith("Stopped early: ")
    assert told.endswith("\n  1 x HTTP 403 Forbidden: The account is blocked by the billing team (row 1)")


def test_rows_that_the_author_leaves_out_are_told_apart_and_accepted_ones_have_no_reason(
    strict: StrictServer, lines: Lines
) -> None:
    faults = [{"keys": [f"user{n}@example.com"], "status": status} for n, status in enumerate((422, 404, 409))]
    strict.update(faults=faults)
    run = run_operator(
        rows=rows(4), fields="builtin", on_response={422: "skip", 404: "accept"}, failure_budget=1, max_in_flight=1
    )
    assert run.state == "success"
    (told,) = lines(level="warning")
    assert told.startswith("Rows not delivered, by reason:\n  1 x ")
    assert sorted(line.strip()[:21] for line in told.splitlines()[1:]) == [
        "1 x HTTP 409 Conflict",
        "1 x skipped: HTTP 422",
    ]


def test_reasons_stand_in_the_log_once_and_not_in_the_exception(strict: StrictServer, lines: Lines) -> None:
    bad = [{"email": "user@example.com", "_points": "x"}] * 3
    bad += [{"email": "user@example.com", "_birthdate": "x"}] * 2
    bad += [{"email": "user@example.com", "_mobilePhone": "x"}, {"email": "user@example.com", "_name": True}]
    bad += [{"email": " "}, {"email": None}, {"email": "x"}, {"email": "user@example.com", "_emailStatus": "x"}]
    columns = ("_points", "_birthdate", "_mobilePhone", "_name", "_emailStatus")
    arguments: dict[str, Any] = {"rows": bad, "fields": "builtin", "properties": dict.fromkeys(columns)}
    arguments["properties"] = {column: column for column in columns}
    source = [{**dict.fromkeys(columns), **row} for row in bad]
    run = run_operator(**(arguments | {"rows": source}))
    assert run.state == "failed"
    reasons = list(run.summary["reasons"])
    assert len(reasons) > 5
    log = "\n".join(lines())
    assert [log.count(reason) for reason in reasons] == [1] * len(reasons)
    assert str(run.error) == "11 of 11 rows were refused; failure_budget allows 0"
    assert "Rows not delivered, by reason:\n  3 x " in log

    within = run_operator(**(arguments | {"rows": source}), failure_budget=1.0)
    assert within.state == "success"
    log = "\n".join(lines())
    assert all(log.count(reason) == 1 for reason in reasons)


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
@pytest.mark.parametrize("check_only", [False, True])
def test_a_source_without_rows_is_a_warning(
    kind: str, check_only: bool, strict: StrictServer, lines: Lines, airflow_db: None
) -> None:
    run = run_operator(kind=kind, rows=iter([]), fields="builtin", check_only=check_only)
    assert run.state == "success"
    (warning,) = lines(level="warning")
    assert warning == NO_ROWS + "\n  With a journal, min_rows=1 makes the task fail instead"


@pytest.mark.parametrize("min_rows", [None, 0, 1, 0.5])
def test_a_source_without_rows_is_one_warning_that_says_how_to_fail(
    min_rows: float | None, journal: JournalDatabase, strict: StrictServer, lines: Lines
) -> None:
    deliver("night 1", rows=rows(3))
    lines()
    run = deliver("night 2", rows=[], min_rows=min_rows)
    assert run.state == ("failed" if min_rows else "success")
    details = "\n  Rows in the last complete read: 3\n  min_rows=1 makes the task fail instead"
    warnings = lines(level="warning")
    if min_rows:
        (end,) = warnings
        assert end.startswith("Failed: 0 rows read, ")
    else:
        assert warnings == ([NO_ROWS + details] if min_rows is None else [])


def test_a_share_of_no_earlier_rows_does_not_hide_that_there_are_none(
    journal: JournalDatabase, strict: StrictServer, lines: Lines
) -> None:
    assert deliver("night 1", rows=[], min_rows=0.5).state == "success"
    share = "\n  min_rows sets no limit yet: it is a share of the rows of an earlier read, of which there were none"
    assert lines(level="warning") == [NO_ROWS + share + "\n  min_rows=1 makes the task fail instead"]


# The journal


def test_a_check_says_that_the_sync_is_new_and_ends_with_a_warning_if_it_fails(
    journal: JournalDatabase, strict: StrictServer, lines: Lines
) -> None:
    new = "The journal has no rows of sync 'nightly' yet: every row counts as new"
    assert deliver("check", rows=[*rows(2), {"email": "no address"}], check_only=True).state == "failed"
    told = lines()
    assert told.count(new) == 1
    assert deliver("check again", rows=[*rows(2), {"email": "no address"}], check_only=True).state == "failed"
    reasons, end = lines(level="warning")
    assert reasons.startswith("Rows that would not be delivered, by reason:\n  1 x ")
    assert end.startswith("Checked 3 rows, no contact sent: 2 to send, 1 invalid")
    deliver("night", rows=rows(2))
    lines()
    assert deliver("check", rows=rows(2), check_only=True).state == "success"
    assert new not in lines()


def test_the_first_line_names_the_sync_and_the_journal(
    journal: JournalDatabase, strict: StrictServer, lines: Lines
) -> None:
    assert deliver("night", rows=rows(2)).state == "success"
    told = lines()
    assert len(told) == 3
    assert told[0].endswith("\n  Journal of sync 'nightly' on 'journal'")
    assert told[1] == "The journal has no rows of sync 'nightly' yet: every row counts as new"


def test_a_quiet_night_has_nothing_to_send(
    journal: JournalDatabase, strict: StrictServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert deliver("night", rows=rows(2)).state == "success"
    capfd.readouterr()
    assert deliver("quiet night", rows=rows(2)).state == "success"
    (plan,) = [told for told in provider_lines("".join(capfd.readouterr())) if told.startswith("Plan: ")]
    assert plan == "Plan: 2 rows read\n  0 to create, 0 to change, 2 unchanged\n  nothing to send"


def test_an_erasure_says_that_it_deletes(journal: JournalDatabase, strict: StrictServer, lines: Lines) -> None:
    run = run_operator(kind="ContactDeleteOperator", rows=rows(1), journal_conn_id="journal", sync_id="forget")
    assert run.state == "success"
    told = lines()
    assert told[0] == (
        f"Deleting the contacts in the given rows at {strict.url}\n"
        '  key email from column "email"\n'
        "  At most 100 people\n"
        "  Journal of sync 'forget' on 'journal'"
    )
    assert [line.split(" ")[0] for line in told] == ["Deleting", "Done:"]


def test_a_journal_that_knows_the_sync_is_not_called_new(
    journal: JournalDatabase, strict: StrictServer, lines: Lines
) -> None:
    assert deliver("night", rows=rows(2)).state == "success"
    assert deliver("the next night", rows=rows(2), full_refresh=True, retry_rejected="true").state == "success"
    told = lines()[3:]
    assert told[0].endswith("\n  Journal of sync 'nightly' on 'journal'\n  full_refresh; retry_rejected")
    assert [line.split(" ")[0] for line in told] == ["Delivering", "Done:"]
    assert "for another run of the sync" not in told[-1]  # to open the tables is no wait


def repeating(between: int) -> list[dict[str, Any]]:
    """Three contacts that stand twice, with so many others between; one stands twice alike, which is no matter."""
    twice = [{"email": f"twice{n}@example.com", "visits": n} for n in range(3)]
    alike = {"email": "alike@example.com", "visits": 7}
    again = [row | {"email": row["email"].upper(), "visits": 100} for row in twice]
    return [*twice, alike, *rows(between), *again, alike]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("between", [5, 1200], ids=["in one batch", "in two batches"])
def test_rows_that_are_merged_are_told_and_sent_once_over_all_nights(
    between: int, journal: JournalDatabase, strict: StrictServer, lines: Lines
) -> None:
    for night in ("first", "second", "third"):
        run = deliver(night, rows=repeating(between))
        assert run.state == "success"
        assert run.summary["requests"] == (between + 4 if night == "first" else 0)
        assert run.summary["merged"] == 4
        told = lines()
        assert ", 4 merged" in told[-1]
        assert not any("stand" in line for line in told)
    assert [contact["visits"] for key, contact in strict.contacts.items() if "twice" in key.lower()] == [100] * 3
    assert deliver("last", rows=rows(between)).state == "success"
    assert "merged" not in lines()[-1]


@pytest.mark.slow
def test_rows_that_are_merged_are_counted_over_a_deferral(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None], lines: Lines
) -> None:
    connection("connectif_default", **strict.connection(timeout=10))
    strict.reset(limit=2, window_s=2.0, headers="fraction")
    deferrable: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.2)}
    run = deliver("night", rows=repeating(0), **deferrable)
    while run.state == "deferred":
        time.sleep(max(0.0, run.error.trigger.until - time.time()))  # type: ignore[union-attr]
        run = deliver("night", method="execute_complete", rows=_never(), **deferrable)
    assert run.state == "success"
    told = lines()
    assert (run.summary["read"], run.summary["created"], run.summary["merged"]) == (8, 4, 4)
    assert ", 4 merged" in told[-1]
    assert sum(line.startswith("Delivering") for line in told) == 1
    assert not any("@" in line for line in told)


def _never() -> Iterator[dict[str, Any]]:
    raise AssertionError("the source was read a second time")
    yield {}


def test_single_imports_are_details_and_their_sum_is_a_line(
    strict: StrictServer, lines: Lines, airflow_db: None
) -> None:
    every = {"_name": "Ana", "_surname": "Soto", "_points": 1, "visits": 2}
    source = [{"email": f"u{n}@example.com", **every, **({"spent": 1.5} if n < 3 else {})} for n in range(9)]
    assert import_rows(rows=source, file_layout="column", patch_leftovers=False).state == "success"
    told = lines()
    assert any(line == "Wrote 2 files, together 1 kB, with 9 contacts" for line in told)
    assert any(line.startswith("Uploaded 2 files: 12 lines for 9 contacts\n  Imports: ") for line in told)
    assert not any(line.startswith("Import ") for line in told)


@pytest.mark.slow
def test_an_import_tells_of_rows_that_are_merged(journal: JournalDatabase, sandbox: Any, lines: Lines) -> None:
    source = [{"email": "a@example.com", "_points": n} for n in range(3)]
    for night, imported in (("first", 1), ("second", 0)):
        arguments = {"poll_interval": 0.2, "patch_leftovers": False}  # a single contact would go by PATCH
        run = deliver(night, kind="ContactImportOperator", rows=source, **arguments)
        assert run.state == "success"
        assert (run.summary["imported"], run.summary["merged"]) == (imported, 2)
        told = lines()
        assert ", 2 merged" in told[-1]
        assert any(line.startswith("Wrote 1 file, ") for line in told) == bool(imported)
        assert not any("stand" in line for line in told)
    assert [contact["_points"] for contact in sandbox.contacts().values()] == [2]


@pytest.mark.slow
def test_who_waits_for_a_deferred_run_reads_that_it_is_deferred_and_until_when(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None], tmp_path: Path
) -> None:
    connection("connectif_default", **strict.connection(timeout=10))
    strict.reset(limit=5, window_s=30.0, headers="fraction")
    deferrable: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.5)}
    assert deliver("night", rows=rows(20), map_index=3, **deferrable).state == "deferred"
    newer = Process(tmp_path, "next night", rows=rows(20))
    newer.wait_until_it_says("its claim ends at ")
    newer.kill(signal.SIGTERM)
    (told,) = [line for line in provider_lines(newer.output()) if line.startswith("Sync ")]
    assert re.fullmatch(
        r"Sync 'nightly' is held by another run: waiting until it ends\n"
        r"  Held by: dag/night, task patch\[3\], deferred\n"
        rf"  If it was killed, its claim ends at ([\d-]+ )?{CLOCK}, and then this run continues",
        told,
    )
