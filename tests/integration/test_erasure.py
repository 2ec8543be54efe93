"""A person is forgotten: at Connectif, in the journal, and by every later run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.journal import lease
from tests.support.import_runs import import_rows
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

ANA = "Ana.Pérez@Example.com"
SPELLINGS = (ANA, "ana.pérez@example.com", "ANA.PÉREZ@EXAMPLE.COM", "Ana.Pe\u0301rez@example.com")
SECRET = "between us"


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def _quick_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure waits until every run at work has renewed its claim."""
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)


def erase(*keys: str, run_id: str = "forget", key: str = "email", **arguments: Any) -> Run:
    rows = [{key: value} for value in keys]
    arguments = {"sync_id": "forget", "rows": rows, "key": key} | arguments
    context = {"run_id": run_id, "dag": SimpleNamespace(dag_id="dag")}
    arguments = {"context": context, "journal_conn_id": "journal"} | arguments
    return run_operator(kind="ContactDeleteOperator", **arguments)


def people(visits: int = 1) -> list[dict[str, Any]]:
    rows = [{"email": f"user{n}@example.com", "_name": f"Name {n}", "visits": visits} for n in range(5)]
    return [*rows[:2], {"email": ANA, "_name": "Ana", "visits": visits}, *rows[2:]]


def by_external_id(visits: int = 1) -> list[dict[str, Any]]:
    """The same person of the erasure, and others: an e-mail belongs to one contact."""
    emails = [row["email"] if row["email"] == ANA else f"by-id-{row['email']}" for row in people()]
    return [
        {"external_id": f"C{n}", "_email": email, "_name": row["_name"], "visits": visits}
        for n, (row, email) in enumerate(zip(people(), emails, strict=True))
    ]


def deletions(strict: StrictServer) -> list[str]:
    return [entry["key"] for entry in strict.log if entry["method"] == "DELETE"]


def receipts(journal: JournalDatabase) -> list[str]:
    return [result for (result,) in journal.query("select result from connectif_journal_receipts order by id")]


def everything(journal: JournalDatabase) -> str:
    """All that the database holds; of SQLite its file, with what is deleted and still there."""
    if journal.kind != "sqlite":
        return journal.text()
    path = json.loads(os.environ["AIRFLOW_CONN_JOURNAL"])["host"]
    return Path(path).read_bytes().decode("utf-8", "replace")


def is_named(journal: JournalDatabase) -> bool:
    text = everything(journal).lower()
    return any(spelling.lower() in text for spelling in SPELLINGS) or "ana.p" in text


def the_sum(summary: dict[str, Any]) -> int:
    names = ("created", "updated", "imported", "not_taken", "unchanged", "skipped", "invalid", "rejected", "held")
    return sum(summary.get(name, 0) for name in (*names, "suppressed", "merged", "undelivered", "deleted", "absent"))


@pytest.mark.slow
def test_after_an_erasure_no_run_sends_the_person(strict: StrictServer, journal: JournalDatabase) -> None:
    strict.update(deletes_nobody_with=404)
    assert deliver("night 1", rows=people()).summary["created"] == 6
    assert is_named(journal)
    run = erase(*SPELLINGS[:2], "nobody@example.com")
    assert run.state == "success", run.error
    counts = (run.summary["read"], run.summary["deleted"], run.summary["absent"], run.summary["merged"])
    assert counts == (3, 1, 1, 1)
    planned = {name: run.plan[name] for name in ("way", "to_delete", "to_create", "changed_properties", "merged")}
    assert planned == {"way": "erase", "to_delete": 2, "to_create": 0, "changed_properties": {}, "merged": 1}
    assert journal.query("select way from connectif_journal_runs where sync_id = 'forget'") == [("erase",)]
    assert the_sum(run.summary) == 3
    assert sorted(deletions(strict)) == sorted([*SPELLINGS[:2], "nobody@example.com"])
    assert sorted(receipts(journal)) == ["absent", "deleted"]
    assert not is_named(journal)
    before = strict.requests
    for number, source in enumerate((people(), people(2))):
        night = deliver(f"night {2 + number}", rows=source)
        assert night.state == "success", night.error
        assert night.summary["suppressed"] == 1
        assert the_sum(night.summary) == night.summary["read"]
    load = import_rows("load", rows=people(3), journal_conn_id="journal", sync_id="nightly")
    assert (load.state, load.summary["suppressed"], load.summary["read"]) == ("success", 1, 6), load.error
    other = deliver("by id", rows=by_external_id(), key="external_id", sync_id="by id")
    assert (other.state, other.summary["suppressed"], the_sum(other.summary)) == ("success", 1, 6), other.error
    assert strict.requests > before
    assert ANA not in strict.contacts
    assert "C2" not in strict.contacts
    assert not is_named(journal)


