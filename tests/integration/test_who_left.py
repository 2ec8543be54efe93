"""Who may be followed: contacts that the same question has shown, with no other question in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.integration.test_sync import KEYS, SQL, requests, states, sync
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

OF_ANOTHER_DAG = {"more_context": {"dag": type("Dag", (), {"dag_id": "another"})()}}
WITH_POINTS = "select email, name, case when name = 'bad' then 'many' else 1 end as points from contacts"


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None]) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path)


def patch(run_id: str, sql: str = SQL, **arguments: Any) -> Run:
    """A night of an operator that does not look for who left."""
    source = {"sql": sql, "sql_conn_id": "warehouse", "properties": {"_name": "name"}}
    return deliver(run_id, **{"kind": "ContactPatchOperator", **source, **arguments})


@pytest.mark.slow
def test_a_question_that_was_narrowed_before_anybody_looked_follows_nobody_of_the_wider_one(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    patch("1")
    narrow = f"{SQL} where email < 'user15'"
    patch("2", narrow)
    strict.take_log()
    for run_id in ("3", "4"):
        assert sync(run_id, narrow, on_removed="delete").state == "success"
    assert requests(strict) == []
    warehouse.fill(KEYS[1:])
    assert sync("5", narrow, on_removed="delete").summary["removed"] == 1
    assert requests(strict) == [("DELETE", KEYS[0])]


def test_who_left_before_anybody_looked_is_followed_where_the_question_never_changed(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    patch("1")
    warehouse.fill(KEYS[1:])
    patch("2")
    strict.take_log()
    assert sync("3", on_removed="delete").summary["removed"] == 1
    assert requests(strict) == [("DELETE", KEYS[0])]


@pytest.mark.slow
def test_an_address_that_the_first_journals_shared_with_another_is_followed_if_the_source_had_it(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """Those journals had the line of ``stra\u00dfe@`` under ``strasse@``, which may be another person's key."""
    of_today, of_another = (
        ["jessica@example.com", "jos\u00e9@example.com", "gro\u00df@example.com"],
        "strasse@example.com",
    )
    warehouse.fill([*of_today, of_another, *KEYS])
    patch("1")
    journal.query("update connectif_journal_syncs set last_read = null")
    journal.query("update connectif_journal set delivered_generation = null")
    warehouse.fill([*of_today, "stra\u00dfe@example.com", *KEYS])
    for run_id in ("2", "3", "4"):
        assert sync(run_id, on_removed="delete").state == "success"
    strict.take_log()
    warehouse.fill(KEYS)
    assert sync("5", on_removed="delete").summary["removed"] == 4
    assert requests(strict) == sorted(("DELETE", key) for key in [*of_today, "stra\u00dfe@example.com"])
    assert of_another in strict.contacts


