"""Requests to contacts at the wire: the sandbox and the strict server share no code and must respond alike.

Sections are those of docs/connectif-api.md. What only one of them has is tested in a file of its own.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.support.peers import Peer

KEYS = {
    "": [
        *("ana+news@example.com", "sales/emea@example.com", "o'brien@example.com", '"ana b"@example.com'),
        *('"a\\"b"@example.com', "josé@exámple.com", "用户@例子.广告", "50%25off@example.com", "a%2Fb@example.com"),
        *("what?#&=@example.com", f"{'a' * 242}@example.com"),
    ],
    "external-id/": ["a/b", "a+b", "a b", 'a"b', "ñ", "100%", "A/1 %", "email", "a:b;c,d", "x" * 50],
}


@pytest.mark.parametrize(("by", "key"), [(by, key) for by, keys in KEYS.items() for key in keys])
def test_a_contact_key_is_decoded_exactly_once(peer: Peer, by: str, key: str) -> None:
    """Sections 1.1 and 3.1: path parameters are percent-encoded fully. 201, then 200."""
    created, updated = peer.patch({"_name": "Ana"}, key, by), peer.patch({"_points": 1}, key, by)
    assert (created.status_code, updated.status_code) == (201, 200)
    shown = updated.json()
    assert (shown["_externalId" if by == "external-id/" else "_email"], shown["_name"], shown["_points"]) == (
        key,
        "Ana",
        1,
    )


@pytest.mark.parametrize(
    ("by", "key"),
    [
        *(("", key) for key in ("ana", "ana@example", "@example.com", "ana@", "ana b@example.com", "a@b@example.com")),
        ("external-id/", "x" * 51),
    ],
)
def test_a_key_that_cannot_be_one_is_a_400(peer: Peer, by: str, key: str) -> None:
    """Sections 2.1 and 3.2: an HttpError; 50 characters. What exactly is an e-mail is an assumption."""
    response = peer.patch({}, key, by)
    assert (response.status_code, response.json()["status"], response.json()["title"]) == (400, 400, "Bad Request")


@pytest.mark.parametrize(
    ("by", "key", "name", "value", "status"),
    [
        ("", "ana@example.com", "_externalId", "crm-7", 422),
        ("", "ana@example.com", "_email", "ana@example.com", 422),
        ("external-id/", "crm-7", "_email", "ana@example.com", 201),
        ("external-id/", "crm-7", "_email", "ana", 422),
        ("external-id/", "crm-7", "_externalId", "crm-7", 422),
    ],
)
def test_each_endpoint_takes_the_keys_that_its_body_documents(
    peer: Peer, by: str, key: str, name: str, value: str, status: int
) -> None:
    """Section 3.2 (contactpatch, patch-contact-by-email, contactpatchbyexternalid)."""
    assert peer.patch({name: value}, key, by).status_code == status


SYSTEM: list[tuple[str, list[Any], list[Any]]] = [
    ("_name", ["Ana", "Łódź 🎉", "ñ\n\"'"], [5, True, ["Ana"], {"a": 1}]),
    ("_birthdate", ["1990-05-17", "2024-02-29", "1990-05-17T08:30:00.5+02:00", "1990-05-17T00:00:00Z"],
     ["1990-02-30", "17/05/1990", "2024-05-17 10:00:00", 1715904000]),
    ("_mobilePhone", ["+34600111222", "+123456789012345"],
     ["34600111222", "+34 600 111 222", "0034600111222", "+1234567890123456", "+٣٤٦٠٠١١١٢٢٢", 34600111222]),
    ("_points", [7, 0, -7], ["7", 7.5, True]),
    ("_emailStatus", ["active", "banned", "bounced", "paused"], ["blocked", "Active", True]),
    ("_mobilePhoneStatus", ["active", "bounced", "paused"], ["banned"]),
    ("_newsletterSubscriptionStatus", ["subscribed", "unsubscribed", "none"], ["Subscribed", True, 1]),
    ("_smsSubscriptionStatus", ["none"], ["subscribe"]),
]  # fmt: skip
CUSTOM: dict[str, tuple[list[Any], list[Any]]] = {
    "text": (["x", "Łódź 🎉"], [5, ["x"], True]),
    "email": (["ana+work@example.co.uk"], ["ana", 5]),
    "date": (["2024-02-29", "2026-01-31T00:00:00Z"], ["2024-02-30", "17/05/2024", 20240517]),
    "boolean": ([True, False], ["true", 1, 0, None]),
    "integer": ([0, 3], ["5", 5.5, True]),
    "decimal": ([0, 12, 1.5], ["1,5", "1.5", False]),
}


def options(peer: Peer, kind: str) -> list[str]:
    return [option["id"] for option in peer.fields()[kind]["options"]]


def judge(peer: Peer, name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        response = peer.patch({name: value})
        assert response.status_code in (200, 201), (name, value, response.text)
        assert response.json()[name] == value
    before = peer.contact()
    for value in bad:
        response = peer.patch({"_surname": "Ruiz", name: value})
        assert response.status_code == 422, (name, value)
        document = response.json()
        (error,) = document["validationErrors"]
        assert (error["name"], error["path"], document["status"]) == (name, f"/{name}", 422)
        assert isinstance(error["reason"], str)
    assert peer.contact() == before


@pytest.mark.parametrize(("name", "good", "bad"), SYSTEM, ids=[name for name, *_ in SYSTEM])
def test_a_system_property_has_its_documented_type(peer: Peer, name: str, good: list[Any], bad: list[Any]) -> None:
    """Section 3.2 (resources/contactpatch); section 2.2: a 422 names each property by a pointer and writes none."""
    judge(peer, name, good, bad)


@pytest.mark.parametrize("kind", CUSTOM)
def test_a_custom_property_has_the_type_of_its_field(peer: Peer, kind: str) -> None:
    """Sections 3.2 and 7: the JSON value of each type."""
    judge(peer, peer.fields()[kind]["id"], *CUSTOM[kind])


def test_options_are_taken_by_their_ids(peer: Peer) -> None:
    """Sections 3.2 and 4.2: one option of a radio, a list of those of a checkbox."""
    radio, checkbox = options(peer, "radio"), options(peer, "checkbox")
    judge(peer, peer.fields()["radio"]["id"], radio, [radio[0].upper(), [radio[0]], "no such"])
    judge(
        peer,
        peer.fields()["checkbox"]["id"],
        [checkbox, checkbox[:1], []],
        ["|".join(checkbox), ["no such"], [1], None],
    )


@pytest.mark.parametrize("name", ["no_such_field", "_noSuchField", "_createdAt", "_email", "_externalId"])
def test_a_property_that_cannot_be_set_is_a_422(peer: Peer, name: str) -> None:
    """Section 3.2: read-only properties; that an unknown one is refused is an assumption."""
    judge(peer, name, [], ["a@example.com"])


def test_every_wrong_property_is_named(peer: Peer) -> None:
    """Section 2.2."""
    response = peer.patch({"_name": "Ana", "_points": "x", "_emailStatus": "x"})
    assert {error["name"] for error in response.json()["validationErrors"]} == {"_points", "_emailStatus"}
    assert peer.contact() is None


BAD_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"_name": "Ana"',
    "single quotes": b"{'_name': 'Ana'}",
    "not a number": b'{"_points": NaN}',
    "list": b"[]",
    "text": b'"Ana"',
    "null": b"null",
    "not UTF-8": b'{"_name": "\xff"}',
    "deep nesting": b'{"_name": ' + b"[" * 100_000,
    "endless number": b'{"_points": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=list(BAD_BODIES))
def test_a_body_that_is_no_json_object_is_a_400(peer: Peer, body: bytes) -> None:
    """Section 2.1: HttpError {status, title, detail}."""
    path, headers = "/contacts/" + quote("a@example.com", safe=""), {"Content-Type": "application/json"}
    response = peer.ask("PATCH", path, data=body, headers=headers)
    assert (response.status_code, response.json().keys()) == (400, {"status", "title", "detail"})


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_only_json_is_taken(peer: Peer, kind: str | None) -> None:
    """Section 1.1: 415 without application/json."""
    headers = {} if kind is None else {"Content-Type": kind}
    assert peer.ask("PATCH", "/contacts/a%40example.com", data=b"{}", headers=headers).status_code == 415


@pytest.mark.parametrize(
    "authorization",
    [None, "", "apiKey", "Bearer test-id:test-secret", "apiKey other:test-secret"],
    ids=["none", "empty", "scheme only", "other scheme", "wrong id"],
)
def test_a_wrong_key_is_a_401_without_a_body(peer: Peer, authorization: str | None) -> None:
    """Sections 1.1 and 2: ``apiKey id:secret``, and no resource is attached to 401."""
    response = peer.ask("GET", "/contact-fields/", headers={"Authorization": authorization})
    assert (response.status_code, response.content) == (401, b"")


def test_a_contact_may_be_read_and_deleted(peer: Peer) -> None:
    """Section 3.1: 404 after a delete, and 204 for deleting twice, are assumptions."""
    created = peer.patch({"_name": "Ana"}).json()
    assert (shown := peer.contact()) is not None
    assert (shown["id"], shown["_name"]) == (created["id"], "Ana")
    deleted = [peer.ask("DELETE", "/contacts/a%40example.com").status_code for _ in range(2)]
    assert (deleted, peer.contact()) == ([204, 204], None)