def test_a_person_is_deleted_by_external_id(strict: StrictServer, journal: JournalDatabase) -> None:
    deliver("night 1", rows=by_external_id(), key="external_id", sync_id="by id")
    assert erase("C2", key="external_id").summary["deleted"] == 1
    assert not is_named(journal)
    assert deliver("night 2", rows=by_external_id(), key="external_id", sync_id="by id").summary["suppressed"] == 1
    assert "C2" not in strict.contacts


def nothing_was_done(journal: JournalDatabase) -> bool:
    names = ("suppressed", "receipts", "pending", "plans")
    return [journal.query(f"select count(*) from connectif_journal_{name}") for name in names] == [[(0,)]] * 4


@pytest.mark.slow
@pytest.mark.parametrize("check_only", [False, True])
def test_a_statement_without_its_where_deletes_nobody(
    check_only: bool, strict: StrictServer, journal: JournalDatabase, sqlite_warehouse: Callable[..., None]
) -> None:
    deliver("night 1", rows=people())
    emails = [(row["email"],) for row in people()] + [(f"more{n}@example.com",) for n in range(9_994)]
    sqlite_warehouse(("email",), emails)
    before = strict.requests
    source = {"rows": None, "sql": "select email from contacts", "sql_conn_id": "warehouse", "check_only": check_only}
    run = erase(**source)
    assert run.state == "failed"
    assert "The source has 10,000 contacts to delete, but max_deleted allows 100" in str(run.error)
    assert strict.requests == before
    assert nothing_was_done(journal)
    assert len(journal.acknowledged()) == 6


@pytest.mark.slow
def test_the_limit_counts_people_and_not_rows(strict: StrictServer, journal: JournalDatabase) -> None:
    """As many as the limit are deleted, however often their rows name them; one more, and nobody is."""
    emails = [f"user{n}@example.com" for n in range(100)]
    spelled = [*emails, *(email.upper() for email in emails[:50]), *emails]
    run = erase(*spelled, "one.more@example.com")
    assert (run.state, nothing_was_done(journal)) == ("failed", True)
    assert "The source has 101 contacts to delete, but max_deleted allows 100" in str(run.error)
    checked = erase(*spelled, check_only=True)
    assert (checked.state, nothing_was_done(journal), strict.requests) == ("success", True, 0), checked.error
    run = erase(*spelled)
    assert (run.state, run.summary["deleted"], run.summary["merged"]) == ("success", 100, 150), run.error
    assert len(receipts(journal)) == 100


