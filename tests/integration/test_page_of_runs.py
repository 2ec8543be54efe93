"""Of runs of every verdict the page, the command line, the history, the summary and the strict server say the same."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.journal import lease
from airflow_provider_connectif.versions import has_external_views
from tests.integration.conftest import FAST
from tests.support.histories import OUTCOMES, assert_agrees, run_line, sums
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.page_clients import page_client, text_of
from tests.support.strict_server import StrictServer, until

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1"),
]

PEOPLE = 30
VERDICTS: Mapping[str, tuple[str | None, str]] = {
    "success": ("success", "success"),
    "skipped": ("skipped", "skipped"),
    "failed": ("failed", "failed"),
    "up_for_retry": ("try_again", "failed, another attempt may succeed"),
    "killed": (None, "no end recorded"),
}
"""Of each way to end: the verdict in the tables, and in words on the page."""
NIGHTS = (2, pytest.param(20, marks=(pytest.mark.full_size, pytest.mark.slow, pytest.mark.timeout(900))))


@pytest.fixture(params=usually("sqlite"))
def journal(
    request: pytest.FixtureRequest,
    airflow_db: None,
    monkeypatch: pytest.MonkeyPatch,
    strict: StrictServer,
    connection: Callable[..., None],
) -> JournalDatabase:
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=30, retries=1))
    return journal_database(request.param, request)


def rows_of(chance: random.Random) -> list[dict[str, Any]]:
    """Rows of some people, a few of them changed, invalid, without a key or twice there."""
    rows: list[dict[str, Any]] = []
    for number in range(PEOPLE):
        row = {"email": f"p{number}@example.com", "visits": chance.randrange(2)}
        kind = chance.random()
        if kind < 0.1:
            row["_birthdate"] = "no day"
        elif kind < 0.15:
            row["email"] = "nobody"
        elif kind < 0.25:
            rows.append({**row, "visits": 7})
        elif kind < 0.35:
            continue
        rows.append(row)
    return rows


def faults_of(chance: random.Random, verdict: str) -> list[dict[str, Any]]:
    some = [f"p{number}@example.com" for number in chance.sample(range(PEOPLE), 3)]
    faults: list[dict[str, Any]] = [{"keys": some, "status": 422}]
    if verdict == "up_for_retry":
        faults.insert(0, {"nth": [4, None], "status": 503})
    if verdict == "killed":
        faults.insert(0, {"nth": [3, None], "hang": "after"})
    if verdict == "skipped":
        faults.append({"nth": [4, None], "status": 409})
    if verdict == "failed":
        faults.append({"nth": [5, None], "status": 401})
    return faults


@pytest.mark.sampled(1)
@pytest.mark.parametrize("nights", NIGHTS)
@pytest.mark.parametrize("verdict", VERDICTS)
def test_they_agree(
    verdict: str,
    nights: int,
    journal: JournalDatabase,
    strict: StrictServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    chance = random.Random(f"{verdict} {nights}")
    page, in_tables, in_words = page_client(monkeypatch, "dag"), *VERDICTS[verdict]
    if verdict == "killed":  # the next run waits for the claim of one that was killed
        monkeypatch.setattr(lease, "LEASE_S", 3.0)
        monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.5)
    for night in range(nights):
        run_id, before, requests = f"night {night}", len(strict.log), strict.requests
        rows, faults = rows_of(chance), faults_of(chance, verdict)
        strict.update(faults=[fault | ({"nth": _from(strict, fault)} if "nth" in fault else {}) for fault in faults])
        settings: dict[str, Any] = {"failure_budget": PEOPLE, "on_response": {"409": "skip_task"}, "max_in_flight": 1}
        if verdict == "killed":
            _run_and_kill(tmp_path, run_id, strict, rows=rows, **settings)
        else:
            run = deliver(run_id, rows=rows, **settings)
            assert run.state == verdict, run.error
            assert_agrees(journal.query, f"dag/{run_id}", run.summary)
        line = run_line(journal.query, f"dag/{run_id}")
        outcomes = {name: count for name in (*OUTCOMES, "unchanged") if (count := line[name])}
        assert line["verdict"] == in_tables

        # The strict server's log.
        if verdict != "killed":  # what was on its way then is in no count
            responses = Counter(entry["status"] for entry in strict.log[before:] if entry["method"] == "PATCH")
            assert outcomes.get("created", 0) == responses[201]
            assert outcomes.get("rejected", 0) == responses[422]
            assert line["requests"] == strict.requests - requests

        # The page of the run.
        shown = page.get("/run", params={"dag_id": "dag", "run_id": run_id, "task_id": "patch", "map_index": "-1"})
        said = text_of(shown.text)
        assert f"Verdict {in_words}" in said
        assert f"Requests {line['requests']}, of these {line['rate_limited']} with 429" in said
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in outcomes.items())
        assert set(_picture(shown.text).split(", ")) == set(counts.split(", ")) - {""}
        listed = sums(journal.query, f"dag/{run_id}")
        for name in ("invalid", "rejected", "held", "undelivered"):
            assert shown.text.count(f"<td><bdi>{name}</bdi></td><td><bdi>") == listed.get(name, 0), name

        # The command line.
        capfd.readouterr()
        main(["journal", "runs", "--last", "1", "--output", "json"])
        (told,) = json.loads(capfd.readouterr().out)
        assert (told["run_id"], told["verdict"], told["requests"]) == (f"dag/{run_id}", in_tables, line["requests"])
        assert told["outcomes"] == outcomes
        for number in chance.sample(range(PEOPLE), 3):
            _assert_same_of_contact(page, f"p{number}@example.com", capfd)


def _from(strict: StrictServer, fault: Mapping[str, Any]) -> list[int | None]:
    """The requests of a night that a fault is for, counted from the server's first one."""
    return [strict.received + fault["nth"][0], None]


def _run_and_kill(folder: Path, run_id: str, strict: StrictServer, **arguments: Any) -> None:
    before = len(strict.log)
    process = Process(folder, run_id, **arguments)
    try:
        until(lambda: any(entry["status"] == 0 for entry in strict.log[before:]) or process.has_ended(), within_s=60)
        assert not process.has_ended(), process.output()
    finally:
        process.kill()


def _picture(document: str) -> str:
    """The outcomes of the run's picture; empty where there are none."""
    return document.partition('aria-label="')[2].partition('"')[0].partition(" rows read: ")[2]


def _assert_same_of_contact(page: Any, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    main(["explain", key, "--sync-id", "nightly", "--output", "json"])
    data = json.loads(capfd.readouterr().out)
    said = text_of(page.post("/contact?dag_id=dag", data={"key": key, "sync_id": "nightly"}).text)
    words = [f"State {data['last']['state'] if data['last'] else 'never seen'}", data["next_step"]["words"]]
    words += [f"{entry['run_id']} {entry['outcome']}" for entry in data["history"]]
    assert [each for each in words if each not in said] == []
