"""The page shows of real runs what their summaries and the strict server say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal import overview
from airflow_provider_connectif.journal.tables import JournalTables
from airflow_provider_connectif.web.pages import Frame
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

GOOD = [{"email": f"p{n}@example.com", "_points": n} for n in range(5)]
BAD = [{"email": "nobody", "_points": 1}, {"email": "eva@example.com", "_points": "many"}]


@pytest.fixture
def connection_to_journal(tmp_path: Path, connection: Callable[..., None]) -> sa.Engine:
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    return sa.create_engine(f"sqlite:///{tmp_path / 'journal.db'}")


def _deliver(run_id: str, rows: list[dict[str, Any]], **arguments: Any) -> Run:
    dag: Any = SimpleNamespace(dag_id="dag")
    return run_operator(
        rows=rows,
        journal_conn_id="journal",
        sync_id="people",
        fields="builtin",
        context={"dag": dag, "run_id": run_id},
        **arguments,
    )


def test_the_page_says_what_summary_and_server_say(
    strict: StrictServer, connection_to_journal: sa.Engine, airflow_db: None
) -> None:
    nights = {
        "first": _deliver("first", GOOD),
        "second": _deliver("second", [*GOOD, *BAD], failure_budget=5),
        "third": _deliver("third", [*GOOD[:4], {**GOOD[4], "_points": 99}, *BAD]),
    }
    assert [end.state for end in nights.values()] == ["success", "success", "failed"]
    tables = JournalTables("connectif_journal", None)
    with connection_to_journal.connect() as connection:
        assert overview.dags_of_syncs(connection, tables) == {"people": {"dag"}}
        [sync] = overview.syncs(connection, tables, ["people"])
        assert [run.verdict for run in sync.runs] == ["failed", "success", "success"]
        for run, (run_id, end) in zip(reversed(sync.runs), nights.items(), strict=True):
            assert (run.run_id, run.task_id, run.map_index) == (run_id, "patch", -1)
            assert run == overview.run_of(connection, tables, "dag", run_id, "patch", -1)
            summary = end.summary
            for name in ("created", "updated", "unchanged", "invalid", "rejected", "held", "merged", "requests"):
                assert run.counts[name] == summary.get(name, 0), (run_id, name)
            assert run.counts["rows_read"] == summary["read"]
            assert run.reasons == summary["reasons"]
            rows = overview.refused_rows(connection, tables, run)
            assert len(rows) == summary["invalid"] + summary["rejected"] + summary.get("held", 0)
            by_reason = overview.refused_by_reason(connection, tables, run)
            assert sum(count for _, _, count in by_reason) == len(rows)
            assert Frame("/connectif").run(run, by_reason, rows, None, has_more=False)
        delivered = sum(run.delivered for run in sync.runs)
        found = overview.contact_of(connection, tables, "people", {"eva@example.com"})
    assert delivered == sum(entry["status"] in (200, 201) for entry in strict.log if entry["method"] == "PATCH")
    assert sync.in_step_at == sync.runs[-1].ended_at
    assert found is not None
    assert (found.state, found.run_id) == ("invalid", "dag/second")