def test_a_check_counts_people_to_delete(
    journal: JournalDatabase, strict: StrictServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert erase(ANA, ANA.upper(), check_only=True).state == "success"
    assert "no contact sent: 1 to delete, 1 merged with another row" in "".join(capfd.readouterr())
    assert strict.requests == 0


def test_of_the_guards_only_a_number_of_rows_has_an_effect(journal: JournalDatabase, strict: StrictServer) -> None:
    """As the operator's reference says of each of these arguments."""
    deliver("night 1", rows=people())
    none = dict.fromkeys(("max_created", "max_changed", "max_removed", "max_lowered", "max_raised"), 0)
    without_effect = {**none, "full_refresh": True, "retry_rejected": True, "ignore_held": True, "min_rows": 1.0}
    for run_id, key in (("one", ANA), ("two", "user1@example.com")):
        assert erase(key, run_id=run_id, **without_effect).summary["deleted"] == 1
    run = erase("user2@example.com", "user3@example.com", run_id="three", min_rows=3)
    assert "2 rows read, min_rows=3 needs 3" in str(run.error)
    assert len(deletions(strict)) == 2


@pytest.mark.slow
def test_each_instance_of_a_mapped_task_has_the_limit(strict: StrictServer, journal: JournalDatabase) -> None:
    for map_index in range(3):
        emails = [f"user{map_index}{n}@example.com" for n in range(3)]
        run = erase(*emails, map_index=map_index, max_deleted=3)
        assert (run.state, run.summary["deleted"]) == ("success", 3), run.error
    assert journal.query("select distinct map_index from connectif_journal_receipts order by 1") == [(0,), (1,), (2,)]


JSON = "application/json"
NO_ERROR_DOCUMENTS = {
    "a page": {"text": "<html>no such page</html>"},
    "nothing": {"text": ""},
    "an empty object": {"text": "{}", "content_type": JSON},
    "a list": {"text": "[]", "content_type": JSON},
    "null": {"text": "null", "content_type": JSON},
    "Kong's": {"text": '{"message": "no Route matched with those values"}', "content_type": JSON},
    "Spring's": {"text": '{"status": 404, "error": "Not Found", "path": "/"}', "content_type": JSON},
    "a text as its status": {"text": '{"status": "404", "title": "Not Found"}', "content_type": JSON},
    "another status": {"text": '{"status": 400, "title": "Not Found"}', "content_type": JSON},
    "no title": {"text": '{"status": 404, "title": ""}', "content_type": JSON},
    "an object as its title": {"text": '{"status": 404, "title": {}}', "content_type": JSON},
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("a page", "nothing", "Kong's") else pytest.mark.full_size)
        for name in NO_ERROR_DOCUMENTS
    ],
)
def test_a_gateway_that_knows_no_page_leaves_no_receipt(
    name: str, strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(faults=[{"method": "DELETE", "status": 404, **NO_ERROR_DOCUMENTS[name]}])
    run = erase("ana@example.com", "ben@example.com", on_response={"404": "reject"})
    assert run.state == "up_for_retry"
    assert (run.summary["undelivered"], run.summary["absent"], run.summary["deleted"]) == (2, 0, 0)
    assert receipts(journal) == []
    strict.update(faults=[])
    again = erase("ana@example.com", "ben@example.com", retries=1, tries_before=1)
    assert (again.state, again.summary["deleted"], len(receipts(journal))) == ("success", 2, 2)


def test_without_the_list_the_next_run_creates_the_person_again(strict: StrictServer, journal: JournalDatabase) -> None:
    deliver("night 1", rows=people())
    assert erase(ANA, suppress=False).summary["deleted"] == 1
    run = deliver("night 2", rows=people())
    assert (run.summary["created"], run.summary["suppressed"]) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", usually("sqlite"))
def test_keys_as_digests_are_forgotten_alike(
    kind: str, strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest
) -> None:
    journal = journal_database(kind, request, connectif_journal_secret=SECRET)
    settings = {"journal_key": "sha256"}
    assert deliver("night 1", rows=people(), **settings).summary["created"] == 6
    assert deliver("night 1", rows=people(), sync_id="plain").summary["updated"] == 6
    assert erase(ANA, **settings).summary["deleted"] == 1
    assert len(journal.query("select contact_key from connectif_journal")) == 10
    assert not is_named(journal)
    for sync in ({"sync_id": "nightly", **settings}, {"sync_id": "plain"}):
        assert deliver("night 2", rows=people(2), **sync).summary["suppressed"] == 1
    assert ANA not in strict.contacts


def test_a_list_that_cannot_be_read_stops_the_run(
    strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest, connection: Callable[..., None]
) -> None:
    journal_database("sqlite", request, connectif_journal_secret=SECRET)
    erase(ANA)
    path = json.loads(os.environ["AIRFLOW_CONN_JOURNAL"])["host"]
    connection("journal", conn_type="sqlite", host=path)
    run = deliver("night", rows=people())
    assert run.state == "failed"
    assert "the journal's suppression list was written with another secret" in str(run.error)
    assert strict.contacts == {}


@pytest.mark.slow
def test_a_secret_that_comes_later_makes_no_one_unknown(
    strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest, connection: Callable[..., None]
) -> None:
    journal_database("sqlite", request)
    fields = json.loads(os.environ["AIRFLOW_CONN_JOURNAL"])
    with_secret = fields | {"extra": {"connectif_journal_secret": SECRET}}
    assert erase(ANA).state == "success"
    connection("journal", **with_secret)
    assert erase("user1@example.com", run_id="forget 2").state == "success"
    settings = {"journal_key": "sha256", "sync_id": "digests"}
    for name, arguments in (("plain", {}), ("digests", settings)):
        night = deliver(name, rows=people(), **arguments)
        assert (night.state, night.summary["suppressed"]) == ("success", 2), night.error
    for other in ({}, {"connectif_journal_secret": "another"}):
        connection("journal", **(fields | {"extra": other}))
        for run in (deliver("without", rows=people(2)), erase("user2@example.com", run_id="forget 3")):
            assert run.state == "failed"
            assert "the journal's suppression list was written with another secret" in str(run.error)
    connection("journal", **with_secret)
    assert deliver("again", rows=people(2)).summary["suppressed"] == 2
    assert {ANA, "user1@example.com"}.isdisjoint(strict.contacts)
    assert "user2@example.com" in strict.contacts


@pytest.mark.slow
def test_another_journal_needs_an_erasure_of_its_own(
    strict: StrictServer, journal: JournalDatabase, connection: Callable[..., None], tmp_path: Path
) -> None:
    connection("second", conn_type="sqlite", host=str(tmp_path / "second.db"))
    journals = ({}, {"journal_conn_id": "second"}, {"journal_table": "other_journal"})
    for arguments in journals:
        assert deliver("night 1", rows=people(), **arguments).state == "success"
    assert erase(ANA).state == "success"
    counts = [deliver("night 2", rows=people(2), **arguments).summary["suppressed"] for arguments in journals]
    assert counts == [1, 0, 0]
    for arguments in journals[1:]:
        assert erase(ANA, **arguments).state == "success"
    counts = [deliver("night 3", rows=people(3), **arguments).summary["suppressed"] for arguments in journals]
    assert counts == [1, 1, 1]
    assert ANA not in strict.contacts


def test_an_entry_can_be_taken_off_the_list(
    strict: StrictServer, journal: JournalDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    erase(ANA)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["journal", "unsuppress", "somebody@example.com", "--journal-conn-id", "journal"])
    assert end.value.code == 1
    assert "no person with this key is on the suppression list" in capsys.readouterr().err
    main(["journal", "unsuppress", " ANA.PÉREZ@example.com ", "--journal-conn-id", "journal", "--output", "json"])
    assert json.loads(capsys.readouterr().out) == {"removed": 1}
    assert deliver("night", rows=people()).summary["created"] == 6


def test_an_invalid_row_of_a_person_is_in_no_file(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    erase(ANA)
    path = tmp_path / "rejects.jsonl"
    rows = [{**row, "visits": "many"} for row in people()]
    run = deliver("night", rows=rows, fields="live", rejects_path=str(path))
    assert (run.summary["invalid"], run.summary["suppressed"]) == (5, 1)
    assert "ana" not in path.read_text().lower()


def test_a_retry_sends_no_deletion_that_has_a_receipt(strict: StrictServer, journal: JournalDatabase) -> None:
    strict.update(faults=[{"method": "DELETE", "status": 500, "keys": ["ben@example.com"]}])
    first = erase("ana@example.com", "ben@example.com", retries=1)
    assert first.state == "up_for_retry"
    strict.update(faults=[])
    second = erase("ana@example.com", "ben@example.com", retries=1, tries_before=1)
    assert (second.state, second.summary["deleted"]) == ("success", 2)
    assert deletions(strict).count("ana@example.com") == 1
    assert len(receipts(journal)) == 2


def test_what_an_erasure_takes_out_of_a_deferred_run_counts_as_suppressed(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(limit=3, window_s=3.0)
    first = deliver("night", rows=people(), deferrable=True, defer_after=timedelta(seconds=0.2))
    assert first.state == "deferred"
    assert journal.pending() > 0
    strict.update(limit=0)
    run = erase(ANA)
    assert run.state == "success", run.error
    assert not is_named(journal)
    method = first.error.method_name  # type: ignore[union-attr]
    second = deliver("night", rows=None, sql="x", sql_conn_id="y", method=method, deferrable=True)
    assert second.state == "success", second.error
    assert the_sum(second.summary) == second.summary["read"] == 6
    assert ANA not in strict.contacts
    assert not is_named(journal)
