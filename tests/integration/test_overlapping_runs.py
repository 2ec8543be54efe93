"""Two runs of one sync at once: the second one waits for the first without a worker, where the task can defer."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.journal import lease
from tests.integration.test_deferral import wait_as_the_triggerer
from tests.support.airflow_runs import task_states, xcom
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_logs import provider_lines
from tests.support.task_runs import Run

DEFERRABLE: dict[str, Any] = {"deferrable": True}


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again soon; also in the processes that are forked."""
    monkeypatch.setattr(lease, "_LOOK_EVERY_S", 0.5)
    monkeypatch.setattr(lease, "_LEAST_DEFERRAL_S", 0.1)


def rows(count: int, visits: int = 0) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": visits + n} for n in range(count)]


class Holder:
    """A run that holds the sync while it reads its source, until it is let go on."""

    def __init__(self, directory: Path, source: list[dict[str, Any]], **arguments: Any) -> None:
        self._gate, is_reading = directory / "gate", directory / "reading"

        def read() -> Iterator[dict[str, Any]]:
            is_reading.touch()
            until(self._gate.exists, within_s=120)
            yield from source

        self.process = Process(directory, "first", rows=read(), **arguments)
        until(lambda: is_reading.exists() or self.process.has_ended(), within_s=30)
        assert is_reading.exists(), self.process.output()

    def go_on(self) -> None:
        self._gate.touch()

    def end(self) -> Run:
        self.go_on()
        return self.process.end()


def come_back(run: Run, run_id: str = "second", **arguments: Any) -> Run:
    """The next process, when the trigger has fired."""
    event = wait_as_the_triggerer(run)
    return deliver(run_id, method="execute_complete", event=event, **arguments)


