"""Contacts that came back and leave again, contacts of several syncs or tasks, and consents of a deleted contact."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.test_sync import states, sync
from tests.support.journals import JournalDatabase, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

NEWS = "_newsletterSubscriptionStatus"
ANA, BEA = "ana@example.com", "bea@example.com"
LEFT = {"tier": "left"}


def night(run_id: str, warehouse: Warehouse, *rows: tuple[str, ...], **arguments: Any) -> Run:
    """A night of a sync that maps a consent and nothing else; another contact never changes."""
    warehouse.fill_rows([*rows, (BEA, "Bea", "none")])
    return sync(run_id, "select email, name, consent from contacts", **{"properties": {NEWS: "consent"}, **arguments})


def requests(strict: StrictServer) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Requests for contacts, in their order."""
    return [(entry["method"], entry["key"], entry.get("body")) for entry in strict.take_log() if "key" in entry]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("consent", ["subscribed", "none"])
def test_who_came_back_without_a_change_is_looked_up_and_followed_again(
    rows: int, consent: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    ana = [(ANA, "Ana", consent)] * rows
    night("1", warehouse, (ANA, "Ana", "subscribed"), on_removed=LEFT)
    night("1b", warehouse, *ana, on_removed=LEFT)
    night("2", warehouse, on_removed=LEFT)
    strict.take_log()
    back = night("3", warehouse, *ana, on_removed=LEFT)
    assert (back.plan["to_create"], back.summary["unchanged"]) == (1, 2), back.summary
    assert (back.plan["requests_least"], back.plan["requests_most"]) == (1, 1)
    assert requests(strict) == [("GET", ANA, None)]
    assert night("4", warehouse, *ana, on_removed=LEFT).summary["unchanged"] == 2
    assert requests(strict) == []
    again = night("5", warehouse, on_removed=LEFT)
    assert (again.plan["removed"], again.summary["removed"], states(journal)[ANA]) == (1, 1, "removed")


def test_who_came_back_with_what_connectif_shows_is_followed_again(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """The consent differs from the one before, but Connectif holds it already."""
    night("1", warehouse, (ANA, "Ana", "subscribed"), on_removed=LEFT)
    night("2", warehouse, on_removed=LEFT)
    strict.change_contacts({ANA: {NEWS: "none"}})
    assert night("3", warehouse, (ANA, "Ana", "none"), on_removed=LEFT).summary["unchanged"] == 2
    assert night("4", warehouse, on_removed=LEFT).summary["removed"] == 1


def test_a_contact_that_was_deleted_while_it_was_away_is_not_created_to_be_subscribed(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    ana = (ANA, "Ana", "subscribed")
    night("1", warehouse, ana, on_removed=LEFT)
    night("2", warehouse, on_removed=LEFT)
    strict.change_contacts({ANA: None})
    strict.take_log()
    assert night("3", warehouse, ana, on_removed=LEFT).state == "success"
    assert (requests(strict), ANA in strict.contacts) == ([("GET", ANA, None)], False)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("on_removed", [None, "delete"])
def test_tasks_with_one_sync_id_do_not_miss_the_contacts_of_each_other(
    on_removed: Any, journal: JournalDatabase, strict: StrictServer, warehouse: Warehouse, said: Callable[[], str]
) -> None:
    warehouse.fill_rows([(f"user{n:02}@example.com", "Ana", "none") for n in range(5)])
    narrow = {"on_removed": on_removed, "max_removed": 0.05, "properties": {"_name": "name"}}
    for run_id in ("1", "2"):
        for task, where in (("a", "email < 'user03'"), ("b", "email >= 'user03'")):
            other = {"dag": type("Dag", (), {"dag_id": task})()}
            run = sync(run_id + task, f"select email, name from contacts where {where}", more_context=other, **narrow)
            assert (run.state, run.plan["removed"]) == ("success", 0 if run_id + task == "1a" else None), run.error
    assert len(strict.contacts) == 5
    assert (
        "contacts that left are not counted: the task that reads for the sync and the SQL text have changed" in said()
    ) is bool(on_removed)


def test_a_task_that_is_alone_again_counts_again(
    journal: JournalDatabase, strict: StrictServer, warehouse: Warehouse
) -> None:
    mapping = {"max_removed": 1, "properties": {"_name": "name"}}
    other = {"dag": type("Dag", (), {"dag_id": "other"})()}
    night("1", warehouse, (ANA, "Ana", "none"), **mapping)
    night("2", warehouse, more_context=other, **mapping)
    assert night("3", warehouse, (ANA, "Ana", "none"), **mapping).plan["removed"] is None
    run = night("4", warehouse, **{**mapping, "max_removed": 0})
    assert "1 contact that left the source, max_removed=0 allows 0" in str(run.error)


@pytest.mark.parametrize("kind", usually("sqlite"))
@pytest.mark.parametrize("on_removed", [LEFT, "delete"])
def test_who_left_one_sync_and_is_in_another_is_only_counted(
    on_removed: Any,
    kind: str,
    request: pytest.FixtureRequest,
    airflow_db: None,
    warehouse: Warehouse,
    strict: StrictServer,
    said: Callable[[], str],
) -> None:
    journal = journal_database(kind, request)
    arguments = {"on_removed": on_removed, "properties": {"_name": "name"}}
    for sync_id in ("shop", "loyalty"):
        night("1", warehouse, (ANA, "Ana", "none"), sync_id=sync_id, **arguments)
    strict.take_log()
    left = night("2", warehouse, sync_id="shop", **arguments)
    assert (left.state, left.plan["removed"], requests(strict)) == ("success", 1, [])
    assert "for 1 contact that left, since other syncs still have them: loyalty" in said()
    assert night("3", warehouse, sync_id="shop", **arguments).plan["removed"] == 0
    assert night("2", warehouse, sync_id="loyalty", **arguments).summary["removed"] == 1
    assert [method for method, _, _ in requests(strict)] == (["DELETE"] if on_removed == "delete" else ["GET", "PATCH"])
    assert night("4", warehouse, sync_id="shop", **arguments).summary["removed"] == 1
    of_ana = journal.query("select sync_id, state from connectif_journal where contact_key = 'ana@example.com'")
    assert dict(of_ana) == {"shop": "removed", "loyalty": "removed"}


def test_all_syncs_that_still_have_a_contact_are_named(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, said: Callable[[], str]
) -> None:
    arguments = {"on_removed": "delete", "properties": {"_name": "name"}}
    for sync_id in ("shop", "loyalty", "app"):
        night("1", warehouse, (ANA, "Ana", "none"), sync_id=sync_id, **arguments)
    night("2", warehouse, sync_id="shop", **arguments)
    assert "for 1 contact that left, since other syncs still have them: app, loyalty" in said()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("is_old", [True, False], ids=["not for 40 days", "to another host"])
def test_a_sync_that_does_not_read_any_more_keeps_no_contact(
    is_old: bool, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    arguments = {"on_removed": "delete", "properties": {"_name": "name"}}
    for sync_id in ("shop", "loyalty"):
        night("1", warehouse, (ANA, "Ana", "none"), sync_id=sync_id, **arguments)
    ((owned,),) = journal.query("select owned from connectif_journal_syncs where sync_id = 'loyalty'")
    note = json.loads(owned) | ({"at": time.time() - 41 * 86_400} if is_old else {"way": "another"})
    journal.query(f"update connectif_journal_syncs set owned = '{json.dumps(note)}' where sync_id = 'loyalty'")
    assert night("2", warehouse, sync_id="shop", **arguments).summary["removed"] == 1
    assert ANA not in strict.contacts


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("consent", "may_read", "after"),
    [("unsubscribed", True, None), ("subscribed", True, "subscribed"), ("subscribed", False, None)],
    ids=["unsubscribed at Connectif", "still subscribed", "a key that cannot read contacts"],
)
def test_who_is_deleted_stays_unsubscribed_if_she_has_unsubscribed_at_connectif(
    consent: str,
    after: str | None,
    journal: JournalDatabase,
    warehouse: Warehouse,
    strict: StrictServer,
    *,
    may_read: bool,
) -> None:
    arguments = {"on_removed": "delete", "properties": {"_name": "name", NEWS: "consent"}}
    ana = (ANA, "Ana", "subscribed")
    night("1", warehouse, ana, **arguments)
    strict.change_contacts({ANA: {NEWS: consent}})
    strict.update(may_read_contacts=may_read)
    strict.take_log()
    left = night("2", warehouse, **arguments)
    assert (left.plan["requests_least"], left.plan["requests_most"], left.summary["removed"]) == (1, 2, 1), left.error
    assert requests(strict) == [("GET", ANA, None), ("DELETE", ANA, None)]
    assert night("3", warehouse, ana, **arguments).state == "success"
    assert strict.contacts[ANA] == {"_name": "Ana"} | ({NEWS: after} if after else {})


@pytest.mark.parametrize(("is_there", "fault"), [(False, None), (True, {"method": "GET", "status": 503})])
def test_who_cannot_be_looked_up_is_not_deleted(
    is_there: bool,
    fault: dict[str, Any] | None,
    journal: JournalDatabase,
    warehouse: Warehouse,
    strict: StrictServer,
) -> None:
    arguments = {"on_removed": "delete", "properties": {"_name": "name", NEWS: "consent"}}
    night("1", warehouse, (ANA, "Ana", "subscribed"), **arguments)
    strict.change_contacts({} if is_there else {ANA: None})
    strict.update(faults=[fault] if fault else [])
    strict.take_log()
    run = night("2", warehouse, **arguments)
    assert (run.state == "success", run.summary["removed"]) == (not is_there, int(not is_there)), run.error
    assert {method for method, _, _ in requests(strict)} == {"GET"}
    strict.update(faults=[])
    night("3", warehouse, **arguments)
    assert ANA not in strict.contacts


def test_who_was_deleted_without_a_response_stays_unsubscribed(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    arguments = {"on_removed": "delete", "properties": {"_name": "name", NEWS: "consent"}}
    ana = (ANA, "Ana", "subscribed")
    night("1", warehouse, ana, **arguments)
    strict.change_contacts({ANA: {NEWS: "unsubscribed"}})
    strict.update(faults=[{"method": "DELETE", "drop": "after"}])
    assert night("2", warehouse, **arguments).state != "success"
    assert ANA not in strict.contacts
    strict.update(faults=[])
    assert night("3", warehouse, **arguments).summary["removed"] == 1
    night("4", warehouse, ana, **arguments)
    assert strict.contacts[ANA] == {"_name": "Ana"}


def test_what_an_import_patches_is_compared_by_the_accounts_definitions_too(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """A raised consent goes by PATCH before the files, a contact that left after them."""
    strict.update(stores="other forms")  # an option by its label
    arguments = {"on_removed": {"segment": "regular"}, "properties": {"segment": "name", NEWS: "consent"}}
    arguments |= {"fields": "live", "via": "import", "failure_budget": 1}  # Bea is no option
    night("1", warehouse, (ANA, "regular", "none"), ("eva@example.com", "lapsed", "none"), **arguments)
    run = night("2", warehouse, (ANA, "regular", "subscribed"), **arguments)
    assert [method for method, _, _ in requests(strict)][-3:] == ["PATCH", "GET", "PATCH"]
    assert (run.state, run.summary["removed"], run.summary["updated"]) == ("success", 1, 1), run.error
    assert not {"stored_differently", "drifted"} & run.summary.keys()
