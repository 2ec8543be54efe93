"""Requests to contacts at the wire: the sandbox and the strict server share no code and must respond alike.

Sections are those of docs/connectif-api.md. What only one of them has is tested in a file of its own.
"""

from __future__ import annotations

import socket
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
    "external-id/": ["a/b", "a+b", "a b", 'a"b', "ñ", "100%", "A/1 %", "email", "a:b;c,d", "crm_7-8.9~", "x" * 50],
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
    assert (peer.contact(key, by) or {})["id"] == shown["id"]
    assert peer.ask("DELETE", f"/contacts/{by}{quote(key, safe='')}").status_code == 204
    assert peer.contact(key, by) is None


@pytest.mark.parametrize(
    ("by", "key"),
    [
        *(("", key) for key in ("ana", "ana@example", "@example.com", "ana@", "ana b@example.com", "a@b@example.com")),
        *(("", key) for key in ("a@example..com", "a@ex/ample.com", "a\x7f@example.com", "a\u200b@example.com")),
        *(("", key) for key in ("a\u0378@example.com", "a@example.com.", f"{'a' * 243}@example.com")),
        *(("external-id/", key) for key in ("x" * 51, " a", "a ", "a\tb", "a\x7fb", "a\u200bb", "a\ue000b")),
    ],
)
def test_a_key_that_cannot_be_one_is_a_400(peer: Peer, by: str, key: str) -> None:
    """Sections 2.1 and 3.2: an HttpError; 50 characters. What exactly is an e-mail is an assumption."""
    for method in ("PATCH", "GET", "DELETE"):
        response = peer.ask(method, f"/contacts/{by}{quote(key, safe='')}", json={} if method == "PATCH" else None)
        document = response.json()
        assert (response.status_code, document["status"], document["title"]) == (400, 400, "Bad Request")


@pytest.mark.parametrize(
    ("by", "key", "name", "value", "status"),
    [
        ("", "ana@example.com", "_externalId", "crm-7", 422),
        ("", "ana@example.com", "_email", "ana@example.com", 422),
        ("external-id/", "crm-7", "_email", "ana@example.com", 201),
        ("external-id/", "crm-7", "_email", "ana", 422),
        ("external-id/", "crm-7", "_externalId", "crm-7", 422),
        ("email/", "ana@example.com", "_externalId", "crm-7", 201),
        ("email/", "ana@example.com", "_externalId", "", 422),
        ("email/", "ana@example.com", "_externalId", "a\u200bb", 422),
        ("email/", "ana@example.com", "_externalId", 7, 422),
        ("email/", "ana@example.com", "_email", "ana@example.com", 422),
        ("email/", "ana@example.com", "_name", "Ana", 201),
    ],
)
def test_each_endpoint_takes_the_keys_that_its_body_documents(
    peer: Peer, by: str, key: str, name: str, value: str, status: int
) -> None:
    """Section 3.2 (contactpatch, patch-contact-by-email, contactpatchbyexternalid)."""
    assert peer.patch({name: value}, key, by).status_code == status


