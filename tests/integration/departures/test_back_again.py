"""Contacts that were deleted at Connectif, that left, or that were only partly accepted: what is sent after that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.integration.test_deferral import wait_as_the_triggerer
from tests.integration.test_sync import sync
from tests.support.journals import JournalDatabase, deliver
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

NEWS = "_newsletterSubscriptionStatus"
ANA, BEA = "ana@example.com", "bea@example.com"
LEFT = {"tier": "left"}
REFUSED = {"title": "no", "status": 409}


def night(run_id: str, warehouse: Warehouse, *rows: tuple[str, ...], on_removed: Any) -> Run:
    warehouse.fill_rows([*rows, (BEA, "Bea", "none")])
    mapping = {"_name": "name", NEWS: "consent"}
    return sync(run_id, "select email, name, consent from contacts", properties=mapping, on_removed=on_removed)


def bodies(strict: StrictServer) -> list[dict[str, Any]]:
    return [entry["body"] for entry in strict.take_log() if entry["method"] == "PATCH" and entry.get("key") == ANA]


def row(**properties: Any) -> list[dict[str, Any]]:
    return [{"email": ANA, **properties}]


def test_who_left_unsubscribed_is_so_again_although_somebody_deleted_the_contact(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    ana = (ANA, "Ana", "unsubscribed")
    night("1", warehouse, ana, on_removed=LEFT)
    night("2", warehouse, on_removed=LEFT)
    strict.change_contacts({ANA: None})
    night("3", warehouse, ana, on_removed=LEFT)
    assert strict.contacts[ANA] == {"_name": "Ana", NEWS: "unsubscribed"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("on_removed", "fault"),
    [
        (LEFT, {"status": 422}),
        (LEFT, {"drop": "before"}),
        ("delete", {"method": "DELETE", "status": 409, "json": REFUSED}),
    ],
)
def test_what_on_removed_did_not_change_is_not_sent_again(
    on_removed: Any, fault: dict[str, Any], journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    ana = (ANA, "Ana", "none")
    night("1", warehouse, ana, on_removed=on_removed)
    strict.update(faults=[{"keys": [ANA], **fault}])
    assert night("2", warehouse, on_removed=on_removed).state != "success"
    strict.update(faults=[])
    strict.take_log()
    assert night("3", warehouse, ana, on_removed=on_removed).state == "success"
    assert bodies(strict) == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("changed", [{NEWS: None}, None], ids=["the consent was cleared", "the contact was deleted"])
def test_who_was_kept_is_not_raised_where_connectif_shows_no_consent(
    changed: dict[str, None] | None, journal: JournalDatabase, strict: StrictServer
) -> None:
    deliver("1", rows=row(_name="Ana", **{NEWS: "subscribed"}))
    strict.change_contacts({ANA: {NEWS: "unsubscribed"}})
    assert deliver("2", rows=row(_name="Anna", **{NEWS: "subscribed"})).summary["consent_kept"] == 1
    strict.change_contacts({ANA: changed})
    for run_id, value in (("3", "none"), ("4", "subscribed")):
        deliver(run_id, rows=row(_name="Ana", **{NEWS: value}))
    assert strict.contacts[ANA] == {"_name": "Ana"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("bad", [{"_points": "many"}, {"visits": "many"}], ids=["invalid", "rejected"])
def test_a_deleted_contact_that_only_its_withdrawal_has_created_gets_the_rest_with_a_valid_row(
    bad: dict[str, str], journal: JournalDatabase, strict: StrictServer
) -> None:
    whole = {"_name": "Ana", "_points": 1, NEWS: "unsubscribed"}
    deliver("1", rows=row(**whole | {NEWS: "subscribed"}))
    strict.change_contacts({ANA: None})
    deliver("2", rows=row(**whole | bad), failure_budget=9)
    assert strict.contacts[ANA] == {NEWS: "unsubscribed"}
    strict.take_log()
    deliver("3", rows=row(**whole))
    assert (strict.contacts[ANA], bodies(strict)) == (whole, [{"_name": "Ana", "_points": 1}])


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["ContactSyncOperator", "ContactPatchOperator"])
def test_mapped_tasks_do_not_miss_the_contacts_of_each_other(
    kind: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    for run_id in ("1", "2"):
        for index, keys in enumerate([[f"user{n}@example.com" for n in range(30)], [ANA, BEA]]):
            source = [{"email": key, "_name": "Ana"} for key in keys]
            run = deliver(run_id, kind=kind, rows=source, map_index=index, max_removed=0.05)
            assert (run.state, run.plan["removed"]) == ("success", None), run.error


def test_responses_are_compared_by_the_accounts_definitions(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(stores="other forms")  # an option by its label
    deliver("1", rows=row(_name="Ana", segment="regular"), fields="live")
    run = deliver("2", rows=row(_name="Anna", segment="regular"), fields="live")
    assert not {"stored_differently", "drifted"} & run.summary.keys()
    strict.update(stores="upper case")
    run = deliver("3", rows=row(tier="1@x.org"), fields="live")  # a text that looks like an address
    assert run.summary["stored_differently"] == {"tier": 1}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("value", [7, "7.0", Decimal("7.00")])
def test_a_whole_decimal_is_the_same_from_a_float(value: Any, journal: JournalDatabase, strict: StrictServer) -> None:
    deliver("1", rows=row(spent=value), fields="live")
    assert deliver("2", rows=row(spent=7.0), fields="live").summary["unchanged"] == 1


def test_who_was_created_before_a_deferral_counts_as_created(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=3, window_s=1.5, headers="fraction")
    source = {"rows": [{"email": key, "_name": "Ana", NEWS: "subscribed"} for key in (ANA, BEA)]}
    arguments = {**source, "deferrable": True, "defer_after": timedelta(seconds=0.2)}
    first = deliver("1", **arguments)
    assert first.state == "deferred"
    wait_as_the_triggerer(first)
    last = deliver("1", method=first.error.method_name, **arguments)  # type: ignore[union-attr]
    assert (last.state, last.summary["created"], last.summary["updated"]) == ("success", 2, 0)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("consent", ["subscribed", "unsubscribed"])
def test_who_was_created_in_part_and_left_is_followed(
    consent: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    """The second request is not accepted, or the row is refused and only its withdrawal is accepted."""
    night("1", warehouse, on_removed="delete")
    second = {"nth": [3, None], "status": 503}
    strict.update(faults=[second if consent == "subscribed" else {"nth": [2, 2], "status": 422}])
    night("2", warehouse, (ANA, "Ana", consent), on_removed="delete")
    assert ANA in strict.contacts
    strict.update(faults=[])
    assert night("3", warehouse, on_removed="delete").plan["removed"] == 1
    assert ANA not in strict.contacts
