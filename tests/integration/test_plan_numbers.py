"""The plan against what a strict server counts, and guards against a real night."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.test_sync import requests, sync
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_logs import provider_lines, provider_records
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

SUBSCRIPTION = "_newsletterSubscriptionStatus"
KINDS = ("create", "edit", "edit", "edit both", "other case", "remove", "invalid", "twice", "rejected")
FULL_SIZE = (pytest.mark.full_size, pytest.mark.slow, pytest.mark.timeout(900))


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None]) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path, ("name", "points", "visits"))


def key(number: int) -> str:
    return f"user{number:05}@example.com"


class Source:
    """A source that changes: new, edited and removed contacts, keys in other case, several rows of one, bad rows."""

    def __init__(self, contacts: int, seed: int) -> None:
        self._random = random.Random(seed)
        self._next = contacts
        self._spelled: dict[str, str] = {}
        self.rows = {key(number): [("Ana", number, 1)] for number in range(contacts)}

    def change(self, times: int) -> None:
        for _ in range(times):
            some = self._random.choice(list(self.rows))
            name, points, visits = self.rows[some][-1]
            kind = self._random.choice(KINDS)
            if kind == "create":
                self._next += 1
                self.rows[key(self._next)] = [("Eva", self._next, 2)]
            elif kind == "remove":
                del self.rows[some]
            elif kind == "other case":
                self._spelled[some] = self._random.choice((some, some.upper(), some.title()))
                self.rows[some] = [(f"{name}c", points, visits)]
            else:
                changed = {
                    "edit": [(f"{name}x", points, visits)],
                    "edit both": [(f"{name}y", self._random.randrange(1000), visits)],
                    "invalid": [(name, "many", visits)],
                    "twice": [(name, points, visits), (f"{name}z", points, visits)],
                    "rejected": [(name, points, "many")],
                }[kind]
                self.rows[some] = changed

    @property
    def table(self) -> list[tuple[Any, ...]]:
        return [(self._spelled.get(email, email), *row) for email, rows in self.rows.items() for row in rows]


def night(run_id: str, **arguments: Any) -> Run:
    sql = "select email, name, points, visits from contacts"
    mapping = {"_name": "name", "_points": "points", "visits": "visits"}
    return sync(run_id, sql, properties=mapping, on_removed="delete", failure_budget=100_000, **arguments)


@pytest.mark.parametrize(("contacts", "changes"), [(120, 40), pytest.param(2000, 300, marks=FULL_SIZE)])
def test_each_number_of_the_plan_is_what_the_server_counts(
    contacts: int, changes: int, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    source = Source(contacts, seed=contacts)
    for number in range(4):  # the check of the first night finds no tables
        source.change(changes if number else 0)
        warehouse.fill_rows(source.table)
        there, had = strict.contacts, set(strict.contacts)
        strict.take_log()
        checked = night(f"{number}", check_only=True)
        assert requests(strict) == []
        run = night(f"{number}")
        assert run.state == "success", run.error
        assert checked.plan == run.plan
        log = [entry for entry in strict.take_log() if "key" in entry]
        patches = [entry for entry in log if entry["method"] == "PATCH"]
        plan = run.plan
        assert len(log) == plan["requests_least"] == plan["requests_most"]
        assert plan["removed"] == len(log) - len(patches) == len({k.lower() for k in had} - source.rows.keys())
        assert plan["to_create"] == sum(entry["key"] not in there for entry in patches)
        assert plan["to_change"] == sum(entry["key"] in there for entry in patches)
        assert plan["changed_properties"] == Counter(name for entry in patches for name in entry["body"])
        settled = ("to_create", "to_change", "unchanged", "held", "invalid", "merged", "suppressed")
        assert plan["read"] == len(source.table) == sum(plan[name] for name in settled)
        assert all(plan[name] == run.summary[name] for name in ("unchanged", "held", "invalid", "merged"))
        assert {k.lower() for k in strict.contacts} <= source.rows.keys()
        assert len({k.lower() for k in strict.contacts}) == len(strict.contacts)


def consents(run_id: str, rows: list[tuple[str, str]], warehouse: Warehouse, **arguments: Any) -> Run:
    """A night of a source whose names are consents; guards as they are by default."""
    warehouse.fill_rows([(email, value, None, None) for email, value in rows])
    limits = {"max_lowered": 0.05, "max_raised": 0.05, "max_removed": 0.05}
    sql = "select email, name from contacts"
    return sync(run_id, sql, properties={SUBSCRIPTION: "name"}, **{**limits, **arguments})


@pytest.mark.slow
@pytest.mark.parametrize("way", [{}, {"kind": "ContactImportOperator"}], ids=["by PATCH", "by import"])
def test_one_broken_night_is_stopped_and_nobody_is_subscribed_again(
    way: dict[str, str], journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    keys = [key(number) for number in range(60)]
    subscribed = [(email, "subscribed") for email in keys]
    assert consents("0", subscribed, warehouse, **way).state == "success"
    strict.change_contacts({email: {SUBSCRIPTION: "unsubscribed"} for email in keys[:5]})
    strict.take_log()
    broken = [(email, "unsubscribed") for email in keys]
    stopped = consents("1", broken, warehouse, **way)
    assert stopped.state == "failed"
    assert (
        "60 contacts whose consent is lowered, max_lowered=0.05 of 60 known contacts, but at least 20, allows 20"
        in str(stopped.error)
    )
    assert [entry for entry in strict.take_log() if "key" in entry or entry["method"] == "POST"] == []
    assert consents("2", broken, warehouse, guards_off=True, **way).state == "success"
    assert {contact[SUBSCRIPTION] for contact in strict.contacts.values()} == {"unsubscribed"}
    raised = consents("3", subscribed, warehouse, **way)
    assert (raised.state, raised.plan["raised"]) == ("failed", 60)
    assert consents("4", subscribed, warehouse, guards_off="true", **way).state == "success"
    held = {email: contact[SUBSCRIPTION] for email, contact in strict.contacts.items()}
    assert {email for email, value in held.items() if value == "unsubscribed"} == set(keys[:5])


def test_two_of_thirty_who_unsubscribe_are_delivered(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    keys = [key(number) for number in range(30)]
    consents("0", [(email, "subscribed") for email in keys], warehouse)
    run = consents("1", [(k, "unsubscribed" if n < 2 else "subscribed") for n, k in enumerate(keys)], warehouse)
    assert (run.state, run.plan["lowered"]) == ("success", 2), run.error
    assert sum(contact[SUBSCRIPTION] == "unsubscribed" for contact in strict.contacts.values()) == 2


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the provider has logged since the last call."""

    def take() -> list[str]:
        lines = [*provider_lines(capfd.readouterr().out), *provider_records(caplog.records)]
        caplog.clear()
        return lines

    return take