SYSTEM: list[tuple[str, list[Any], list[Any]]] = [
    ("_name", ["Ana", "Łódź 🎉", "ñ\n\"'"], [5, True, ["Ana"], {"a": 1}]),
    ("_birthdate", ["1990-05-17", "2024-02-29", "1990-05-17T08:30:00.5+02:00", "1990-05-17T00:00:00Z",
      "1990-05-17T08:30", "1990-05-17T08:30:00", "1990-05-17T08:30Z", "1990-05-17T08:30:00.123456789Z"],
     ["1990-02-30", "17/05/1990", "2024-05-17 10:00:00", 1715904000, "19900517", "1990-W20-4", "1990-05-17T08",
      "1990-05-17Z", "1990-05-17T08:30:00+0200", "1990-05-17T08:30:00,5Z", "1990-05-17\n", "１９９０-05-17"]),
    ("_mobilePhone", ["+34600111222", "+123456789012345", "+12"],
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
        assert document["title"] == "Unprocessable entity"
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
        ["|".join(checkbox), ["no such"], [1], None, [checkbox[0], checkbox[0]]],
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


def test_the_name_of_a_wrong_property_is_escaped_in_its_pointer(peer: Peer) -> None:
    """Section 2.2: a JSON pointer (RFC 6901)."""
    errors = peer.patch({"a/b": 1, "c~d": 2, "~1": 3, "": 4}).json()["validationErrors"]
    assert {error["name"]: error["path"] for error in errors} == {"a/b": "/a~1b", "c~d": "/c~0d", "~1": "/~01", "": "/"}


def test_a_limit_is_the_last_value_that_is_taken(peer: Peer) -> None:
    """Section 4.2: maxLength, minValue, maxValue."""
    beyond: dict[str, Any] = {"minValue": -1, "maxValue": 1}
    judged = 0
    for field in peer.all_of("/contact-fields/"):
        if not field["custom"]:
            continue
        if "maxLength" in field:
            most = field["maxLength"]
            judge(peer, field["id"], ["", "x" * most, "\U0001f600" * most], ["x" * (most + 1)])
            judged += 1
        for name in field.keys() & beyond:
            judge(peer, field["id"], [field[name]], [field[name] + beyond[name]])
            judged += 1
    assert judged >= 2


@pytest.mark.parametrize(("by", "key"), [("", "a@example.com"), ("email/", "a@example.com"), ("external-id/", "a")])
def test_what_a_patch_does_not_name_stays(peer: Peer, by: str, key: str) -> None:
    """Section 3.1: an upsert."""
    whole = {name: good[0] for name, good, _ in SYSTEM} | {"_surname": "Ruiz"}
    whole |= {peer.fields()[kind]["id"]: good[0] for kind, (good, _) in CUSTOM.items()}
    peer.patch(whole, key, by)
    for changes in ({}, {"_points": 0}, {"_name": "", "_emailStatus": "paused"}):
        whole |= changes
        assert peer.patch(changes, key, by).json().items() >= whole.items()
        assert (peer.contact(key, by) or {}).items() >= whole.items()


BAD_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"_name": "Ana"',
    "single quotes": b"{'_name': 'Ana'}",
    "not a number": b'{"_points": NaN}',
    "list": b"[]",
    "text": b'"Ana"',
    "null": b"null",
    "not UTF-8": b'{"_name": "\xff"}',
    "half a surrogate pair": b'{"_name": "\xed\xa0\x80"}',
    "UTF-16": '{"_name": "Ana"}'.encode("utf-16"),
    "BOM": b"\xef\xbb\xbf{}",
    "a name twice": b'{"_name": "Ana", "_name": "Eva"}',
    "a name twice within": b'{"_name": {"a": 1, "a": 2}}',
    "deep nesting": b'{"_name": ' + b"[" * 100_000,
    "endless number": b'{"_points": ' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=list(BAD_BODIES))
def test_a_body_that_is_no_json_object_is_a_400(peer: Peer, body: bytes) -> None:
    """Section 2.1: HttpError {status, title, detail}."""
    path, headers = "/contacts/" + quote("a@example.com", safe=""), {"Content-Type": "application/json"}
    response = peer.ask("PATCH", path, data=body, headers=headers)
    assert (response.status_code, response.json().keys()) == (400, {"status", "title", "detail"})


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", None])
def test_only_json_is_taken(peer: Peer, kind: str | None) -> None:
    """Section 1.1: 415 without application/json."""
    headers = {} if kind is None else {"Content-Type": kind}
    assert peer.ask("PATCH", "/contacts/a%40example.com", data=b"{}", headers=headers).status_code == 415


@pytest.mark.parametrize("kind", ["Application/JSON", "application/json;charset=utf-8", "application/json ; a=b"])
def test_a_media_type_has_no_case_and_may_have_parameters(peer: Peer, kind: str) -> None:
    """RFC 9110, 8.3.1."""
    assert peer.ask("PATCH", "/contacts/a%40e.com", data=b"{}", headers={"Content-Type": kind}).status_code == 201


def test_a_body_beyond_a_mebibyte_is_a_413(peer: Peer) -> None:
    """Section 10: no limit is documented; the number is an assumption."""
    most = 2**20 - len('{"_name": ""}')
    assert [peer.patch({"_name": "x" * length}).status_code for length in (most, most + 1)] == [201, 413]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "apiKey", "Bearer test-id:test-secret", "apiKey other:test-secret"],
    ids=["none", "empty", "scheme only", "other scheme", "wrong id"],
)
def test_a_wrong_key_is_a_401_without_a_body(peer: Peer, authorization: str | None) -> None:
    """Sections 1.1 and 2: ``apiKey id:secret``, and no resource is attached to 401."""
    response = peer.ask("GET", "/contact-fields/", headers={"Authorization": authorization})
    assert (response.status_code, response.content) == (401, b"")


@pytest.mark.parametrize(
    "pattern", ["apikey {}", "APIKEY {}", "apiKey  {}", "apiKey {}x", "{}", "apiKey {}, apiKey {}", "apiKey {} x"]
)
def test_a_key_is_taken_in_its_documented_form_only(peer: Peer, pattern: str) -> None:
    """Section 1.1. Whether the service minds the case of the scheme is unknown: refusing it hides no mistake."""
    for authorization in (pattern.format(peer.key, peer.key), f"apiKey {peer.key[:-1]}", f"apiKey {peer.key.upper()}"):
        assert peer.ask("GET", "/contact-fields/", headers={"Authorization": authorization}).status_code == 401


