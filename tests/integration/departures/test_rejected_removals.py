"""Contacts that left the source, and for which Connectif does not carry out ``on_removed``."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_sync import states, sync
from tests.support.commands import Shown
from tests.support.journals import JournalDatabase, Process
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

KEYS = [f"user{number:02}@example.com" for number in range(10)]
ANA, BEA = KEYS[:2]
LEFT = {"tier": "left"}
WITHDRAWN = {"_newsletterSubscriptionStatus": "unsubscribed"}
REFUSED = {"title": "no", "status": 409}


@pytest.fixture
def explained(command: Callable[..., Shown], monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """Explains the contact that left: the facts, and what the next run does."""
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")

    def run() -> dict[str, Any]:
        data: dict[str, Any] = command("explain", ANA, "--sync-id", "nightly", "--output", "json").data
        return {**data["last"], **data["next_step"]}

    return run


def night(run_id: str, warehouse: Warehouse, keys: list[str], *, name: str = "Ana", **arguments: Any) -> Run:
    warehouse.fill_rows([(key, name, None) for key in keys])
    return sync(run_id, **{"on_removed": LEFT, **arguments})


def requests(strict: StrictServer) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Requests for contacts, in their order."""
    return [(entry["method"], entry["key"], entry.get("body")) for entry in strict.take_log() if "key" in entry]


def reject(strict: StrictServer, *keys: str, **fault: Any) -> None:
    strict.update(faults=[{"method": "PATCH", "keys": list(keys), "status": 422, **fault}])


FAILED = "on_removed failed for 1 of 1 contacts that left the source"


@pytest.mark.parametrize("on_removed", [LEFT, "delete"])
def test_a_rejected_removal_is_explained_and_repeated_until_it_is_accepted(
    on_removed: Any,
    journal: JournalDatabase,
    warehouse: Warehouse,
    strict: StrictServer,
    explained: Callable[[], dict[str, Any]],
) -> None:
    night("1", warehouse, KEYS[:3])
    fault, status = ({}, 422) if on_removed == LEFT else ({"method": "DELETE", "status": 409, "json": REFUSED}, 409)
    reject(strict, ANA, **fault)
    strict.take_log()
    for run_id in ("2", "3"):
        run = night(run_id, warehouse, KEYS[1:3], on_removed=on_removed)
        assert (run.state, FAILED in str(run.error), run.plan["removed"]) == ("failed", True, 1)
        ways = [method for method, *_ in requests(strict)]
        assert ways == (["GET", "PATCH"] if on_removed == LEFT else ["DELETE"])
        found = explained()
        assert (found["state"], found["status_code"], found["run_id"]) == ("left", status, f"dag/{run_id}")
        assert f"HTTP {status}" in found["reason"]
        assert found["why"] == (
            "The contact is no longer in the source, and Connectif has rejected the request of on_removed."
        )
        assert (found["action"], "on_removed is carried out again" in found["words"]) == ("send", True)
    strict.update(faults=[])
    assert night("4", warehouse, KEYS[1:3], on_removed=on_removed).summary["removed"] == 1
    assert states(journal)[ANA] == "removed"
    assert night("5", warehouse, KEYS[1:3], on_removed=on_removed).plan["removed"] == 0