def rows(count: int, name: str = "Ana") -> list[dict[str, str]]:
    return [{"email": key(number), "_name": name} for number in range(count)]


@pytest.mark.slow
def test_the_source_that_shrank(
    journal: JournalDatabase, strict: StrictServer, logged: Callable[[], list[str]]
) -> None:
    """From 295 rows to 3, and to none; a share never blocks the first run."""
    first = deliver("0", rows=rows(295), min_rows=0.5)
    assert first.state == "success", first.error
    strict.take_log()
    for count in (3, 0):
        stopped = deliver(f"{count} rows", rows=rows(count, "Eva"), min_rows=0.5)
        assert stopped.state == "failed"
        assert f"{count} rows read, min_rows=0.5 of 295 rows of the last complete read needs 148" in str(stopped.error)
        assert requests(strict) == []
    logged()
    warned = deliver("warned", rows=rows(3, "Eva"))
    assert (warned.state, len(requests(strict))) == ("success", 3)
    (warning,) = [text for text in logged() if "less than half of its rows" in text]
    assert ": 3 now, 295 in the last complete read" in warning
    deliver("incremental", rows=rows(1, "Eva"))
    assert [text for text in logged() if "less than half of its rows" in text] == []


@pytest.mark.slow
def test_a_task_is_measured_by_what_it_has_read_itself(
    journal: JournalDatabase, strict: StrictServer, logged: Callable[[], list[str]]
) -> None:
    """Of mapped tasks, and of a first load and a nightly task with one sync, each reads other rows."""
    sources = {0: rows(60), 1: rows(66)[60:], 2: []}
    for run_id in ("first", "second"):
        for index, source in sources.items():
            run = deliver(run_id, rows=source, map_index=index, min_rows=0.5)
            assert run.state in ("success", "skipped"), run.error
        logged()
        unguarded = deliver(f"{run_id}, without min_rows", rows=sources[1], map_index=1)
        assert unguarded.state == "success"
        assert [text for text in logged() if "less than half of its rows" in text] == []
    other_task = {"more_context": {"dag": SimpleNamespace(dag_id="another")}}
    assert deliver("nightly", rows=rows(3), min_rows=0.9, **other_task).state == "success"
    shrunk = deliver("third", rows=rows(29), map_index=0, min_rows=0.5)
    assert "29 rows read, min_rows=0.5 of 60 rows of the last complete read needs 30" in str(shrunk.error)
    again = deliver("fourth", rows=rows(29), map_index=0, min_rows=0.5)
    assert "29 rows read, min_rows=0.5 of 60 rows of the last complete read needs 30" in str(
        again.error
    )  # a red night is no measure