@pytest.mark.slow
@pytest.mark.parametrize("end", [{"min_rows": 1000}, {"failure_budget": 0, "properties": {"_points": "name"}}])
def test_another_task_that_has_only_read_leaves_its_contacts_alone(
    end: dict[str, Any], journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """It has written that the rows are unchanged, or invalid, of contacts that the usual question does not show."""
    usual, of_another = f"{SQL} where email < 'user15'", f"{SQL} where email >= 'user15'"
    warehouse.fill(KEYS)
    for night in ("1", "2"):
        patch(f"{night}b", of_another, **OF_ANOTHER_DAG)
        sync(night, usual, on_removed="delete")
    assert patch("3b", of_another, **OF_ANOTHER_DAG, **end).state == "failed"
    strict.take_log()
    for night in ("3", "4"):
        assert sync(night, usual, on_removed="delete").state == "success"
    assert requests(strict) == []
    warehouse.fill(KEYS[1:])
    assert sync("5", usual, on_removed="delete").summary["removed"] == 1
    assert requests(strict) == [("DELETE", KEYS[0])]


def test_the_same_sql_with_other_parameters_of_its_hook_is_another_question(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, said: Callable[[], str]
) -> None:
    """Such as another database, schema or role of the same connection."""
    before, after = ({"on_removed": "delete", "hook_params": {"log_sql": value}} for value in (True, False))
    warehouse.fill(KEYS)
    assert sync("1", **before).state == "success"
    strict.take_log()
    warehouse.fill(KEYS[1:])
    assert sync("2", **after).state == "success"
    assert requests(strict) == []
    assert "the argument hook_params has changed since the last complete read" in said()
    warehouse.fill(KEYS[2:])
    assert sync("3", **after).summary["removed"] == 1
    assert requests(strict) == [("DELETE", KEYS[1])]


@pytest.mark.slow
def test_the_same_sql_with_other_parameters_is_another_question(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, said: Callable[[], str]
) -> None:
    most = {"on_removed": "delete", "sql": f"{SQL} where email < :end", "parameters": {"end": "{"}}
    some = most | {"parameters": {"end": KEYS[-1]}}
    warehouse.fill(KEYS)
    assert sync("1", **most).state == "success"
    strict.take_log()
    assert sync("2", **some).state == "success"
    assert requests(strict) == []
    assert "the argument parameters has changed since the last complete read" in said()
    warehouse.fill(KEYS[1:])
    assert sync("3", **some).summary["removed"] == 1
    assert requests(strict) == [("DELETE", KEYS[0])]


@pytest.mark.slow
def test_who_left_while_a_key_was_unreadable_is_followed_once_all_are_readable(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1", on_removed="delete")
    strict.take_log()
    for run_id in ("2", "3"):  # the first key is unreadable, the second has left
        warehouse.fill([None, *KEYS[2:]])
        sync(run_id, on_removed="delete", failure_budget=1)
    warehouse.fill([None, KEYS[0], *KEYS[3:]])  # now it is the third
    sync("3b", on_removed="delete", failure_budget=1)
    assert requests(strict) == []
    warehouse.fill([KEYS[0], *KEYS[2:]])
    assert sync("4", on_removed="delete").summary["removed"] == 1
    assert requests(strict) == [("DELETE", KEYS[1])]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["guard", "source"])
def test_who_came_back_in_a_run_that_failed_may_be_a_row_without_a_key_again(
    end: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    sql = "select email, case when name = 'fail' then abs(-9223372036854775808) else name end as name from contacts"
    arguments = {"on_removed": "delete", "failure_budget": 1}
    for run_id, first in (("1", KEYS[0]), ("2", None)):
        warehouse.fill([first, *KEYS[1:]])
        assert sync(run_id, sql, **arguments).state == "success"
    warehouse.fill_rows([*((key, "Ana") for key in KEYS), *([("x@example.com", "fail")] if end == "source" else [])])
    assert sync("3", sql, **arguments, **({"min_rows": 1000} if end == "guard" else {})).state != "success"
    strict.take_log()
    for run_id in ("4", "5"):
        warehouse.fill([None, *KEYS[1:]])
        assert sync(run_id, sql, **arguments).state == "success"
    assert requests(strict) == []
    for run_id, keys in (("6", KEYS), ("7", KEYS[1:])):
        warehouse.fill(keys)
        assert sync(run_id, sql, **arguments).state == "success"
    assert requests(strict) == [("DELETE", KEYS[0])]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([KEYS[0], None], [None], id="the row without a key has gone"),
        pytest.param([KEYS[0], None], [None, "new@example.com"], id="it has got a key that is new"),
        pytest.param([KEYS[0], None, None], [None, "new@example.com", None], id="one of two has got a key"),
    ],
)
def test_who_loses_the_key_while_a_row_alike_has_none_any_more_is_not_followed(
    before: list[str | None],
    after: list[str | None],
    journal: JournalDatabase,
    warehouse: Warehouse,
    strict: StrictServer,
    said: Callable[[], str],
) -> None:
    arguments = {"on_removed": "delete", "failure_budget": 2}
    for run_id, rows in (("1", before), ("2", before), ("3", after), ("4", after)):
        warehouse.fill([*rows, *KEYS[1:]])
        assert sync(run_id, **arguments).state == "success"
    assert "DELETE" not in {method for method, _ in requests(strict)}
    assert "on_removed is postponed for 1 contact that left: rows without a valid key may be theirs" in said()
    warehouse.fill([*filter(None, after), *KEYS[1:]])
    strict.take_log()
    sync("5", **arguments)
    assert requests(strict) == [("DELETE", KEYS[0])]


