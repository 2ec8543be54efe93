"""Nights in which much goes wrong: the sums of the history, the summaries and the server's log agree; no value is kept.

Several operators share one journal. Rows are invalid, rejected with responses that quote what was sent, lost, merged;
tasks are killed and retried. Each cell of a row has a text of its own, which is looked for in the bytes
of the database.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.journal import lease
from tests.integration.conftest import FAST
from tests.support.histories import assert_agrees
from tests.support.import_runs import import_rows
from tests.support.journals import JournalDatabase, Process, deliver, journal_database
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run

PEOPLE = 12
_IN_FLIGHT = 8
SECRET = "0123456789abcdef0123456789abcdef"
QUOTING = (
    {"status": 422, "json": {"validationErrors": [{"path": "/_name", "reason": "KEY may not have BODY"}]}},
    {"status": 422, "json": {"validationErrors": [{"name": "KEY", "path": "/BODY", "reason": "no"}], "title": "BODY"}},
    {"status": 422, "json": {"detail": "the value BODY of 'KEY' is taken"}},
    {"status": 400, "json": {"detail": "BODY", "code": "E0001", "title": "KEY"}},
    {"status": 404, "text": "<html>KEY BODY</html>", "content_type": "text/html"},
    {"status": 409, "json": {"detail": "KEY exists: BODY", "instance": "/contacts/KEY"}},
    {"status": 503, "text": "KEY BODY", "content_type": "text/plain"},
    {"drop": "after"},
    {"half": True},
    {"status": 200, "text": "BODY", "content_type": "text/plain"},
    {"status": 418, "json": {"status": 418, "detail": "BODY KEY"}},
)
NIGHTS = (2, pytest.param(50, marks=(pytest.mark.full_size, pytest.mark.slow, pytest.mark.timeout(1800))))


class Source:
    """Rows of which each cell has a text that is in no other."""

    def __init__(self, seed: str) -> None:
        self.chance = random.Random(seed)
        self.values: set[str] = set()

    def text(self) -> str:
        """A text as no other."""
        made = "".join(self.chance.choice("bcdfghjklmnpqrstvwxz") for _ in range(12))
        self.values.add(made)
        return made

    def rows(self, key: str, group: str) -> list[dict[str, Any]]:
        """Of some people, by e-mail or external id, some of them twice, some invalid, some as no server takes them."""
        return [row for number in range(PEOPLE) for row in self._rows_of(f"{group}{number}", key)]

    def _rows_of(self, name: str, key: str) -> Iterator[dict[str, Any]]:
        ids = {"email": f"{name}@example.com"} if key == "email" else {"external_id": f"X-{name}"}
        row = {**ids, "_name": self.text(), "_surname": self.text(), "visits": 1}
        if key == "external_id":
            row["_email"] = f"{self.text()}@example.com"
        kind = self.chance.choice(("plain", "plain", "plain", "twice", "invalid", "refused", "nameless", "absent"))
        if kind == "invalid":
            row["_birthdate"] = self.text()
        elif kind == "refused":
            row["vip"] = self.text()
        elif kind == "nameless":
            row[next(iter(ids))] = self.text() * 5  # no e-mail, and too long for an external id
        if kind == "twice":
            yield {**row, "_name": self.text()}
        if kind != "absent":
            yield row


@pytest.fixture
def quick_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run waits for the claim of one that was killed."""
    monkeypatch.setattr(lease, "LEASE_S", 3.0)
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.5)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("nights", NIGHTS)
@pytest.mark.parametrize("journal_key", ["plain", "sha256"])
@pytest.mark.usefixtures("airflow_db", "quick_claims")
def test_nights(
    journal_key: str,
    nights: int,
    request: pytest.FixtureRequest,
    strict: StrictServer,
    connection: Callable[..., None],
    tmp_path: Path,
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=2))
    journal = journal_database("sqlite", request, connectif_journal_secret=SECRET)
    source = Source(f"{journal_key} {nights}")
    for number in range(nights):
        night(f"night {number}", journal, strict, source, tmp_path, journal_key=journal_key)
    found = b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))
    assert journal.pending() == 0
    assert [value for value in source.values if value.encode() in found] == []
    assert (b"a0@example.com" in found) == (journal_key == "plain")


def night(
    run_id: str, journal: JournalDatabase, strict: StrictServer, source: Source, folder: Path, **keys: Any
) -> None:
    """One night of four tasks, each in some attempts."""
    chance = source.chance
    settings: dict[str, Any] = {"failure_budget": 1.0, "rejects_path": str(folder / f"{run_id}.jsonl"), **keys}
    tasks: list[tuple[Callable[..., Run], dict[str, Any]]] = [
        (deliver, {"sync_id": 'by e-mail\'s "<sync>" ñ', "rows": source.rows("email", "a")}),
        (deliver, {"sync_id": "by id", "rows": source.rows("external_id", "b"), "key": "external_id"}),
        (deliver, {"sync_id": "mapped", "rows": source.rows("email", "c"), "map_index": 0}),
        (deliver, {"sync_id": "mapped", "rows": source.rows("email", "d"), "map_index": 1}),
        (import_rows, {"sync_id": "by import", "rows": source.rows("email", "e"), "journal_conn_id": "journal"}),
    ]
    for place, (run_task, arguments) in enumerate(tasks):
        name = f"{run_id}, task {place}"
        strict.take_log()
        strict.update(
            faults=[{**chance.choice(QUOTING), "nth": _some(strict, chance)} for _ in range(chance.randrange(6))],
            import_faults=[],
            report_columns=chance.choice(("key", "line", "row", "none")),
        )
        given = {**settings, **arguments}
        tries = 0
        if chance.random() < 0.2 and run_task is deliver:
            _kill_within(strict, folder, name, given)
            tries = 1
        run = run_task(name, tries_before=tries, **given)
        if run.state == "up_for_retry" or chance.random() < 0.2:
            strict.update(faults=[])
            run = run_task(name, tries_before=tries + 1, **given)
        assert run.summary, run.error
        assert_agrees(journal.query, f"dag/{name}", run.summary)
        if run_task is deliver:
            assert_log_agrees(strict, run, was_killed=bool(tries))


def _some(strict: StrictServer, chance: random.Random) -> list[int]:
    """One or two of the requests that come next."""
    first = strict.received + chance.randrange(1, 15)
    return [first, first + chance.randrange(2)]


def _kill_within(strict: StrictServer, folder: Path, name: str, arguments: dict[str, Any]) -> None:
    before = strict.received
    process = Process(folder, name.replace("/", "-"), **arguments)
    try:
        until(lambda: strict.received > before + 2 or process.has_ended(), within_s=60)
    finally:
        process.kill()


def assert_log_agrees(strict: StrictServer, run: Run, *, was_killed: bool) -> None:
    """What the server has done is what the summary says, but for what was on its way when a process was killed."""
    log = strict.take_log()
    created = sum(entry["status"] == 201 for entry in log)
    said = run.summary["created"], run.summary["requests"]
    if was_killed:
        assert said[0] <= created, (said, created)
        assert said[1] <= len(log) + _IN_FLIGHT, (said, len(log))
    else:
        assert said == (created, len(log))
