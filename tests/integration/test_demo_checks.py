"""The demo's closing checks: each holds when all is well, and each can fail."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import pytest

from demo import checks, nights, warehouse
from demo.airflow_home import Run
from demo.result_page import result_page
from demo.scenario import finish
from demo.screen import Screen
from demo.story import TITLES
from demo.warehouse import SUBSCRIPTION, Row

CUSTOMERS, ANSWERS = warehouse.customers(), warehouse.answers(nights.ANSWERS)
CAMPAIGN = nights.after_campaign(CUSTOMERS)
AT_END = nights.after_wedding(nights.after_moves(CAMPAIGN))
GOOD = next(row for row in CUSTOMERS if row.flaw is None)
HER = nights.subscriber(CUSTOMERS).email


@pytest.fixture
def as_it_must_be(tmp_path: Path) -> checks.Outcome:
    """The outcome of a demo without fault, made up."""
    rejects = tmp_path / "rejects.jsonl"
    counts = checks.counts_of(CUSTOMERS)
    rejects.write_text("{}\n" * (counts["invalid"] + counts["rejected"]))
    night = {**counts_of(CUSTOMERS), "created": 0, "updated": 0}
    answers = counts_of(ANSWERS)
    return checks.Outcome(
        first=Run("success", 1, 3, {**counts_of(CUSTOMERS), "rejects_path": str(rejects)}, ""),
        resumed=Run("success", 0, 3, {**night, "updated": nights.CAMPAIGN, "tries": 2}, ""),
        quiet=Run("success", 1, 3, {**night, "updated": nights.MOVED}, ""),
        wedding=Run("success", 1, 3, {**night, "updated": 1, "consent_kept": 1}, ""),
        imported=Run("success", 1, 3, {**answers, "created": 0, "imported": answers["created"], "requests": 7}, ""),
        refused=Run("failed", 1, 3, {**night, "read": 0}, "Connectif refused the API key (401)"),
        patches={"killed": 63, "resumed": 97, "quiet": nights.MOVED, "wedding": 1, "imported": 0},
        customers=CUSTOMERS,
        customers_at_end=AT_END,
        answers=ANSWERS,
        after_kill=campaign_contacts(60),
        after_resume=campaign_contacts(nights.CAMPAIGN),
        contacts={
            # The spelling that a contact was created with is kept, and only that of the subscriber is asked for.
            HER if email == HER.casefold() else email.upper(): {"id": "1", "_email": email, **properties}
            for email, properties in checks.expected_at_end(AT_END, ANSWERS).items()
        },
        faults_struck=[1, 1, 1],
        log="Done: 320 rows read",
        secrets=("Hush", "quiet-secret"),
    )


def counts_of(rows: list[Row]) -> dict[str, Any]:
    """The summary that a table must lead to."""
    counts = checks.counts_of(rows)
    others = {"updated": 0, "waited_s": 11.0, "duration_s": 12.0, "requests": 348, "rate_limited": 1, "reasons": {}}
    return {**counts, "created": counts["delivered"], **others}


def campaign_contacts(arrived: int) -> dict[str, dict[str, Any]]:
    """Contacts, of which so many have the points of the campaign."""
    return {
        str(number): {"_points": nights.CAMPAIGN_POINTS if number < arrived else 1}
        for number in range(nights.CAMPAIGN + 20)
    }


def with_run(outcome: checks.Outcome, name: str, **changes: Any) -> dict[str, Any]:
    """One run changed."""
    return {name: dataclasses.replace(getattr(outcome, name), **changes)}


def with_count(outcome: checks.Outcome, name: str, count: str, value: float) -> dict[str, Any]:
    """One count of one run changed."""
    return with_run(outcome, name, summary={**getattr(outcome, name).summary, count: value})


def with_patches(outcome: checks.Outcome, **changes: int) -> dict[str, Any]:
    """Other numbers of requests."""
    return {"patches": {**outcome.patches, **changes}}


def with_contact(outcome: checks.Outcome, email: str, **changes: Any) -> dict[str, Any]:
    """One contact changed."""
    return {"contacts": {**outcome.contacts, email: {**outcome.contacts[email], **changes}}}


def first_contact(outcome: checks.Outcome, **changes: Any) -> dict[str, Any]:
    """The first contact changed."""
    return with_contact(outcome, next(iter(outcome.contacts)), **changes)


WRONG = {
    "a contact is missing": lambda o: {"contacts": dict(list(o.contacts.items())[1:])},
    "a contact too many": lambda o: {"contacts": {**o.contacts, "x@example.com": {}}},
    "a value is another": lambda o: first_contact(o, _points=-1),
    "a property too many": lambda o: first_contact(o, work_email="x@y.z"),
    "the first night is red": lambda o: with_run(o, "first", state="failed"),
    "the second attempt is red": lambda o: with_run(o, "resumed", state="failed"),
    "the quiet night is red": lambda o: with_run(o, "quiet", state="failed"),
    "the wedding is red": lambda o: with_run(o, "wedding", state="failed"),
    "the import is red": lambda o: with_run(o, "imported", state="failed"),
    "a bad row was not counted": lambda o: with_count(o, "first", "rejected", 0),
    "a good row was not counted": lambda o: with_count(o, "first", "created", 0),
    "a bad answer was not counted": lambda o: with_count(o, "imported", "invalid", 0),
    "the window was never spent": lambda o: with_count(o, "first", "waited_s", 0.0),
    "a fault did not come about": lambda o: {"faults_struck": [1, 0, 1]},
    "nothing had arrived when it was killed": lambda o: {"after_kill": campaign_contacts(0)},
    "all had arrived when it was killed": lambda o: {"after_kill": campaign_contacts(nights.CAMPAIGN)},
    "the kill lost a change": lambda o: {"after_resume": campaign_contacts(nights.CAMPAIGN - 1)},
    "the second attempt was a first one": lambda o: with_count(o, "resumed", "tries", 1),
    "the second attempt sent everything": lambda o: with_patches(o, killed=1, resumed=nights.CAMPAIGN),
    "too many were sent twice": lambda o: with_patches(o, killed=130),
    "a change was not sent": lambda o: with_patches(o, killed=10),
    "the quiet night sent unchanged rows": lambda o: with_patches(o, quiet=nights.MOVED + 1),
    "the quiet night sent too few": lambda o: with_count(o, "quiet", "updated", nights.MOVED - 1),
    "a consent was not kept": lambda o: with_count(o, "wedding", "consent_kept", 0),
    "the wedding sent twice": lambda o: with_patches(o, wedding=2),
    "the import sent requests": lambda o: with_patches(o, imported=1),
    "the import took many requests": lambda o: with_count(o, "imported", "requests", 21),
    "the wrong key is green": lambda o: with_run(o, "refused", state="success"),
    "the wrong key is tried again": lambda o: with_run(o, "refused", tries=2),
    "the wrong key fails without words": lambda o: with_run(o, "refused", failure=""),
    "the wrong key changed a contact": lambda o: with_count(o, "refused", "updated", 1),
    "the key was logged": lambda o: {"log": "apiKey sandbox-id:hush"},
    "an e-mail was logged": lambda o: {"log": f"sent {GOOD.email}"},
}


def broken(outcome: checks.Outcome) -> list[str]:
    return [result.words for result in checks.check(outcome) if not result.holds]


def test_they_hold_when_all_is_well(as_it_must_be: checks.Outcome) -> None:
    assert broken(as_it_must_be) == []


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_each_can_fail(as_it_must_be: checks.Outcome, wrong: Any) -> None:
    assert len(broken(dataclasses.replace(as_it_must_be, **wrong(as_it_must_be)))) == 1


@pytest.mark.parametrize(
    "changes", [{SUBSCRIPTION: "subscribed"}, {"_surname": "Gonçalves"}], ids=["subscribed again", "her old surname"]
)
def test_they_notice_the_person_who_unsubscribed(as_it_must_be: checks.Outcome, changes: dict[str, str]) -> None:
    outcome = dataclasses.replace(as_it_must_be, **with_contact(as_it_must_be, HER, **changes))
    assert [words for words in broken(outcome) if nights.SUBSCRIBER in words]


def test_they_notice_a_rejects_file_that_is_too_short(as_it_must_be: checks.Outcome) -> None:
    Path(as_it_must_be.first.summary["rejects_path"]).write_text("{}\n")
    assert len(broken(as_it_must_be)) == 1


@pytest.mark.parametrize(("faults_struck", "status"), [([1, 1, 1], 0), ([1, 1, 0], 1)], ids=["all well", "one fails"])
def test_the_demo_ends_with_1_if_a_check_fails(
    as_it_must_be: checks.Outcome, faults_struck: list[int], status: int, tmp_path: Path
) -> None:
    (tmp_path / ".demo").mkdir()
    out = io.StringIO()
    outcome = dataclasses.replace(as_it_must_be, faults_struck=faults_struck)
    assert finish(outcome, Screen(out), tmp_path) == status
    assert ("FAILED" in out.getvalue()) == bool(status)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    page = (tmp_path / ".demo" / "result.html").read_text()
    assert ("All checks hold." in page, "1 of 12 checks do not hold." in page) == (not status, bool(status))
    assert page.count('class="wrong"') == status


def test_the_result_page_has_the_picture_of_each_run(as_it_must_be: checks.Outcome) -> None:
    runs = {title: getattr(as_it_must_be, name) for name, title in TITLES.items()}
    wrong = dataclasses.replace(as_it_must_be.refused, failure="the key is <b>wrong</b>")
    page = result_page({**runs, "The wrong key": wrong}, checks.check(as_it_must_be))
    labels = re.findall(r'aria-label="([^"]*)"', page)
    assert labels[0] == "320 rows read: 270 created, 12 merged, 36 invalid, 2 rejected"
    assert labels[4] == "1,000 rows read: 996 imported, 2 merged, 2 invalid"
    assert "No row has an outcome yet" not in labels[0]
    assert "the key is &lt;b&gt;wrong&lt;/b&gt;" in page
    assert not re.findall(r"https?://", page)
