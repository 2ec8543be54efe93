"""Consents whose value at Connectif no response has shown: what is sent when the source raises them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.journals import JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

NEWS = "_newsletterSubscriptionStatus"
ANA = "ana@example.com"
BY_IMPORT = {"kind": "ContactImportOperator", "poll_interval": timedelta(seconds=0.1), "patch_leftovers": False}


@pytest.fixture(autouse=True)
def journal(request: pytest.FixtureRequest, airflow_db: None, strict: StrictServer, connection: Any) -> JournalDatabase:
    connection("connectif_default", **strict.connection(requests_per_minute=10**6, timeout=5, retries=1))
    return journal_database("sqlite", request)


def night(run_id: str, value: str, name: str = "Ana", **arguments: Any) -> Run:
    return deliver(run_id, rows=[{"email": ANA, "_name": name, NEWS: value}], **arguments)


def consent(strict: StrictServer) -> Any:
    return strict.contacts[ANA].get(NEWS)


@pytest.mark.parametrize(("hers", "expected"), [(None, "subscribed"), ("unsubscribed", "unsubscribed")])
def test_a_rise_whose_response_was_lost_is_decided_by_what_connectif_shows(
    hers: str | None, expected: str, strict: StrictServer
) -> None:
    night("1", "none")
    strict.update(faults=[{"keys": [ANA], "drop": "after"}])
    assert night("2", "subscribed").state != "success"
    assert consent(strict) == "subscribed"
    strict.update(faults=[])
    if hers:
        strict.change_contacts({ANA: {NEWS: hers}})
    run = night("3", "subscribed")
    assert (run.state, consent(strict)) == ("success", expected)
    assert run.summary.get("consent_kept", 0) == (expected != "subscribed")


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
@pytest.mark.parametrize(("hers", "expected"), [("none", "subscribed"), ("unsubscribed", "unsubscribed")])
def test_a_contact_that_was_created_without_its_consent_gets_it_unless_the_person_has_decided(
    hers: str, expected: str, kind: str, strict: StrictServer
) -> None:
    strict.update(faults=[{"keys": [ANA], "nth": [2, None], "status": 503}])
    assert night("1", "subscribed").state != "success"
    assert consent(strict) is None
    strict.update(faults=[])
    strict.change_contacts({ANA: {NEWS: hers}})
    by_import = {"kind": kind, "poll_interval": timedelta(seconds=0.1)} if "Import" in kind else {}
    run = night("2", "subscribed", **by_import)
    assert (run.state, consent(strict)) == ("success", expected)
    strict.take_log()
    night("3", "subscribed", **by_import)
    assert [entry for entry in strict.take_log() if entry.get("key") == ANA] == []


@pytest.mark.parametrize("first", ["none", "subscribed"])
def test_what_an_import_did_not_see_is_raised_only_by_a_response(first: str, strict: StrictServer) -> None:
    strict.change_contacts({ANA: {"_name": "Ana", NEWS: "unsubscribed"}})
    assert night("1", first, name="Anna", **BY_IMPORT).state == "success"
    assert consent(strict) == "unsubscribed"
    night("2", "none")
    run = night("3", "subscribed")
    assert (run.state, consent(strict)) == ("success", "unsubscribed")


def test_what_an_import_did_not_see_is_raised_where_the_person_has_not_decided(strict: StrictServer) -> None:
    assert night("1", "none", **BY_IMPORT).state == "success"
    run = night("2", "subscribed")
    assert (run.state, consent(strict)) == ("success", "subscribed")
    strict.take_log()
    night("3", "none")
    run = night("4", "subscribed")
    assert consent(strict) == "subscribed"
    # Its value is known now: the source's own rise goes in the first request.
    assert [entry["method"] for entry in strict.take_log() if entry.get("key") == ANA][-1:] == ["PATCH"]


def test_an_import_raises_by_patch_what_an_import_did_not_see(strict: StrictServer) -> None:
    strict.change_contacts({ANA: {"_name": "Ana", NEWS: "unsubscribed"}})
    by_import = {"kind": "ContactImportOperator", "poll_interval": timedelta(seconds=0.1)}
    night("1", "none", **BY_IMPORT)
    run = night("2", "subscribed", **by_import)
    assert (run.state, consent(strict), run.summary["consent_kept"]) == ("success", "unsubscribed", 1)