@pytest.mark.parametrize(
    ("count", "left", "limit"),
    [(10, 1, 0.1), (10, 1, 0.05), (10, 1, 1), (20, 2, 0.1)],
)
def test_a_guard_that_allowed_a_rejected_removal_allows_it_each_night(
    count: int, left: int, limit: float, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    keys = [f"user{number:02}@example.com" for number in range(count)]
    night("1", warehouse, keys, max_removed=limit)
    reject(strict, *keys[:left])
    for run_id in ("2", "3", "4"):
        strict.take_log()
        run = night(run_id, warehouse, keys[left:], max_removed=limit)
        assert f"on_removed failed for {left} of {left} contacts" in str(run.error)
        assert len(requests(strict)) == 2 * left


def test_a_guard_counts_rejected_removals_among_those_that_left(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, said: Callable[[], str]
) -> None:
    night("1", warehouse, KEYS, max_removed=0.2)
    reject(strict, ANA)
    night("2", warehouse, KEYS[1:], max_removed=0.2)
    strict.update(faults=[])
    stopped = night("3", warehouse, KEYS[3:], max_removed=0.2)
    assert "3 contacts that left the source, max_removed=0.2 of 10 known contacts allows 2" in str(stopped.error)
    assert "left since the last complete read: 2, and 1 earlier whose change is due" in said()
    assert night("4", warehouse, KEYS[2:], max_removed=0.2).summary["removed"] == 2
    stopped = night("5", warehouse, KEYS[4:], max_removed=0.2)  # both are no longer known
    assert "2 contacts that left the source, max_removed=0.2 of 8 known contacts allows 1" in str(stopped.error)


def test_a_contact_that_a_later_run_only_counts_is_not_known_any_more(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, explained: Callable[[], dict[str, Any]]
) -> None:
    night("1", warehouse, KEYS)
    reject(strict, ANA)
    night("2", warehouse, KEYS[1:])
    strict.take_log()
    assert night("3", warehouse, KEYS[1:], on_removed=None).plan["removed"] == 1
    assert night("4", warehouse, KEYS[1:], on_removed=None).plan["removed"] == 0
    found = explained()
    assert (found["state"], found["status_code"], found["reason"], found["run_id"]) == ("left", None, None, "dag/3")
    assert (found["action"], requests(strict)) == ("nothing", [])
    stopped = night("5", warehouse, KEYS[3:], on_removed=None, max_removed=0.2)
    assert "2 contacts that left the source, max_removed=0.2 of 9 known contacts allows 1" in str(stopped.error)


@pytest.mark.parametrize("name", ["Ana", "Anna"])
def test_who_comes_back_after_a_rejected_removal_is_compared(
    name: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    night("1", warehouse, KEYS[:2])
    reject(strict, ANA)
    night("2", warehouse, KEYS[1:2])
    strict.update(faults=[])
    strict.take_log()
    back = night("3", warehouse, KEYS[:2], name=name)
    changed = name == "Anna"
    assert (back.state, back.summary["unchanged"], back.plan["removed"]) == ("success", 0 if changed else 2, 0)
    expected = [("PATCH", key, {"_name": "Anna"}) for key in KEYS[:2]] if changed else []
    assert sorted(requests(strict), key=str) == expected
    assert states(journal) == dict.fromkeys(KEYS[:2], "acknowledged")
    assert night("4", warehouse, KEYS[1:2], name=name).summary["removed"] == 1


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "before"}], ids=["503", "no response"])
def test_a_removal_of_which_all_attempts_failed_is_undelivered(
    fault: dict[str, Any],
    journal: JournalDatabase,
    warehouse: Warehouse,
    strict: StrictServer,
    explained: Callable[[], dict[str, Any]],
) -> None:
    night("1", warehouse, KEYS[:2])
    strict.update(faults=[{"method": "PATCH", "keys": [ANA], **fault}])
    assert FAILED in str(night("2", warehouse, KEYS[1:2]).error)
    found = explained()
    assert (found["state"], found["status_code"]) == ("undelivered", fault.get("status"))
    assert (found["words"], bool(found["reason"])) == ("What Connectif has not accepted is sent.", True)
    strict.update(faults=[])
    assert night("3", warehouse, KEYS[1:2]).summary["removed"] == 1
    assert states(journal)[ANA] == "removed"


