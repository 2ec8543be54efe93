"""The journal's tables: what is missing is named before anything is sent, and a migration loses and repeats nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.journal.tables import VERSION
from tests.integration.conftest import FAST
from tests.integration.test_erasure import erase
from tests.support.journals import DATABASES, TABLES, JournalDatabase, Process, deliver, journal_database
from tests.support.strict_server import StrictServer

ANA, BEA = {"email": "ana@example.com", "visits": 1}, {"email": "bea@example.com", "visits": 1}
NEW_COLUMNS = ("delivered_as", "delivered_generation", "refused_run", "invalid_digest", "invalid_run")


@pytest.fixture(params=DATABASES)
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def fails_for_good(strict: StrictServer, words: str, **arguments: Any) -> None:
    before = strict.received
    run = deliver("night", rows=[ANA, BEA], **arguments)
    assert (run.state, strict.received - before) == ("failed", 0)
    assert words in str(run.error)
    assert "connection 'journal'" in str(run.error)


# A table that somebody has dropped was "cannot be reached", and retried for ever; some were noticed after sending.


@pytest.mark.sampled(1)
@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_missing_is_named(table: str, journal: JournalDatabase, strict: StrictServer) -> None:
    deliver("first", rows=[ANA])
    journal.query(f"drop table {table}")
    fails_for_good(strict, f"table {table} is missing, or this user may not see it")


@pytest.mark.sampled(2)
@pytest.mark.parametrize("kind", ["ContactImportOperator", "ContactPatchOperator"])
def test_several_are_named_together(kind: str, journal: JournalDatabase, strict: StrictServer) -> None:
    deliver("first", rows=[ANA])
    journal.query("drop table connectif_journal_pending")
    journal.query("drop table connectif_journal_claims")
    fails_for_good(strict, "table connectif_journal_claims is missing", kind=kind)
    fails_for_good(strict, "table connectif_journal_pending is missing", kind=kind)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("connectif_journal", "patch_digest"),
        ("connectif_journal_runs", "verdict"),
        ("connectif_journal_claims", "lease_until"),
        ("connectif_journal_pending", "payload"),
    ],
)
def test_a_column_that_is_missing_is_named(
    table: str, column: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    deliver("first", rows=[ANA])
    journal.query(f"alter table {table} drop column {column}")
    fails_for_good(strict, f"table {table} has no column {column}")


@pytest.fixture
def with_less_rights(
    request: pytest.FixtureRequest, airflow_db: None, connection: Callable[..., None]
) -> Iterator[Callable[[str], None]]:
    """Takes a right from the user of the journal's connection."""
    database = journal_database("postgres", request)
    deliver("first", rows=[])
    database.query("drop role if exists clerk")
    database.query("create role clerk login superuser")
    database.query("alter role clerk nosuperuser")
    database.query("grant usage on schema public to clerk")
    database.query("grant all on all tables in schema public to clerk")
    connection("journal", **(json.loads(os.environ["AIRFLOW_CONN_JOURNAL"]) | {"login": "clerk"}))

    def revoke(rights: str) -> None:
        database.query(f"revoke {rights} from clerk")

    yield revoke
    database.query("drop owned by clerk")
    database.query("drop role clerk")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_the_user_may_not_read_is_named(
    table: str, strict: StrictServer, with_less_rights: Callable[[str], None]
) -> None:
    assert deliver("second", rows=[ANA]).state == "success"
    with_less_rights(f"select on {table}")
    fails_for_good(strict, f"this user may not read table {table}")


# Without the right to write, rows were sent, could not be written down, and were sent again by every retry.


@pytest.mark.parametrize("right", ["insert", "update"])
def test_a_table_that_the_user_may_not_write_is_named_before_anything_is_sent(
    right: str, strict: StrictServer, with_less_rights: Callable[[str], None]
) -> None:
    with_less_rights(f"{right} on connectif_journal")
    fails_for_good(strict, "this user may not write table connectif_journal")


