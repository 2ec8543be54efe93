"""A PATCH carries only what differs from what Connectif has accepted, judged by the bodies that a server received.

The judge knows nothing of the journal: for each contact it keeps what the server accepted, and compares the source.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.delivery.doubts import MOST_WRITTEN_AHEAD
from tests.support.journals import JournalDatabase, Process, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run, run_operator

VALUES: dict[str, list[Any]] = {
    "_name": ["Ana", "Beatriz", "Ço"],
    "_surname": ["Pérez", "O'Neill", "Li"],
    "_points": [0, 5, 7],
    "tier": ["gold", "Gold", "silver"],
    "segment": ["new", "regular", "lapsed"],
    "vip": [True, False],
    "spent": [0.5, 1.25, 2.0],
    "visits": [0, 1, 2],
    "interests": [["shoes"], ["hats", "shoes"], ["books"]],
    "work_email": ["a@example.org", "b@example.org"],
}
PROPERTIES = list(VALUES)


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    strict.update(limit=10**6)
    connection("connectif_default", **strict.connection(requests_per_minute=10**6, timeout=5, retries=1))


def night(number: int | str, rows: list[dict[str, Any]], **arguments: Any) -> Run:
    """One run of the sync."""
    context = {"run_id": f"night {number}", "dag": SimpleNamespace(dag_id="dag")}
    usual: dict[str, Any] = {"journal_conn_id": "journal", "sync_id": "nightly", "fields": "builtin"}
    return run_operator(context=context, rows=rows, **(usual | arguments))


class Judge:
    """What the server has accepted of each contact, and what a run had to send."""

    def __init__(self, strict: StrictServer) -> None:
        self._strict = strict
        self._accepted: dict[str, dict[str, Any]] = defaultdict(dict)
        self._in_doubt: dict[str, set[str]] = defaultdict(set)
        self._refused: dict[str, tuple[dict[str, Any], list[str]]] = {}
        self._written_ahead: dict[str, set[str]] = defaultdict(set)
        self._sent_for_that = 0
        self._seen = 0
        self.sent = 0
        """Properties that were sent in all."""

    def check(self, rows: list[dict[str, Any]], mapped: list[str], *, is_killed: bool = False) -> None:
        """Compare the bodies of a run with the difference between the source and what was accepted before.

        :param is_killed: what it has sent may be sent once more, and what it has not is still to be sent. Of at most
            50 contacts what it was about to send is in doubt, too.
        """
        bodies: dict[str, dict[str, Any]] = {}
        entries = self._strict.log[self._seen :]
        self._seen += len(entries)
        for entry in entries:
            bodies[entry["key"]] = bodies.get(entry["key"], {}) | entry["body"]
        wholes: dict[str, dict[str, Any]] = {}
        for row in rows:
            key = row["email"]
            whole = wholes[key] = {name: row[name] for name in mapped if row[name] is not None}
            known, doubtful = self._accepted[key], self._in_doubt[key] & whole.keys()
            differing = {name for name, v in whole.items() if known.get(name, ...) != v} - doubtful
            ahead = (self._written_ahead[key] & whole.keys()) - differing - doubtful
            is_settled = self._refused.get(key) == (whole, mapped) or (not differing and not doubtful and known)
            if is_settled and not (ahead and key in bodies):
                assert key not in bodies, key
                continue
            body = bodies.get(key, {})
            assert body.items() <= whole.items()
            assert body.keys() <= differing | doubtful | ahead, key
            self._sent_for_that += not body.keys() <= differing | doubtful
            assert self._sent_for_that <= MOST_WRITTEN_AHEAD
            assert differing <= body.keys() or (is_killed and not body), key
            self.sent += len(body)
            if is_killed and known and not body:
                self._written_ahead[key] |= differing
        self._sent_for_that *= not is_killed
        for entry in entries:
            key, body = entry["key"], entry["body"]
            if is_killed:
                self._in_doubt[key] |= body.keys()
            if entry["status"] == 422 and not is_killed:
                self._refused[key] = wholes[key], mapped
            elif entry["status"] in (200, 201):
                self._accepted[key] |= body
                self._written_ahead[key] -= body.keys()
                self._in_doubt[key] -= set() if is_killed else body.keys()
                self._refused.pop(key, None)
            else:
                self._in_doubt[key] |= body.keys()


FULL_SIZE = (pytest.mark.full_size, pytest.mark.slow, pytest.mark.timeout(1800))


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("seed", "contacts", "nights"),
    [*((seed, 30, 14) for seed in range(2)), pytest.param(4, 1000, 200, marks=FULL_SIZE)],
)
def test_over_the_nights_only_what_differs_is_sent(
    seed: int, contacts: int, nights: int, journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    chance, judge = random.Random(seed), Judge(strict)
    keys = [f"user{number}@example.com" for number in range(contacts)]
    rows = {key: {"email": key, **{name: chance.choice(VALUES[name]) for name in PROPERTIES}} for key in keys}
    mapped = PROPERTIES[:8]
    for number in range(nights):
        for row in chance.sample(list(rows.values()), 12 * len(keys) // (30 if nights < 20 else 240)):
            for name in chance.sample(PROPERTIES, chance.choice([1, 1, 2, 5])):
                row[name] = None if chance.random() < 0.2 else chance.choice(VALUES[name])
        if number % 4 == 3:
            mapped = sorted(chance.sample(PROPERTIES, chance.randrange(4, 10)))
        unlucky = chance.sample(keys, 6)
        faults = [{"keys": unlucky[:2], "drop": "after"}, {"keys": unlucky[2:4], "drop": "before"}]
        faults += [{"keys": unlucky[4:5], "status": 503}, {"keys": unlucky[5:], "status": 422}]
        strict.update(faults=faults if number % 3 else [])
        chosen = list(rows.values())
        if number % 7 == 5:
            killed(number, chosen, mapped, journal, strict, tmp_path)
            judge.check(chosen, mapped, is_killed=True)
            continue
        run = night(number, chosen, properties={name: name for name in mapped})
        assert run.summary["read"] == len(chosen)
        judge.check(chosen, mapped)
    assert judge.sent
    sent_before = len(strict.log)
    strict.update(faults=[])
    night("calm", chosen, properties={name: name for name in mapped})
    judge.check(chosen, mapped)
    night("the end", chosen, properties={name: name for name in mapped})
    judge.check(chosen, mapped)
    assert len(strict.log) - sent_before <= len(keys)


def killed(
    number: int,
    rows: list[dict[str, Any]],
    mapped: list[str],
    journal: JournalDatabase,
    strict: StrictServer,
    folder: Path,
) -> None:
    """A night whose process gets a SIGKILL after some requests, if it has so many."""
    goal = strict.received + 4
    process = Process(folder, f"night {number}", rows=rows, properties={name: name for name in mapped})
    until(lambda: strict.received >= goal or process.has_ended(), within_s=60)
    if process.has_ended():
        process.end()
        return
    process.kill()
    until(lambda: not strict.in_flight)
    journal.query("update connectif_journal_claims set lease_until = 0")


def row(**values: Any) -> dict[str, Any]:
    return {"email": "ana@example.com", **values}


def bodies(strict: StrictServer) -> list[dict[str, Any]]:
    return [entry["body"] for entry in strict.log]


def test_a_rejected_change_leaves_what_was_accepted_before(journal: JournalDatabase, strict: StrictServer) -> None:
    night(1, [row(_name="Ana", visits=1)])
    strict.update(faults=[{"keys": ["ana@example.com"], "status": 422}])
    assert night(2, [row(_name="Ana", visits=2)]).summary["rejected"] == 1
    strict.update(faults=[])
    night(3, [row(_name="Ana", visits=3)])
    assert bodies(strict) == [{"_name": "Ana", "visits": 1}, {"visits": 2}, {"visits": 3}]


def test_what_was_in_doubt_before_a_rejection_stays_in_doubt(journal: JournalDatabase, strict: StrictServer) -> None:
    night(1, [row(_name="Ana", visits=1)])
    strict.update(faults=[{"keys": ["ana@example.com"], "drop": "after"}])
    night(2, [row(_name="Bea", visits=1)])
    strict.update(faults=[{"keys": ["ana@example.com"], "status": 422}])
    night(3, [row(_name="Cea", visits=1)])
    strict.update(faults=[])
    night(4, [row(_name="Ana", visits=1)])
    assert strict.contacts["ana@example.com"]["_name"] == "Ana"


def test_a_contact_that_was_deleted_gets_its_other_properties_at_once(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    consent = {"_newsletterSubscriptionStatus": "subscribed"}
    night(1, [row(_name="Ana", tier="gold", visits=1, **consent)])
    strict.reset(limit=10**6)  # with all of its contacts
    run = night(2, [row(_name="Ana", tier="gold", visits=2, **consent)])
    assert bodies(strict) == [{"visits": 2}, {"_name": "Ana", "tier": "gold"}]
    assert (run.summary["created"], run.summary["recreated"], run.summary["requests"]) == (1, 1, 2)
    night(3, [row(_name="Ana", tier="silver", visits=2, **consent)])
    assert bodies(strict)[2:] == [{"tier": "silver"}]


@pytest.mark.parametrize("fault", [{"status": 422}, {"drop": "before"}])
def test_where_the_rest_of_a_deleted_contact_does_not_arrive_it_is_sent_again(
    fault: dict[str, Any], journal: JournalDatabase, strict: StrictServer
) -> None:
    night(1, [row(_name="Ana", tier="gold", visits=1)])
    strict.reset(limit=10**6, faults=[{"keys": ["ana@example.com"], "nth": [2, 2], **fault}])
    assert night(2, [row(_name="Ana", tier="gold", visits=2)]).state in ("failed", "up_for_retry")
    night(3, [row(_name="Ana", tier="gold", visits=2)], retry_rejected=True)
    assert bodies(strict) == [{"visits": 2}, *2 * [{"_name": "Ana", "tier": "gold"}]]


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 422}, {"drop": "after"}])
def test_what_is_written_at_creation_arrives_though_its_own_request_failed(
    fault: dict[str, Any], journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(faults=[{"keys": ["ana@example.com"], "nth": [2, 2], **fault}])
    rows = [row(_name="Ana", tier="gold", segment="new")]
    modes = {"tier": "on_create", "segment": "on_create"}
    assert night(1, rows, write_modes=modes).state in ("failed", "up_for_retry")
    strict.update(faults=[])
    strict.change_contacts({"ana@example.com": {"segment": "lapsed"}})
    assert night(2, rows, write_modes=modes, retry_rejected=True).state == "success"
    expected = {"_name": "Ana", "tier": "gold", "segment": "lapsed"}
    assert strict.contacts["ana@example.com"] == expected
    count = len(strict.log)
    night(3, [row(_name="Ana", tier="silver", segment="regular")], write_modes=modes)
    assert (strict.contacts["ana@example.com"], len(strict.log)) == (expected, count)


@pytest.mark.slow
def test_a_full_refresh_sends_every_property(journal: JournalDatabase, strict: StrictServer) -> None:
    night(1, [row(_name="Ana", visits=1)])
    night(2, [row(_name="Ana", visits=2)], full_refresh=True)
    night(3, [row(_name="Ana", visits=2)])
    assert bodies(strict) == [{"_name": "Ana", "visits": 1}, {"_name": "Ana", "visits": 2}]


def test_a_mapping_that_loses_a_property_sends_nothing_and_one_that_gains_it_sends_what_changed(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    both = {"_name": "name", "visits": "visits"}
    rows = [row(name="Ana", visits=1)]
    night(1, rows, properties=both)
    night(2, rows, properties={"_name": "name"})
    night(3, rows, properties=both)
    night(4, rows, properties=both | {"tier": "name"})
    assert bodies(strict) == [{"_name": "Ana", "visits": 1}, {"tier": "Ana"}]


SENT = {"_name": "Ana", "tier": "Golden", "last_visit": "2026-05-17", "visits": 3}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("modes", "counts"),
    [
        ({}, {}),
        ({"stores": "other forms"}, {}),
        ({"stores": "upper case"}, {"stored_differently": {"_name": 2, "tier": 2}}),
        ({"stores": "cut"}, {"stored_differently": {"tier": 2}}),
        ({"stores": "day before"}, {"stored_differently": {"last_visit": 2}}),
        ({"shows": "nothing"}, {"unconfirmed": 2}),
        ({"shows": "empty"}, {"unconfirmed": 2}),
        ({"shows": "another"}, {"unconfirmed": 2}),
    ],
)
def test_what_connectif_stored_is_compared_with_what_was_sent(
    modes: dict[str, str],
    counts: dict[str, Any],
    journal: JournalDatabase,
    strict: StrictServer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    strict.update(**modes)
    rows = [{"email": f"{name}@example.com", **SENT} for name in ("ana", "bea")]
    run = night(1, rows, fields="live")
    names = ("unconfirmed", "stored_differently", "drifted")
    assert {name: run.summary[name] for name in names if name in run.summary} == counts
    assert (run.state, run.summary["created"] + run.summary["updated"]) == ("success", 2)
    log = "".join(capfd.readouterr())
    shows_another = modes.get("shows") == "another"
    assert log.count("mixes up responses") == shows_another
    assert strict.received == (4 if shows_another else 2)  # each once more on a fresh connection
    assert log.count("show other values") == ("stored_differently" in counts)
    assert all(f"  {property_id}: " in log for property_id in counts.get("stored_differently", ()))
    assert "Golden" not in log
    assert night(2, rows, fields="live").summary["unchanged"] == 2


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("stores", "key", "counts", "words"),
    [
        ("upper case", "email", {"_name": 2, "tier": 2}, "case"),
        ("cut", "email", {"tier": 2}, "shortened"),
        ("day before", "email", {"last_visit": 2}, "day"),
        ("documented", "external_id", {"tier": 2, "last_visit": 2, "visits": 2}, "missing"),
    ],
)
def test_the_warning_says_how_connectif_stored_it_differently(
    stores: str,
    key: str,
    counts: dict[str, int],
    words: str,
    journal: JournalDatabase,
    strict: StrictServer,
    capfd: pytest.CaptureFixture[str],
) -> None:
    strict.update(stores=stores)
    rows = [{key: one, **SENT} for one in (("ana@x.org", "bea@x.org") if key == "email" else ("A-1", "A-2"))]
    run = night(1, rows, fields="live", key=key)
    assert (run.state, run.summary["stored_differently"]) == ("success", counts)
    log = "".join(capfd.readouterr())
    for property_id in counts:
        (line,) = [line for line in log.splitlines() if line.startswith(f"  {property_id}: ")]
        assert words in line
    assert night(2, rows, fields="live", key=key).summary["unchanged"] == 2


def test_a_proxy_page_is_no_delivery(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(shows="page")
    run = night(1, [row(_name="Ana")])
    assert (run.state, run.summary["undelivered"]) == ("up_for_retry", 1)


def test_what_others_have_changed_is_counted_and_left(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    night(1, [row(_name="Ana", visits=1)])
    night("elsewhere", [row(_name="Bea")], sync_id="another")
    run = night(2, [row(_name="Ana", visits=2)])
    assert run.summary["drifted"] == 1
    assert strict.contacts["ana@example.com"] == {"_name": "Bea", "visits": 2}
