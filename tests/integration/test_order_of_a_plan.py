"""The order in which a plan is sent: withdrawn consent, new contacts, other changes, rows that were rejected before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.journals import DATABASES, JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer

NEWSLETTER = "_newsletterSubscriptionStatus"


@pytest.fixture(params=DATABASES)
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


def row(name: str, visits: int, **consent: str) -> dict[str, Any]:
    return {"email": f"{name}@example.com", "visits": visits, **consent}


def names(strict: StrictServer) -> list[str]:
    """Who was sent, in the order of the requests."""
    return [entry["key"].partition("@")[0] for entry in strict.log]


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


def test_withdrawn_consent_goes_first_then_new_contacts_and_last_what_was_rejected_before(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    _first_night(strict, ["changed", "subscribed", "unsubscribed"], ["rejected", "rejected-unsubscribed"])
    before = len(strict.log)

    run = deliver("second night", rows=SECOND_NIGHT, max_in_flight=1)

    assert run.state == "success"
    assert names(strict)[before:] == IN_ORDER
    assert (run.summary["created"], run.summary["updated"]) == (4, 3)
    assert deliver("third night", rows=SECOND_NIGHT).summary["unchanged"] == len(SECOND_NIGHT)


def test_without_a_journal_withdrawn_consent_goes_first(strict: StrictServer, airflow_db: None) -> None:
    deliver("night", rows=SECOND_NIGHT, max_in_flight=1, journal_conn_id=None)
    assert names(strict)[:3] == ["rejected-unsubscribed", "new-banned", "unsubscribed"]