def test_a_contact_may_be_read_and_deleted(peer: Peer) -> None:
    """Section 3.1: 404 after a delete, and 204 for deleting twice, are assumptions."""
    created = peer.patch({"_name": "Ana"}).json()
    assert (shown := peer.contact()) is not None
    assert (shown["id"], shown["_name"]) == (created["id"], "Ana")
    deleted = [peer.ask("DELETE", "/contacts/a%40example.com").status_code for _ in range(2)]
    assert (deleted, peer.contact()) == ([204, 204], None)


def test_the_letter_case_of_an_email_does_not_matter(peer: Peer) -> None:
    """Section 10: case folding is unknown, so it is an assumption; so is the composition of accents."""
    first = peer.patch({"_name": "Zoé"}, "Zoé@Example.com").json()
    for key in ("zoé@example.com", "ZOÉ@EXAMPLE.COM", "zoe\u0301@example.com"):
        response = peer.patch({"_points": 1}, key)
        assert (response.status_code, response.json()["id"]) == (200, first["id"]), key
        assert response.json()["_email"] == "Zoé@Example.com"
        assert (peer.contact(key) or {}).get("_name") == "Zoé"
    assert peer.ask("DELETE", f"/contacts/{quote('ZOÉ@example.com', safe='')}").status_code == 204
    assert peer.contact("Zoé@Example.com") is None


@pytest.mark.parametrize(
    ("by", "keys"),
    [("", ["ss@example.com", "ß@example.com"]), ("external-id/", ["a", "A", "\u00e9", "e\u0301", "a@example.com"])],
)
def test_other_spellings_are_other_contacts(peer: Peer, by: str, keys: list[str]) -> None:
    """Section 3.2: an external id is a string; that each has an id of its own is section 3.3."""
    created = [peer.patch({}, key, by) for key in keys]
    assert [response.status_code for response in created] == [201] * len(keys)
    assert len({response.json()["id"] for response in created}) == len(keys)


def test_an_external_id_that_reads_like_an_email_is_another_key(peer: Peer) -> None:
    """Section 3.4: each is a primary key."""
    assert [peer.patch({}, by=by).status_code for by in ("", "external-id/", "")] == [201, 201, 200]
    assert peer.ask("DELETE", "/contacts/external-id/a%40example.com").status_code == 204
    assert peer.contact() is not None


@pytest.mark.parametrize(
    ("by", "key", "name", "other", "by_other"),
    [
        ("external-id/", "crm-7", "_email", "Ana@example.com", ""),
        ("email/", "ana@example.com", "_externalId", "crm-7", "external-id/"),
    ],
)
def test_a_contact_is_found_by_both_of_its_keys(
    peer: Peer, by: str, key: str, name: str, other: str, by_other: str
) -> None:
    """Section 3.4: e-mail and external id are both primary keys."""
    assert peer.patch({name: other, "_name": "Ana"}, key, by).json() == peer.contact(key, by)
    assert peer.contact(other, by_other) == peer.contact(key, by)
    assert peer.patch({"_points": 1}, other, by_other).status_code == 200
    assert (peer.contact(key, by) or {})["_points"] == 1
    assert peer.ask("DELETE", f"/contacts/{by_other}{quote(other, safe='')}").status_code == 204
    assert (peer.contact(key, by), peer.contact(other, by_other)) == (None, None)


def test_a_key_of_another_contact_is_a_422(peer: Peer) -> None:
    """Section 3.4: unique; the status is an assumption."""
    peer.patch({"_externalId": "crm-7"}, "ana@example.com", "email/")
    peer.patch({}, "eva@example.com")
    for by, key, body in (
        ("email/", "eva@example.com", {"_externalId": "crm-7"}),
        ("external-id/", "crm-8", {"_email": "EVA@example.com"}),
        ("external-id/", "crm-7", {"_email": "eva@example.com"}),
    ):
        response = peer.patch(body | {"_name": "x"}, key, by)
        assert response.status_code == 422
        assert [error["name"] for error in response.json()["validationErrors"]] == [next(iter(body))]
    assert peer.contact("crm-8", "external-id/") is None
    assert "_name" not in (peer.contact("eva@example.com") or {})


def test_a_contact_may_get_another_key_or_lose_it(peer: Peer) -> None:
    """Section 3.2: the newer bodies list the other key. What null does to it is an assumption."""
    first = peer.patch({"_externalId": "crm-7"}, "ana@example.com", "email/").json()["id"]
    moved = peer.patch({"_email": "eva@example.com"}, "crm-7", "external-id/")
    assert (moved.status_code, moved.json()["id"], moved.json()["_email"]) == (200, first, "eva@example.com")
    assert peer.contact("ana@example.com") is None
    assert (peer.contact("eva@example.com") or {})["_externalId"] == "crm-7"
    assert "_email" not in peer.patch({"_email": None}, "crm-7", "external-id/").json()
    assert peer.contact("eva@example.com") is None
    assert (peer.contact("crm-7", "external-id/") or {})["id"] == first


