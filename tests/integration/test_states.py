"""What the journal says of a contact whose row returns to what Connectif holds. See also test_twelve_states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer

NEWS = "_newsletterSubscriptionStatus"


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


@pytest.mark.sampled(1)
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


def test_rows_of_one_contact_that_are_as_they_were_acknowledged_are_acknowledged_again(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    rows = [row("ana"), row("ana", visits=2)]
    deliver("first", rows=rows)
    deliver("second", rows=[*rows, row("ana", _birthdate="no day")])
    assert journal.query("select state from connectif_journal") == [("invalid",)]
    before = strict.received
    deliver("third", rows=rows)
    assert strict.received == before
    assert journal.query("select state from connectif_journal") == [("acknowledged",)]


@pytest.mark.slow
def test_a_new_contact_that_was_given_up_on_is_still_new(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[{"keys": [key_of("ana")], "status": 503}])
    deliver("first", rows=[row("ana", **{NEWS: "subscribed"})])
    strict.update(faults=[])
    deliver("second", rows=[row("ana", **{NEWS: "subscribed"})])
    assert strict.contacts[key_of("ana")][NEWS] == "subscribed"  # as for every contact that the sync creates