def test_a_database_that_is_away_is_still_tried_again(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    from tests.support.journals import unreachable

    connection("journal", **unreachable(journal))
    run = deliver("night", rows=[ANA])
    assert (run.state, strict.received) == ("up_for_retry", 0)
    assert "cannot be reached or opened" in str(run.error)


# Tables of version 2: brought up to date once, whoever comes first, and whatever a process that died has left.


def to_version_2(journal: JournalDatabase, columns: tuple[str, ...] = NEW_COLUMNS, *, keeps_runs: bool = False) -> None:
    for column in columns:
        journal.query(f"alter table connectif_journal drop column {column}")
    if not keeps_runs:
        journal.query("drop table connectif_journal_runs")
    journal.query("update connectif_journal_meta set value = 2")


HALF_DONE: dict[str, dict[str, Any]] = {
    "not begun": {},
    "the new table was made": {"keeps_runs": True},
    "some columns were added": {"keeps_runs": True, "columns": NEW_COLUMNS[2:]},
    "all but the version": {"keeps_runs": True, "columns": ()},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", HALF_DONE)
def test_a_journal_of_version_2_is_brought_up_to_date_and_nothing_is_sent_again(
    case: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(
        faults=[{"keys": [BEA["email"]], "status": 422, "json": {"status": 422, "title": "x", "detail": "y"}}]
    )
    assert deliver("first", rows=[ANA, BEA]).summary["rejected"] == 1
    to_version_2(journal, **HALF_DONE[case])
    before = strict.received

    check = deliver("check", rows=[ANA, BEA], check_only=True)
    counts = ("unchanged", "held", "new_refusals")
    assert {name: check.summary[name] for name in counts} == {"unchanged": 1, "held": 1, "new_refusals": 0}
    assert journal.query("select value from connectif_journal_meta") == [(2,)]  # a check writes nothing

    run = deliver("night", rows=[ANA, BEA])
    assert {name: run.summary[name] for name in counts} == {"unchanged": 1, "held": 1, "new_refusals": 0}
    assert strict.received == before
    assert journal.query("select value from connectif_journal_meta") == [(VERSION,)]


@pytest.mark.slow
def test_several_tasks_bring_it_up_to_date_at_once(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(40)]
    deliver("first", rows=rows)
    to_version_2(journal)
    before = strict.received
    tasks = [Process(tmp_path, "night", map_index=n, rows=rows[n::4]) for n in range(4)]
    ends = [task.end(60) for task in tasks]
    assert [(end.state, end.summary["unchanged"]) for end in ends] == [("success", 10)] * 4
    assert strict.received == before


@pytest.mark.slow
def test_a_retry_over_the_change_of_version_goes_on(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[{"keys": [BEA["email"]], "status": 503}])
    assert deliver("night", rows=[ANA, BEA], full_refresh=True).state == "up_for_retry"
    to_version_2(journal)
    strict.update(faults=[])
    before = strict.received
    run = deliver("night", rows=[ANA, BEA], full_refresh=True, tries_before=1)
    assert (run.state, strict.received - before) == ("success", 1)
    assert (run.summary["created"] + run.summary["updated"], run.summary["unchanged"]) == (2, 0)


def test_a_check_with_a_later_version_reads_all_that_this_one_has_written(
    journal: JournalDatabase, strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check does not migrate, so it reads the tables of the version before as they are."""
    deliver("night 1", rows=[ANA, BEA])
    assert erase(BEA["email"]).summary["deleted"] == 1
    monkeypatch.setattr("airflow_provider_connectif.journal.database.VERSION", VERSION + 1)
    monkeypatch.setattr("airflow_provider_connectif.journal.faults.VERSION", VERSION + 1)
    check = deliver("night 2", rows=[ANA, BEA, {"email": "cyd@example.com", "visits": 1}], check_only=True)
    assert check.state == "success", check.error
    assert [check.summary[name] for name in ("read", "unchanged", "suppressed", "valid")] == [3, 1, 1, 1]
    assert journal.query("select value from connectif_journal_meta where name = 'version'") == [(VERSION,)]
