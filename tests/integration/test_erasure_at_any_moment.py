"""A person is forgotten at a random moment of another run, of any kind, at a server with faults."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.journal import lease
from tests.integration.test_erasure import ANA, SPELLINGS, by_external_id, erase, people, receipts, the_sum
from tests.support.import_runs import event_of, import_rows
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

BY_DEFAULT = (0, 3, 5)
FAULTS: tuple[list[dict[str, Any]], ...] = (
    [],
    [{"status": 503, "attempts": 2, "text": "busy"}],
    [{"drop": "after", "attempts": 1, "keys": [ANA, "C2"]}],
    [{"status": 503, "attempts": 1, "headers": {"Retry-After": "1"}, "text": "busy", "keys": [ANA, "C2"]}],
)


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    secret = {"connectif_journal_secret": "between us"}
    return journal_database(request.param, request, **secret)


@pytest.fixture(autouse=True)
def _quick_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure waits until every run at work has renewed its claim."""
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)


def run_to_its_end(run_id: str, before: Any = None, by: str = "", **arguments: Any) -> Run:
    """A task with all its deferrals."""
    start: Callable[..., Run] = {"patch": deliver, "import": import_rows}[by]
    run = start(run_id, before=before, **arguments)
    while run.state == "deferred":
        method = run.error.method_name  # type: ignore[union-attr]
        more = {"event": event_of(run)} if by == "import" else {}
        run = start(run_id, before=before, method=method, **more, **arguments)
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [pytest.param(n, marks=() if n in BY_DEFAULT else pytest.mark.full_size) for n in range(50)]
)
def test_the_person_is_not_created_again(
    seed: int, strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    by, is_by_id = ("patch", "import")[seed % 2], seed % 4 > 1
    is_limited = by == "patch" and chance.random() < 0.5
    strict.update(
        delay_s=0.02,
        deletes_nobody_with=404,
        log_states=True,
        faults=chance.choice(FAULTS),
        import_queue_s=chance.choice([0.0, 0.5]),
        import_run_s=chance.choice([0.0, 0.5]),
        foreign_imports=chance.choice([0, 0, 10]),
        **({"limit": 20, "window_s": 1.0} if is_limited else {}),
    )
    rows = by_external_id() if is_by_id else people()
    rows += [
        {**rows[0], "external_id": f"M{n}", "email": f"more{n}@example.com", "_email": f"more{n}@example.com"}
        for n in range(40)
    ]
    if not is_by_id:
        rows = [{name: value for name, value in row.items() if name not in ("external_id", "_email")} for row in rows]
    else:
        rows = [{name: value for name, value in row.items() if name != "email"} for row in rows]
    chance.shuffle(rows)
    arguments: dict[str, Any] = {
        "rows": rows,
        "journal_conn_id": "journal",
        "sync_id": "load",
        "key": "external_id" if is_by_id else "email",
        "journal_key": chance.choice(["plain", "sha256"]),
        "deferrable": chance.random() < 0.5,
        **({"patch_leftovers": False} if by == "import" else {"defer_after": timedelta(seconds=0.2)}),
    }
    night = Process(tmp_path, "night", run_to_its_end, by=by, **arguments)
    time.sleep(chance.random() * 3.0)  # whatever the run does then
    strict.update(foreign_imports=0)
    is_by_own_key = is_by_id and chance.random() < 0.5
    erased = erase("C2", key="external_id") if is_by_own_key else erase(chance.choice(SPELLINGS))
    run = night.end(60)
    assert erased.state == "success", erased.error
    assert (run.state, the_sum(run.summary), run.summary["read"]) == ("success", 46, 46), run.error
    log = strict.log
    places = [place for place, entry in enumerate(log) if entry.get("key") in {*SPELLINGS, "C2"}]
    last = log[places[-1]] if places else {"method": "DELETE"}
    assert last["method"] == "DELETE", [(log[place]["method"], log[place]["status"]) for place in places]
    assert len(receipts(journal)) == 1
    # One that a window refused has no key.
    assert sum(entry["method"] == "DELETE" and "key" in entry for entry in log) <= 2
    text = _everything(journal).lower()
    assert not any(trace in text for trace in (("'c2'", '"c2"') if is_by_own_key else ("rez@", "rez%40")))
    strict.update(faults=[])
    again = {**arguments, "deferrable": False}
    after = run_to_its_end("after", by=by, **again)
    assert (after.state, after.summary["suppressed"], the_sum(after.summary)) == ("success", 1, 46), after.error


def _everything(journal: JournalDatabase) -> str:
    if journal.kind != "sqlite":
        return journal.text()
    path = Path(json.loads(os.environ["AIRFLOW_CONN_JOURNAL"])["host"])
    files = b"".join(file.read_bytes() for file in sorted(path.parent.glob(path.name + "*")))
    return journal.text() + files.decode("utf-8", "replace")
