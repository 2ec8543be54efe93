"""One suite over both servers that tests run against: the sandbox and the strict server share no code and must agree.

What it asks goes through the client, which sees the same of both. Where the documents are silent (GET of a contact),
the suite pins down one assumption for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.errors import (
    BadRequestError,
    ForbiddenError,
    UnauthorizedError,
)
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.fields import Field, FieldTable
from airflow_provider_connectif.contacts.stored import compare
from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.strict_server import API_KEY

KEYS = {"email": "ana+1/2@example.com", "external_id": "A/1 %"}
KEY_PROPERTIES = {"email": "_email", "external_id": "_externalId"}
ALL, WRITE_ONLY = "all:secret", "write-only:secret"

Opened = Callable[..., ConnectifClient]


@pytest.fixture(scope="module")
def _sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(requests_per_minute=0, api_key=[ALL, f"{WRITE_ONLY}=contacts:write"]) as process:
        yield process


@pytest.fixture(params=["sandbox", "strict server"])
def connect(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """A client of a server without contacts; ``key``, and whether it ``may_read`` and ``may_delete`` contacts."""
    clients = []
    is_strict = request.param == "strict server"
    server: Any = request.getfixturevalue("_strict_process" if is_strict else "_sandbox")
    server.reset()

    def opened(key: str | None = None, may_read: bool = True, may_delete: bool = True) -> ConnectifClient:
        if is_strict:
            server.update(may_read_contacts=may_read, may_delete_contacts=may_delete)
        known = API_KEY if is_strict else ALL if may_read and may_delete else WRITE_ONLY
        quota = Quota(requests_per_minute=1_000_000)
        clients.append(ConnectifClient(ApiKey.parse(None, key or known), server.url, quota=quota))
        return clients[-1]

    yield opened
    for client in clients:
        client.close()
    if is_strict:
        server.check()


def patch(client: ConnectifClient, by: str, properties: dict[str, Any], key: str | None = None) -> Any:
    send = client.patch_contact if by == "email" else client.patch_contact_by_external_id
    return send(key or KEYS[by], properties)


def look_up(client: ConnectifClient, by: str, key: str | None = None) -> Any:
    get = client.get_contact if by == "email" else client.get_contact_by_external_id
    return get(key or KEYS[by])


def delete(client: ConnectifClient, by: str, key: str | None = None) -> bool:
    send = client.delete_contact if by == "email" else client.delete_contact_by_external_id
    return send(key or KEYS[by])


@pytest.mark.parametrize("by", KEYS)
def test_a_patch_responds_with_the_whole_contact_as_it_is_then(connect: Opened, by: str) -> None:
    client = connect()
    created = patch(client, by, {"_name": "Ana", "_points": 1})
    updated = patch(client, by, {"_points": 2})
    assert (created.status, updated.status) == (201, 200)
    key = {KEY_PROPERTIES[by]: KEYS[by]}
    assert created.body.items() >= {**key, "_name": "Ana", "_points": 1}.items()
    assert updated.body.items() >= {**key, "_name": "Ana", "_points": 2}.items()
    assert isinstance(created.body["id"], str)
    assert created.body["id"] == updated.body["id"]


@pytest.mark.parametrize("by", KEYS)
def test_a_contact_is_looked_up_as_the_last_patch_showed_it(connect: Opened, by: str) -> None:
    client = connect()
    patch(client, by, {"_name": "Ana", "_birthdate": "1990-05-17"})
    last = patch(client, by, {"_newsletterSubscriptionStatus": "unsubscribed"})
    assert look_up(client, by) == last.body
    assert look_up(client, by)["_newsletterSubscriptionStatus"] == "unsubscribed"


@pytest.mark.parametrize("by", KEYS)
def test_a_contact_that_is_not_there_is_none(connect: Opened, by: str) -> None:
    client = connect()
    patch(client, by, {"_name": "Ana"})
    assert look_up(client, by, "eva@example.com") is None


@pytest.mark.parametrize("by", KEYS)
def test_a_deleted_contact_is_gone_and_others_stay(connect: Opened, by: str) -> None:
    client = connect()
    patch(client, by, {"_name": "Ana"})
    patch(client, by, {"_name": "Eva"}, "eva@example.com")
    assert [delete(client, by), delete(client, by)] == [True, True]  # twice is harmless
    assert look_up(client, by) is None
    assert look_up(client, by, "eva@example.com")["_name"] == "Eva"
    assert patch(client, by, {"_name": "Ana"}).status == 201


@pytest.mark.parametrize("by", KEYS)
def test_deleting_contacts_is_a_scope_of_its_own(connect: Opened, by: str) -> None:
    client = connect(may_delete=False)
    patch(client, by, {"_name": "Ana"})
    with pytest.raises(ForbiddenError) as refused:
        delete(client, by)
    assert refused.value.is_error_document


@pytest.mark.parametrize(("by", "key"), [("email", "nobody"), ("external_id", "x" * 51)])
def test_a_key_that_cannot_be_one_is_a_400(connect: Opened, by: str, key: str) -> None:
    client = connect()
    for ask in (look_up, delete, lambda *given: patch(client, by, {"_name": "Ana"}, key)):
        with pytest.raises(BadRequestError) as refused:
            ask(client, by, key)
        assert refused.value.is_error_document


@pytest.mark.parametrize("by", KEYS)
def test_reading_contacts_is_a_scope_of_its_own(connect: Opened, by: str) -> None:
    client = connect(may_read=False)
    assert patch(client, by, {"_name": "Ana"}).body["_name"] == "Ana"
    with pytest.raises(ForbiddenError) as refused:
        look_up(client, by)
    assert refused.value.is_error_document


def test_a_wrong_key_is_a_401_without_a_body(connect: Opened) -> None:
    with pytest.raises(UnauthorizedError) as refused:
        look_up(connect("nobody:secret"), "email")
    assert (refused.value.is_error_document, refused.value.detail) == (False, None)


VALUES: dict[str, list[Any]] = {
    "text": ["Ana María", "ñ \U0001f600 |\n\"'", "28001"],
    "email": ["Ana+1@example.com"],
    "phone": ["+34600111222"],
    "integer": [0, 17],
    "decimal": [0, 1.5, 0.1, 12345678.25],
    "boolean": [True, False],
    "date": ["1990-05-17", "2026-01-31T00:00:00Z"],
}


def values_of(field: Field) -> list[Any]:
    ids = [option_id for option_id, _ in field.options]
    if field.type == "radio":
        return ids
    return [ids, ids[::-1], ids[:1]] if field.type == "checkbox" else VALUES[field.type]


@pytest.mark.parametrize("by", KEYS)
@pytest.mark.parametrize("with_definitions", [True, False], ids=["by definition", "by value"])
def test_what_was_sent_is_shown_as_the_same_for_every_type(connect: Opened, by: str, with_definitions: bool) -> None:
    client = connect()
    fields = [Field.from_api(definition) for definition in client.list_contact_fields()]
    table = FieldTable(by, fields if with_definitions else None)  # type: ignore[arg-type]
    writable = [field for field in fields if not field.read_only and field.id not in ("_email", "_externalId")]
    assert {field.type for field in writable} >= {*VALUES, "radio", "checkbox"}
    for turn in range(4):
        sent = {field.id: values_of(field)[turn % len(values_of(field))] for field in writable}
        response = patch(client, by, sent)
        compared = compare(sent, response.body, table)
        assert compared.shows_contact
        assert dict(compared.differences) == {}
        assert compared.same == set(sent)
        assert dict(compare(sent, look_up(client, by), table).differences) == {}
