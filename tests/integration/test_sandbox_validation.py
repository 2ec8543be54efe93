"""Which patches the sandbox refuses: sections 2, 3.2, 4.2 and 7 of the notes on the API."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.sandboxes import ask

LEGACY = "/contacts/ana@example.com"
BY_EMAIL = "/contacts/email/ana@example.com"
BY_EXTERNAL_ID = "/contacts/external-id/crm-7"

ACCEPTED: list[tuple[str, Any]] = [
    ("city", ""),
    ("city", "x" * 80),
    ("city", "Łódź 🎉"),
    ("country", "x" * 6000),
    ("work_email", "ana+work@example.co.uk"),
    ("landline", "+34911222333"),
    ("_mobilePhone", "+12"),
    ("_mobilePhone", "+123456789012345"),
    ("order_count", 0),
    ("_points", -5),
    ("lifetime_value", 12),
    ("lifetime_value", -0.5),
    ("vip", True),
    ("vip", False),
    ("last_purchase", "2024-02-29"),
    ("_birthdate", "1990-05-17T00:00:00Z"),
    ("_birthdate", "1990-05-17T00:00:00.000+02:00"),
    ("_birthdate", "1990-05-17T00:00"),
    ("loyalty_tier", "gold"),
    ("interests", []),
    ("interests", ["sports", "books"]),
    ("_emailStatus", "banned"),
    ("_mobilePhoneStatus", "paused"),
    ("_newsletterSubscriptionStatus", "none"),
    ("_smsSubscriptionStatus", "unsubscribed"),
]

REFUSED: list[tuple[str, Any, str]] = [
    ("no_such_field", "x", "unknown property"),
    ("_noSuchField", "x", "unknown property"),
    ("", "x", "unknown property"),
    ("a/b~c", "x", "unknown property"),
    ("id", "x", "read-only property"),
    ("_createdAt", "2024-01-01", "read-only property"),
    ("_totalPurchases", 3, "read-only property"),
    ("_rfm", None, "read-only property"),
    ("city", 5, "must be a text"),
    ("city", ["Vigo"], "must be a text"),
    ("city", "x" * 81, "must have at most 80 characters"),
    ("work_email", "ana", "must be an e-mail address"),
    ("work_email", "", "must be an e-mail address"),
    ("landline", "911222333", "must be a phone number in E.164 format"),
    ("_mobilePhone", "+34 600 111 222", "must be a phone number in E.164 format"),
    ("_mobilePhone", "0034600111222", "must be a phone number in E.164 format"),
    ("_mobilePhone", "+1234567890123456", "must be a phone number in E.164 format"),
    ("_mobilePhone", "+٣٤٦٠٠١١١٢٢٢", "must be a phone number in E.164 format"),
    ("_mobilePhone", 34600111222, "must be a phone number in E.164 format"),
    ("order_count", "5", "must be an integer"),
    ("order_count", 5.5, "must be an integer"),
    ("order_count", True, "must be an integer"),
    ("order_count", -1, "must be at least 0"),
    ("lifetime_value", "1,5", "must be a number"),
    ("lifetime_value", False, "must be a number"),
    ("vip", "true", "must be a boolean"),
    ("vip", 1, "must be a boolean"),
    ("vip", None, "must not be null, the field is required"),
    ("interests", None, "must not be null, the field is required"),
    ("last_purchase", "17/05/2024", "must be an ISO 8601 date"),
    ("last_purchase", "2024-02-30", "must be an ISO 8601 date"),
    ("last_purchase", "2024-05-17 10:00:00", "must be an ISO 8601 date"),
    ("last_purchase", 1715904000, "must be an ISO 8601 date"),
    ("loyalty_tier", "Gold", "must be one of bronze, gold, silver"),
    ("loyalty_tier", ["gold"], "must be one of bronze, gold, silver"),
    ("interests", "sports", "must be a list of option ids"),
    ("interests", ["sports", 1], "must be a list of option ids"),
    ("interests", ["sports", "chess"], "must hold only books, food, music, sports, travel"),
    ("_emailStatus", "unknown", "must be one of active, banned, bounced, paused"),
    ("_mobilePhoneStatus", "banned", "must be one of active, bounced, paused"),
    ("_newsletterSubscriptionStatus", True, "must be one of none, subscribed, unsubscribed"),
]


def reasons(response: requests.Response) -> dict[str, str]:
    return {error["name"]: error["reason"] for error in response.json()["validationErrors"]}


@pytest.mark.parametrize(("name", "value"), ACCEPTED)
def test_a_value_of_the_fields_type_is_kept_as_it_came(sandbox: SandboxProcess, name: str, value: Any) -> None:
    """Section 3.2 (resources/contactpatch) and section 7: the JSON value of each type."""
    response = ask(sandbox, "PATCH", LEGACY, json={name: value})
    assert (response.status_code, response.json().get(name)) == (201, value)


@pytest.mark.parametrize(("name", "value", "reason"), REFUSED)
def test_any_other_value_is_422_with_the_reason(sandbox: SandboxProcess, name: str, value: Any, reason: str) -> None:
    """Section 2.2: {name, path, reason}, path being a JSON pointer. The words are the sandbox's own."""
    response = ask(sandbox, "PATCH", LEGACY, json={name: value})
    assert response.status_code == 422
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    assert response.json()["validationErrors"] == [{"name": name, "path": pointer, "reason": reason}]
    assert (response.json()["status"], response.json()["title"]) == (422, "Unprocessable entity")
    assert sandbox.contacts() == {}