@pytest.mark.parametrize("name", ["Bea", None])
def test_who_left_is_followed_while_rows_without_a_key_say_something_else(
    name: str | None, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    rows = [(key, "Ana") for key in KEYS]
    for run_id, first in (("1", 0), ("2", 1)):
        warehouse.fill_rows([(None, name), ("not an address", name), *rows[first:]])
        assert sync(run_id, on_removed="delete", failure_budget=2).state == "success"
    assert ("DELETE", KEYS[0]) in requests(strict)


@pytest.mark.slow
def test_of_very_many_rows_without_a_key_any_may_be_the_contact_s(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, said: Callable[[], str]
) -> None:
    for run_id, first in (("1", 0), ("2", 1)):
        warehouse.fill_rows(
            [*((None, f"No {number}") for number in range(501)), *((key, "Ana") for key in KEYS[first:])]
        )
        run = sync(run_id, on_removed="delete", failure_budget=501)
        assert run.state == "success", run.error
    assert "DELETE" not in {method for method, _ in requests(strict)}
    assert "more than 500 rows have no valid key" in said()


@pytest.mark.slow
def test_who_was_removed_and_comes_back_in_a_run_that_failed_is_new_in_the_next_one(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    consent = "_newsletterSubscriptionStatus"
    sql = "select email, name, 'unsubscribed' as consent from contacts"
    arguments = {"on_removed": {consent: "unsubscribed"}, "properties": {"_name": "name", consent: "consent"}}
    for run_id, keys in (("1", KEYS), ("2", KEYS[1:])):
        warehouse.fill(keys)
        assert sync(run_id, sql, **arguments).state == "success"
    warehouse.fill(KEYS)
    for run_id in ("3", "4"):
        stopped = sync(run_id, sql, max_created=0, **arguments)
        assert "1 contact to create, max_created=0 allows 0" in str(stopped.error)
    assert sync("5", sql, **arguments).plan["to_create"] == 1


@pytest.mark.slow
def test_who_was_removed_and_only_came_back_as_an_invalid_row_is_not_followed_again(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    mapping = {"sql": WITH_POINTS, "properties": {"_name": "name", "_points": "points"}, "failure_budget": 1}
    rows = [(key, "Ana") for key in KEYS[1:]]
    for run_id, first in (("1", [(KEYS[0], "Ana")]), ("2", []), ("3", [(KEYS[0], "bad")])):
        warehouse.fill_rows([*first, *rows])
        run = sync(run_id, on_removed="delete", **mapping)
    assert run.summary["invalid"] == 1
    strict.change_contacts({KEYS[0]: {"_name": "of somebody else"}})
    strict.take_log()
    warehouse.fill_rows(rows)
    assert sync("4", on_removed="delete", **mapping).summary["removed"] == 0
    assert requests(strict) == []
    warehouse.fill(KEYS)
    assert sync("5", on_removed="delete", **mapping).plan["to_create"] == 1


@pytest.mark.slow
def test_a_retry_counts_who_left_as_the_attempt_before_it_did(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill(KEYS)
    sync("1")
    for run_id, on_removed, state in (("2", None, "left"), ("3", "delete", "removed")):
        warehouse.fill_rows([(key, run_id) for key in KEYS[3 * int(run_id) :]])
        method = "PATCH" if on_removed is None else "DELETE"
        strict.reset(faults=[{"method": method, "nth": [3, None], "status": 401}])
        assert sync(run_id, on_removed=on_removed, max_in_flight=1).state == "failed"
        strict.reset()
        again = sync(run_id, on_removed=on_removed, max_in_flight=1, tries_before=1)
        counted = sum(found == state for found in states(journal).values())
        assert (again.state, again.summary["removed"]) == ("success", counted), again.error
    assert counted == 9
    sql = "select contact_key from connectif_journal_outcomes where outcome = 'removed' and run_id = 'dag/3'"
    assert sorted(key for (key,) in journal.query(sql)) == KEYS[:9]
    assert journal.query("select removed from connectif_journal_runs order by run_id") == [(0,), (6,), (9,)]


@pytest.mark.slow
def test_a_night_that_was_deferred_is_a_complete_read_like_any_other(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=20, window_s=1.0, headers="fraction")
    arguments = {"deferrable": True, "defer_after": timedelta(seconds=0.2), "on_removed": "delete"}
    warehouse.fill(KEYS)
    for run_id in ("1", "2"):
        warehouse.fill_rows([(key, run_id) for key in KEYS])
        run = sync(run_id, **arguments)
        assert run.state == "deferred"
        while run.state == "deferred":
            until(lambda: time.time() > strict.windows[-1]["ends"])
            run = sync(run_id, method="execute_complete", **arguments)
        assert run.state == "success", run.error
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5))
    strict.update(limit=0)
    strict.take_log()
    warehouse.fill_rows([(key, "2") for key in KEYS[1:]])
    assert sync("3", on_removed="delete").summary["removed"] == 1
    assert requests(strict) == [("DELETE", KEYS[0])]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["ContactSyncOperator", "ContactPatchOperator"])
def test_a_guard_holds_back_what_is_only_counted_too(kind: str, journal: JournalDatabase, strict: StrictServer) -> None:
    rows = [{"email": key, "_name": "Ana"} for key in KEYS]
    deliver("1", kind=kind, rows=rows, max_removed=0.1)
    strict.take_log()
    changed = [{**row, "_name": "Eva"} for row in rows]
    stopped = deliver("2", kind=kind, rows=changed[4:], max_removed=0.1)
    assert "4 contacts that left the source, max_removed=0.1 of 30 known contacts allows 3" in str(stopped.error)
    assert requests(strict) == []
    passed = deliver("3", kind=kind, rows=changed[3:], max_removed=0.1)
    assert (passed.state, passed.plan["removed"]) == ("success", 3), passed.error
