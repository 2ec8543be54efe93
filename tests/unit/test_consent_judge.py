"""The judge of the nights of consent notices each kind of violation, and none where there is none.

Hand-made logs: what a strict server would have written down.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.consent_judge import ConsentJudge
from tests.support.consent_ranks import Row

KEY, NEWS, MAIL = "ana@example.com", "_newsletterSubscriptionStatus", "_emailStatus"
UNSUBSCRIBED, NONE, SUBSCRIBED = "unsubscribed", "none", "subscribed"
Contacts = dict[str, dict[str, Any]]


class Server:
    """Keeps contacts and writes down requests as the strict server does."""

    def __init__(self, **held: dict[str, Any]) -> None:
        self.contacts: Contacts = {f"{name}@example.com": {**properties} for name, properties in held.items()}
        self.log: list[dict[str, Any]] = []

    def patch(self, body: dict[str, Any], name: str = "ana", status: int | None = None, *, lost: bool = False) -> None:
        """A PATCH: carried out unless there is a status of a refusal; ``lost``: without a response."""
        key = f"{name}@example.com"
        before = self.contacts.get(key)
        entry = {"method": "PATCH", "key": key, "body": body, "before": before, "after": before}
        entry |= {"applied": None, "is_shown": False, "status": status or 0}
        if status is None:
            self.contacts[key] = {**(before or {}), **body}
            entry |= {"after": self.contacts[key], "applied": body, "is_shown": not lost}
            entry["status"] = 0 if lost else 200 if before is not None else 201
        self.log.append(entry)

    def get(self, name: str = "ana", status: int = 200) -> None:
        """A look-up."""
        key = f"{name}@example.com"
        held = self.contacts.get(key)
        entry = {"method": "GET", "key": key, "before": held, "after": held, "applied": None}
        self.log.append(entry | {"status": status, "is_shown": status == 200})

    def take_log(self) -> list[dict[str, Any]]:
        log, self.log = self.log, []
        return log


class Nights:
    """Runs by hand: what was sent in each, and what the judge says of all."""

    def __init__(self, *, quiet: tuple[str, ...] = (), **held: dict[str, Any]) -> None:
        self.server = Server(**held)
        self.judge = ConsentJudge([f"{name}@example.com" for name in quiet])
        self._number = 0

    def night(self, rows: dict[str, Row] | Row | str | None, **how: Any) -> None:
        """One run, after its requests; a text is Ana's newsletter."""
        if isinstance(rows, str):
            rows = Row({NEWS: rows})
        if not isinstance(rows, dict):
            rows = {} if rows is None else {KEY: rows}
        self._number += 1
        self.judge.look(self._number, self.server.take_log(), rows, self.server.contacts, **how)

    @property
    def kinds(self) -> list[str]:
        return [violation.kind for violation in self.judge.violations]


def known_as(value: str, **more: Any) -> Nights:
    """Ana is delivered with this newsletter."""
    nights = Nights(**more)
    nights.server.patch({"_name": "Ana", NEWS: value})
    nights.night(value)
    assert nights.kinds == []
    return nights


def test_a_raise_on_a_first_load_has_no_cause() -> None:
    nights = Nights(ana={NEWS: UNSUBSCRIBED})
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised without cause"]


def test_a_new_contact_and_one_that_holds_nothing_are_not_raised() -> None:
    nights = Nights(bea={"_name": "Bea"})
    nights.server.patch({"_name": "Ana"})
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.server.patch({NEWS: SUBSCRIBED}, "bea")
    nights.night({name: Row({NEWS: SUBSCRIBED}) for name in (KEY, "bea@example.com")})
    assert nights.kinds == []


def test_what_connectif_fills_in_a_new_contact_is_no_decision_of_a_person() -> None:
    nights = Nights()
    nights.server.patch({"_name": "Ana"})
    nights.server.contacts[KEY][NEWS] = NONE
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == []
    nights.server.contacts[KEY][NEWS] = NONE
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised without cause"]