def claims_of(journal: JournalDatabase) -> list[str]:
    return [run_id for (run_id,) in journal.query("select run_id from connectif_journal_claims order by run_id")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_the_second_run_gives_its_worker_back_and_delivers_when_the_first_has_ended(
    kind: str,
    journal: JournalDatabase,
    strict: StrictServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "_LOOK_EVERY_S", 2.0)
    holder = Holder(tmp_path, rows(5))
    arguments = {"kind": kind, "rows": rows(5, visits=1), **DEFERRABLE}
    if kind == "ContactImportOperator":
        arguments |= {"fields": "live", "poll_interval": timedelta(seconds=0.2)}

    second = deliver("second", **arguments)

    assert second.state == "deferred"
    assert claims_of(journal) == ["dag/first"]
    path, kwargs = second.error.trigger.serialize()  # type: ignore[union-attr]
    assert path == "airflow_provider_connectif.triggers.claim.ClaimTrigger"
    assert kwargs["until"] <= time.time() + 2.0
    still_held = come_back(second, **arguments)
    assert still_held.state == "deferred"
    before, after = kwargs["start"]["effort"], still_held.error.trigger.start["effort"]  # type: ignore[union-attr]
    asleep_s, on_the_worker_s = kwargs["until"] - before["deferred_at"], 0.9  # ten looks
    assert after["waited_for_others_s"] - before["waited_for_others_s"] >= asleep_s + on_the_worker_s - 0.01
    assert after["deferrals"] == before["deferrals"] + 1 == 2
    assert (strict.requests, holder.process.has_ended()) == (0, False)
    lines = provider_lines(capfd.readouterr().out)
    assert [line.partition(" ")[0] for line in lines] == ["Delivering", "Sync", "Sync"]
    assert re.fullmatch(
        r"Sync 'nightly' is held by another run: deferred, next check at \d\d:\d\d:\d\d UTC\n"
        r"  Held by: dag/first, task patch\n"
        r"  If it was killed, its claim ends at \d\d:\d\d:\d\d UTC, and then this run continues",
        lines[1],
    )

    assert holder.end().state == "success"
    last = come_back(still_held, **arguments)
    while last.state == "deferred":  # an import, for its own
        last = come_back(last, **arguments)

    assert last.state == "success"
    assert {contact["visits"] for contact in strict.contacts.values()} == {1, 2, 3, 4, 5}
    assert (last.summary["read"], last.summary["tries"]) == (5, 1)
    assert last.summary["deferrals"] >= 2
    assert last.summary["duration_s"] >= 1.0
    assert re.search(r"\n  Waited \d.* for another run of the sync", provider_lines(capfd.readouterr().out)[-1])
    assert claims_of(journal) == []


@pytest.mark.slow
def test_a_claim_whose_holder_was_killed_is_waited_for_until_it_ends(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deliver("before", rows=[]).state == "success"  # so that the next one is quick
    monkeypatch.setattr(lease, "LEASE_S", 8.0)
    monkeypatch.setattr(lease, "_LOOK_EVERY_S", 60.0)
    holder = Holder(tmp_path, rows(5))
    holder.process.kill()

    second = deliver("second", rows=rows(5), **DEFERRABLE)

    assert second.state == "deferred"
    ((ends,),) = journal.query("select lease_until from connectif_journal_claims")
    assert abs(second.error.trigger.until - ends) < 1.0  # type: ignore[union-attr]  # sooner than the next look
    assert come_back(second, rows=rows(5), **DEFERRABLE).state == "success"
    assert len(strict.contacts) == 5


@pytest.mark.slow
def test_a_claim_that_is_about_to_end_is_waited_for_on_the_worker(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_S", 4.0)
    monkeypatch.setattr(lease, "_LEAST_DEFERRAL_S", 5.0)
    Holder(tmp_path, rows(5)).process.kill()
    assert deliver("second", rows=rows(5), **DEFERRABLE).state == "success"


@pytest.mark.slow
def test_a_task_that_cannot_defer_waits_on_its_worker(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    holder = Holder(tmp_path, rows(5))
    second = Process(tmp_path, "second", rows=rows(5, visits=1), deferrable=False)
    second.wait_until_it_says("another run: waiting until it ends\n  Held by: dag/first, task patch\n")
    assert holder.end().state == "success"
    assert second.end().state == "success"


@pytest.mark.slow
def test_waiting_is_part_of_the_attempt_that_waits(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    strict.update(faults=[{"keys": ["user3@example.com"], "status": 401}])
    assert deliver("second", rows=rows(5), retries=2, max_in_flight=1).state == "failed"
    strict.update(faults=[])
    holder = Holder(tmp_path, rows(2))
    arguments = {"rows": rows(5), "retries": 2, "tries_before": 1, **DEFERRABLE}

    second = deliver("second", **arguments)
    assert second.state == "deferred"
    assert holder.end().state == "success"
    second = come_back(second, **arguments)

    assert second.state == "success"
    assert second.summary["tries"] == 2


@pytest.mark.slow
def test_a_cleared_task_that_waits_starts_over(journal: JournalDatabase, strict: StrictServer, tmp_path: Path) -> None:
    assert deliver("second", rows=rows(5)).state == "success"
    holder = Holder(tmp_path, rows(5))

    second = deliver("second", rows=rows(5), **DEFERRABLE)
    assert second.state == "deferred"
    assert holder.end().state == "success"
    second = come_back(second, rows=rows(5), **DEFERRABLE)
    assert (second.state, second.summary["tries"], second.summary["unchanged"]) == ("success", 1, 5)


@pytest.mark.slow
def test_what_the_task_may_take_counts_while_it_waits_for_another_run(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    holder = Holder(tmp_path, rows(5))
    arguments = {"rows": rows(5), "execution_timeout": timedelta(seconds=4), **DEFERRABLE}
    runs = [deliver("second", **arguments)]
    while runs[-1].state == "deferred":
        assert runs[-1].error.timeout < timedelta(seconds=4)  # type: ignore[union-attr]
        runs.append(come_back(runs[-1], **arguments))

    assert len(runs) > 1
    assert runs[-1].state == "up_for_retry"
    assert "execution_timeout has passed" in str(runs[-1].error)
    assert strict.requests == 0
    holder.process.kill()


@pytest.mark.slow
def test_a_deferred_run_whose_claim_has_gone_to_another_waits_for_that_one(
    journal: JournalDatabase,
    strict: StrictServer,
    connection: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lease, "PARKED_S", -60.0)  # nobody came back in time
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=3, window_s=2.5, headers="fraction")
    arguments = {"rows": rows(5), "defer_after": timedelta(seconds=0.2), **DEFERRABLE}
    second = deliver("second", **arguments)
    assert (second.state, journal.pending()) == ("deferred", 2)
    holder = Holder(tmp_path, rows(5))

    second = come_back(second, **arguments)
    assert (second.state, second.summary) == ("deferred", {})  # what was pushed when it began to wait stays
    strict.update(limit=0)
    assert holder.end().state == "success"
    second = come_back(second, **arguments)

    assert second.state == "success"
    assert (second.summary["read"], second.summary["deferrals"]) == (5, 1)
    assert len(strict.contacts) == 5


@pytest.mark.slow
def test_a_deferred_run_continues_with_its_plan_after_one_that_died_before_it_did_anything(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PARKED_S", -60.0)
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=3, window_s=2.5, headers="fraction")
    arguments = {"defer_after": timedelta(seconds=0.2), **DEFERRABLE}
    second = deliver("second", rows=rows(5), **arguments)
    assert second.state == "deferred"
    # The claim ends later than this process takes to come back, also on a busy machine.
    names = "holder, sync_id, run_id, task, lease_until"
    values = f"'x', 'nightly', 'dag/other', 'patch[-1]', {time.time() + 15.0}"
    journal.query(f"insert into connectif_journal_claims ({names}) values ({values})")

    second = come_back(second, rows=_never(), **arguments)
    assert second.state == "deferred"
    while second.state == "deferred":
        deferrals = second.error.trigger.start["effort"]["deferrals"]  # type: ignore[union-attr]
        second = come_back(second, rows=_never(), **arguments)

    assert second.state == "success"
    assert second.summary["deferrals"] == 1 + deferrals
    assert (second.summary["read"], second.summary["created"], strict.requests) == (5, 5, 5)


def _never() -> Iterator[dict[str, Any]]:
    raise AssertionError("the source was read a second time")
    yield {}


@pytest.mark.slow
@pytest.mark.versions
def test_runs_of_a_dag_overlap(
    journal: JournalDatabase, strict: StrictServer, run_dag: Callable[..., Any], tmp_path: Path
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    holder = Holder(tmp_path, rows(5))

    def looks() -> int:
        ((generation,),) = journal.query("select generation from connectif_journal_syncs")
        return generation

    before = looks()

    def let_go() -> None:
        until(lambda: looks() > before + 12, within_s=100)  # more than one process of the task makes
        holder.go_on()

    watcher = threading.Thread(target=let_go)
    watcher.start()
    with DAG(f"overlapping_{journal.kind}_{time.time_ns()}", schedule=None) as dag:
        ContactPatchOperator(
            task_id="patch",
            rows=rows(5, visits=1),
            fields="builtin",
            journal_conn_id="journal",
            sync_id="nightly",
            **DEFERRABLE,
        )
    dag_run = run_dag(dag)
    watcher.join()

    assert holder.process.end().state == "success"
    assert task_states(dag_run) == {"patch": "success"}
    summary = xcom(dag_run, "patch", "summary")
    assert summary["updated"] == 5
    assert summary["deferrals"] >= 1
    assert {contact["visits"] for contact in strict.contacts.values()} == {1, 2, 3, 4, 5}


@pytest.mark.slow
def test_a_run_that_only_waits_leaves_the_rejects_of_the_run_that_it_waits_for(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    gate, path = tmp_path / "gate", tmp_path / "rejects.jsonl"
    gate.touch()
    strict.update(gate=str(gate))
    arguments: dict[str, Any] = {
        "rows": [{"email": "nobody", "visits": 1}, *rows(3)],
        "rejects_path": str(path),
        "failure_budget": 5,
        "deferrable": True,
    }
    first = Process(tmp_path, "first", **arguments)
    until(lambda: strict.in_flight > 0)
    assert deliver("second", **arguments).state == "deferred"
    gate.unlink()
    run = first.end()
    assert (run.state, run.summary["invalid"], run.summary["rejects_path"]) == ("success", 1, str(path))
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["nobody"]
