"""What the journal says of a contact after a night, in each state, and after a process was killed in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.histories import assert_agrees
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until

NEWS = "_newsletterSubscriptionStatus"
REJECTED_BY_SERVER = ("rejected", "held")
HANGING = {"hang": "after"}
"""The change is carried out, and its response never comes."""


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=30, retries=1))


def key_of(name: str) -> str:
    return f"{name}@example.com"


def row(name: str, visits: int = 1, **values: Any) -> dict[str, Any]:
    return {"email": key_of(name), "visits": visits, **values}


BEFORE = [row(name) for name in ("unchanged", "changed", "held", "undelivered", "left", "recreated", "invalid", "lost")]
TONIGHT = [
    row("unchanged"),
    row("new"),
    row("changed", 2),
    row("invalid", _birthdate="no day"),
    row("rejected"),
    row("held"),
    row("undelivered", 2),
    row("lost", 2),
    row("kept", **{NEWS: "subscribed"}),
    row("recreated", 2),
]
FAULTS = [
    *({"keys": [key_of(name)], "status": 422} for name in REJECTED_BY_SERVER),
    {"keys": [key_of("undelivered")], "status": 503},
]
AFTER: dict[str, tuple[str | None, list[str]]] = {
    "never seen": (None, []),
    "unchanged": ("acknowledged", []),
    "new": ("acknowledged", ["created"]),
    "changed": ("acknowledged", ["updated"]),
    "invalid": ("invalid", ["invalid"]),
    "rejected": ("rejected", ["rejected"]),
    "held": ("rejected", ["held"]),
    "undelivered": ("undelivered", ["undelivered"]),
    "lost": ("undelivered", ["undelivered"]),
    "kept": ("acknowledged", ["updated"]),
    "recreated": ("acknowledged", ["created"]),
    "left": ("acknowledged", []),
}
"""The state of each contact, and the outcomes of its rows in the night."""


def prepare(journal: JournalDatabase, strict: StrictServer) -> None:
    """The night before, and what happens at Connectif during the day."""
    strict.update(faults=[{"keys": [key_of("held")], "status": 422}])
    deliver("before", rows=BEFORE, max_in_flight=1)
    strict.change_contacts({key_of("kept"): {NEWS: "unsubscribed"}, key_of("recreated"): None})


def found(journal: JournalDatabase, run_id: str) -> dict[str, tuple[str | None, list[str]]]:
    states = dict(journal.query("select contact_key, state from connectif_journal"))
    outcomes: dict[str, list[str]] = {}
    sql = "select contact_key, outcome from connectif_journal_outcomes where run_id = 'dag/{}'"
    for key, outcome in journal.query(sql.format(run_id)):
        outcomes.setdefault(key, []).append(outcome)
    return {name: (states.get(key_of(name)), outcomes.get(key_of(name), [])) for name in AFTER}


def test_each_contact_has_the_state_of_its_last_outcome(journal: JournalDatabase, strict: StrictServer) -> None:
    prepare(journal, strict)
    strict.update(faults=[*FAULTS, {"keys": [key_of("lost")], "drop": "after"}])
    run = deliver("night", rows=TONIGHT)
    assert found(journal, "night") == AFTER
    assert (run.summary["consent_kept"], run.summary["recreated"]) == (1, 1)
    assert_agrees(journal.query, "dag/night", run.summary)
    (line,) = journal.query(
        f"select status_code, reason, run_id from connectif_journal where contact_key = '{key_of('undelivered')}'"
    )
    assert line == (503, "HTTP 503 Service Unavailable", "dag/night")
    ((outcome_at, delivered_at),) = journal.query(
        f"select outcome_at, delivered_at from connectif_journal where contact_key = '{key_of('rejected')}'"
    )
    assert outcome_at is not None
    assert delivered_at is None

    strict.update(faults=[])  # all is well again, and the source has what Connectif holds or would take
    mended = [{**one, "_birthdate": None} if "_birthdate" in one else one for one in TONIGHT]
    run = deliver("next night", rows=mended, retry_rejected=True)
    assert (run.state, {state for _, (state, _) in found(journal, "next night").items()}) == (
        "success",
        {None, "acknowledged"},
    )
    assert_agrees(journal.query, "dag/next night", run.summary)
    writes = "select max(outcome_at) from connectif_journal"
    last = journal.query(writes)
    deliver("quiet night", rows=mended)
    assert journal.query(writes) == last  # unchanged rows cost no write


@pytest.mark.parametrize("name", ["new", "changed", "rejected", "undelivered", "lost", "kept", "recreated"])
def test_after_a_kill_during_a_request_the_state_is_true_and_the_next_attempt_ends_as_if_nothing_were(
    name: str, journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    prepare(journal, strict)
    strict.update(faults=[{"keys": [key_of(name)], **HANGING}, *FAULTS])
    # First in the order of sending: nothing else is on its way when the process is killed.
    tonight = sorted(TONIGHT, key=lambda one: one["email"] != key_of(name))
    already = strict.received
    process = Process(tmp_path, "night", rows=[tonight[0]], max_in_flight=1)
    until(lambda: strict.received > already or process.has_ended(), within_s=60)
    process.kill()
    state, outcomes = found(journal, "night")[name]
    # A contact without a line has nothing that could be in doubt.
    is_known = name in {one["email"].partition("@")[0] for one in BEFORE}
    assert (state, outcomes) == ("in_doubt" if is_known else None, [])
    assert journal.query("select verdict from connectif_journal_runs where run_id = 'dag/night'") == [(None,)]

    strict.update(faults=[*FAULTS, {"keys": [key_of("lost")], "drop": "after"}])
    run = deliver("night", rows=TONIGHT, tries_before=1)

    ended = found(journal, "night")
    # What the killed process has sent has arrived, so that Connectif creates or changes nothing the second time.
    arrived = {"new": "updated", "recreated": "updated", "rejected": "rejected"}
    assert ended == AFTER | ({name: (AFTER[name][0], [arrived[name]])} if name in arrived else {})
    assert_agrees(journal.query, "dag/night", run.summary)


@pytest.mark.parametrize("state", ["left", "undelivered", "invalid", "rejected", "in_doubt"])
def test_a_row_that_is_as_it_was_acknowledged_is_acknowledged_again(
    state: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    rows = [row("ana"), row("bea")]
    deliver("first", rows=rows)
    journal.query(f"update connectif_journal set state = '{state}' where contact_key = '{key_of('ana')}'")
    before = strict.received
    run = deliver("second", rows=rows)
    assert (run.summary["unchanged"], strict.received) == (2, before)
    states = dict(journal.query("select contact_key, state from connectif_journal"))
    assert set(states.values()) == {"acknowledged"}
    assert journal.query("select run_id from connectif_journal order by contact_key") == [
        ("dag/second",),
        ("dag/first",),
    ]


def test_a_new_contact_that_was_given_up_on_is_still_new(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[{"keys": [key_of("ana")], "status": 503}])
    deliver("first", rows=[row("ana", **{NEWS: "subscribed"})])
    strict.update(faults=[])
    deliver("second", rows=[row("ana", **{NEWS: "subscribed"})])
    assert strict.contacts[key_of("ana")][NEWS] == "subscribed"  # as for every contact that the sync creates