@pytest.mark.parametrize("by_person", [UNSUBSCRIBED, NONE])
def test_a_value_that_the_source_has_not_changed_raises_without_cause(by_person: str) -> None:
    nights = known_as(SUBSCRIBED)
    nights.server.contacts[KEY][NEWS] = by_person
    nights.server.patch({"_name": "Bea", NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised without cause"]


def test_a_value_that_fell_raises_without_cause() -> None:
    nights = known_as(SUBSCRIBED)
    nights.server.contacts[KEY][NEWS] = UNSUBSCRIBED
    nights.server.patch({NEWS: NONE})
    nights.night(NONE)
    assert nights.kinds == ["raised without cause"]


def test_an_unlisted_value_must_not_be_replaced_without_cause() -> None:
    nights = Nights(ana={NEWS: "cleaned"})
    nights.server.patch({NEWS: NONE})
    nights.night(NONE)
    assert nights.kinds == ["raised without cause"]


def test_the_source_own_rise_is_a_cause_once() -> None:
    nights = known_as(NONE)
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert (nights.kinds, nights.judge.counts["raised"]) == ([], 1)
    nights.server.contacts[KEY][NEWS] = NONE
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised without cause"]


def test_a_rise_whose_response_was_lost_may_go_once_more() -> None:
    nights = known_as(NONE)
    nights.server.patch({NEWS: SUBSCRIBED}, lost=True)
    nights.night(SUBSCRIBED)
    nights.server.contacts[KEY][NEWS] = UNSUBSCRIBED
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == []


def test_a_first_value_whose_response_was_lost_is_no_cause() -> None:
    nights = Nights()
    nights.server.patch({"_name": "Ana"})
    nights.server.patch({NEWS: SUBSCRIBED}, lost=True)
    nights.night(SUBSCRIBED)
    nights.server.contacts[KEY][NEWS] = UNSUBSCRIBED
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised without cause"]


def test_a_contact_whose_first_value_was_kept_is_never_raised() -> None:
    nights = Nights(ana={NEWS: NONE})
    nights.server.patch({"_name": "Ana"})  # shows the lower rank: kept
    nights.night(SUBSCRIBED)
    assert nights.judge.counts["kept"] == 1
    nights.server.patch({NEWS: UNSUBSCRIBED})
    nights.night(UNSUBSCRIBED)
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised though kept"]


def test_a_response_that_shows_less_than_is_acknowledged_keeps() -> None:
    nights = known_as(NONE)
    nights.server.contacts[KEY][NEWS] = UNSUBSCRIBED
    nights.server.patch({"_name": "Bea"})
    nights.night(NONE)
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised though kept"]


@pytest.mark.parametrize("status", [403, 503, 0])
def test_a_look_up_that_fails_before_a_lowering_keeps(status: int) -> None:
    nights = known_as(SUBSCRIBED)
    nights.server.get(status=status)
    nights.server.patch({NEWS: UNSUBSCRIBED})
    nights.night(UNSUBSCRIBED)
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised though kept"]


@pytest.mark.parametrize("how", [{}, {"is_broken": True}])
@pytest.mark.parametrize("lost", [False, True])
def test_who_unsubscribed_before_the_source_lowered_is_not_raised_by_its_return(
    how: dict[str, Any], lost: bool
) -> None:
    nights = known_as(SUBSCRIBED)
    nights.server.contacts[KEY][NEWS] = UNSUBSCRIBED
    nights.server.patch({NEWS: UNSUBSCRIBED}, lost=lost)  # without a look-up
    nights.night(UNSUBSCRIBED, **how)
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised who unsubscribed"]


def test_who_was_lowered_by_the_source_alone_returns_with_it() -> None:
    nights = known_as(SUBSCRIBED)
    nights.server.get()
    nights.server.patch({NEWS: UNSUBSCRIBED})
    nights.night(UNSUBSCRIBED)
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == []


def test_a_contact_that_was_deleted_comes_back_without_raised_consent() -> None:
    nights = known_as(SUBSCRIBED)
    del nights.server.contacts[KEY]
    nights.server.patch({"_name": "Bea"})
    nights.server.patch({NEWS: SUBSCRIBED})
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["raised recreated"]


def test_a_contact_that_was_deleted_comes_back_with_lowered_consent() -> None:
    nights = known_as(UNSUBSCRIBED)
    del nights.server.contacts[KEY]
    nights.server.patch({"_name": "Bea"})
    nights.night(UNSUBSCRIBED)
    assert nights.kinds == ["lowering lost"]


@pytest.mark.parametrize("fate", ["ok", "invalid", "rejected"])
def test_a_lowered_consent_that_does_not_arrive_is_noticed(fate: str) -> None:
    nights = known_as(SUBSCRIBED)
    nights.night(Row({NEWS: UNSUBSCRIBED}, fate))
    assert nights.kinds == ["lowering lost"]
    nights.server.patch({NEWS: UNSUBSCRIBED})
    nights.night(Row({NEWS: UNSUBSCRIBED}, fate))
    assert nights.kinds == ["lowering lost"]


@pytest.mark.parametrize("how", ["lost", "status", "broken"])
def test_what_did_not_arrive_is_owed_by_the_next_run_that_can(how: str) -> None:
    nights = known_as(SUBSCRIBED)
    if how != "broken":
        nights.server.patch({NEWS: UNSUBSCRIBED}, status={"status": 503}.get(how), lost=how == "lost")
    nights.night(UNSUBSCRIBED, is_broken=how == "broken")
    assert nights.kinds == []
    nights.server.contacts[KEY][NEWS] = SUBSCRIBED
    nights.night(UNSUBSCRIBED)
    assert nights.kinds == ["lowering lost"]


def test_what_was_rejected_alone_is_owed_when_its_row_changes() -> None:
    nights = known_as(SUBSCRIBED)
    nights.server.patch({NEWS: UNSUBSCRIBED}, status=422)
    for signature in (1, 1):
        nights.night(Row({NEWS: UNSUBSCRIBED}, "ok", signature))
    assert nights.kinds == []
    nights.night(Row({NEWS: UNSUBSCRIBED}, "ok", 2))
    assert nights.kinds == ["lowering lost"]


def test_who_subscribed_again_after_a_lowering_that_arrived_is_left() -> None:
    nights = known_as(UNSUBSCRIBED)
    nights.server.contacts[KEY][NEWS] = SUBSCRIBED
    nights.server.patch({"_name": "Bea"})
    nights.night(UNSUBSCRIBED)
    assert nights.kinds == []


@pytest.mark.parametrize(("overtaking", "kinds"), [(0, ["lowered late"]), (1, [])])
def test_a_body_of_another_contact_before_a_lowered_consent_is_noticed(overtaking: int, kinds: list[str]) -> None:
    nights = known_as(SUBSCRIBED)
    nights.judge._overtaking = overtaking
    nights.server.get()
    nights.server.patch({"_name": "Bea"}, "bea")
    nights.server.patch({NEWS: UNSUBSCRIBED})
    nights.night({KEY: Row({NEWS: UNSUBSCRIBED}), "bea@example.com": Row({})})
    assert nights.kinds == kinds


def test_a_lowered_consent_that_is_not_in_the_first_body_is_noticed() -> None:
    nights = known_as(SUBSCRIBED)
    nights.server.patch({"_name": "Bea"})
    nights.server.patch({NEWS: UNSUBSCRIBED})
    nights.night(UNSUBSCRIBED)
    assert nights.kinds == ["lowered late"]


@pytest.mark.parametrize("fate", ["invalid", "rejected"])
def test_of_a_refused_row_only_the_lowest_consent_may_be_sent(fate: str) -> None:
    row = Row({NEWS: UNSUBSCRIBED, MAIL: "active"}, fate)
    nights = Nights()
    nights.server.patch({NEWS: UNSUBSCRIBED})
    nights.night(row)
    assert nights.kinds == []
    nights.server.patch({NEWS: UNSUBSCRIBED, MAIL: "active", "_name": "Ana"})
    nights.night(row)
    assert nights.kinds == ["more than the lowest"] * 2


def test_what_changed_for_a_quiet_person_must_arrive() -> None:
    nights = known_as(NONE, quiet=("ana",))
    nights.night(SUBSCRIBED)
    assert nights.kinds == ["change lost"]


def test_a_contact_that_the_source_does_not_have_gets_no_request() -> None:
    nights = Nights()
    nights.server.patch({"_name": "Ana"})
    nights.night(None)
    assert nights.kinds == ["not in the source"]


def test_an_import_is_judged_by_what_it_changed() -> None:
    nights = Nights(ana={NEWS: UNSUBSCRIBED})
    entry = {"method": "IMPORT", "key": KEY, "status": 200, "body": {NEWS: SUBSCRIBED}, "is_shown": False}
    held = {NEWS: UNSUBSCRIBED}
    nights.server.log = [entry | {"before": held, "after": held, "applied": {}}]  # with updateOnlyEmptyFields
    nights.night(SUBSCRIBED, by_import=True)
    assert nights.kinds == []
    nights.server.log = [entry | {"before": held, "after": {NEWS: SUBSCRIBED}, "applied": {NEWS: SUBSCRIBED}}]
    nights.night(SUBSCRIBED, by_import=True)
    assert nights.kinds == ["raised without cause"]