def test_a_retry_repeats_a_rejected_removal(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """Airflow retries, since the removal of another contact had no response."""
    night("1", warehouse, KEYS)
    strict.update(
        faults=[
            {"method": "PATCH", "keys": [ANA], "status": 422},
            {"method": "PATCH", "keys": [BEA], "status": 503},
        ]
    )
    first = night("2", warehouse, KEYS[2:])
    assert "on_removed failed for 2 of 2 contacts" in str(first.error)
    strict.update(faults=[])
    strict.take_log()
    again = night("2", warehouse, KEYS[2:], tries_before=1, max_removed=2)
    assert (again.state, again.summary["removed"], again.plan["removed"]) == ("success", 2, 2)
    assert sorted(requests(strict), key=str) == sorted(
        [*(("GET", key, None) for key in (ANA, BEA)), *(("PATCH", key, LEFT) for key in (ANA, BEA))], key=str
    )


def in_a_process(run_id: str, before: Callable[[Any], None], **arguments: Any) -> Run:
    return sync(run_id, before=before, on_removed=LEFT, **arguments)


@pytest.mark.slow
def test_the_attempt_after_a_kill_repeats_a_rejected_removal(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, tmp_path: Path
) -> None:
    night("1", warehouse, KEYS)
    waits = {"method": "PATCH", "keys": [BEA], "hang": "before"}
    strict.update(faults=[{"method": "PATCH", "keys": [ANA], "status": 422}, waits])
    warehouse.fill(KEYS[2:])
    process = Process(tmp_path, "2", in_a_process)
    until(lambda: (states(journal)[ANA], states(journal)[BEA]) == ("left", "in_doubt"))
    os.kill(process.pid, signal.SIGKILL)
    os.waitpid(process.pid, 0)
    strict.update(faults=[])
    strict.take_log()
    again = night("2", warehouse, KEYS[2:], tries_before=1, max_removed=2)
    assert (again.state, again.summary["removed"]) == ("success", 2), again.error
    assert sorted(method for method, *_ in requests(strict)) == ["GET", "GET", "PATCH", "PATCH"]


def test_a_removal_that_is_rejected_after_an_import_is_left(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    night("1", warehouse, KEYS, via="import")
    reject(strict, ANA)
    run = night("2", warehouse, KEYS[1:], name="Anna", via="import")
    assert (run.summary["imported"], FAILED in str(run.error)) == (9, True)
    assert journal.query("select status_code from connectif_journal where state = 'left'") == [(422,)]
    strict.update(faults=[])
    assert night("3", warehouse, KEYS[1:], name="Anna").summary["removed"] == 1


def test_what_the_policy_skips_is_explained_and_not_repeated(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, explained: Callable[[], dict[str, Any]]
) -> None:
    night("1", warehouse, KEYS[:2])
    reject(strict, ANA)
    assert night("2", warehouse, KEYS[1:2], on_response={422: "skip"}).state == "success"
    found = explained()
    assert (found["state"], found["status_code"], found["action"]) == ("removed", 422, "nothing")
    assert "HTTP 422" in found["reason"]
    assert "on_response skips the response to on_removed" in found["why"]
    strict.take_log()
    assert (night("3", warehouse, KEYS[1:2]).plan["removed"], requests(strict)) == (0, [])


def test_what_the_policy_rejects_counts_as_rejected(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """Connectif has accepted the request, so there is neither an error nor a reason."""
    night("1", warehouse, KEYS)
    assert FAILED in str(night("2", warehouse, KEYS[1:], on_response={200: "reject"}).error)
    assert journal.query("select reason from connectif_journal where state = 'left'") == [("rejected by on_response",)]


def test_a_withdrawal_is_sent_although_the_rest_is_rejected(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, explained: Callable[[], dict[str, Any]]
) -> None:
    night("1", warehouse, KEYS[:2])
    strict.take_log()
    assert FAILED in str(night("2", warehouse, KEYS[1:2], on_removed={"visits": "many", **WITHDRAWN}).error)
    assert [body for _, _, body in requests(strict)] == [None, {"visits": "many", **WITHDRAWN}, WITHDRAWN]
    assert (explained()["state"], explained()["status_code"]) == ("left", 422)
    assert strict.contacts[ANA] == {"_name": "Ana", **WITHDRAWN}


def test_a_contact_with_a_rejected_removal_has_left_its_sync(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    for sync_id in ("shop", "loyalty"):
        night("1", warehouse, KEYS[:2], sync_id=sync_id)
    night("2", warehouse, KEYS[1:2], sync_id="shop", on_removed=None)
    reject(strict, ANA)
    assert FAILED in str(night("2", warehouse, KEYS[1:2], sync_id="loyalty").error)
    strict.update(faults=[])
    assert night("3", warehouse, KEYS[1:2], sync_id="shop").summary["removed"] == 1
