"""The requests of one contact: what goes first, what a response makes follow, and when the contact is looked up."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError
from airflow_provider_connectif.api.response import CREATED, OK, Response
from airflow_provider_connectif.contacts.fields import FieldTable
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.contacts.steps import OLD_PLAN_S, ContactSteps
from airflow_provider_connectif.records.changes import Patch, Standing
from airflow_provider_connectif.records.resource import Step

KEY, NEWS = "ana@example.com", "_newsletterSubscriptionStatus"
OUT, NONE, IN = {NEWS: "unsubscribed"}, {NEWS: "none"}, {NEWS: "subscribed"}
LOWEST, MIDDLE, HIGHEST = Standing(0), Standing(1), Standing(2)
MODES: dict[str, Any] = {"source": "on_create", "city": "if_empty"}


def steps(resubscribe: Any = "on_change") -> ContactSteps:
    return ContactSteps(FieldTable("email", None), resubscribe, MODES)


def change(properties: dict[str, Any], **fields: Any) -> Patch:
    return Patch(1, KEY, properties, {}, **fields)


def arranged(properties: dict[str, Any], by: ContactSteps | None = None, **fields: Any) -> Patch:
    """A change all of whose properties differ."""
    return (by or steps()).arrange(change(properties, **fields), properties.keys())


def contact(**properties: Any) -> dict[str, Any]:
    return {"_email": KEY, **properties}


def known(standing: Standing) -> dict[str, Any]:
    """What makes a contact one that was delivered before."""
    return {"was_delivered": True, "standings": {NEWS: standing}}


def step(by: ContactSteps, patch: Patch, came: Any) -> Step:
    found = by.step(patch, came)
    assert found is not None
    return found


def test_what_a_response_decides_waits_for_it() -> None:
    found = arranged({"_name": "Ana", "source": "web", "city": "Lugo", **IN})
    assert found.properties == {"_name": "Ana"}
    assert found.later == {"source": "web", "city": "Lugo", **IN}
    assert steps().requests(found) == (1, 2)


def test_what_is_written_at_creation_only_is_no_business_of_a_contact_that_is_known() -> None:
    found = arranged({"_name": "Ana", "source": "web"}, was_delivered=True)
    assert (found.properties, found.later, found.others) == ({"_name": "Ana"}, {}, {"source": "web"})
    assert steps().requests(found) == (1, 1)


@pytest.mark.parametrize("status", [OK, CREATED])
def test_an_empty_value_is_not_sent_where_there_is_none_to_clear(status: int) -> None:
    by = steps()
    patch = arranged({"_name": "Ana", "source": None, "city": None}, by)
    found = step(by, patch, Response(status, contact(_name="Ana")))
    assert (found.goes_on, found.patch.others) == (False, {"source": None, "city": None, "_name": "Ana"})


def test_what_does_not_differ_is_not_sent() -> None:
    found = steps().arrange(change({"_name": "Ana", **IN}), {"_name"})
    assert (found.properties, found.later, found.others) == ({"_name": "Ana"}, {}, IN)


def test_a_rise_of_the_source_goes_first_and_a_withdrawal_after_a_look_up() -> None:
    rise = arranged({"_name": "Ana", **IN}, **known(LOWEST))
    assert (rise.properties, rise.later, rise.looks_up) == ({"_name": "Ana", **IN}, {}, False)
    fall = arranged({"_name": "Ana", **OUT}, **known(HIGHEST))
    assert (fall.properties, fall.later, fall.looks_up) == ({"_name": "Ana", **OUT}, {}, True)
    assert steps().requests(fall) == (1, 2)


def test_arranging_again_changes_nothing() -> None:
    by = steps()
    patch = arranged({"_name": "Ana", "city": "Lugo", **IN}, by)
    assert by.arrange(patch, patch.whole.keys()) == patch


def test_a_contact_that_is_created_gets_the_rest_at_once() -> None:
    by = steps()
    patch = arranged({"_name": "Ana", "source": "web", "city": "Lugo", **IN}, by)
    after = step(by, patch, Response(201, contact(_name="Ana")))
    assert after.goes_on
    assert after.patch.properties == {"source": "web", "city": "Lugo", **IN}
    assert after.patch.whole == patch.whole
    last = step(by, after.patch, Response(200, contact(_name="Ana", source="web", city="Lugo", **IN)))
    assert not last.goes_on
    assert last.shown is not None
    assert not last.shown.differences


def test_none_needs_no_request() -> None:
    by = steps()
    assert not step(by, arranged({"_name": "Ana", **NONE}, by), Response(201)).goes_on


@pytest.mark.parametrize(
    ("held", "sent", "kept"),
    [
        ({}, {"city": "Lugo", **IN}, set()),
        ({"city": "Vigo", NEWS: "unsubscribed"}, {}, {NEWS}),
        ({"city": "", NEWS: "none"}, {"city": "Lugo"}, {NEWS}),
        ({"city": "Vigo", NEWS: "SUBSCRIBED"}, {}, set()),
    ],
)
def test_a_contact_that_is_there_decides(held: dict[str, Any], sent: dict[str, Any], kept: set[str]) -> None:
    by = steps()
    after = step(
        by, arranged({"_name": "Ana", "source": "web", "city": "Lugo", **IN}, by), Response(200, contact(**held))
    )
    assert (after.goes_on, after.patch.properties, after.patch.kept) == (bool(sent), sent, kept)


def test_a_response_without_a_contact_leads_to_a_look_up_and_later_contacts_are_looked_up_first() -> None:
    by = steps()
    patch = by.next_request(arranged({"_name": "Ana", **IN}, by), 0.0)
    assert not patch.looks_up
    after = step(by, patch, Response(204))
    assert (after.goes_on, after.patch.looks_up, after.patch.properties) == (True, True, {})
    seen = step(by, after.patch, Response(200, contact(**OUT)))
    assert (seen.goes_on, seen.patch.kept) == (False, {NEWS})
    another = by.next_request(arranged({"_name": "Bea", **IN}, by), 0.0)
    assert another.looks_up
    nobody = step(by, another, Response(200, None))
    assert (nobody.goes_on, nobody.patch.looks_up, nobody.patch.properties) == (True, False, {"_name": "Bea", **IN})


def test_a_new_contact_whose_response_shows_nothing_gets_its_consent_all_the_same() -> None:
    by = steps()
    after = step(by, arranged({"_name": "Ana", **IN}, by), Response(201))
    assert (after.goes_on, after.patch.properties) == (True, IN)


def test_an_empty_patch_is_never_sent() -> None:
    by = steps()
    patch = by.next_request(arranged(IN, by), 0.0)
    assert patch.looks_up
    assert step(by, patch, Response(200, contact(**OUT))).goes_on is False
    assert step(by, patch, Response(200, contact())).patch.properties == IN
    assert step(by, patch, Response(200, None)).patch.properties == IN


def test_a_look_up_before_a_withdrawal_marks_what_the_person_has_lowered() -> None:
    by = steps()
    patch = by.next_request(arranged({"_name": "Ana", **OUT}, by, **known(HIGHEST)), 0.0)
    hers = step(by, patch, Response(200, contact(**OUT)))
    assert (hers.goes_on, hers.patch.properties, hers.patch.kept) == (True, {"_name": "Ana", **OUT}, {NEWS})
    ours = step(by, patch, Response(200, contact(**IN)))
    assert (ours.goes_on, ours.patch.properties, ours.patch.kept) == (True, {"_name": "Ana", **OUT}, frozenset())
    unknown = by.next_request(arranged({"_name": "Ana", **OUT}, by, **known(Standing())), 0.0)
    assert step(by, unknown, Response(200, contact(**OUT))).patch.kept == {NEWS}
    assert step(by, unknown, Response(200, contact(**NONE))).patch.kept == frozenset()


def error(status: int) -> ConnectifHttpError:
    return ConnectifHttpError(status, title="No", is_error_document=True)


@pytest.mark.parametrize("came", [error(403), error(404), error(500), error(503), NoResponseError("read timed out")])
def test_a_withdrawal_does_not_wait_for_a_look_up_that_fails(came: Any) -> None:
    by = steps()
    after = step(by, arranged({"_name": "Ana", **OUT}, by, **known(HIGHEST)), came)
    assert (after.goes_on, after.patch.looks_up, after.patch.kept) == (True, False, {NEWS})
    assert after.patch.properties == {"_name": "Ana", **OUT}


def deletion(by: ContactSteps) -> Patch:
    """The deletion of a contact for whom Connectif has accepted a consent above the lowest rank."""
    return by.next_request(change({}, removal="delete", looks_up=True, **known(HIGHEST)), 0.0)


@pytest.mark.parametrize(("held", "kept"), [(OUT, {NEWS}), (IN, set())])
def test_a_look_up_before_a_deletion_remembers_what_the_person_has_lowered(held: dict[str, Any], kept: Any) -> None:
    by = steps()
    patch = deletion(by)
    assert patch.looks_up
    assert by.requests(patch) == (1, 2)
    seen = step(by, patch, Response(200, contact(**held)))
    assert (seen.goes_on, seen.patch.looks_up, seen.patch.kept) == (True, False, kept)
    assert not step(by, seen.patch, Response(200)).goes_on


def test_who_is_deleted_already_is_not_deleted_again_and_gets_no_consent_by_returning() -> None:
    by = steps()
    seen = step(by, deletion(by), Response(200, None))
    assert (seen.goes_on, seen.patch.kept) == (False, {NEWS})


@pytest.mark.parametrize("status", [403, 404])
def test_a_deletion_does_not_wait_for_a_look_up_that_is_refused(status: int) -> None:
    by = steps()
    after = step(by, deletion(by), error(status))
    assert (after.goes_on, after.patch.looks_up, after.patch.kept) == (True, False, {NEWS})


@pytest.mark.parametrize("came", [error(500), error(423), NoResponseError("read timed out")])
def test_a_deletion_waits_for_another_attempt_of_its_look_up(came: Any) -> None:
    by = steps()
    assert by.step(deletion(by), came) is None


def test_without_the_right_to_look_a_deletion_is_sent_at_once() -> None:
    by = steps()
    step(by, deletion(by), error(403))
    assert (deletion(by).looks_up, deletion(by).kept) == (False, {NEWS})


@pytest.mark.parametrize("came", [error(401), error(429)])
def test_a_response_about_the_key_or_the_window_is_the_policys(came: Any) -> None:
    by = steps()
    assert by.step(arranged({**OUT}, by, **known(HIGHEST)), came) is None
    assert by.step(by.next_request(arranged(IN, by), 0.0), came) is None


@pytest.mark.parametrize("came", [error(500), error(423), NoResponseError("read timed out")])
def test_what_waits_for_a_look_up_waits_for_another_attempt(came: Any) -> None:
    by = steps()
    assert by.step(by.next_request(arranged(IN, by), 0.0), came) is None


def test_without_the_right_to_look_consents_are_kept_and_no_further_look_up_is_tried() -> None:
    by = steps()
    after = step(by, by.next_request(arranged({"city": "Lugo", **IN}, by), 0.0), error(403))
    assert (after.goes_on, after.patch.kept) == (False, {NEWS})
    assert after.shown is not None
    assert after.shown.unreadable is not None
    fall = by.next_request(arranged({"_name": "Ana", **OUT}, by, **known(HIGHEST)), 0.0)
    assert (fall.looks_up, fall.kept) == (False, {NEWS})
    blind = step(by, arranged({"_name": "Ana", **IN}, by), Response(200))
    assert (blind.goes_on, blind.patch.kept) == (False, {NEWS})


def test_a_raise_of_an_old_plan_waits_for_a_response() -> None:
    by = steps()
    patch = arranged({"_name": "Ana", **IN}, by, **known(LOWEST))
    assert by.next_request(patch, OLD_PLAN_S).properties == {"_name": "Ana", **IN}
    late = by.next_request(patch, OLD_PLAN_S + 1)
    assert (late.properties, late.later) == ({"_name": "Ana"}, IN)
    allowed = step(by, late, Response(200, contact(**OUT)))
    assert allowed.patch.properties == IN
    assert by.next_request(allowed.patch, OLD_PLAN_S + 1).properties == IN


def test_a_raise_of_an_old_plan_is_not_sent_where_she_has_lowered_it_meanwhile() -> None:
    by = steps()
    late = by.next_request(arranged({"_name": "Ana", **IN}, by, **known(MIDDLE)), OLD_PLAN_S + 1)
    after = step(by, late, Response(200, contact(**OUT)))
    assert (after.goes_on, after.patch.kept) == (False, {NEWS})


def test_a_deleted_contact_is_created_again_with_what_raises_nothing() -> None:
    by = steps()
    row = {"_name": "Ana", "source": "web", NEWS: "subscribed", "_smsSubscriptionStatus": "unsubscribed"}
    patch = by.arrange(change({**row, "visits": 2}, **known(HIGHEST)), {"visits"})
    after = step(by, patch, Response(201, contact(visits=2)))
    assert (after.goes_on, after.is_recreated) == (True, True)
    assert after.patch.properties == {"_name": "Ana", "source": "web", "_smsSubscriptionStatus": "unsubscribed"}
    assert after.patch.kept == {NEWS}
    assert after.patch.whole == patch.whole
    assert not step(by, after.patch, Response(201, contact())).goes_on


def test_a_look_up_that_finds_a_deleted_contact_creates_it_again() -> None:
    by = steps()
    patch = by.next_request(by.arrange(change({"_name": "Ana", **IN}, **known(HIGHEST)), set(IN)), 0.0)
    after = step(by, patch, Response(200, None))
    assert (after.goes_on, after.is_recreated, after.patch.properties) == (True, True, {"_name": "Ana"})
    assert after.patch.kept == {NEWS}


def test_a_response_that_shows_less_than_was_accepted_marks_the_consent_once() -> None:
    by = steps()
    patch = by.arrange(change({"_name": "Ana", **IN}, **known(HIGHEST)), {"_name"})
    after = step(by, patch, Response(200, contact(_name="Ana", **OUT)))
    assert (after.goes_on, after.patch.kept) == (False, {NEWS})
    again = by.arrange(change({"_name": "Bea", **IN}, **known(Standing(2, is_kept=True))), {"_name"})
    assert step(by, again, Response(200, contact(_name="Bea", **OUT))).patch.kept == frozenset()


def test_what_was_never_sent_does_not_drift() -> None:
    by = steps()
    patch = by.arrange(change({"_name": "Ana", "source": "web", "city": "Lugo"}, was_delivered=True), {"_name"})
    after = step(by, patch, Response(200, contact(_name="Ana", source="shop", city="Vigo")))
    assert after.shown is not None
    assert not after.shown.is_drifted


def test_what_a_look_up_shows_of_other_consents_counts_too() -> None:
    """A raise of the source beside a withdrawal is not sent where she has lowered it meanwhile."""
    by = steps()
    sms = "_smsSubscriptionStatus"
    fields: dict[str, Any] = {"was_delivered": True, "standings": {NEWS: HIGHEST, sms: MIDDLE}}
    patch = by.next_request(arranged({**OUT, sms: "subscribed"}, by, **fields), 0.0)
    assert patch.properties == {**OUT, sms: "subscribed"}
    after = step(by, patch, Response(200, contact(**IN, **{sms: "unsubscribed"})))
    assert (after.patch.properties, after.patch.kept) == (OUT, {sms})


def test_what_connectif_has_lowered_itself_is_kept_although_the_source_says_the_same() -> None:
    by = steps()
    patch = by.arrange(change({"_name": "Ana", **NONE}, **known(HIGHEST)), {"_name", NEWS})
    after = step(by, patch, Response(200, contact(_name="Ana", **NONE)))
    assert (after.goes_on, after.patch.kept) == (False, {NEWS})


def test_a_consent_that_the_mapping_has_lost_is_marked_too() -> None:
    by = steps()
    patch = by.arrange(change({"_name": "Ana"}, **known(HIGHEST)), {"_name"})
    assert step(by, patch, Response(200, contact(_name="Ana", **OUT))).patch.kept == {NEWS}


def test_the_response_to_a_withdrawal_alone_is_compared_with_what_was_accepted() -> None:
    contacts = ContactResource(ContactMapping())
    sms = "_smsSubscriptionStatus"
    patch = change(OUT, later={sms: "none"}, **{**known(HIGHEST), "standings": {NEWS: HIGHEST, sms: HIGHEST}})
    alone = contacts.urgent_part(patch._replace(properties={"_name": "Ana", **OUT}))
    assert alone is not None
    after = contacts.step(alone, Response(200, contact(**OUT, **{sms: "none"})))
    assert after is not None
    assert (after.goes_on, after.patch.kept) == (False, {sms})


def test_a_consent_that_the_mapping_has_lost_is_kept_when_its_contact_is_created_again() -> None:
    by = steps()
    patch = by.arrange(change({"_name": "Ana"}, **known(HIGHEST)), {"_name"})
    after = step(by, patch, Response(201, contact(_name="Ana")))
    assert (after.goes_on, after.is_recreated, after.patch.kept) == (False, True, {NEWS})
