"""A person is forgotten while another run is at work on her."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.journal import lease
from tests.integration.test_erasure import ANA, erase, is_named, people, receipts, the_sum
from tests.support.import_runs import event_of, import_rows
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until

ANA_ROW = people()[2]
JOURNAL = {"journal_conn_id": "journal", "sync_id": "load"}


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def _quick_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure waits until every run at work has renewed its claim."""
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)


@contextlib.contextmanager
def closed(gate: Path) -> Iterator[None]:
    """No request for a contact is responded to."""
    gate.touch()
    try:
        yield
    finally:
        gate.unlink()


def is_forgotten(strict: StrictServer, journal: JournalDatabase) -> bool:
    assert receipts(journal) == ["deleted"] or receipts(journal) == ["absent"]
    assert not is_named(journal)
    return ANA not in strict.contacts


@pytest.mark.slow
def test_a_request_under_way_is_waited_for(strict: StrictServer, journal: JournalDatabase, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    others = [row for row in people() if row != ANA_ROW]
    strict.update(gate=str(gate), deletes_nobody_with=404)
    with closed(gate):
        night = Process(tmp_path, "night", rows=[ANA_ROW, *others], max_in_flight=1)
        until(lambda: strict.in_flight == 1)
        forget = Process(tmp_path, "forget", erase_in, keys=[ANA])
        forget.wait_until_it_says("may still write these people")
        assert [entry for entry in strict.log if entry["method"] == "DELETE"] == []
    run, erased = night.end(), forget.end()
    assert (run.state, the_sum(run.summary), erased.state, erased.summary["deleted"]) == ("success", 6, "success", 1)
    assert is_forgotten(strict, journal)


def erase_in(run_id: str, before: Any = None, keys: Any = (), **arguments: Any) -> Any:
    return erase(*keys, run_id=run_id, before=before, **arguments)


@pytest.mark.slow
def test_who_waits_for_a_window_is_not_sent(strict: StrictServer, journal: JournalDatabase, tmp_path: Path) -> None:
    strict.update(limit=2, window_s=3.0, deletes_nobody_with=404)
    # Her turn comes in the third window, so that the erasure has time also on a busy machine.
    rows = [*(row for row in people() if row != ANA_ROW), ANA_ROW]
    night = Process(tmp_path, "night", rows=rows, max_in_flight=1)
    night.wait_until_it_says("Rate limit")
    forget = Process(tmp_path, "forget", erase_in, keys=[ANA])
    run, erased = night.end(), forget.end()
    assert (run.state, the_sum(run.summary), erased.state) == ("success", 6, "success"), (run.error, erased.error)
    assert run.summary["suppressed"] == 1
    assert is_forgotten(strict, journal)


@pytest.mark.slow
def test_while_a_run_reads_it_plans_nothing_for_the_person(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(deletes_nobody_with=404)
    go_on = tmp_path / "go on"

    def slowly() -> Iterator[dict[str, Any]]:
        yield from people()
        until(go_on.exists)

    night = Process(tmp_path, "night", rows=slowly())
    night.wait_until_it_says("The journal has no rows of sync")
    erased = erase(ANA)
    go_on.touch()
    run = night.end()
    assert (erased.state, erased.summary["absent"]) == ("success", 1)
    assert (run.state, run.summary["suppressed"], the_sum(run.summary)) == ("success", 1, 6), run.error
    assert is_forgotten(strict, journal)


@pytest.mark.slow
def test_a_file_that_waits_for_its_upload_loses_the_person(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(foreign_imports=10, deletes_nobody_with=404)
    load = Process(tmp_path, "load", import_rows, rows=people(), **JOURNAL, deferrable=False, patch_leftovers=False)
    load.wait_until_it_says("queue of imports is full")
    erased = erase(ANA)
    strict.update(foreign_imports=0)
    run = load.end()
    assert (erased.state, erased.summary["absent"]) == ("success", 1), erased.error
    assert (run.state, run.summary["suppressed"], the_sum(run.summary)) == ("success", 1, 6), run.error
    assert is_forgotten(strict, journal)


@pytest.mark.slow
def test_an_upload_that_carries_the_person_is_waited_for(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(import_hold="queued", deletes_nobody_with=404)
    load = Process(tmp_path, "load", import_rows, rows=people(), **JOURNAL, deferrable=False, patch_leftovers=False)
    load.wait_until_it_says("Uploaded")
    forget = Process(tmp_path, "forget", erase_in, keys=[ANA])
    forget.wait_until_it_says("1 import")
    strict.update(import_hold=None)
    run, erased = load.end(), forget.end(60)
    assert (erased.state, erased.summary["deleted"]) == ("success", 1), erased.error
    assert (run.state, run.summary["imported"], the_sum(run.summary)) == ("success", 6, 6), run.error
    assert is_forgotten(strict, journal)


def test_a_kill_ends_an_erasure_that_waits(strict: StrictServer, journal: JournalDatabase, tmp_path: Path) -> None:
    strict.update(import_hold="queued", deletes_nobody_with=404)
    load = import_rows("load", rows=people(), **JOURNAL, deferrable=True, patch_leftovers=False)
    forget = Process(tmp_path, "forget", erase_in, keys=[ANA])
    forget.wait_until_it_says("Waiting: 1 import")
    os.kill(forget.pid, signal.SIGTERM)
    erased = forget.end(within_s=10)  # before the next poll of that import
    assert (load.state, erased.state, the_sum(erased.summary)) == ("deferred", "up_for_retry", 1), erased.error
    assert "DELETE" not in {entry["method"] for entry in strict.log}
    assert erase(ANA, deferrable=True).state == "deferred"  # the next attempt waits on


def test_a_deferred_import_that_carries_the_person_is_waited_for(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(import_hold="queued", deletes_nobody_with=404)
    arguments = {**JOURNAL, "deferrable": True, "patch_leftovers": False}
    load = import_rows("load", rows=people(), **arguments)
    assert load.state == "deferred"
    forget = erase(ANA, deferrable=True)
    assert forget.state == "deferred"
    assert [entry for entry in strict.log if entry["method"] == "DELETE"] == []
    strict.update(import_hold=None)
    until(lambda: ANA in strict.contacts)
    method = forget.error.method_name  # type: ignore[union-attr]
    erased = erase(ANA, deferrable=True, method=method)
    assert (erased.state, erased.summary["deleted"]) == ("success", 1), erased.error
    assert not is_named(journal)
    method = load.error.method_name  # type: ignore[union-attr]
    run = import_rows("load", rows=people(), **arguments, method=method, event=event_of(load))
    assert (run.state, run.summary["imported"], the_sum(run.summary)) == ("success", 6, 6), run.error
    assert is_forgotten(strict, journal)


@pytest.mark.slow
def test_a_file_that_waits_without_a_worker_loses_the_person(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(foreign_imports=10, deletes_nobody_with=404)
    arguments = {**JOURNAL, "deferrable": True, "patch_leftovers": False}
    load = import_rows("load", rows=people(), **arguments)
    assert load.state == "deferred", load.error
    erased = erase(ANA)
    assert (erased.state, erased.summary["absent"]) == ("success", 1), erased.error
    assert not is_named(journal)
    strict.update(foreign_imports=0)
    while load.state == "deferred":
        method = load.error.method_name  # type: ignore[union-attr]
        load = import_rows("load", rows=people(), **arguments, method=method, event=event_of(load))
    assert (load.state, load.summary["suppressed"], the_sum(load.summary)) == ("success", 1, 6), load.error
    assert load.summary["imported"] == 5
    assert is_forgotten(strict, journal)


STEPS = (
    "journal.suppression:SuppressionList.add",
    "runs.erasure_sink:ErasureSink._forget",
    "runs.erasure_sink:ErasureSink._wait_for_others",
    "contacts.erasure:ContactErasure.send",
    "contacts.erasure:ContactErasure.step",
    "delivery.erasure_confirmation:ErasureConfirmation.settle",
    "journal.forgetting:Forgetting.write_receipts",
    "journal.store:Journal.close",
)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_and_a_retry_complete_it(
    step: str, strict: StrictServer, journal: JournalDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict.update(deletes_nobody_with=404)
    deliver("night", rows=people())
    ben = "user1@example.com"
    killed = Process(tmp_path, "forget", killed_at, keys=[ANA, ben], step=step, retries=1)
    until(killed.has_ended, within_s=30)
    monkeypatch.setattr(lease, "LEASE_S", 1.0)
    again = erase(ANA, ben, run_id="forget", retries=1, tries_before=1)
    assert again.state == "success", again.error
    assert again.summary["deleted"] + again.summary["absent"] == 2
    sent = [entry["key"] for entry in strict.log if entry["method"] == "DELETE"]
    assert max(sent.count(ANA), sent.count(ben)) <= 2
    assert {ANA, ben}.isdisjoint(strict.contacts)
    assert set(receipts(journal)) <= {"deleted", "absent"}
    assert not is_named(journal)
    assert deliver("night 2", rows=people()).summary["suppressed"] == 2


def killed_at(run_id: str, before: Any = None, keys: Any = (), step: str = "", **arguments: Any) -> Any:
    """An erasure whose process is killed after a step."""
    import importlib
    import os
    import signal

    module, _, name = step.partition(":")
    kind, _, method = name.partition(".")
    owner = getattr(importlib.import_module(f"airflow_provider_connectif.{module}"), kind)
    original = getattr(owner, method)

    def then_die(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, method, then_die)
    return erase(*keys, run_id=run_id, before=before, **arguments)


@pytest.mark.slow
def test_an_erasure_that_fails_takes_nobody_out_of_one_that_waits(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(import_hold="queued", deletes_nobody_with=404)
    rows = [{"email": f"{name}@example.com", "_name": name} for name in ("ana", "ben", "eva", "leo")]
    load = import_rows("load", rows=rows, **JOURNAL, deferrable=True, patch_leftovers=False)
    first = erase("ana@example.com", deferrable=True)
    assert (load.state, first.state) == ("deferred", "deferred"), (load.error, first.error)
    strict.update(import_hold=None, may_delete_contacts=False)
    assert erase("ana@example.com", run_id="second", sync_id="another task").state == "failed"
    strict.update(may_delete_contacts=True)
    while first.state == "deferred":
        first = erase("ana@example.com", deferrable=True, method="execute_complete")
    assert (first.state, first.summary["deleted"]) == ("success", 1), first.error
    assert "ana@example.com" not in strict.contacts
