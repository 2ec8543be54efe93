"""Connectif may distinguish e-mails by case, as the strict server does: a contact keeps its first spelling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from tests.integration.test_erasure import erase
from tests.integration.test_sync import requests, sync
from tests.support.journals import DATABASES, JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.warehouses import Warehouse

OTHERS = [f"user{number:02}@example.com" for number in range(20)]
SENT, NAMESAKE, COMPOSED = "Ana.Lopez@Example.com", "ana.lopez@example.com", "Zoë@example.com"


@pytest.fixture(params=["sqlite"])
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


on_each = pytest.mark.parametrize("journal", DATABASES, indirect=True)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None]) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path)


@on_each
@pytest.mark.sampled(1)
@pytest.mark.parametrize("on_removed", ["delete", {"_points": 0}])
def test_who_left_is_followed_in_the_spelling_that_was_sent(
    on_removed: Any, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    strict.update(email_case=True)
    warehouse.fill([SENT, COMPOSED, *OTHERS])
    sync("1", on_removed=on_removed)
    strict.change_contacts({NAMESAKE: {"_name": "of another sync"}})
    warehouse.fill([SENT.upper(), COMPOSED.lower(), *OTHERS])  # the same contacts, unchanged
    assert sync("2", on_removed=on_removed).summary["unchanged"] == len(OTHERS) + 2
    strict.take_log()
    warehouse.fill(OTHERS)
    assert sync("3", on_removed=on_removed).summary["removed"] == 2
    methods = ["DELETE"] if on_removed == "delete" else ["GET", "PATCH"]
    assert requests(strict) == sorted((method, key) for method in methods for key in (SENT, COMPOSED))
    assert strict.contacts[NAMESAKE]["_name"] == "of another sync"


@pytest.mark.sampled(1)
@pytest.mark.parametrize("first", [SENT, NAMESAKE])
@pytest.mark.parametrize("via", ["patch", "import"])
def test_a_source_that_writes_a_key_otherwise_changes_the_same_contact(
    first: str, via: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    by = {"via": via, "on_removed": "delete", **({"poll_interval": 0.05} if via == "import" else {})}
    warehouse.fill([first, *OTHERS])
    assert sync("1", **by).state == "success"
    strict.take_log()
    warehouse.fill_rows([(key, "Eva") for key in (SENT if first == NAMESAKE else NAMESAKE, *OTHERS)])
    again = sync("2", **by)
    assert (again.state, again.plan["to_change"]) == ("success", len(OTHERS) + 1), again.error
    assert strict.contacts.keys() == {first, *OTHERS}
    assert {contact["_name"] for contact in strict.contacts.values()} == {"Eva"}
    warehouse.fill_rows([(key, "Eva") for key in OTHERS])
    assert sync("3", **by).state == "success"
    assert strict.contacts.keys() == set(OTHERS)


@pytest.mark.slow
def test_a_row_that_comes_back_after_its_contact_was_deleted_has_the_spelling_of_the_row(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    for run_id, keys in (("1", [SENT, *OTHERS]), ("2", OTHERS), ("3", [NAMESAKE, *OTHERS])):
        warehouse.fill(keys)
        assert sync(run_id, on_removed="delete").state == "success"
    assert strict.contacts.keys() == {NAMESAKE, *OTHERS}


def test_hmacs_of_keys_stay_the_only_trace(
    request: pytest.FixtureRequest, airflow_db: None, strict: StrictServer
) -> None:
    journal = journal_database("sqlite", request, connectif_journal_secret="between us")
    rows = [{"email": key, "_name": "Ana"} for key in (SENT, OTHERS[0])]
    assert deliver("1", rows=rows, journal_key="sha256").state == "success"
    assert sorted(journal.query("select coalesce(spelling, 'not known') from connectif_journal")) == [
        ("",),
        ("not known",),
    ]
    assert "lopez" not in journal.text().lower()


@on_each
@pytest.mark.sampled(1)
def test_a_journal_without_spellings_is_read_and_migrated_without_a_rewrite(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    warehouse.fill([SENT, *OTHERS])
    sync("1", on_removed="delete")
    for table in ("connectif_journal", "connectif_journal_pending"):
        journal.query(f"alter table {table} drop column spelling")
    before = journal.query("select * from connectif_journal order by contact_key")
    warehouse.fill_rows([(key, "Eva") for key in (SENT, *OTHERS[2:])])
    check = sync("2", on_removed="delete", check_only=True)
    assert journal.query("select * from connectif_journal order by contact_key") == before
    strict.take_log()
    run = sync("3", on_removed="delete")
    assert {**run.plan, "minutes": 0} == {**check.plan, "minutes": 0}
    assert requests(strict)[:2] == [("DELETE", OTHERS[0]), ("DELETE", OTHERS[1])]
    assert dict(journal.query("select contact_key, spelling from connectif_journal"))[NAMESAKE] == SENT


def test_explain_names_the_spelling_and_asks_for_it(
    journal: JournalDatabase,
    strict: StrictServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")
    deliver("1", rows=[{"email": SENT, "_name": "Ana"}])
    strict.take_log()
    main(["explain", NAMESAKE, "--sync-id", "nightly", "--journal-conn-id", "journal", "--live"])
    shown = capsys.readouterr().out
    assert SENT in shown
    assert "The contact is there, at http://127.0.0.1:" in shown
    assert requests(strict) == [("GET", SENT)]


@on_each
@pytest.mark.sampled(1)
@pytest.mark.parametrize(("sent", "named"), [(SENT, NAMESAKE), (NAMESAKE, SENT)])
def test_an_erasure_deletes_the_spelling_that_was_sent_also_after_a_failed_attempt(
    sent: str, named: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    deliver("1", rows=[{"email": sent, "_name": "Ana"}])
    check = erase(named, check_only=True)
    strict.update(faults=[{"method": "DELETE", "nth": [1, None], "status": 401}])
    assert erase(named).state == "failed"
    strict.update(faults=[])
    strict.take_log()
    run = erase(named, tries_before=1)
    assert (run.summary["deleted"], strict.contacts) == (1, {}), run.error
    assert requests(strict) == sorted([("DELETE", sent), ("DELETE", named)])
    assert run.plan["requests_most"] == check.plan["requests_most"] == 2
    assert "lopez" not in journal.text().lower()


def test_an_erasure_deletes_the_lower_case_spelling_that_a_sync_with_digests_sent(
    strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest
) -> None:
    journal_database("sqlite", request, connectif_journal_secret="a secret of a journal")
    deliver("1", rows=[{"email": NAMESAKE, "_name": "Ana"}], journal_key="sha256")
    strict.change_contacts({SENT: {"_name": "Ana"}})
    run = erase(SENT, journal_key="sha256")
    assert (run.summary["deleted"], strict.contacts) == (1, {}), run.error


@on_each
@pytest.mark.sampled(1)
@pytest.mark.parametrize("how", ["an invalid row", "a rejected row", "the second request is lost"])
def test_a_contact_that_a_part_of_its_row_has_created_keeps_that_spelling(
    how: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    unsubscribed = {"_newsletterSubscriptionStatus": "unsubscribed"}
    row: dict[str, Any] = {"_name": "Ana", "_points": 1, **unsubscribed}
    if how == "an invalid row":
        row["_points"] = "many"
    elif how == "a rejected row":
        strict.update(faults=[{"status": 422, "times": 1}])
    else:
        row["_emailStatus"] = "active"
        strict.update(faults=[{"nth": [2, None], "drop": "before"}])
    deliver("1", rows=[{"email": SENT, **row}], failure_budget=1.0)
    assert strict.contacts.keys() == {SENT}
    strict.update(faults=[])
    again = deliver("2", rows=[{"email": NAMESAKE, "_name": "Eva", "_points": 2, **unsubscribed}])
    assert again.state == "success", again.error
    assert strict.contacts.keys() == {SENT}
    assert strict.contacts[SENT]["_name"] == "Eva"


def test_a_contact_that_an_import_has_created_for_the_withdrawal_of_an_invalid_row_keeps_that_spelling(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    unsubscribed = {"_newsletterSubscriptionStatus": "unsubscribed"}
    by_import = {"kind": "ContactImportOperator", "poll_interval": 0.05, "patch_leftovers": False}
    deliver("1", rows=[{"email": SENT, "_points": "many", **unsubscribed}], failure_budget=1, **by_import)
    assert strict.contacts == {SENT: unsubscribed}
    again = deliver("2", rows=[{"email": NAMESAKE, "_points": 2, **unsubscribed}])
    assert again.state == "success", again.error
    assert strict.contacts == {SENT: {"_points": 2, **unsubscribed}}
