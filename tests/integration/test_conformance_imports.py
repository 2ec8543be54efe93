"""Imports at the wire: the sandbox and the strict server share no code and must respond alike.

Sections are those of docs/connectif-api.md. What only one of them has is tested in a file of its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.peers import Peer

HEADER = "_email,_name\n"
TWO = HEADER + "a@example.com,Ana\nb@example.com,Bea\n"
TYPE = 'Content-Disposition: form-data; name="type"'
OPTIONS = {"delimiter": ",", "overrideExisting": True, "updateOnlyEmptyFields": False}


def test_an_upload_is_an_import_in_the_queue_and_then_contacts(peer: Peer) -> None:
    """5.1: 201 and the Import. 5.2: its properties; the total is in the response already."""
    peer.next_import(hold="queued")
    response = peer.imports.upload(TWO)
    created = response.json()
    assert response.status_code == 201
    assert created == {
        "id": created["id"],
        "type": "contacts",
        "origin": "api",
        "status": "queued",
        "total": 2,
        "success": 0,
        "errors": 0,
        "options": OPTIONS,
        "createdAt": created["createdAt"],
    }
    state = peer.imports.imported(TWO)
    assert (state["status"], state["success"], state["errors"]) == ("finished", 2, 0)
    assert state["createdAt"] <= state["startedAt"] <= state["finishedAt"]
    assert "errorReportFileUrl" not in state
    assert [(peer.contact(key) or {}).get("_name") for key in ("a@example.com", "b@example.com")] == ["Ana", "Bea"]
    assert peer.imports.state(created["id"])["status"] == "queued"


@pytest.mark.parametrize(
    "options",
    [
        {"type": "people"},
        {"overrideExisting": "True"},
        {"overrideExisting": "1"},
        {"overrideExisting": "false", "updateOnlyEmptyFields": "true"},
        {"delimiter": ",,"},
        {"kind": "application/octet-stream"},
        {"kind": "text/plain"},
    ],
    ids=str,
)
def test_options_that_are_not_as_documented_are_a_422(peer: Peer, options: dict[str, Any]) -> None:
    """5.1: booleans as words, updateOnlyEmptyFields requires overrideExisting, the file is text/csv."""
    response = peer.imports.upload(TWO, **options)
    assert (response.status_code, response.json()["status"]) == (422, 422)
    wrong = "file" if "kind" in options else list(options)[-1]
    assert [(error["name"], error["path"]) for error in response.json()["validationErrors"]] == [(wrong, f"/{wrong}")]
    assert peer.all_of("/imports/") == []


def test_what_is_not_multipart_is_a_415(peer: Peer) -> None:
    """5.1."""
    for path in ("/imports/", "/imports"):
        response = peer.ask("POST", path, data=b"{}", headers={"Content-Type": "application/json"})
        assert response.status_code == 415


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_border_is_a_400(peer: Peer, kind: str) -> None:
    """RFC 7578; the status is an assumption."""
    assert peer.ask("POST", "/imports/", data=b"--x--", headers={"Content-Type": kind}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        "no border",
        f"before\r\n--b\r\n{TYPE}\r\n\r\ncontacts\r\n--b--\r\n",
        f"--another\r\n{TYPE}\r\n\r\ncontacts\r\n--another--\r\n",
        "--b\r\n\r\ncontacts\r\n--b--\r\n",
        "--b\r\nContent-Disposition: form-data\r\n\r\ncontacts\r\n--b--\r\n",
    ],
)
def test_a_body_that_is_not_the_announced_form_is_a_400(peer: Peer, body: str) -> None:
    """RFC 7578, 4.1 and 4.2: it begins with the border, and each part has a name. The status is an assumption."""
    announced = {"Content-Type": "multipart/form-data; boundary=b"}
    assert peer.ask("POST", "/imports/", data=body, headers=announced).status_code == 400


@pytest.mark.parametrize("body", ["", "--b--\r\n", f"--b\r\n{TYPE}\r\n\r\ncontacts\r\n"])
def test_a_form_without_parts_or_without_its_end_is_a_422(peer: Peer, body: str) -> None:
    """As for other missing parts; the status is an assumption."""
    announced = {"Content-Type": "multipart/form-data; boundary=b"}
    assert peer.ask("POST", "/imports/", data=body, headers=announced).status_code == 422
    assert peer.all_of("/imports/") == []


@pytest.mark.parametrize("kind", ["text/csv; charset=utf-8", "Text/CSV"])
def test_the_type_of_the_file_has_no_case_and_may_have_parameters(peer: Peer, kind: str) -> None:
    """RFC 9110, 8.3.1."""
    assert peer.imports.upload(TWO, kind=kind).status_code == 201


def test_a_file_without_a_name_is_none(peer: Peer) -> None:
    """RFC 7578, 4.2: without a file name a part is a text."""
    fields = {"type": "contacts", "delimiter": ",", "overrideExisting": "true", "updateOnlyEmptyFields": "false"}
    files = {name: (None, text) for name, text in (fields | {"file": TWO}).items()}
    response = peer.ask("POST", "/imports/", files=files)
    assert (response.status_code, [error["name"] for error in response.json()["validationErrors"]]) == (422, ["file"])


def test_a_file_above_50_mb_is_a_413(peer: Peer) -> None:
    """5.4."""
    assert peer.imports.upload(b"x" * 50_000_001).status_code == 413
    assert peer.all_of("/imports/") == []


def test_ten_may_be_queued(peer: Peer) -> None:
    """5.1: one queue of ten. 2.3: E0401, status 400."""
    for _ in range(10):
        peer.next_import(hold="queued")
        assert peer.imports.upload(TWO).status_code == 201
    full = peer.imports.upload(TWO)
    assert (full.status_code, full.json()["code"]) == (400, "E0401")
    assert [one["status"] for one in peer.all_of("/imports/")] == ["queued"] * 10


def test_the_list_has_the_newest_first(peer: Peer) -> None:
    """5.1: ImportList, links and results; the order is an assumption."""
    ids = [peer.imports.imported(TWO)["id"] for _ in range(3)]
    assert [one["id"] for one in peer.all_of("/imports/")] == ids[::-1]


@pytest.mark.parametrize("end", ["error", "cancelled", "paused"])
def test_an_import_ends_as_it_is_meant_to(peer: Peer, end: str) -> None:
    """5.2: states, those that no document names included."""
    peer.next_import(end=end, at_rows=1)
    state = peer.imports.imported(TWO)
    assert (state["status"], state["success"]) == (end, 1)
    assert (peer.contact("a@example.com") is not None, peer.contact("b@example.com")) == (True, None)
    assert ("cancelledAt" in state) == (end == "cancelled")


def test_only_what_has_finished_or_is_in_error_can_be_deleted(peer: Peer) -> None:
    """5.1; that the refusal is a 400 is an assumption."""
    finished = peer.imports.imported(TWO)["id"]
    peer.next_import(hold="queued")
    waiting = peer.imports.upload(TWO).json()["id"]
    assert [peer.imports.ask(one, "DELETE").status_code for one in (finished, waiting)] == [204, 400]
    assert [peer.imports.ask(one).status_code for one in (finished, waiting)] == [404, 200]


SYSTEM_CELLS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "_name": ({'"Ana ""la, roja""\r\nñ 🙂"': 'Ana "la, roja"\r\nñ 🙂', "=1+1": "=1+1"}, []),
    "_birthdate": ({"2000-02-29": "2000-02-29"}, ["", "2001-02-29", "17/05/1990", "20000229", "1990-05-17T00:00:00Z"]),
    "_mobilePhone": ({"+34600111222": "+34600111222"}, ["", "600 111 222", "+", "6" * 14]),
    "_points": ({"7": 7, "0": 0, "-7": -7}, ["", "010", "1.0", "x"]),
    "_newsletterSubscriptionStatus": ({"none": "none"}, ["", "Subscribed"]),
}
CUSTOM_CELLS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "boolean": ({"true": True, "false": False}, ["TRUE", "False", "1"]),
    "integer": ({"5": 5}, ["", "5.5", "05"]),
    "decimal": ({"0.25": 0.25, "10": 10}, ["", '"0,25"', "1e1"]),
    "email": ({"a@example.org": "a@example.org"}, ["nobody"]),
    "date": ({"2026-01-31": "2026-01-31"}, ["", "2026-01-32"]),
}


def judge(peer: Peer, column: str, good: dict[str, Any], bad: list[str]) -> None:
    keys = [f"user{number}@example.com" for number in range(len(good) + len(bad))]
    rows = [f"{key};{cell}\r\n" for key, cell in zip(keys, [*good, *bad], strict=True)]
    state = peer.imports.imported(f"_email;{column}\r\n" + "".join(rows), delimiter=";")
    assert (state["status"], state["success"], state["errors"]) == ("finished", len(good), len(bad))
    contacts = [peer.contact(key) for key in keys]
    assert [(contact or {}).get(column) for contact in contacts[: len(good)]] == list(good.values())
    assert contacts[len(good) :] == [None] * len(bad)
    if bad:
        report = peer.imports.report(state)
        assert (report.status_code, [key in report.text for key in keys]) == (
            200,
            [key in keys[len(good) :] for key in keys],
        )


@pytest.mark.parametrize("column", SYSTEM_CELLS)
def test_a_cell_of_a_system_property_fits_or_its_row_is_refused(peer: Peer, column: str) -> None:
    """5.3: blanks in typed columns, formats by type. That the whole row is refused is an assumption."""
    judge(peer, column, *SYSTEM_CELLS[column])


@pytest.mark.parametrize("kind", CUSTOM_CELLS)
def test_a_cell_of_a_custom_property_fits_or_its_row_is_refused(peer: Peer, kind: str) -> None:
    """5.3: formats by type."""
    judge(peer, peer.fields()[kind]["id"], *CUSTOM_CELLS[kind])


def test_options_are_ids_with_bars_between(peer: Peer) -> None:
    """5.3."""
    fields = peer.fields()
    radio, checkbox = ([option["id"] for option in fields[kind]["options"]] for kind in ("radio", "checkbox"))
    judge(peer, fields["radio"]["id"], {radio[0]: radio[0]}, ["", radio[0].upper(), "no such"])
    judge(
        peer,
        fields["checkbox"]["id"],
        {"|".join(checkbox[:2]): checkbox[:2], checkbox[0]: checkbox[:1], "": []},
        [f"{checkbox[0]}|no such", f"{checkbox[0]}|{checkbox[0]}", f'"{checkbox[0]},{checkbox[1]}"'],
    )


@pytest.mark.parametrize(
    "content",
    [
        "_name\nAna\n",
        b"\xef\xbb\xbf" + TWO.encode(),
        HEADER.encode() + b"a@example.com,\xe9\n",
        HEADER + 'a@example.com,"Ana',
    ],
    ids=["no key", "BOM", "not UTF-8", "quote without end"],
)
def test_a_file_that_cannot_be_read_ends_in_error(peer: Peer, content: str | bytes) -> None:
    """5.3: a column of keys is mandatory, UTF-8; a BOM corrupts the first header. The state is an assumption."""
    assert peer.imports.imported(content)["status"] == "error"
    assert peer.contact() is None


def test_an_external_id_has_priority_over_an_email(peer: Peer) -> None:
    """5.3: both keys are allowed. That a row with a key of another contact is refused is an assumption."""
    peer.imports.imported("_email,_externalId\na@example.com,A/1\n")
    assert (peer.contact("A/1", "external-id/") or {}).get("_email") == "a@example.com"
    assert (peer.contact() or {}).get("_externalId") == "A/1"
    state = peer.imports.imported("_email,_externalId\nA@example.com,B/2\nb@example.com,B/3\n")
    assert (state["success"], state["errors"]) == (1, 1)
    assert peer.contact("B/2", "external-id/") is None


def test_the_letter_case_of_an_email_does_not_matter(peer: Peer) -> None:
    """Section 10: unknown, so an assumption; as for a PATCH."""
    peer.patch({"_name": "Ana"}, "Ana@example.com")
    peer.imports.imported("_email,_surname\nANA@example.com,Ruiz\n")
    assert (peer.contact("ana@example.com") or {}).items() >= {"_name": "Ana", "_surname": "Ruiz"}.items()


@pytest.mark.parametrize(
    ("override", "only_empty", "expected"),
    [("true", "false", ("Bea", "Ruiz")), ("true", "true", ("Ana", "Ruiz")), ("false", "false", ("Ana", ""))],
)
def test_existing_contacts_are_changed_as_the_options_say(
    peer: Peer, override: str, only_empty: str, expected: tuple[str, str]
) -> None:
    """5.1: overrideExisting, updateOnlyEmptyFields."""
    peer.imports.imported("_email,_name,_surname\na@example.com,Ana,\n")
    content = "_email,_name,_surname\na@example.com,Bea,Ruiz\nb@example.com,Bea,Ruiz\n"
    state = peer.imports.imported(content, overrideExisting=override, updateOnlyEmptyFields=only_empty)
    assert (state["success"], state["errors"]) == (2, 0)
    shown, new = peer.contact() or {}, peer.contact("b@example.com") or {}
    assert (shown["_name"], shown["_surname"]) == expected
    assert (new["_name"], new["_surname"]) == ("Bea", "Ruiz")


def test_zero_and_false_are_not_empty(peer: Peer) -> None:
    """5.1: updateOnlyEmptyFields."""
    boolean = peer.fields()["boolean"]["id"]
    peer.patch({"_points": 0, boolean: False, "_name": ""})
    peer.imports.imported(f"_email,_points,{boolean},_name\na@example.com,7,true,Ana\n", updateOnlyEmptyFields="true")
    assert (peer.contact() or {}).items() >= {"_points": 0, boolean: False, "_name": "Ana"}.items()


def test_an_address_of_a_report_is_fetched_without_the_key(peer: Peer) -> None:
    """5.4."""
    state = peer.imports.imported("_email,_points\na@example.com,1\nb@example.com,x\n")
    assert peer.imports.report(state).status_code == 200
