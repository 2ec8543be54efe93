"""Rows that left: followed exactly once where it is certain that they did, and otherwise only counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

SQL = "select email, name from contacts"
KEYS = [f"user{number:02}@example.com" for number in range(30)]


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None]) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path)


def sync(run_id: str, sql: str = SQL, **arguments: Any) -> Run:
    """One night; without a guard unless the test asks for it."""
    off = dict.fromkeys(("max_removed", "max_lowered", "max_raised"), None)
    mapping = {"properties": {"_name": "name"}, "kind": "ContactSyncOperator"}
    source = {"sql": sql, "sql_conn_id": "warehouse"} if "rows" not in arguments else {}
    return deliver(run_id, **{**mapping, **off, **source, "min_rows": 0, **arguments})


def requests(strict: StrictServer) -> list[tuple[str, str]]:
    """Requests for contacts, sorted."""
    return sorted((entry["method"], entry["key"]) for entry in strict.take_log() if "key" in entry)


def states(journal: JournalDatabase) -> dict[str, str]:
    return dict(journal.query("select contact_key, state from connectif_journal"))


@pytest.mark.slow
def test_who_left_is_deleted_once_and_created_again_when_back(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    first = sync("1", on_removed="delete")
    assert (first.state, first.summary["created"], first.summary["removed"]) == ("success", 30, 0), first.error
    strict.change_contacts({"another@example.com": {"_name": "Eva"}})
    strict.take_log()
    warehouse.fill(KEYS[2:])
    second = sync("2", on_removed="delete")
    assert (second.state, second.summary["removed"]) == ("success", 2), second.error
    assert requests(strict) == [("DELETE", KEYS[0]), ("DELETE", KEYS[1])]
    assert strict.contacts.keys() == {*KEYS[2:], "another@example.com"}
    assert {key for key, state in states(journal).items() if state == "removed"} == set(KEYS[:2])
    third = sync("3", on_removed="delete")
    assert (requests(strict), third.summary["removed"]) == ([], 0)
    warehouse.fill(KEYS[1:])
    fourth = sync("4", on_removed="delete")
    assert (requests(strict), fourth.summary["created"]) == ([("PATCH", KEYS[1])], 1)
    assert states(journal)[KEYS[1]] == "acknowledged"
    warehouse.fill(KEYS[2:])
    sync("5", on_removed="delete")
    assert requests(strict) == [("DELETE", KEYS[1])]


def test_what_left_while_nothing_was_said_is_followed_once_it_is(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1")
    warehouse.fill(KEYS[1:])
    counted = sync("2")
    assert (counted.state, counted.summary["removed"], states(journal)[KEYS[0]]) == ("success", 1, "left")
    strict.take_log()
    assert sync("3").summary["removed"] == 0
    followed = sync("4", on_removed={"_newsletterSubscriptionStatus": "unsubscribed"})
    assert (followed.state, followed.summary["removed"]) == ("success", 1), followed.error
    assert requests(strict) == [("GET", KEYS[0]), ("PATCH", KEYS[0])]
    assert strict.contacts[KEYS[0]]["_newsletterSubscriptionStatus"] == "unsubscribed"
    sync("5", on_removed={"_newsletterSubscriptionStatus": "unsubscribed"})
    assert requests(strict) == []


def test_who_was_deleted_at_connectif_is_not_made_again_to_be_unsubscribed(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1")
    strict.change_contacts({KEYS[0]: None})
    strict.take_log()
    warehouse.fill(KEYS[1:])
    assert sync("2", on_removed={"visits": 0}).summary["removed"] == 1
    assert requests(strict) == [("GET", KEYS[0])]
    assert KEYS[0] not in strict.contacts


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("another SQL text", {"sql": f"{SQL} where email > 'user01'"}),
        ("another sync with one id", {"more_context": {"dag": type("Dag", (), {"dag_id": "another"})()}}),
        ("another key column", {"sql": "select email as mail, name from contacts", "key_column": "mail"}),
        ("a list of rows", {"rows": [{"email": key, "name": "Ana"} for key in KEYS[1:]]}),
    ],
)
def test_another_question_only_counts_and_its_answer_is_never_followed(
    what: str, changed: dict[str, Any], journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1", on_removed="delete")
    strict.take_log()
    warehouse.fill(KEYS[1:])
    for run_id in ("2", "3", "4"):
        run = sync(run_id, on_removed="delete", **changed)
        assert run.state == "success", run.error
        assert requests(strict) == []
    assert strict.contacts.keys() == set(KEYS)


@pytest.mark.slow
def test_two_tasks_with_one_sync_id_follow_nobody_of_each_other(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    for night in range(3):
        sync(f"{night}", f"{SQL} where email < 'user15'", on_removed="delete")
        deliver(
            f"{night}b",
            kind="ContactPatchOperator",
            sql=f"{SQL} where email >= 'user15'",
            sql_conn_id="warehouse",
            properties={"_name": "name"},
            more_context={"dag": type("Dag", (), {"dag_id": "another"})()},
        )
    assert {method for method, _ in requests(strict)} == {"PATCH"}
    assert strict.contacts.keys() == set(KEYS)


def test_a_row_without_a_valid_key_keeps_everybody(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1", on_removed="delete")
    strict.take_log()
    warehouse.fill([None, *KEYS[1:]])
    for run_id in ("2", "3"):
        sync(run_id, on_removed="delete", failure_budget=1)
        assert requests(strict) == []


def test_an_invalid_row_has_not_left(journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer) -> None:
    warehouse.fill(KEYS)
    sync("1", on_removed="delete", properties={"_points": "1"}, sql="select email, 1 as '1' from contacts")
    strict.take_log()
    for run_id in ("2", "3"):
        sql = "select email, case when email = 'user00@example.com' then 'many' else 1 end as '1' from contacts"
        run = sync(run_id, on_removed="delete", properties={"_points": "1"}, sql=sql, failure_budget=1)
        assert (run.summary["invalid"], run.summary["removed"]) == (1, 0)
        assert requests(strict) == []


def test_a_check_names_the_guards_and_sends_and_writes_nothing(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1", on_removed="delete")
    strict.take_log()
    warehouse.fill(KEYS[3:])
    before = journal.text()
    checked = sync("2", on_removed="delete", max_removed=2, check_only=True)
    assert journal.text() == before
    stopped = sync("3", on_removed="delete", max_removed=2)
    assert (checked.state, stopped.state) == ("failed", "failed")
    assert str(checked.error) == str(stopped.error)
    assert "3 contacts that left the source, max_removed=2 allows 2" in str(stopped.error)
    assert "guards_off=True" in str(stopped.error)
    assert requests(strict) == []
    passed = sync("4", on_removed="delete", max_removed=2, guards_off=True)
    assert (passed.state, passed.summary["removed"]) == ("success", 3)
    assert requests(strict) == [("DELETE", key) for key in KEYS[:3]]


def test_deleting_is_a_scope_of_its_own_and_a_404_counts_as_deleted(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1", on_removed="delete")
    warehouse.fill(KEYS[2:])
    strict.update(may_delete_contacts=False)
    refused = sync("2", on_removed="delete")
    assert (refused.state, "Contacts: Delete" in str(refused.error)) == ("failed", True), refused.error
    strict.update(may_delete_contacts=True, deletes_nobody_with=404)
    strict.change_contacts({KEYS[0]: None})
    again = sync("3", on_removed="delete")
    assert (again.state, again.summary["removed"]) == ("success", 2), again.error


def test_a_mapped_task_is_refused_before_the_source_is_read(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    run = sync("1", "no such statement", on_removed="delete", map_index=0)
    assert (run.state, "mapped task" in str(run.error)) == ("failed", True)
    assert strict.requests == 0
