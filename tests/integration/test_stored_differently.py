"""A server that stores or shows something else than it was sent, and what the comparison of its responses says.

Over HTTP, through the client and the resource that every run uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.errors import NotConnectifError
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.contacts.shown_difference import Difference
from airflow_provider_connectif.contacts.stored import ShownConsent, compare, shown_consents
from airflow_provider_connectif.records.changes import Patch
from tests.support.strict_server import API_KEY, StrictServer

SENT: dict[str, Any] = {
    "_name": "Ana María",
    "_birthdate": "1990-05-17",
    "_mobilePhone": "+34600111222",
    "_points": 0,
    "_newsletterSubscriptionStatus": "subscribed",
    "tier": "gold",
    "segment": "regular",
    "vip": False,
    "spent": 12.25,
    "visits": 7,
    "interests": ["shoes", "hats"],
    "last_visit": "2026-01-31T00:00:00Z",
    "work_email": "Ana@example.com",
}
"""A value of each type, of system fields and of custom ones."""
KEYS: dict[KeyKind, str] = {"email": "ana@example.com", "external_id": "A-1"}
CUSTOM = [property_id for property_id in SENT if not property_id.startswith("_")]
MISSING, SHORTENED = Difference.MISSING, Difference.SHORTENED
OTHER_CASE, OTHER_DAY = Difference.OTHER_CASE, Difference.OTHER_DAY


@pytest.fixture
def server(_strict_process: StrictServer) -> Iterator[StrictServer]:
    _strict_process.reset()
    yield _strict_process
    _strict_process.check()


@pytest.fixture
def client(server: StrictServer) -> Iterator[ConnectifClient]:
    client = ConnectifClient(ApiKey.parse(None, API_KEY), server.url, quota=Quota(1_000_000))
    yield client
    client.close()


def resource(client: ConnectifClient, by: KeyKind = "email") -> ContactResource:
    return ContactResource(ContactMapping(by)).with_definitions(client)


def patch(properties: dict[str, Any], by: KeyKind = "email") -> Patch:
    return Patch(1, KEYS[by], properties, {})


@pytest.mark.parametrize("by", KEYS)
@pytest.mark.parametrize(
    ("stores", "expected"),
    {
        "as sent": {},
        "other forms": {},
        "upper case": {"_name": OTHER_CASE, "tier": OTHER_CASE},
        "cut": {"_name": SHORTENED, "tier": SHORTENED},
        "day before": {"_birthdate": OTHER_DAY, "last_visit": OTHER_DAY},
    }.items(),
)
def test_what_is_stored_differently(
    server: StrictServer, client: ConnectifClient, by: KeyKind, stores: str, expected: dict[str, Difference]
) -> None:
    server.update(stores=stores)
    contacts = resource(client, by)
    response = contacts.send(client, patch(SENT, by))
    assert response.is_own
    compared = compare(SENT, response.body, contacts.mapping.fields)
    assert compared.shows_contact
    assert compared.differences == expected
    assert compared.same == SENT.keys() - expected.keys()
    # A look-up of the contact shows the same as the response did.
    shown = client.get_contact(KEYS[by]) if by == "email" else client.get_contact_by_external_id(KEYS[by])
    assert compare(SENT, shown, contacts.mapping.fields) == compared


@pytest.mark.parametrize(
    ("by", "ignored", "expected"),
    [
        ("email", {"unknown": "x"}, ["unknown"]),
        ("external_id", {"unknown": "x"}, ["unknown", *CUSTOM]),
    ],
)
def test_what_the_documents_of_a_path_do_not_list_may_be_ignored(
    server: StrictServer, client: ConnectifClient, by: KeyKind, ignored: dict[str, Any], expected: list[str]
) -> None:
    server.update(stores="documented")
    contacts = resource(client, by)
    sent = SENT | ignored
    compared = compare(sent, contacts.send(client, patch(sent, by)).body, contacts.mapping.fields)
    assert compared.differences == dict.fromkeys(expected, MISSING)


@pytest.mark.parametrize("shows", ["nothing", "empty", "id"])
def test_a_response_that_shows_no_contact_confirms_nothing(
    server: StrictServer, client: ConnectifClient, shows: str
) -> None:
    server.update(shows=shows)
    contacts = resource(client)
    response = contacts.send(client, patch(SENT))
    assert (response.status, response.is_own) == (201, True)
    compared = compare(SENT, response.body, contacts.mapping.fields)
    assert (compared.shows_contact, len(compared.same), len(compared.differences)) == (False, 0, 0)
    assert set(shown_consents(response.body).values()) == {None}
    assert compare(SENT, client.get_contact(KEYS["email"]), contacts.mapping.fields).same == SENT.keys()


def test_a_page_in_place_of_the_response_is_no_response(server: StrictServer, client: ConnectifClient) -> None:
    server.update(shows="page")
    with pytest.raises(NotConnectifError, match="an HTML or XML page"):
        resource(client).send(client, patch(SENT))
    assert KEYS["email"] in server.contacts


@pytest.mark.parametrize("by", KEYS)
def test_another_contact_is_noticed_before_anything_is_compared(
    server: StrictServer, client: ConnectifClient, by: KeyKind
) -> None:
    server.update(shows="another")
    assert resource(client, by).send(client, patch(SENT, by)).is_own is False


def test_what_was_cleared_is_compared_with_what_is_still_there(server: StrictServer, client: ConnectifClient) -> None:
    contacts = resource(client)
    contacts.send(client, patch({"interests": ["shoes"], "tier": "gold", "_name": "Ana"}))
    cleared = {"interests": [], "tier": ""}
    response = contacts.send(client, patch(cleared))
    assert compare(cleared, response.body, contacts.mapping.fields).same == cleared.keys()
    still_there = {"interests": [], "tier": "", "_surname": None}
    contacts.send(client, patch({"interests": ["shoes"], "tier": "gold"}))
    compared = compare(still_there, client.get_contact(KEYS["email"]), contacts.mapping.fields)
    assert compared.same == {"_surname"}
    assert compared.differences == dict.fromkeys(["interests", "tier"], Difference.OTHER_VALUE)


def test_the_consent_that_a_response_shows(server: StrictServer, client: ConnectifClient) -> None:
    contacts = resource(client)
    contacts.send(client, patch({"_newsletterSubscriptionStatus": "unsubscribed", "_emailStatus": "paused"}))
    response = contacts.send(client, patch({"_name": "Ana"}))
    assert shown_consents(response.body) == {
        "_newsletterSubscriptionStatus": ShownConsent("unsubscribed", 0),
        "_smsSubscriptionStatus": None,
        "_emailStatus": ShownConsent("paused", 2),
        "_mobilePhoneStatus": None,
    }
