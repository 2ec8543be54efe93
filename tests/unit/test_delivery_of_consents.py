"""A delivery of contacts whose consents take more than one request. What stands in for HTTP is the client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import ConnectifHttpError, error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.contacts.steps import OLD_PLAN_S
from airflow_provider_connectif.delivery.delivery import Delivery
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.records.changes import Patch, Standing
from airflow_provider_connectif.records.outcomes import Outcome, Settled, Stop, StopKind
from airflow_provider_connectif.reporting.effort import Effort
from tests.support.clock import FakeClock

KEY, NEWS = "ana@example.com", "_newsletterSubscriptionStatus"
OUT, IN = {NEWS: "unsubscribed"}, {NEWS: "subscribed"}
CONTACTS = ContactResource(ContactMapping())


class Connectif:
    """One contact, and what happens to its requests in turn: ``None``: they are carried out; otherwise the error.

    :attr:`requests`: what was asked: ``GET``, or the body of a ``PATCH``.
    """

    def __init__(self, contact: dict[str, Any] | None, *turns: int | None) -> None:
        self.contact = contact
        self.turns = list(turns)
        self.requests: list[Any] = []
        self.quota = Quota()

    def get_contact(self, key: str) -> Mapping[str, Any] | None:
        self._take("GET")
        return None if self.contact is None else {"_email": key, **self.contact}

    def patch_contact(self, key: str, patch: Mapping[str, Any], **_: Any) -> Response:
        self._take(dict(patch))
        status = 200 if self.contact is not None else 201
        self.contact = {**(self.contact or {}), **patch}
        return Response(status, {"_email": key, **self.contact})

    def _take(self, request: Any) -> None:
        self.requests.append(request)
        status = self.turns.pop(0) if self.turns else None
        if status is not None:
            raise error_class(status)(status, title="No", is_error_document=True)


def deliver(connectif: Connectif, change: Patch, *, age_s: float = 0.0) -> tuple[list[Settled], Stop | None]:
    settled: list[Settled] = []
    clock = FakeClock()
    client: Any = connectif
    delivery = Delivery(
        CONTACTS, client, ResponsePolicy(), Effort(connectif.quota), max_in_flight=1, attempts=2, clock=clock
    )
    delivery.begin(clock.now() - age_s)
    with delivery:
        delivery.submit(change, lambda: None)
        delivery.drain(lambda: settled.extend(delivery.collect()))
    settled.extend(delivery.collect())
    return settled, delivery.stop


def arranged(properties: dict[str, Any], **more: Any) -> Patch:
    return CONTACTS.arrange(Patch(1, KEY, properties, {}, **more), properties.keys())


def test_what_was_only_looked_up_is_unchanged() -> None:
    connectif = Connectif({**IN})
    ((one,), _) = deliver(connectif, arranged(IN))
    assert (one.outcome, one.is_follow_up, connectif.requests) == (Outcome.UNCHANGED, False, ["GET"])
    assert not one.sent_earlier


def test_a_created_contact_stays_created_after_what_follows() -> None:
    connectif = Connectif(None)
    ((one,), _) = deliver(connectif, arranged({"_name": "Ana", **IN}))
    assert (one.outcome, one.is_follow_up, one.sent_earlier) == (Outcome.CREATED, True, {"_name"})
    assert connectif.requests == [{"_name": "Ana"}, IN]


def test_a_look_up_does_not_make_a_rejection_one_of_a_part() -> None:
    connectif = Connectif({**IN}, None, 422, 422)
    change = arranged({"_name": "Ana", **OUT}, was_delivered=True, standings={NEWS: Standing(2)})
    ((one,), _) = deliver(connectif, change)
    assert (one.outcome, one.is_follow_up, one.is_alone_accepted) == (Outcome.REJECTED, False, False)
    assert connectif.requests == ["GET", {"_name": "Ana", **OUT}, OUT]


def test_a_withdrawal_of_a_rejected_change_goes_alone_and_the_change_stays_rejected() -> None:
    connectif = Connectif({}, 422)
    ((one,), _) = deliver(connectif, arranged({"_name": "Ana", **OUT}))
    assert (one.outcome, one.is_remembered, one.tries, one.is_alone_accepted) == (Outcome.REJECTED, True, 1, True)
    assert one.patch.properties == {"_name": "Ana", **OUT}
    assert one.alone is not None
    assert one.alone.properties == OUT
    assert isinstance(one.error, ConnectifHttpError)
    assert connectif.requests == [{"_name": "Ana", **OUT}, OUT]
    assert connectif.contact == OUT


def test_a_withdrawal_that_does_not_arrive_leaves_its_change_undelivered() -> None:
    ((one,), _) = deliver(Connectif({}, 422, 503, 503), arranged({"_name": "Ana", **OUT}))
    assert (one.outcome, one.alone) == (Outcome.UNDELIVERED, None)
    assert one.patch.properties == {"_name": "Ana", **OUT}


def test_what_ends_the_run_while_a_withdrawal_goes_alone_leaves_the_whole_change() -> None:
    connectif = Connectif({}, 422, 401)
    ((one,), stop) = deliver(connectif, arranged({"_name": "Ana", **OUT}))
    assert stop is not None
    assert stop.kind is StopKind.FAIL
    assert (one.outcome, one.patch.properties) == (Outcome.UNDELIVERED, {"_name": "Ana", **OUT})


@pytest.mark.parametrize(("age_s", "requests"), [(OLD_PLAN_S - 60, [IN]), (OLD_PLAN_S + 60, ["GET", IN])])
def test_a_raise_of_an_old_plan_is_looked_up(age_s: float, requests: list[Any]) -> None:
    connectif = Connectif({**OUT})
    ((one,), _) = deliver(connectif, arranged(IN, was_delivered=True, standings={NEWS: Standing(0)}), age_s=age_s)
    assert (one.outcome, connectif.requests) == (Outcome.UPDATED, requests)


def test_a_retried_look_up_does_not_use_up_the_attempts_of_what_follows() -> None:
    connectif = Connectif({}, 503, None, 503)
    ((one,), _) = deliver(connectif, arranged(IN))
    assert (one.outcome, connectif.requests) == (Outcome.UPDATED, ["GET", "GET", IN, IN])
