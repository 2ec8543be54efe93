"""The order in which a plan is sent: withdrawn consent, new contacts, other changes, rows that were rejected before."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_deferral import wait_as_the_triggerer
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer

NEWSLETTER = "_newsletterSubscriptionStatus"
LIMIT, WINDOW_S = 12, 2.0
DEFERRABLE: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.2), "max_in_flight": 1}


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


def row(name: str, visits: int, **consent: str) -> dict[str, Any]:
    return {"email": f"{name}@example.com", "visits": visits, **consent}


def names(strict: StrictServer, before: int = 0) -> list[str]:
    """Who was sent, in the order of their first requests that set something.

    :param before: so many requests are left out.
    """
    keys = [entry["key"] for entry in strict.log[before:] if entry["method"] == "PATCH"]
    return [key.partition("@")[0] for key in dict.fromkeys(keys)]


def _first_night(strict: StrictServer, known: Sequence[str], rejected: Sequence[str]) -> None:
    """Contacts that the journal knows as delivered, and as rejected."""
    strict.update(faults=[{"keys": [f"{name}@example.com" for name in rejected], "status": 422}])
    source = [row(name, 1) for name in (*known, *rejected)]
    deliver("first night", rows=source, failure_budget=len(rejected))
    strict.update(faults=[])
    assert len(strict.contacts) == len(known)


SECOND_NIGHT = [
    row("rejected", 2),
    row("changed", 2),
    row("new", 2),
    row("rejected-unsubscribed", 2, **{NEWSLETTER: "unsubscribed"}),
    row("subscribed", 2, **{NEWSLETTER: "subscribed"}),
    row("new-banned", 2, _emailStatus="banned"),
    row("unsubscribed", 2, **{NEWSLETTER: "unsubscribed", "_emailStatus": "active"}),
]
"""Each before what is to be sent before it."""
IN_ORDER = ["rejected-unsubscribed", "new-banned", "unsubscribed", "new", "changed", "subscribed", "rejected"]


@pytest.mark.slow
def test_withdrawn_consent_goes_first_then_new_contacts_and_last_what_was_rejected_before(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    _first_night(strict, ["changed", "subscribed", "unsubscribed"], ["rejected", "rejected-unsubscribed"])
    before = len(strict.log)

    run = deliver("second night", rows=SECOND_NIGHT, max_in_flight=1)

    assert run.state == "success"
    assert names(strict, before) == IN_ORDER
    assert (run.summary["created"], run.summary["updated"]) == (4, 3)
    assert deliver("third night", rows=SECOND_NIGHT).summary["unchanged"] == len(SECOND_NIGHT)


def test_without_a_journal_withdrawn_consent_goes_first(strict: StrictServer, airflow_db: None) -> None:
    deliver("night", rows=SECOND_NIGHT, max_in_flight=1, journal_conn_id=None)
    assert names(strict)[:3] == ["rejected-unsubscribed", "new-banned", "unsubscribed"]


@pytest.fixture
def small_windows(strict: StrictServer, connection: Callable[..., None]) -> Callable[[], None]:
    """From now on few requests are allowed in each window."""

    def begin() -> None:
        connection("connectif_default", **strict.connection(timeout=5))
        strict.update(limit=LIMIT, window_s=WINDOW_S, headers="fraction")

    return begin


@pytest.mark.slow
def test_the_order_is_kept_over_deferrals(
    journal: JournalDatabase, strict: StrictServer, small_windows: Callable[[], None]
) -> None:
    known, rejected = [f"known{n}" for n in range(12)], [f"rejected{n}" for n in range(6)]
    _first_night(strict, known, rejected)
    before = len(strict.log)
    small_windows()
    lowered = {NEWSLETTER: "unsubscribed"}
    source = [
        *(row(name, 2) for name in rejected),
        *(row(name, 2) for name in known),
        *(row(f"new{n}", 2) for n in range(12)),
        *(row(f"urgent{n}", 2, **lowered) for n in range(2 * LIMIT + 3)),  # the third window's last ones are these
    ]

    runs = [deliver("second night", rows=source, **DEFERRABLE)]
    while runs[-1].state == "deferred":
        wait_as_the_triggerer(runs[-1])
        runs.append(deliver("second night", method="execute_complete", rows=source, **DEFERRABLE))

    assert runs[-1].state == "success"
    assert len(runs) >= 3
    sent = [entry["key"].partition("@")[0] for entry in strict.log[before:] if entry["status"] != 429]
    in_order = [each["email"].partition("@")[0] for each in source]
    urgent, new = in_order[30:], in_order[18:30]
    assert sent == [*urgent, *new, *known, *rejected]


def _as_an_earlier_version_left_it(journal: JournalDatabase) -> None:
    """A plan in the order of its rows, whose payloads have no number of a row."""
    lines = journal.query("select number, payload from connectif_journal_pending order by number desc")
    for place, _ in lines:  # out of the way of the rows' numbers
        journal.query(f"update connectif_journal_pending set number = {-place} where number = {place}")
    for place, payload in lines:
        key, properties, of_row, number, *_ = json.loads(payload)
        text = json.dumps([key, properties, of_row]).replace("'", "''")
        journal.query(
            f"update connectif_journal_pending set number = {number}, payload = '{text}', properties = null "
            f"where number = {-place}"
        )


@pytest.mark.slow
def test_a_plan_that_an_earlier_version_has_deferred_continues(
    journal: JournalDatabase, strict: StrictServer, small_windows: Callable[[], None], tmp_path: Path
) -> None:
    small_windows()
    strict.update(faults=[{"keys": ["late13@example.com"], "status": 422}])
    path = tmp_path / "rejects.jsonl"
    source = [
        *(row(f"urgent{n}", 1, _emailStatus="banned") for n in range(LIMIT)),
        *(row(f"late{n}", 1) for n in range(LIMIT + 3)),
    ]
    arguments: dict[str, Any] = {"rows": source, "rejects_path": str(path), "failure_budget": 1, **DEFERRABLE}
    runs = [deliver("night", **arguments)]
    assert journal.pending() == LIMIT + 3
    _as_an_earlier_version_left_it(journal)

    while runs[-1].state == "deferred":
        wait_as_the_triggerer(runs[-1])
        runs.append(deliver("night", method="execute_complete", **arguments))

    assert runs[-1].state == "success"
    assert (runs[-1].summary["created"], runs[-1].summary["rejected"]) == (len(source) - 1, 1)
    assert len(strict.contacts) == len(source) - 1
    assert [json.loads(line)["row_number"] for line in path.read_text().splitlines()] == [LIMIT + 14]
    assert journal.pending() == 0