def test_every_wrong_property_is_named_and_nothing_is_written(sandbox: SandboxProcess) -> None:
    """Section 2.2; that a patch is taken as a whole or not at all is an assumption."""
    response = ask(sandbox, "PATCH", LEGACY, json={"_name": "Ana", "vip": "yes", "order_count": -1})
    assert set(reasons(response)) == {"vip", "order_count"}
    assert sandbox.contacts() == {}


@pytest.mark.parametrize(
    ("path", "name", "value", "status"),
    [
        (LEGACY, "_externalId", "crm-7", 422),
        (LEGACY, "_email", "ana@example.com", 422),
        (BY_EMAIL, "_externalId", "x" * 50, 201),
        (BY_EMAIL, "_externalId", "x" * 51, 422),
        (BY_EMAIL, "_externalId", "", 422),
        (BY_EMAIL, "_email", "ana@example.com", 422),
        (BY_EXTERNAL_ID, "_email", "ana@example.com", 201),
        (BY_EXTERNAL_ID, "_email", "ana", 422),
        (BY_EXTERNAL_ID, "_externalId", "crm-7", 422),
    ],
)
def test_each_endpoint_takes_the_keys_its_body_documents(
    sandbox: SandboxProcess, path: str, name: str, value: str, status: int
) -> None:
    """Section 3.2 (contactpatch, patch-contact-by-email, contactpatchbyexternalid)."""
    assert ask(sandbox, "PATCH", path, json={name: value}).status_code == status


def test_a_body_beyond_a_mebibyte_is_413(sandbox: SandboxProcess) -> None:
    """Section 10: no largest JSON body is known, assumption."""
    assert ask(sandbox, "PATCH", LEGACY, json={"country": "x" * (1024 * 1024)}).status_code == 413
    assert ask(sandbox, "PATCH", LEGACY, json={"country": "x" * (1024 * 1023)}).status_code == 201


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"_name": "Ana"', "The body is not valid JSON"),
        (b'{"_name": ' + b"[" * 100_000, "The body is nested too deep"),
        (b'{"_name": {"a": 1, "a": 2}}', "The body has an object with the same name twice"),
        (b'{"_points": -Infinity}', "The body has -Infinity, which JSON does not have"),
        (b"[]", "The body must be a JSON object"),
    ],
)
def test_a_400_says_why_the_body_cannot_be_read(sandbox: SandboxProcess, body: bytes, reason: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = ask(sandbox, "PATCH", LEGACY, data=body, headers=headers)
    assert (response.status_code, response.json()["detail"]) == (400, reason)


def test_a_lone_surrogate_and_an_infinite_number_do_no_harm(sandbox: SandboxProcess) -> None:
    """JSON can write both. Nothing is known of the service; the sandbox must only keep going."""
    json_type = {"Content-Type": "application/json"}
    assert ask(sandbox, "PATCH", LEGACY, data=b'{"city": "\\ud800"}', headers=json_type).json()["city"] == "\ud800"
    response = ask(sandbox, "PATCH", LEGACY, data=b'{"lifetime_value": 1e999}', headers=json_type)
    assert reasons(response) == {"lifetime_value": "must be a finite number"}
    assert requests.get(sandbox.url, timeout=10).status_code == 200


def test_null_clears_a_property_by_default(sandbox: SandboxProcess) -> None:
    """Section 10: unknown, assumption."""
    ask(sandbox, "PATCH", LEGACY, json={"city": "Vigo", "_mobilePhone": "+34600111222"})
    response = ask(sandbox, "PATCH", LEGACY, json={"city": None})
    assert response.status_code == 200
    assert "city" not in response.json()
    assert response.json()["_mobilePhone"] == "+34600111222"


def test_null_can_be_made_an_error() -> None:
    """Section 10: the other way it may be."""
    with SandboxProcess(requests_per_minute=0, nulls="reject") as sandbox:
        assert reasons(ask(sandbox, "PATCH", LEGACY, json={"city": None})) == {"city": "must not be null"}


def test_undefined_custom_fields_can_be_let_through() -> None:
    """Section 10: unknown keys are ignored or refused, nobody knows; ids follow section 4.3."""
    with SandboxProcess(requests_per_minute=0, any_fields=True) as sandbox:
        taken = {"new": 1, "n-e_w": "x", "n[0]": 0.5, "flag": True, "tags": ["a", "b"], "empty": None}
        assert ask(sandbox, "PATCH", LEGACY, json=taken).status_code == 201
        refused = {"object": {}, "mixed": ["a", 1], "_system": 1, "1st": 1, "x" * 151: 1}
        assert set(reasons(ask(sandbox, "PATCH", LEGACY, json=refused))) == set(refused)
        assert reasons(ask(sandbox, "PATCH", LEGACY, json={"vip": "yes"})) == {"vip": "must be a boolean"}


def test_custom_fields_can_be_limited_to_the_legacy_path() -> None:
    """Section 3.4: the newer endpoints' bodies do not list custom fields."""
    with SandboxProcess(requests_per_minute=0, custom_fields="legacy-only") as sandbox:
        statuses = [
            ask(sandbox, "PATCH", path, json={"city": "Vigo"}).status_code
            for path in (LEGACY, BY_EMAIL, BY_EXTERNAL_ID)
        ]
        assert statuses == [201, 422, 422]
        assert ask(sandbox, "PATCH", BY_EMAIL, json={"_name": "Ana"}).status_code == 200
