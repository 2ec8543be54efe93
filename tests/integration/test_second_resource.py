"""A second resource, not idempotent and without an import: it syncs, resumes and is checked like contacts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.resource import Step
from tests.support.doc_blocks import ROOT, blocks_of
from tests.support.journals import JournalDatabase, Process, journal_database
from tests.support.strict_server import until
from tests.support.task_runs import Run, run_operator
from tests.support.things import ThingOperator, ThingResource, ThingServer, serving_things

FAST = 1_000_000
DEFERRABLE: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.2)}


@pytest.fixture
def things(connection: Callable[..., None]) -> Iterator[ThingServer]:
    with serving_things() as server:
        connection("connectif_default", **server.connection(requests_per_minute=FAST))
        yield server


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


def rows(count: int, size: int = 0) -> list[dict[str, Any]]:
    return [{"id": f"t{n}", "size": size + n} for n in range(count)]


def sync(run_id: str = "night", before: Callable[[Any], None] | None = None, **arguments: Any) -> Run:
    """Run the operator as a task of one DAG run."""
    context = {"run_id": run_id, "dag": SimpleNamespace(dag_id="dag")}
    settings = {"journal_conn_id": "journal", "sync_id": "things", "kind": ThingOperator}
    return run_operator(before=before, context=context, **(settings | arguments))


def test_only_what_changed_is_sent(things: ThingServer, journal: JournalDatabase) -> None:
    first = sync(rows=[*rows(30), {"id": "no id!", "size": 1}, {"id": "t0", "size": 99}], failure_budget=1)
    assert (first.state, first.summary["created"], first.summary["merged"]) == ("success", 30, 1)
    assert things.things == {**{f"t{n}": n for n in range(30)}, "t0": 99}
    assert set(Counter(things.puts).values()) == {1}
    things.puts.clear()
    second = sync("next night", rows=[{"id": "t0", "size": 99}, *rows(30)[1:29], {"id": "t29", "size": 5}])
    assert (second.summary["unchanged"], second.summary["updated"]) == (29, 1)
    assert things.puts == ["t29"]


def test_the_plan_names_the_method_of_the_things(
    things: ThingServer, journal: JournalDatabase, capfd: pytest.CaptureFixture[str]
) -> None:
    run = sync(rows=rows(2))
    assert run.plan["way_reason"] == "the operator sends by PUT"
    assert "\n  by PUT: 2 requests, " in "".join(capfd.readouterr())


def test_an_error_in_same_key_ends_the_run_without_its_text(
    things: ThingServer, journal: JournalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def same_key(resource: ThingResource, key: str) -> str:
        raise ValueError(f"{key} is personal")

    monkeypatch.setattr(ThingResource, "same_key", same_key)
    run = sync(rows=rows(2))
    assert (run.state, things.puts) == ("up_for_retry", [])
    assert "failed with ValueError, in same_key()" in str(run.error)
    assert "personal" not in str(run.error)
    assert journal.query("select verdict from connectif_journal_runs") == [("try_again",)]


def test_a_guard_speaks_of_the_things(things: ThingServer, journal: JournalDatabase) -> None:
    assert sync(rows=rows(10)).state == "success"
    run = sync("next night", rows=[*rows(8, size=1), *rows(20)[10:]], max_changed=7, max_created=0.5)
    assert (run.state, len(things.puts)) == ("failed", 10)
    assert str(run.error) == (
        "The plan exceeds 2 guards, so nothing was sent: 10 things to create, max_created=0.5 of 10 known things "
        "allows 5; 8 things to change, max_changed=7 allows 7. If the plan is right, set guards_off=True for one run"
    )


def test_a_key_that_no_journal_can_hold_makes_its_row_invalid(things: ThingServer, journal: JournalDatabase) -> None:
    some = [{"id": "t" * 321, "size": 1}, {"id": "t" * 320, "size": 1}, *rows(1)]
    for number, created in ((1, 2), (2, 0)):
        run = sync(f"night {number}", rows=some, failure_budget=1)
        assert (run.state, run.summary["created"], run.summary["invalid"]) == ("success", created, 1)
    assert "no key that the journal can hold" in "".join(run.summary["reasons"])
    assert len(things.puts) == 2


def test_a_check_sends_nothing_and_needs_no_journal(things: ThingServer, airflow_db: None) -> None:
    checked = sync(rows=[*rows(3), {"id": "t9", "size": "large"}], check_only=True, journal_conn_id=None)
    assert (checked.state, checked.summary["valid"], checked.summary["invalid"]) == ("failed", 3, 1)
    assert things.puts == []


def test_a_wrong_mapping_sends_nothing(things: ThingServer, journal: JournalDatabase) -> None:
    run = sync(rows=rows(3), size_column="length")
    assert (run.state, str(run.error), things.puts) == ("failed", "no column length", [])


def test_without_a_journal_nothing_is_sent(things: ThingServer, airflow_db: None) -> None:
    run = sync(rows=rows(3), journal_conn_id=None)
    assert (run.state, things.puts) == ("failed", [])
    assert "sending a thing twice is not harmless, so give journal_conn_id" in str(run.error)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["lost", "hangs", 500])
def test_what_may_have_arrived_is_not_sent_again_unless_the_author_says_so(
    things: ThingServer, journal: JournalDatabase, fault: int | str, tmp_path: Path
) -> None:
    things.faults["t3"] = [fault]
    first = sync(rows=rows(8), rejects_path=str(tmp_path / "rejects.jsonl"))
    assert str(first.error).endswith("; what is in doubt is held, otherwise a retry or the next run sends it again")
    assert '"in doubt: it may have arrived"' in (tmp_path / "rejects.jsonl").read_text()
    assert (first.state, first.summary["created"], first.summary["undelivered"]) == ("up_for_retry", 7, 1)
    assert "in doubt: " in "".join(first.summary["reasons"])
    assert Counter(things.puts)["t3"] == 1

    retry = sync(rows=rows(8), tries_before=1)
    assert (retry.state, retry.summary["held"], retry.summary["created"]) == ("failed", 1, 7)
    assert "held: in doubt: " in "".join(retry.summary["reasons"])
    next_night = sync("next night", rows=rows(8))
    assert (next_night.state, next_night.summary["held"], next_night.summary["unchanged"]) == ("failed", 1, 7)
    assert set(Counter(things.puts).values()) == {1}

    told = sync("after a look", rows=rows(8), retry_rejected=True)
    assert (told.state, told.summary["unchanged"]) == ("success", 7)
    assert Counter(things.puts)["t3"] == 2
    assert sync("and so on", rows=rows(8)).summary["unchanged"] == 8


def test_a_changed_row_ends_the_doubt(things: ThingServer, journal: JournalDatabase) -> None:
    things.faults["t1"] = ["lost"]
    sync(rows=rows(3))
    changed = sync("next night", rows=[*rows(1), {"id": "t1", "size": 7}, *rows(3)[2:]])
    assert (changed.state, changed.summary["updated"], changed.summary["unchanged"]) == ("success", 1, 2)
    assert things.things["t1"] == 7


@pytest.mark.parametrize("status", [423, 425, 429])
def test_what_was_not_carried_out_is_sent_again(things: ThingServer, journal: JournalDatabase, status: int) -> None:
    things.faults["t2"] = [status]
    run = sync(rows=rows(4))
    assert (run.state, run.summary["created"]) == ("success", 4)
    assert Counter(things.puts)["t2"] == 2


@pytest.mark.slow
def test_an_authors_retry_counts(things: ThingServer, journal: JournalDatabase) -> None:
    things.faults["t2"] = ["lost", 503]
    run = sync(rows=rows(4), on_response={"no_answer": "retry", "5xx": "retry"})
    assert (run.state, run.summary["created"] + run.summary["updated"]) == ("success", 4)
    assert Counter(things.puts)["t2"] == 3


def test_a_rejection_is_held_and_leaves_no_doubt(things: ThingServer, journal: JournalDatabase) -> None:
    things.faults["t2"] = [422, 404]
    first = sync(rows=rows(4))
    assert (first.state, first.summary["rejected"]) == ("failed", 1)
    assert sync("next night", rows=rows(4)).summary["held"] == 1
    again = sync("after a look", rows=rows(4), retry_rejected=True)  # 404: rejected for this run only
    assert again.summary["rejected"] == 1
    assert "in doubt" not in journal.text()
    assert sync("and so on", rows=rows(4)).summary["created"] == 1
    assert things.things["t2"] == 2


class _FailingThings(ThingResource):
    """Its methods quote a value of a row in an error that is no response."""

    fails_in = ""

    def _fail(self, method: str, change: Patch) -> None:
        if change.key == "t2" and method == self.fails_in:
            raise ValueError(f"4711 quotes {change.key}")

    def next_request(self, change: Patch, plan_age_s: float) -> Patch:
        self._fail("next_request", change)
        return change

    def send(self, client: Any, change: Patch, *, on_fresh_connection: bool = False) -> Response:
        self._fail("send", change)
        response = super().send(client, change, on_fresh_connection=on_fresh_connection)
        self._fail("after", change)
        return response

    def step(self, change: Patch, came: Any) -> Step | None:
        self._fail("step", change)
        return super().step(change, came)


_SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "method", [pytest.param("next_request", marks=_SLOW), pytest.param("send", marks=_SLOW), "after", "step"]
)
def test_an_error_of_a_resource_while_it_sends_names_the_line_and_loses_nothing(
    things: ThingServer,
    journal: JournalDatabase,
    method: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ThingOperator, "make_resource", lambda self: _FailingThings(self.size_column))
    monkeypatch.setattr(_FailingThings, "fails_in", method)
    first = sync(rows=rows(4), max_in_flight=1)
    assert first.state == "up_for_retry"
    assert "sending a thing failed with ValueError, in _fail() at line" in str(first.error)
    assert "test_second_resource.py (_FailingThings)" in str(first.error)
    assert "fault of this provider" not in str(first.error)
    assert "4711" not in caplog.text + str(first.error) + "".join(capfd.readouterr())
    assert (first.summary["created"], first.summary["undelivered"]) == (2, 2)

    monkeypatch.setattr(_FailingThings, "fails_in", "")
    retry = sync(rows=rows(4), max_in_flight=1, tries_before=1, failure_budget=1)
    assert things.things.keys() >= {"t0", "t1", "t3"}
    assert set(Counter(things.puts).values()) == {1}  # what may have arrived is not sent again
    is_held = method != "next_request"
    assert (retry.state, retry.summary["held"]) == ("success", is_held)
    assert sync("after a look", rows=rows(4), retry_rejected=True).summary["unchanged"] == 4 - is_held
    assert things.things == {f"t{n}": n for n in range(4)}


def test_killed_while_a_response_is_missing(things: ThingServer, journal: JournalDatabase, tmp_path: Path) -> None:
    things.faults["t5"] = ["hangs"]
    process = Process(tmp_path, "night", sync, rows=rows(9), max_in_flight=1)
    until(lambda: "t5" in things.puts)
    process.kill()

    resumed = sync(rows=rows(9), tries_before=1)

    assert set(Counter(things.puts).values()) == {1}, "nothing is sent twice"
    assert set(things.puts) == {f"t{n}" for n in range(9)}
    assert (resumed.state, resumed.summary["held"], resumed.summary["created"]) == ("failed", 1, 8)
    assert "held: in doubt: the process ended before the response" in "".join(resumed.summary["reasons"])


def test_killed_while_it_waits_for_a_window(things: ThingServer, journal: JournalDatabase, tmp_path: Path) -> None:
    things.limit, things.window_s = 4, 60.0
    process = Process(tmp_path, "night", sync, rows=rows(12))
    in_doubt = "select contact_key from connectif_journal where state = 'in_doubt'"
    until(lambda: process.says("Rate limit: ") and len(things.puts) == 4 and not journal.query(in_doubt))
    process.kill()
    assert len(things.puts) == 4
    things.limit = 0

    resumed = sync(rows=rows(12), tries_before=1)

    assert (resumed.state, resumed.summary["created"]) == ("success", 12)
    assert sorted(things.puts) == sorted(f"t{n}" for n in range(12)), "each once: what waited was in no doubt"


def test_deferred_until_the_window_opens(things: ThingServer, journal: JournalDatabase) -> None:
    things.limit, things.window_s = 4, 1.0
    runs = [sync(rows=rows(10), **DEFERRABLE)]
    while runs[-1].state == "deferred":
        assert len(runs) < 9
        _wait_as_the_triggerer(runs[-1])
        runs.append(sync(rows=[], method="execute_complete", **DEFERRABLE))
    assert (runs[-1].state, runs[-1].summary["created"]) == ("success", 10)
    assert runs[-1].summary["deferrals"] >= 2
    assert sorted(things.puts) == sorted(f"t{n}" for n in range(10))
    assert sync("next night", rows=rows(10)).summary["unchanged"] == 10


def _wait_as_the_triggerer(run: Run) -> None:
    async def wait() -> list[Any]:
        return [event async for event in run.error.trigger.run()]  # type: ignore[union-attr]

    assert len(asyncio.run(wait())) == 1


def test_the_example_of_the_docs_works(things: ThingServer, journal: JournalDatabase) -> None:
    (example,) = (block.text for block in blocks_of(ROOT / "docs" / "architecture.md") if "ThingOperator" in block.text)
    names: dict[str, Any] = {}
    exec(example, names)
    first = sync(kind=names["ThingOperator"], rows=[*rows(3), {"id": "t9", "size": None}], failure_budget=1)
    assert (first.state, first.summary["created"], first.summary["invalid"]) == ("success", 3, 1)
    assert things.things == {"t0": 0, "t1": 1, "t2": 2}
    again = sync("next night", kind=names["ThingOperator"], rows=rows(3, size=1), check_only=True)
    assert (again.state, again.summary["valid"], len(things.puts)) == ("success", 3, 3)


def test_a_key_that_no_url_can_have_stops_nobody_in_the_example_of_the_docs(
    things: ThingServer, journal: JournalDatabase
) -> None:
    (example,) = (block.text for block in blocks_of(ROOT / "docs" / "architecture.md") if "ThingOperator" in block.text)
    names: dict[str, Any] = {}
    exec(example, names)
    odd = [{"id": key, "size": 1} for key in (".", "..", "", "\ud800", "a\0b")]
    run = sync(kind=names["ThingOperator"], rows=[*odd, *rows(3)], failure_budget=5)
    assert (run.state, run.summary["created"], run.summary["invalid"]) == ("success", 3, 5)


def test_no_line_speaks_of_contacts(things: ThingServer, journal: JournalDatabase, tmp_path: Path) -> None:
    process = Process(tmp_path, "night", sync, rows=[*rows(3), {"id": "", "size": 1}])
    process.end()
    lines = [line for line in process.output().splitlines() if "ThingOperator" in line or line.startswith("  ")]
    assert any("things by column" in line for line in lines)
    assert not [line for line in lines if "contact" in line]
