"""Consents that are withdrawn, by the source or by the person, beyond what each file of an import can contain."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.test_import_consent import FORBIDDEN, NEWS, NIGHTS, email
from tests.support.import_runs import account, import_over_deferral, import_rows
from tests.support.journals import JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer

BAR: dict[str, Any] = {"interests": {"type": "checkbox", "options": ["shoes", "hats", "a|b"]}}
"""Options with a character that separates them in a file."""
THERE, NEW, FITS = map(email, range(3))


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


def leavers(*interests: str, new: str = "unsubscribed") -> list[dict[str, Any]]:
    values = zip((THERE, NEW, FITS), interests, ("unsubscribed", new, "unsubscribed"), strict=True)
    return [{"email": key, "_name": "Ana", NEWS: consent, "interests": [value]} for key, value, consent in values]


def night(run_id: str, source: list[dict[str, Any]], **arguments: Any) -> dict[str, Any]:
    run = import_rows(run_id, rows=source, failure_budget=2, **(NIGHTS | {"fields": BAR} | arguments))
    assert (run.state, account(run.summary)) == ("success", len(source)), run.error
    return run.summary


def test_a_withdrawn_consent_of_a_row_that_no_file_can_contain_goes_alone(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.change_contacts({THERE: {NEWS: "subscribed", "_name": "Old"}})
    source = leavers("a|b", "a|b", "hats")
    check = import_rows("check", rows=source, failure_budget=2, check_only=True, **(NIGHTS | {"fields": BAR}))
    summary = night("load", source)
    counts = (summary["imported"], summary["invalid"], summary["lowered_alone"], summary["files"])
    assert counts == (1, 2, 2, 2)
    assert (check.state, check.summary["files"]) == ("success", 2)
    consents = {key: contact[NEWS] for key, contact in strict.contacts.items()}
    assert consents == dict.fromkeys((THERE, NEW, FITS), "unsubscribed")
    assert strict.contacts[THERE]["_name"] == "Old"
    assert night("again", source)["files"] == 0
    assert night("mended", leavers("shoes", "shoes", "hats"))["imported"] == 2
    assert strict.contacts[NEW] == {NEWS: "unsubscribed", "_name": "Ana", "interests": ["shoes"]}


def test_so_it_does_without_a_journal(strict: StrictServer, airflow_db: None) -> None:
    strict.change_contacts({THERE: {NEWS: "subscribed"}})
    summary = night("load", leavers("a|b", "a|b", "hats", new="subscribed"), journal_conn_id=None)
    assert (summary["imported"], summary["invalid"], summary["lowered_alone"]) == (1, 2, 1)
    assert strict.contacts[THERE] == {NEWS: "unsubscribed"}
    assert NEW not in strict.contacts


def test_an_import_that_only_creates_makes_no_contact_of_it(strict: StrictServer, airflow_db: None) -> None:
    summary = night("load", leavers("a|b", "a|b", "hats"), journal_conn_id=None, on_existing="keep")
    assert (summary["imported"], summary["invalid"], "lowered_alone" in summary) == (1, 2, False)
    assert strict.contacts.keys() == {FITS}


@pytest.mark.parametrize("on_existing", ["fill_empty", "keep"])
def test_a_contact_that_was_deleted_at_connectif_gets_no_kept_consent(
    on_existing: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    source = [{"email": THERE, "_name": "Ana", NEWS: "subscribed"}]
    assert deliver("first", rows=source).summary["created"] == 1
    strict.change_contacts({THERE: {NEWS: "unsubscribed"}})
    assert deliver("kept", rows=[{**source[0], "_name": "Eva"}]).summary["consent_kept"] == 1
    strict.reset()
    night("load", source, on_existing=on_existing)
    assert strict.contacts[THERE] == {"_name": "Ana"}


def test_a_consent_that_nobody_looked_up_counts_as_kept_in_an_invalid_row_too(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    source = [{"email": key, NEWS: "subscribed", "_points": 1} for key in (THERE, FITS)]
    night("load", source)
    strict.update(faults=[FORBIDDEN])
    summary = night("next", [{**source[0], NEWS: "unsubscribed", "_points": "x"}, {**source[1], NEWS: "unsubscribed"}])
    assert (summary["lowered_alone"], summary["imported"], summary["consent_kept"]) == (1, 1, 2)
    assert {contact[NEWS] for contact in strict.contacts.values()} == {"unsubscribed"}


@pytest.mark.slow
@pytest.mark.parametrize("unfit", [{"_points": "x"}, {"interests": ["a|b"]}])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_consent_that_was_rejected_alone_waits_until_its_row_changes(
    unfit: dict[str, Any], is_there: bool, journal: JournalDatabase, strict: StrictServer
) -> None:
    if is_there:
        night("load", [{"email": THERE, "_name": "Old", NEWS: "subscribed"}])
    source = [{"email": THERE, "_name": "Ana", NEWS: "unsubscribed", **unfit}]
    strict.update(import_rejects=[THERE], faults=[FORBIDDEN])
    rejected = night("rejected", source)
    assert (rejected["invalid"], rejected["files"], "lowered_alone" in rejected) == (1, 1, False)
    again = night("again", source)
    assert (again["invalid"], again["files"]) == (1, 0)
    changed = night("changed", [{**source[0], "_name": "Eva"}])
    assert (changed["invalid"], changed["files"]) == (1, 1)
    strict.update(import_rejects=[])
    assert night("held", [{**source[0], "_name": "Eva"}])["files"] == 0
    refreshed = night("refreshed", [{**source[0], "_name": "Eva"}], full_refresh=True)
    assert (refreshed["invalid"], refreshed["lowered_alone"]) == (1, 1)
    assert strict.contacts[THERE][NEWS] == "unsubscribed"
    assert night("at last", [{**source[0], "_name": "Eva"}])["files"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("is_deferred", [False, True])
def test_so_does_the_consent_of_a_held_row(is_deferred: bool, journal: JournalDatabase, strict: StrictServer) -> None:
    night("load", [{"email": THERE, "_name": "Old", NEWS: "subscribed"}])
    source = [{"email": THERE, "_name": "Ana", NEWS: "unsubscribed"}]
    strict.update(import_rejects=[THERE], faults=[FORBIDDEN])
    assert night("rejected", source)["rejected"] == 1
    if is_deferred:
        runs = import_over_deferral("alone", rows=source, failure_budget=1, fields=BAR, **NIGHTS)
        assert ([run.state for run in runs][-1], len(runs)) == ("success", 2), runs[-1].error
        alone = runs[-1].summary
    else:
        alone = night("alone", source)
    assert (alone["held"], alone["files"], "lowered_alone" in alone) == (1, 1, False)
    again = night("again", source)
    assert (again["held"], again["files"]) == (1, 0)
    strict.update(import_rejects=[])
    changed = night("changed", [{**source[0], "_name": "Eva"}])
    assert (changed["imported"], strict.contacts[THERE][NEWS]) == (1, "unsubscribed")


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"_name": ""}, {NEWS: "subscribed"}])
def test_a_check_counts_what_no_file_sets_as_unchanged(
    change: dict[str, Any], journal: JournalDatabase, strict: StrictServer
) -> None:
    source = [{"email": key, "_name": "Ana", NEWS: "unsubscribed"} for key in (THERE, FITS)]
    night("load", source)
    source = [{**source[0], **change}, {**source[1], "_name": "Eva"}]
    arguments = NIGHTS | {"on_existing": "update", "fields": BAR}
    if NEWS in change:
        # A raised consent that was kept is not sent again.
        strict.change_contacts({THERE: {NEWS: "unsubscribed"}})
        strict.update(faults=[FORBIDDEN])
        night("kept", [source[0], {**source[1], "_name": "Ana"}])
        source[0]["_name"] = ""
    check = import_rows("check", rows=source, check_only=True, **arguments)
    summary = night("real", source)
    assert (check.summary["valid"], summary["imported"]) == (1, 1)
    assert (check.summary["unchanged"], check.summary["files"]) == (summary["unchanged"], summary["files"]) == (1, 1)
