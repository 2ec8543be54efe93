"""What the plan's order follows from: the rank of a change."""

from __future__ import annotations

import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.pending import Rank
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.runs.comparison import rank_of

CONTACTS = ContactResource(ContactMapping())
STATUS = "_newsletterSubscriptionStatus"


def ranked(rank: Rank, **properties: JsonValue) -> Rank:
    return rank_of(CONTACTS, Patch(1, "ana@example.com", properties, {}), rank)


@pytest.mark.parametrize("rank", [Rank.NEW, Rank.CHANGED, Rank.REJECTED_BEFORE])
def test_a_withdrawn_consent_is_sent_before_all_others(rank: Rank) -> None:
    assert ranked(rank, _name="Ana", **{STATUS: "unsubscribed"}) is Rank.URGENT
    assert ranked(rank, _emailStatus="banned") is Rank.URGENT
    assert ranked(rank, _emailStatus="bounced") is rank
    assert ranked(rank, _mobilePhoneStatus="bounced") is Rank.URGENT
    assert ranked(rank, _name="Ana", **{STATUS: "subscribed"}) is rank
    assert ranked(rank, _name="Ana") is rank
