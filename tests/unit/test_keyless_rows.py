"""Rows without a valid key: which contacts that seem to have left they may be of."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.journal.properties import PropertyDigester
from airflow_provider_connectif.records.reads import MOST_KEYLESS_DIGESTS, Keyless
from airflow_provider_connectif.runs.keyless_rows import KeylessRows
from tests.support.things import ThingResource

CONTACT = "ana@example.com"
MAPPING = ContactMapping(properties={"_name": "name", "tier": "tier", "_newsletterSubscriptionStatus": "news"})
ACCEPTED = {"_name": "Ana", "tier": "gold", "_newsletterSubscriptionStatus": "none"}


def may_have(row: Any, accepted: dict[str, Any], mapping: ContactMapping = MAPPING, contact: str = CONTACT) -> bool:
    """Whether this row may be of a contact of which Connectif has accepted these properties."""
    resource = ContactResource(mapping)
    differences = Differences(resource, "mapping", "way", None, sends_all=False)
    rows = KeylessRows(resource)
    rows.note(row, "digest")
    column = b"".join(PropertyDigester("way").entries(CONTACT, accepted))
    return rows.may_have(contact, column, differences)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"name": "Ana", "tier": "gold", "news": "none"}, True),
        ({"name": "Ana", "tier": "gold", "news": "subscribed"}, True),  # it may be the person's own at Connectif
        ({"name": "Ana", "tier": "silver", "news": "none"}, False),
        ({"name": "Ana", "tier": None, "news": None}, False),  # Connectif has a tier from an earlier row
        ({"name": None, "tier": None, "news": None}, False),
        ({"name": 7j, "tier": "gold", "news": "none"}, True),  # what is invalid says nothing
        ("no row", True),
    ],
)
def test_a_row_that_says_nothing_else_may_be_the_contact_s(row: Any, *, expected: bool) -> None:
    assert may_have(row, ACCEPTED) is expected


def test_what_was_never_accepted_says_nothing_else() -> None:
    row = {"name": "Ana", "tier": "gold"}
    assert may_have(row, {"_name": "Ana"})
    assert may_have(row, {})
    assert not may_have(row, {"_name": "Bea"})


def test_null_is_a_value_where_it_clears() -> None:
    clears = ContactMapping(properties={"tier": "tier", "tags": "tags"}, nulls="clear")
    assert may_have({"tier": None, "tags": []}, {"tier": None, "tags": []}, clears)
    assert not may_have({"tier": None, "tags": []}, {"tier": None, "tags": ["a"]}, clears)


def test_without_rows_nobody_is_among_them_and_with_very_many_anybody() -> None:
    resource = ContactResource(MAPPING)
    differences = Differences(resource, "mapping", "way", None, sends_all=False)
    rows = KeylessRows(resource)
    assert not rows.may_have(CONTACT, b"", differences)
    column = b"".join(PropertyDigester("way").entries(CONTACT, ACCEPTED))
    for number in range(MOST_KEYLESS_DIGESTS):
        rows.note({"name": f"No {number}"}, f"{number:032}")
    assert not rows.may_have(CONTACT, column, differences)
    assert len(rows.record.digests or ()) == MOST_KEYLESS_DIGESTS
    rows.note({"name": "One more"}, "digest")
    assert rows.may_have(CONTACT, column, differences)
    assert rows.record == Keyless(MOST_KEYLESS_DIGESTS + 1, None)


def test_of_a_resource_that_does_not_read_them_any_row_may_be_any_thing_s() -> None:
    things = ThingResource()
    rows = KeylessRows(things)
    rows.note({"id": None}, "digest")
    assert rows.may_have("7", b"", Differences(things, "mapping", "way", None, sends_all=False))
