"""The sum: every row that was read is in one count of the summary, or the run fails.

The kind of fault: rows are in no count and the task is green, since what was left to send was gone, or since the
numbers of an import were believed though they are not about the rows of its file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.import_runs import account, as_contacts, import_over_deferral, import_rows, rows
from tests.support.journals import JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator

DEFERRABLE: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.5), "fields": "live"}
PENDING = "connectif_journal_pending"


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


def adds_up(run: Run) -> None:
    assert account(run.summary) == run.summary["read"], run.summary


# A deferred task comes back, and what it had left to send is gone in part.
LOSSES = {
    "all": f"delete from {PENDING}",
    "half": f"delete from {PENDING} where number % 2 = 0",
    "one": f"delete from {PENDING} where number = (select max(number) from {PENDING})",
}


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_pending_rows_that_are_gone_after_a_deferral(strict: StrictServer, journal: JournalDatabase, loss: str) -> None:
    strict.update(limit=25, window_s=2.0, headers="fraction")
    source = rows(60)
    first = deliver("night", rows=source, **DEFERRABLE)
    assert first.state == "deferred"
    adds_up(first)  # what is left to send is undelivered so far
    strict.update(limit=1000)
    lost = journal.pending()
    journal.query(LOSSES[loss])
    lost -= journal.pending()

    patient = DEFERRABLE | {"defer_after": timedelta(seconds=10)}
    run = deliver("night", rows=source, method="execute_complete", **patient)

    assert run.state == "up_for_retry"
    assert f"{lost} of 60 rows cannot be accounted for" in str(run.error)
    again = deliver("night", rows=source, tries_before=1, **patient)
    assert again.state == "success", again.error
    adds_up(again)
    assert strict.contacts == as_contacts(source)


@pytest.mark.slow
def test_in_airflow_the_next_attempt_delivers_what_was_gone(
    strict: StrictServer, journal: JournalDatabase, run_dag: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    strict.update(limit=25, window_s=2.0, headers="fraction")
    from airflow_provider_connectif.triggers.window import WindowTrigger

    run_trigger, losses = WindowTrigger.run, []

    async def lose(self: Any) -> Any:
        if not losses:
            losses.append(journal.query(LOSSES["half"]))
        async for event in run_trigger(self):
            yield event

    monkeypatch.setattr(WindowTrigger, "run", lose)
    run = run_in_airflow(run_dag, rows=rows(60), journal_conn_id="journal", sync_id="nightly", **DEFERRABLE)
    assert losses
    assert strict.contacts == as_contacts(rows(60))
    assert run.dag_run.get_task_instances()[0].try_number == 2


# Runs that end early: a kill, a refused key, a source or a journal that fails, a sending thread that crashes.
class _Breaks:
    def __init__(self, source: list[dict[str, Any]], error: BaseException) -> None:
        self.source, self.error = source, error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self.source
        raise self.error


@pytest.mark.parametrize("with_journal", [False, True])
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_in_the_middle(
    strict: StrictServer, journal: JournalDatabase, with_journal: bool, status: int
) -> None:
    strict.update(faults=[{"nth": [11, None], "status": status}])
    run = deliver("night", rows=rows(60), max_in_flight=2, journal_conn_id="journal" if with_journal else None)
    assert run.state == "failed"
    adds_up(run)
    assert run.summary["undelivered"] >= 45


def test_a_run_that_skips_its_task(strict: StrictServer, journal: JournalDatabase) -> None:
    strict.update(faults=[{"nth": [11, None], "status": 409}])
    run = deliver("night", rows=rows(60), max_in_flight=1, on_response={409: "skip_task"})
    assert (run.state, run.summary["created"], run.summary["undelivered"]) == ("skipped", 10, 50)
    adds_up(run)


def test_a_killed_run(strict: StrictServer, journal: JournalDatabase) -> None:
    killed: list[Any] = []

    def source() -> Iterator[dict[str, Any]]:
        yield from rows(1500)
        killed[0].on_kill()
        yield from rows(10, begin=2000)

    run = deliver("night", before=killed.append, rows=source())
    assert run.state == "up_for_retry"
    adds_up(run)


def test_a_thread_that_crashes(strict: StrictServer, journal: JournalDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_connectif.api.client import ConnectifClient

    monkeypatch.setattr("threading.excepthook", lambda _: None)
    patch, sent = ConnectifClient.patch_contact, []

    def crash(self: Any, email: str, properties: Any, **more: Any) -> Any:
        sent.append(email)
        if len(sent) == 7:
            raise SystemError("a fault of ours")
        return patch(self, email, properties, **more)

    monkeypatch.setattr(ConnectifClient, "patch_contact", crash)
    run = deliver("night", rows=rows(30), max_in_flight=1)
    assert (run.state, run.summary["created"], run.summary["undelivered"]) == ("up_for_retry", 6, 24)
    adds_up(run)


def test_a_journal_that_fails(strict: StrictServer, journal: JournalDatabase) -> None:
    def source() -> Iterator[dict[str, Any]]:
        yield from rows(1000)
        journal.query("drop table connectif_journal")
        yield from rows(1000, begin=1000)

    run = deliver("night", rows=source())
    assert run.state in ("up_for_retry", "failed")
    adds_up(run)


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_a_source_that_fails(strict: StrictServer, airflow_db: None, kind: str) -> None:
    seen: list[Any] = []
    with pytest.raises(LookupError):
        run_operator(kind=kind, before=seen.append, rows=_Breaks(rows(30), LookupError()), fields="live")
    summary = seen[0]._run.summary
    assert summary["read"] == account(summary) == 30
    assert summary["undelivered"] == 30


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_a_check(strict: StrictServer, airflow_db: None, kind: str) -> None:
    source = [*rows(5), {"email": "nobody"}, *rows(2, visits=3)]
    run = run_operator(kind=kind, rows=source, fields="live", check_only=True, failure_budget=1)
    assert (run.state, run.summary["undelivered"]) == ("success", 0)
    merged = run.summary.get("merged", 0)
    assert run.summary["valid"] + merged + run.summary["invalid"] == run.summary["read"] == 8


# What an import says of itself. Not one of these is about the rows of its file, so nothing of it is believed.
NUMBERS: dict[str, dict[str, Any]] = {
    "too few": {"success": 18, "errors": 0},
    "none at all": {"success": 0, "errors": 0},
    "more than the rows": {"success": 25, "errors": 0},
    "more together": {"success": 18, "errors": 5},
    "below zero": {"success": 21, "errors": -1},
    "missing": {"success": 20, "errors": None},
    "as text": {"success": "20", "errors": "0"},
    "another total": {"success": 20, "errors": 0, "total": 21},
    "a smaller total": {"success": 19, "errors": 0, "total": 19},
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("way", [import_rows, lambda **arguments: import_over_deferral(**arguments)[-1]])
@pytest.mark.parametrize("numbers", NUMBERS)
def test_numbers_of_an_import_that_do_not_fit(
    strict: StrictServer, journal: JournalDatabase, numbers: str, way: Callable[..., Any]
) -> None:
    strict.update(import_faults=[{"on": "GET", "json": NUMBERS[numbers]}])
    run = way(rows=rows(20), journal_conn_id="journal")
    assert run.state == "failed"
    lost = 20 - run.summary["imported"]
    assert lost > 0
    assert f"{lost} of 20 rows could not be accounted for" in str(run.error)
    assert journal.acknowledged() == set()


# A state may be ahead of its numbers: these are looked at again before they are believed.
def test_a_finished_import_whose_numbers_still_grow(strict: StrictServer, journal: JournalDatabase) -> None:
    growing = [{"on": "GET", "times": 2, "json": {"success": n}} for n in (0, 7, 15)]
    strict.update(import_faults=growing)
    run = import_rows(rows=rows(20), journal_conn_id="journal")
    assert (run.state, run.summary["imported"]) == ("success", 20), run.error
    assert len(journal.acknowledged()) == 20


# A gateway's 404 to one poll: the import is not gone, and nothing is uploaded a second time.
def test_an_import_that_is_there_again(strict: StrictServer, journal: JournalDatabase) -> None:
    strict.update(import_faults=[{"on": "GET", "times": 2, "status": 404}])
    run = import_rows(rows=rows(20), journal_conn_id="journal")
    assert (run.state, run.summary["imported"], len(strict.uploads)) == ("success", 20, 1), run.error


# Imports that do not finish: what they did not take is undelivered.
@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ({"end": "error", "at_rows": 8}, "up_for_retry"),
        ({"end": "cancelled", "at_rows": 8}, "failed"),
        ({"hold": "inProgress"}, "up_for_retry"),
        ({"status": 422}, "failed"),
        ({"status": 500}, "up_for_retry"),
        ({"drop": "before"}, "up_for_retry"),
    ],
)
def test_imports_that_do_not_finish(
    strict: StrictServer,
    journal: JournalDatabase,
    connection: Callable[..., None],
    fault: dict[str, Any],
    state: str,
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=10**6, retries=2))
    strict.update(import_faults=[fault])
    run = import_rows(rows=[*rows(20), {"email": "x"}], failure_budget=1, timeout=timedelta(seconds=3))
    assert run.state == state, run.error
    assert run.summary["undelivered"] == 20 - run.summary["imported"] > 0
    adds_up(run)


# Error reports: fewer rows than `errors`, other rows, one row twice. Which rows were taken is not known then, so
# none is acknowledged; each is counted once.
REPORTS = {
    "fewer rows": "_email,reason\r\nuser3@example.com,must be\r\n",
    "other rows": "_email,reason\r\nuser3@example.com,must be\r\nsomebody@example.com,must be\r\n",
    "a row twice": "_email,reason\r\nuser3@example.com,must be\r\nuser3@example.com,must be too\r\n",
    "more rows": "".join(["_email,reason\r\n", *(f"user{n}@example.com,must be\r\n" for n in range(5))]),
    "nothing": "",
    "a page": "<html>Please sign in</html>",
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("report", REPORTS)
def test_a_report_that_does_not_fit_the_errors(strict: StrictServer, journal: JournalDatabase, report: str) -> None:
    strict.update(import_zero=False, import_faults=[{"on": "REPORT", "text": REPORTS[report]}])
    source = [{**row, "visits": 0} if n in (3, 4) else row for n, row in enumerate(rows(20))]
    run = import_rows(rows=source, journal_conn_id="journal", failure_budget=2)
    assert (run.state, run.summary["imported"], run.summary["rejected"]) == ("success", 18, 2)
    adds_up(run)
    assert journal.acknowledged() == set()


# An import was deferred and its plan is gone, or half of its rows: no row is lost, and none is called refused.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("loss", ["plan", "half", "rows"])
def test_the_plan_of_a_deferred_import_is_gone(strict: StrictServer, journal: JournalDatabase, loss: str) -> None:
    strict.update(import_zero=False, import_run_s=0.3)
    source = [{**row, "visits": 0} if n in (3, 4) else row for n, row in enumerate(rows(20))]
    first = import_rows(rows=source, deferrable=True, journal_conn_id="journal", failure_budget=2)
    assert first.state == "deferred"
    assert first.summary["undelivered"] == 20
    journal.query({"plan": "delete from connectif_journal_plans", **LOSSES, "rows": LOSSES["all"]}[loss])
    arguments = {"journal_conn_id": "journal", "failure_budget": 2, "method": "execute_complete"}
    run = import_rows(rows=source, **arguments)
    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["rejected"], account(run.summary)) == (18, 2, 20)
    if loss == "plan":  # nothing was remembered: the open import came first, then everything once more
        first_upload, second = strict.uploads
        assert second["t"] - first_upload["t"] >= 0.3
    again = import_rows("next", rows=source, journal_conn_id="journal", failure_budget=2)
    assert (again.state, account(again.summary)) == ("success", 20)


# What an earlier version has saved under its own names is still counted.
def test_a_deferral_of_an_earlier_version(strict: StrictServer, journal: JournalDatabase, tmp_path: Path) -> None:
    source = [*rows(20), *rows(5, visits=7)]
    assert import_rows(rows=source, deferrable=True, journal_conn_id="journal").state == "deferred"
    with sqlite3.connect(tmp_path / "journal.db") as database:
        database.execute("update connectif_journal_plans set state = replace(state, '\"merged\"', '\"duplicate\"')")
    run = import_rows(rows=iter(()), journal_conn_id="journal", method="execute_complete")
    assert (run.state, run.summary["merged"], run.summary["duplicates"]) == ("success", 5, 5)
    adds_up(run)