@pytest.mark.slow
def test_a_first_load_that_was_killed_is_retried_whatever_the_shares(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    shares = dict.fromkeys(("max_created", "max_changed", "max_removed", "max_lowered", "max_raised", "min_rows"), 0.05)
    strict.update(faults=[{"nth": [11, None], "status": 401}])
    killed = deliver("first", rows=rows(100), max_in_flight=1, **shares)
    assert (killed.state, len(strict.contacts)) == ("failed", 10)
    strict.update(faults=[])
    again = deliver("first", rows=rows(100), tries_before=1, **shares)
    assert (again.state, len(strict.contacts)) == ("success", 100), again.error
    assert again.plan["to_create"] == 90


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_other_operators_take_guards_too(kind: str, journal: JournalDatabase, strict: StrictServer) -> None:
    deliver("0", kind=kind, rows=rows(20))
    strict.take_log()
    full = deliver("1", kind=kind, rows=rows(20), full_refresh=True, max_changed=0)
    assert full.state == "success", full.error
    strict.take_log()
    changed = [*rows(22)[1:], {"email": key(0), "_name": "Eva"}]
    stopped = deliver("2", kind=kind, rows=changed, max_created=1, max_changed=0)
    assert stopped.state == "failed"
    assert "2 contacts to create, max_created=1 allows 1" in str(stopped.error)
    assert "1 contact to change, max_changed=0 allows 0" in str(stopped.error)
    assert [entry for entry in strict.take_log() if "key" in entry or entry["target"] == "/imports/"] == []


def test_a_withdrawal_that_is_sent_again_alone_lies_in_the_range(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """Each contact is looked up, its row is rejected, and its consent is sent alone."""
    mapping = {SUBSCRIPTION: "name", "visits": "visits"}
    sql = "select email, name, visits from contacts"
    for run_id, consent, visits in (("0", "subscribed", 1), ("1", "unsubscribed", "many")):
        warehouse.fill_rows([(key(number), consent, None, visits) for number in range(3)])
        strict.take_log()
        run = sync(run_id, sql, properties=mapping, failure_budget=3)
    assert (run.state, run.summary["rejected"]) == ("success", 3), run.error
    assert run.plan["requests_least"] < len(requests(strict)) == run.plan["requests_most"] == 9


def test_a_share_does_not_stop_a_first_load_that_an_outage_has_interrupted(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=10**6, timeout=5, retries=1))
    warehouse.fill_rows([(key(number), "Ana", 1, 1) for number in range(30)])
    arguments = {"properties": {"_name": "name"}, "sql": "select email, name from contacts", "max_created": 0.1}
    # Fewer than the twenty in a row that end a run early: such a run would not count as a complete read.
    strict.update(faults=[{"keys": [key(number) for number in range(15, 30)], "status": 503}])
    for tries_before in (0, 1):
        run = sync("1", tries_before=tries_before, **arguments)
        assert (run.state, run.summary["undelivered"]) == ("up_for_retry", 15), run.error
    # One contact that never arrives does not keep the guards from the runs that follow.
    strict.update(faults=[{"keys": [key(29)], "status": 503}])
    assert sync("2", **arguments).summary["undelivered"] == 1
    warehouse.fill_rows([(key(number), "Ana", 1, 1) for number in range(40)])
    stopped = sync("3", **arguments)
    assert "11 contacts to create, max_created=0.1 of 29 known contacts allows 2" in str(stopped.error)


def test_a_share_does_not_stop_the_mapped_tasks_of_a_first_load(journal: JournalDatabase, strict: StrictServer) -> None:
    def load(run_id: str, index: int, count: int = 10) -> Run:
        rows = [{"email": key(100 * index + number), "_name": "Ana"} for number in range(count)]
        return deliver(run_id, rows=rows, map_index=index, max_created=0.5)

    for index in range(3):  # one after the other
        run = load("1", index)
        assert run.state == "success", run.error
    assert load("2", 0, 25).state == "success"
    assert "28 contacts to create, max_created=0.5 of 45 known contacts allows 22" in str(load("2", 1, 38).error)
