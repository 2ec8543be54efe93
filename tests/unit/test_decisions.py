"""When a consent is sent: every row of the two tables, over all ranks."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_connectif.contacts.consent import RANKS, rank
from airflow_provider_connectif.contacts.decisions import (
    Decision,
    Resubscribe,
    Turn,
    checked_modes,
    is_below,
    is_lowered_by_person,
    on_creation,
    on_response,
    turn_of,
)
from airflow_provider_connectif.contacts.stored import ShownConsent
from airflow_provider_connectif.records.changes import Standing

NEWS, STATUS = "_newsletterSubscriptionStatus", "_emailStatus"
EVERY: tuple[Resubscribe, ...] = ("on_change", "never", "always")
FIRST, LOOK_UP, WAIT = Turn.FIRST, Turn.AFTER_LOOK_UP, Turn.BY_RESPONSE
SEND, LEAVE, KEEP = Decision.SEND, Decision.LEAVE, Decision.KEEP


def shown(property_id: str, value: str | None) -> ShownConsent | None:
    return None if value is None else ShownConsent(value, rank(property_id, value))


def standing(property_id: str, accepted: str | None, *, is_kept: bool = False) -> Standing:
    return Standing(None if accepted is None else rank(property_id, accepted), is_kept)


@pytest.mark.parametrize("resubscribe", EVERY)
@pytest.mark.parametrize(
    ("accepted", "is_kept", "was_delivered", "turn"),
    [
        ("subscribed", False, True, LOOK_UP),
        ("none", False, True, LOOK_UP),
        ("subscribed", True, True, FIRST),  # known to be hers: nothing to find out
        (None, False, True, LOOK_UP),  # delivered once, but nobody knows with which consent
        (None, False, False, FIRST),
        ("unsubscribed", False, True, FIRST),
    ],
)
def test_the_lowest_rank_always_goes_first(
    accepted: str | None, is_kept: bool, was_delivered: bool, turn: Turn, resubscribe: Resubscribe
) -> None:
    known = standing(NEWS, accepted, is_kept=is_kept)
    assert turn_of(NEWS, "unsubscribed", known, was_delivered=was_delivered, resubscribe=resubscribe) is turn


@pytest.mark.parametrize("property_id", RANKS)
@pytest.mark.parametrize("resubscribe", EVERY)
def test_only_an_own_rise_goes_first_among_the_others(property_id: str, resubscribe: Resubscribe) -> None:
    values = RANKS[property_id]
    for value in values[1:]:
        for accepted in (None, *values):
            for is_kept in (False, True):
                known = standing(property_id, accepted, is_kept=is_kept)
                turn = turn_of(property_id, value, known, was_delivered=True, resubscribe=resubscribe)
                rises = accepted is not None and values.index(accepted) < values.index(value)
                expected = FIRST if rises and not is_kept and resubscribe != "never" else WAIT
                assert turn is expected, (value, accepted, is_kept)


@pytest.mark.parametrize("resubscribe", EVERY)
@pytest.mark.parametrize(
    ("value", "held", "accepted", "decision"),
    [
        ("subscribed", None, None, SEND),
        ("none", None, None, LEAVE),
        ("subscribed", "subscribed", None, LEAVE),
        ("none", "none", "subscribed", LEAVE),
        ("none", "subscribed", "subscribed", SEND),  # the source's own value fell
        ("none", "subscribed", None, LEAVE),
        ("none", "subscribed", "unsubscribed", LEAVE),
        ("subscribed", "awaits confirmation", None, KEEP),
    ],
)
def test_what_is_not_lower_decides_whatever_the_author_says(
    value: str, held: str | None, accepted: str | None, decision: Decision, resubscribe: Resubscribe
) -> None:
    assert on_response(NEWS, value, shown(NEWS, held), standing(NEWS, accepted), resubscribe) is decision


@pytest.mark.parametrize(("resubscribe", "decision"), [("on_change", KEEP), ("never", KEEP), ("always", SEND)])
def test_a_kept_consent_is_not_raised_where_nothing_is_shown(resubscribe: Resubscribe, decision: Decision) -> None:
    """Such as at a contact that was deleted and created again."""
    known = standing(NEWS, "unsubscribed", is_kept=True)
    assert on_response(NEWS, "subscribed", None, known, resubscribe) is decision
    assert on_response(NEWS, "none", None, known, resubscribe) is LEAVE


@pytest.mark.parametrize("resubscribe", EVERY)
def test_a_higher_rank_is_lowered(resubscribe: Resubscribe) -> None:
    assert on_response(STATUS, "paused", shown(STATUS, "active"), Standing(), resubscribe) is SEND


@pytest.mark.parametrize(
    ("accepted", "is_kept", "held", "decision"),
    [
        ("unsubscribed", False, "unsubscribed", SEND),  # the source has raised its own value
        ("none", False, "none", SEND),
        ("none", False, "unsubscribed", KEEP),  # she has lowered it since
        ("unsubscribed", True, "unsubscribed", KEEP),
        ("subscribed", False, "unsubscribed", KEEP),
        (None, False, "unsubscribed", KEEP),
        (None, False, "none", KEEP),
    ],
)
def test_a_lower_rank_is_the_persons_unless_the_source_rose(
    accepted: str | None, is_kept: bool, held: str, decision: Decision
) -> None:
    known = standing(NEWS, accepted, is_kept=is_kept)
    assert on_response(NEWS, "subscribed", shown(NEWS, held), known, "on_change") is decision
    assert on_response(NEWS, "subscribed", shown(NEWS, held), known, "never") is KEEP
    assert on_response(NEWS, "subscribed", shown(NEWS, held), known, "always") is SEND


@pytest.mark.parametrize("resubscribe", EVERY)
def test_a_rise_above_a_value_that_nobody_has_seen_waits_for_a_response(resubscribe: Resubscribe) -> None:
    known = standing(NEWS, "none")._replace(is_unseen=True)
    assert turn_of(NEWS, "subscribed", known, was_delivered=True, resubscribe=resubscribe) is WAIT


@pytest.mark.parametrize("resubscribe", EVERY)
def test_a_contact_that_was_created_without_its_consent_gets_it_while_it_has_not_decided(
    resubscribe: Resubscribe,
) -> None:
    created = Standing(is_created=True)
    assert turn_of(NEWS, "subscribed", created, was_delivered=True, resubscribe=resubscribe) is WAIT
    assert on_response(NEWS, "subscribed", shown(NEWS, "none"), created, resubscribe) is SEND
    assert on_response(NEWS, "subscribed", shown(NEWS, None), created, resubscribe) is SEND
    hers = SEND if resubscribe == "always" else KEEP
    assert on_response(NEWS, "subscribed", shown(NEWS, "unsubscribed"), created, resubscribe) is hers
    kept = created._replace(is_kept=True)
    assert on_response(NEWS, "subscribed", shown(NEWS, "none"), kept, resubscribe) is hers


def test_none_says_nothing_to_a_contact_that_is_new() -> None:
    assert on_creation("none") is LEAVE
    assert on_creation("subscribed") is SEND
    assert on_creation("active") is SEND


@pytest.mark.parametrize(
    ("held", "accepted", "is_hers"),
    [
        ("unsubscribed", "subscribed", True),
        ("none", "subscribed", True),
        ("subscribed", "subscribed", False),
        ("none", "none", False),
        ("unsubscribed", None, True),  # accepted what? she may have lowered it
        ("none", None, False),
        (None, "subscribed", False),
        ("weird", "none", False),
    ],
)
def test_a_look_up_before_a_withdrawal_shows_whether_the_person_was_first(
    held: str | None, accepted: str | None, is_hers: bool
) -> None:
    assert is_lowered_by_person(NEWS, shown(NEWS, held), standing(NEWS, accepted)) is is_hers


@pytest.mark.parametrize(
    ("value", "held", "below"),
    [
        ("subscribed", "none", True),
        ("subscribed", "subscribed", False),
        ("unsubscribed", "subscribed", False),
        ("subscribed", None, False),
        ("none", "weird", False),
    ],
)
def test_a_response_that_shows_less_than_was_accepted(value: str, held: str | None, below: bool) -> None:
    assert is_below(NEWS, rank(NEWS, value), shown(NEWS, held)) is below
    assert not is_below(NEWS, None, shown(NEWS, held))


def test_only_modes_that_do_something_are_kept() -> None:
    assert checked_modes({"source": "on_create", "city": "always"}, None) == {"source": "on_create"}
    assert checked_modes(None, {"_name": "name"}) == {}


@pytest.mark.parametrize(
    ("modes", "words"),
    [
        (["on_create"], "a dict of mode by property id"),
        ({"source": "sometimes"}, "'source': 'sometimes' is not one of always, on_create, if_empty"),
        ({NEWS: "always"}, "is a consent, which has rules of its own"),
        ({"city": "if_empty"}, "'city' is not in the mapping"),
        ({"city": "if_empty", "source": 7}, "'source': 7 is not one of"),
    ],
)
def test_a_mode_that_cannot_be_is_named(modes: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked_modes(modes, {"source": "source", NEWS: "news"})