def test_null_empties_a_property_that_may_be_empty(peer: Peer) -> None:
    """Section 10: undocumented, so an assumption."""
    peer.patch({"_name": "Ana", "_points": 1})
    assert peer.patch({"_name": None, "_points": None, "_surname": None}).status_code == 200
    assert not {"_name", "_points", "_surname"} & (peer.contact() or {"_name"}).keys()


@pytest.mark.parametrize(
    "path", ["/contacts/a%40example.com/", "/contacts/a%40example.com?x=1", "/contacts/a@example.com"]
)
def test_a_slash_or_a_query_is_no_part_of_the_key(peer: Peer, path: str) -> None:
    """Section 1.1 has the slash for lists only, so this is an assumption."""
    assert peer.ask("PATCH", path, json={}).json()["_email"] == "a@example.com"
    assert peer.contact() is not None


def test_a_key_that_is_not_utf_8_is_a_400(peer: Peer) -> None:
    """An assumption: no document says it."""
    for by in ("", "external-id/"):
        assert peer.ask("PATCH", f"/contacts/{by}%E9%40example.com", json={}).status_code == 400


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/contacts/a%40example.com", {"GET", "PATCH", "DELETE"}),
        ("/contacts/external-id/a", {"GET", "PATCH", "DELETE"}),
        ("/contact-fields/", {"GET"}),
        ("/contact-fields/_name", {"GET"}),
        ("/imports/", {"GET", "POST"}),
        ("/imports/0", {"GET", "DELETE"}),
        ("/store/", {"GET"}),
    ],
)
def test_a_method_that_a_path_does_not_have_is_a_405(peer: Peer, path: str, allowed: set[str]) -> None:
    """RFC 9110, 15.5.6: with Allow. The API's documents have no 405, so it is an assumption."""
    for method in sorted({"PATCH", "DELETE", "PUT", "OPTIONS"} - allowed):
        response = peer.ask(method, path)
        assert (response.status_code, response.json()["status"]) == (405, 405)
        assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/contacts", "/contacts/", "/contacts/external-id//", "/contacts/a/b", "/contact-fields/no_such",
     "/contact-fields/a/b", "/contact-fields//", "/imports//", "/imports/a/b", "/Contacts/a%40example.com"],
)  # fmt: skip
def test_what_is_not_there_is_a_404(peer: Peer, path: str) -> None:
    """Section 2.1."""
    response = peer.ask("GET", path)
    assert (response.status_code, response.json()["title"]) == (404, "Not Found")


def test_lists_are_read_without_a_slash_and_to_their_ends(peer: Peer) -> None:
    """Section 1.1: both spellings. What a page beyond the last one has is an assumption."""
    for path in ("/contact-fields", "/imports"):
        assert peer.ask("GET", path).json() == peer.ask("GET", f"{path}/").json()
    assert peer.ask("GET", "/contact-fields/?page=99999").json()["results"] == []
    assert [peer.ask("GET", f"/contact-fields/?page={page}").status_code for page in ("0", "-1", "x")] == [400] * 3


def test_a_single_field_is_as_in_the_list(peer: Peer) -> None:
    """Section 4.1."""
    for field in peer.all_of("/contact-fields/"):
        assert peer.ask("GET", f"/contact-fields/{quote(field['id'], safe='')}").json() == field


def test_the_store_can_be_read(peer: Peer) -> None:
    """Section 1.2; its properties are not known."""
    assert {"id", "name"} <= peer.ask("GET", "/store/").json().keys()


def test_a_body_may_come_in_chunks(peer: Peer) -> None:
    """RFC 9112, 7.1."""
    headers = {"Content-Type": "application/json"}
    response = peer.ask("PATCH", "/contacts/a%40example.com", data=iter([b'{"_name"', b': "Ana"}']), headers=headers)
    assert (response.status_code, response.json()["_name"]) == (201, "Ana")


@pytest.mark.parametrize(
    "headers", ["Host: x\r\nContent-Length: 1x", "Host: x\r\nContent-Length:", "Content-Length: 2"]
)
def test_a_head_that_is_not_http_is_a_400(peer: Peer, headers: str) -> None:
    """RFC 9112, 3.2 and 6.3."""
    with socket.create_connection(("127.0.0.1", int(peer.url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(f"PATCH /contacts/a%40e.com HTTP/1.1\r\n{headers}\r\n\r\n{{}}".encode())
        assert connection.makefile("rb").readline().split()[1] == b"400"
