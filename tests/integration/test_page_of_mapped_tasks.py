"""The overview counts the tasks of one DAG run together, and only what a task has to send as pending."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.databases.journals import engine_of_existing
from airflow_provider_connectif.journal.overview_syncs import MOST_RUNS_OF_A_CHART, syncs
from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal
from tests.support.journals import journal_database, usually
from tests.support.page_clients import links_of, text_of

pytestmark = pytest.mark.versions
needs_page = pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1")

NIGHTLY = "nightly.contacts"
CHARTS = (NIGHTLY, "leads")


@pytest.fixture(params=usually("sqlite"))
def records(request: pytest.FixtureRequest, airflow_db: None) -> RecordedJournal:
    """A journal with made-up records in one of the databases."""
    journal = journal_database(request.param, request)
    journal.query("select 1")  # creates the file
    return RecordedJournal(engine_of_existing("journal", writes=True))


def overview_of(records: RecordedJournal) -> Any:
    with records.engine.connect() as database:
        (overview,) = syncs(database, records.tables, [NIGHTLY])
    return overview


@needs_page
def test_a_card_has_the_worst_verdict_and_the_sums(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    page_journal.add_run(run_id="a", rows_read=4, created=4)
    page_journal.add_run(run_id="b", map_index=0, verdict="failed", rows_read=4, invalid=4, new_refusals=4)
    page_journal.add_run(run_id="b", map_index=1, rows_read=4, created=4, consent_kept=1)
    page_journal.add_run(run_id="b", map_index=2, rows_read=4, created=4, consent_kept=1)
    page = client("nightly").get("/").text
    words = text_of(page)
    for expected in ("Last run failed, ", "; 3 tasks", "not now; last 2026-11-02 03:05", "4 new, 0 known", "kept 2"):
        assert expected in words
    assert "map_index=0" in links_of(page)[NIGHTLY]
    assert (page.count("<rect"), page.count("8 delivered, 4 refused")) == (2, 1)


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["success", "skipped"], "skipped"),
        (["skipped", None, "success"], None),
        (["try_again", None], "try_again"),
        (["try_again", "failed", "success"], "failed"),
    ],
)
def test_the_worst_verdict(verdicts: list[str | None], worst: str | None, records: RecordedJournal) -> None:
    for map_index, verdict in enumerate(verdicts):
        records.add_run(map_index=map_index, verdict=verdict)
    (run,) = overview_of(records).runs
    assert (run.verdict, run.map_index, run.tasks) == (worst, verdicts.index(worst), len(verdicts))
    assert (run.ended_at is None) is (None in verdicts)


def test_a_sync_is_in_step_only_after_all_tasks_of_a_run(records: RecordedJournal) -> None:
    records.add_run(run_id="a", map_index=0, is_old=True)
    records.add_run(run_id="a", map_index=1, is_old=True)
    records.add_run(run_id="b", map_index=0)
    records.add_run(run_id="b", map_index=1, held=1)
    overview = overview_of(records)
    assert [(run.dag_id, run.run_id, run.is_in_step) for run in overview.runs] == [
        ("nightly", "b", False),
        ("nightly", "a", True),
    ]
    assert f"{overview.in_step_at:%m-%d %H:%M}" == "11-03 03:05"


@pytest.mark.parametrize("outcome", ["undelivered", "skipped", "not_taken"])
def test_a_run_that_left_rows_out_is_not_in_step(outcome: str, records: RecordedJournal) -> None:
    records.add_run(rows_read=10, created=5, **{outcome: 5})
    overview = overview_of(records)
    assert (overview.runs[0].is_in_step, overview.in_step_at) == (False, None)


def test_the_chart_has_the_last_runs_of_a_dag(records: RecordedJournal) -> None:
    for number in range(MOST_RUNS_OF_A_CHART + 2):
        for map_index in range(2):
            records.add_run(run_id=f"{number}", map_index=map_index, created=number)
    runs = overview_of(records).runs
    assert [(run.run_id, run.delivered) for run in runs] == [
        (f"{number}", 2 * number) for number in range(MOST_RUNS_OF_A_CHART + 1, 1, -1)
    ]


def test_the_charts_of_two_syncs_in_the_same_dag_runs(records: RecordedJournal) -> None:
    records.add_run(run_id="only leads", sync_id="leads")
    for number in range(MOST_RUNS_OF_A_CHART):
        records.add_run(run_id=f"{number}", sync_id="leads")
        records.add_run(run_id=f"{number}")
    records.add_run(run_id="only contacts")
    with records.engine.connect() as database:
        charts = {sync.sync_id: [run.run_id for run in sync.runs] for sync in syncs(database, records.tables, CHARTS)}
    numbers = [f"{number}" for number in reversed(range(MOST_RUNS_OF_A_CHART))]
    assert charts == {NIGHTLY: ["only contacts", *numbers[:-1]], "leads": numbers}


def test_a_sync_was_last_in_step_before_the_runs_of_the_chart(records: RecordedJournal) -> None:
    records.add_run(run_id="old", is_old=True)
    for number in range(MOST_RUNS_OF_A_CHART):
        records.add_run(run_id=f"{number}", held=1)
    overview = overview_of(records)
    assert len(overview.runs) == MOST_RUNS_OF_A_CHART
    assert f"{overview.in_step_at:%m-%d %H:%M}" == "11-02 03:05"


@pytest.mark.parametrize(("is_parked", "pending"), [(False, 1), (True, 3)])
def test_a_change_in_an_open_import_is_not_pending(is_parked: bool, pending: int, records: RecordedJournal) -> None:
    records.add_run(verdict=None)
    records.add_pending(NIGHTLY, ["none@example.com", "open@example.com", "more@example.com", "rejected@example.com"])
    tables = records.tables
    with records.engine.begin() as database:
        for key, file in (("open@example.com", 0), ("more@example.com", 1), ("rejected@example.com", -1)):
            of_contact = tables.pending.c.contact_key == key
            database.execute(sa.update(tables.pending).where(of_contact).values(file=file))
        database.execute(sa.update(tables.plans).values(state=json.dumps({"is_parked": is_parked})))
    assert overview_of(records).pending == pending
