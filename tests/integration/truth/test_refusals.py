"""A task whose contact never reached Connectif is not green, and a new refusal is distinguished from a known one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_logs import unfolded
from tests.support.task_runs import FakeTI, run_in_airflow

NAN = float("nan")


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def row(name: str, **values: Any) -> dict[str, Any]:
    return {"email": f"{name}@example.com", **({"visits": 1} | values)}


def refuse(strict: StrictServer, *names: str) -> None:
    document = {"status": 422, "title": "Unprocessable", "detail": "no"}
    keys = [f"{name}@example.com" for name in names]
    strict.update(faults=[{"keys": keys, "status": 422, "json": document}] if names else [])


# Rows that are held night after night while the task is green: nobody hears of a contact that never arrived.


@pytest.mark.slow
def test_held_rows_count_against_the_budget_in_airflow_too(
    journal: JournalDatabase, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    refuse(strict, "ana")
    arguments: dict[str, Any] = {
        "rows": [row("ana"), row("bea")],
        "journal_conn_id": "journal",
        "sync_id": "nightly",
        "fields": "builtin",
    }
    assert run_in_airflow(run_dag, **arguments).state == "failed"
    held = run_in_airflow(run_dag, **arguments)
    assert (held.state, held.summary["held"], held.summary["new_refusals"]) == ("failed", 1, 0)
    ignored = run_in_airflow(run_dag, **arguments, ignore_held="{{ 1 == 1 }}")
    assert (ignored.state, ignored.summary["held"], ignored.summary["requests"]) == ("success", 1, 0)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("options", "state", "words"),
    [
        ({}, "failed", "1 of 2 rows (1 held) was refused; failure_budget allows 0"),
        ({"failure_budget": 1}, "success", ""),
        ({"failure_budget": 0.4}, "failed", "1 of 2 rows read (1 held) was refused; failure_budget allows 40 %"),
        ({"failure_budget": 0.5}, "success", ""),
        ({"ignore_held": True}, "success", ""),
        ({"ignore_held": "False"}, "failed", "1 of 2 rows"),
    ],
)
def test_held_rows_count_like_other_refused_rows(
    options: dict[str, Any], state: str, words: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    refuse(strict, "ana")
    deliver("night 1", rows=[row("ana"), row("bea")])
    run = deliver("night 2", rows=[row("ana"), row("bea")], **options)
    assert (run.state, run.summary["held"]) == (state, 1)
    assert words in str(run.error or "")


# Refusals that were known and those that are new look alike, so that nobody reads the list any more.


def new(run: Any) -> tuple[int, int, int, int]:
    counts = run.summary
    return counts["new_refusals"], counts["invalid"], counts["rejected"], counts.get("held", 0)


@pytest.mark.slow
def test_an_invalid_row_is_new_once(journal: JournalDatabase, strict: StrictServer) -> None:
    bad, good = row("ana", visits=NAN), row("bea")
    assert new(deliver("night 1", rows=[bad, good])) == (1, 1, 0, 0)
    assert new(deliver("night 2", rows=[bad, good])) == (0, 1, 0, 0)
    other = row("ana", visits="-")
    assert new(deliver("night 3", rows=[other, good], properties={"_points": "visits"})) == (1, 1, 0, 0)
    assert new(deliver("night 4", rows=[other, row("cid", visits="x")], properties={"_points": "visits"})) == (
        1,
        2,
        0,
        0,
    )


def test_without_a_journal_every_refusal_is_new(strict: StrictServer, run: Callable[..., Any]) -> None:
    for _ in range(2):
        assert new(run(rows=[row("ana", visits=NAN), row("bea")], fields="builtin")) == (1, 1, 0, 0)


@pytest.mark.slow
def test_rows_without_a_valid_key_are_new_as_far_as_there_are_more_of_them(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    def nobody(count: int) -> list[dict[str, Any]]:
        return [{"email": f"nobody {n}", "visits": 1} for n in range(count)]

    for night, (rows, fresh) in enumerate([(3, 3), (3, 0), (5, 2), (1, 0), (2, 1)]):
        run = deliver(f"night {night}", rows=[row("ana"), *nobody(rows)])
        assert (night, new(run)) == (night, (fresh, rows, 0, 0))


def test_a_nightly_delivery_knows_the_rows_without_a_key_of_its_first_load(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    source = [row("ana"), {"email": "nobody", "visits": 1}]
    load: dict[str, Any] = {
        "kind": "ContactImportOperator",
        "poll_interval": timedelta(seconds=0.05),
        "fields": {"visits": {"type": "integer"}},
    }
    ti = FakeTI()
    ti.task_id = "load"
    deliver("load", rows=source, more_context={"ti": ti}, **load)
    assert new(deliver("night", rows=source)) == (0, 1, 0, 0)


@pytest.mark.slow
def test_a_row_that_is_refused_again_where_it_was_asked_for_is_not_new(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    refuse(strict, "ana", "bea")
    assert new(deliver("night 1", rows=[row("ana"), row("cid")])) == (1, 0, 1, 0)
    for options in ({"retry_rejected": True}, {"full_refresh": True}):
        run = deliver(
            f"night {options}", rows=[row("ana"), row("bea", visits=len(str(options))), row("cid")], **options
        )
        assert new(run) == (1, 0, 2, 0)
    assert new(deliver("last", rows=[row("ana")])) == (0, 0, 0, 1)


def test_an_import_distinguishes_them_too(journal: JournalDatabase, strict: StrictServer) -> None:
    from tests.support.import_runs import import_rows
    from tests.support.import_runs import rows as rows_to_import

    bad = {"email": "ana@example.com", "visits": NAN}
    options: dict[str, Any] = {"journal_conn_id": "journal", "fields": {"visits": {"type": "integer"}}}
    source = [bad, *({"email": r["email"], "visits": r["visits"]} for r in rows_to_import(3))]
    assert new(import_rows("night 1", rows=source, **options)) == (1, 1, 0, 0)
    assert new(import_rows("night 2", rows=source, **options)) == (0, 1, 0, 0)


def test_the_log_and_the_summary_list_new_refusals_first(
    journal: JournalDatabase, strict: StrictServer, capsys: pytest.CaptureFixture[str]
) -> None:
    old = [row(f"user{n}", visits=NAN) for n in range(30)]
    deliver("night 1", rows=old, failure_budget=1.0)
    capsys.readouterr()
    fresh = {"email": "", "visits": 1}
    run = deliver("night 2", rows=[*old, fresh], failure_budget=1.0)
    assert (run.summary["new_refusals"], run.summary["invalid"]) == (1, 31)
    assert next(iter(run.summary["reasons"].items())) == (
        'column "email" is blank text, and it is the contact key',
        1,
    )
    told = capsys.readouterr()
    lines = (told.out + told.err).splitlines()
    where = next(n for n, line in enumerate(lines) if "Rows not delivered, by reason:" in line)
    assert '1 x column "email" is blank text, and it is the contact key (row 31)' in lines[where + 1]


# What is written down of an invalid row must not change what is known of its contact.


@pytest.mark.slow
def test_an_invalid_row_hides_nothing_and_costs_no_request_when_it_goes_back(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    good, bad = row("ana"), row("ana", visits=NAN)
    for night, (source, requests, outcome) in enumerate(
        [(good, 1, "created"), (bad, 0, "invalid"), (bad, 0, "invalid"), (good, 0, "unchanged"), (bad, 0, "invalid")]
    ):
        run = deliver(f"night {night}", rows=[source])
        assert (night, run.summary["requests"], run.summary[outcome]) == (night, requests, 1)
        assert (night, run.state) == (night, "failed" if source is bad else "success")
    assert journal.query("select state from connectif_journal") == [("invalid",)]
    assert deliver("then", rows=[good]).summary["unchanged"] == 1
    assert journal.query("select state from connectif_journal") == [("acknowledged",)]


def test_a_held_row_that_was_invalid_meanwhile_is_held_again(journal: JournalDatabase, strict: StrictServer) -> None:
    refuse(strict, "ana")
    assert new(deliver("night 1", rows=[row("ana")])) == (1, 0, 1, 0)
    assert new(deliver("night 2", rows=[row("ana", visits=NAN)])) == (1, 1, 0, 0)
    held = deliver("night 3", rows=[row("ana")])
    assert (new(held), held.summary["requests"]) == ((0, 0, 0, 1), 0)
    assert [reason[:14] for reason in held.summary["reasons"]] == ["held: HTTP 422"]
    assert journal.query("select state from connectif_journal") == [("rejected",)]


@pytest.mark.slow
def test_an_unchanged_invalid_row_costs_no_write(journal: JournalDatabase, strict: StrictServer) -> None:
    bad = [row(f"user{n}", visits=NAN) for n in range(5)]
    deliver("night 1", rows=bad)
    before = journal.query("select contact_key, generation, run_id, invalid_run from connectif_journal order by 1")
    deliver("night 2", rows=bad)
    assert before == journal.query(
        "select contact_key, generation, run_id, invalid_run from connectif_journal order by 1"
    )
    assert len(before) == 5


def test_a_check_tells_new_refusals_and_writes_nothing(journal: JournalDatabase, strict: StrictServer) -> None:
    bad = [row("ana", visits=NAN), {"email": "nobody", "visits": 1}]
    deliver("night 1", rows=bad)
    before = journal.text()
    run = deliver("check", rows=[*bad, row("bea", visits=NAN)], check_only=True)
    assert run.summary["new_refusals"] == 1
    assert journal.text() == before


# A share of all rows read hides that nearly every row that changed was refused.


@pytest.mark.slow
def test_most_of_the_changed_rows_refused_is_not_green_because_of_the_unchanged(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    source = [row(f"user{n}") for n in range(1000)]
    assert deliver("night 1", rows=source).state == "success"
    names = [f"new{n}" for n in range(10)]
    refuse(strict, *names)
    changed = [*(row(name) for name in names), row("good")]
    run = deliver("night 2", rows=source + changed, failure_budget=0.01)
    assert (run.state, run.summary["rejected"], run.summary["unchanged"]) == ("failed", 10, 1000)
    assert str(run.error).startswith("10 of 11 rows that needed delivery were refused; failure_budget allows 1 %")
    # Known from now on: the share of all rows read is what limits them.
    assert deliver("night 3", rows=source + changed, failure_budget=0.01).state == "success"
    third = deliver("night 4", rows=source + changed, failure_budget=0.005)
    assert str(third.error).startswith("10 of 1,011 rows read (10 held) were refused; failure_budget allows 0.5 %")


def test_both_shares_are_named_where_both_are_exceeded(journal: JournalDatabase, strict: StrictServer) -> None:
    good = [row(f"user{n}") for n in range(6)]
    refuse(strict, "ana", "bea")
    deliver("night 1", rows=[*good, row("ana"), row("bea")])
    bad = row("cid", visits=NAN)
    run = deliver("night 2", rows=[*good, row("ana"), row("bea"), bad, row("dan")], failure_budget=0.1)
    assert str(run.error).startswith(
        "3 of 10 rows read (2 held) and 1 of 2 rows that needed delivery were refused; failure_budget allows 10 %"
    )


def test_the_last_line_tells_both_shares(
    journal: JournalDatabase, strict: StrictServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = [row(f"user{n}") for n in range(8)]
    deliver("night 1", rows=[*good, row("ana", visits=NAN)], failure_budget=1.0)
    capsys.readouterr()
    deliver("night 2", rows=[*good, row("ana", visits=NAN), row("bea")], failure_budget=0.5)
    told = capsys.readouterr()
    use = "1 refused, 5 allowed (50 % of the rows read); "
    use += "new refusals: 0, 0 allowed (50 % of the rows that needed delivery)"
    assert f"Failure budget: {use}" in unfolded(told.out + told.err)


def test_an_empty_night_does_not_make_known_rows_without_a_key_new(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    rows = [row("ana"), row("not an e-mail"), {"email": None, "visits": 2}]
    refused = {}
    for night, found in (("1", rows), ("2", rows), ("3", []), ("4", rows), ("5", [*rows, {"email": "", "visits": 3}])):
        run = deliver(f"night {night}", rows=found, failure_budget=3)
        assert run.state == "success", run.error
        refused[night] = (run.summary["invalid"], run.summary["new_refusals"])
    assert refused == {"1": (2, 2), "2": (2, 0), "3": (0, 0), "4": (2, 0), "5": (3, 1)}
