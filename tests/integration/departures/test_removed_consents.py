"""Consents of people who were deleted at Connectif, left the source, and come back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.test_sync import sync
from tests.support.journals import JournalDatabase
from tests.support.strict_server import StrictServer
from tests.support.warehouses import Warehouse

NEWS = "_newsletterSubscriptionStatus"
ANA, BEA = "ana@example.com", "bea@example.com"
WITHDRAW = {NEWS: "unsubscribed"}
SUBSCRIBER = (ANA, "Ana", "subscribed")


def night(run_id: str, warehouse: Warehouse, *rows: tuple[str, ...], **arguments: Any) -> None:
    warehouse.fill_rows([*rows, (BEA, "Bea", "none")])
    mapping = {"_name": "name", NEWS: "consent"}
    run = sync(run_id, "select email, name, consent from contacts", properties=mapping, **arguments)
    assert run.state == "success", run.error


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("back_with", "held"), [("unsubscribed", "unsubscribed"), ("subscribed", None)])
def test_what_on_removed_could_not_set_at_a_deleted_contact_is_not_taken_as_set(
    back_with: str, held: str | None, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    night("1", warehouse, SUBSCRIBER, on_removed=WITHDRAW)
    strict.change_contacts({ANA: None})
    night("2", warehouse, on_removed=WITHDRAW)
    assert ANA not in strict.contacts
    night("3", warehouse, (ANA, "Ana", back_with), on_removed=WITHDRAW)
    assert strict.contacts[ANA] == {"_name": "Ana", **({NEWS: held} if held else {})}


@pytest.mark.slow
def test_who_unsubscribed_herself_and_was_deleted_as_she_left_is_not_subscribed_when_she_is_back(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    night("1", warehouse, SUBSCRIBER, on_removed="delete")
    strict.change_contacts({ANA: WITHDRAW})
    night("2", warehouse, (ANA, "Anna", "subscribed"), on_removed="delete")
    night("3", warehouse, on_removed="delete")
    assert ANA not in strict.contacts
    night("4", warehouse, SUBSCRIBER, on_removed="delete")
    assert strict.contacts[ANA] == {"_name": "Ana"}
    for run_id, rows in (("5", [(ANA, "Ana", "unsubscribed")]), ("6", []), ("7", [(ANA, "Ana", "unsubscribed")])):
        night(run_id, warehouse, *rows, on_removed="delete")
    assert strict.contacts[ANA] == {"_name": "Ana", NEWS: "unsubscribed"}
