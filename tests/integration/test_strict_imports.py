"""Imports at the strict server: what it accepts, what it holds against a client, and the harm it does on request."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.import_requests import OPTIONS, ImportRequests
from tests.support.strict_server import API_KEY, StrictServer, until

HEADER = "_email,_name\n"
TWO = HEADER + "a@example.com,Ana\nb@example.com,Bea\n"
DROPPED = requests.ConnectionError


@pytest.fixture
def server(_strict_process: StrictServer) -> StrictServer:
    """Without the check for violations, which are what is tested here."""
    _strict_process.reset()
    return _strict_process


@pytest.fixture
def account(server: StrictServer) -> Iterator[ImportRequests]:
    account = ImportRequests(server.url, API_KEY)
    yield account
    account.session.close()


def test_a_file_becomes_contacts_of_the_documented_types(server: StrictServer, account: ImportRequests) -> None:
    columns = {
        "_email": ("a@example.com", "a@example.com"),
        "_name": ('"Ana ""la, roja""\r\nñ 🙂"', 'Ana "la, roja"\r\nñ 🙂'),
        "_birthdate": ("1990-05-17", "1990-05-17"),
        "_mobilePhone": ("+34600111222", "+34600111222"),
        "_points": ("-7", -7),
        "_newsletterSubscriptionStatus": ("none", "none"),
        "vip": ("true", True),
        "spent": ("0.25", 0.25),
        "interests": ("shoes|hats", ["shoes", "hats"]),
        "tier": ("=1+1", "=1+1"),
    }
    content = ",".join(columns) + "\r\n" + ",".join(cell for cell, _ in columns.values()) + "\r\n"
    state = account.imported(content)
    assert (state["status"], state["total"], state["success"], state["errors"]) == ("finished", 1, 1, 0)
    expected = {name: value for name, (_, value) in columns.items() if name != "_email"}
    assert server.contacts == {"a@example.com": expected}
    assert server.violations == []
    (upload,) = server.uploads
    assert (upload["status"], upload["total"], upload["import_id"]) == (201, 1, state["id"])
    assert upload["sha256"] == hashlib.sha256(content.encode()).hexdigest()
    assert upload["options"] == {name: value for name, value in OPTIONS.items() if name != "type"}


FILE_FAULTS: dict[str, str | bytes] = {
    "the file begins with a BOM": b"\xef\xbb\xbf" + TWO.encode(),
    "the file is not UTF-8": HEADER.encode() + b"a@example.com,\xe9\n",
    "column shoe_size is none of the account's": "_email,shoe_size\na@example.com,5\n",
    "column _createdAt is read-only": "_email,_createdAt\na@example.com,2026-01-01\n",
    "a column stands twice": "_email,_name,_name\na@example.com,a,b\n",
    "there is no column of contact keys": "_name\nAna\n",
    "a record has 3 cells and the header 2": HEADER + "a@example.com,Ana,5\n",
    "a record has 1 cells and the header 2": TWO + "\n",
    "quotes are not as RFC 4180 has them": HEADER + 'a@example.com,"Ana" "la roja"\n',
    "a quoted cell has no end": HEADER + 'a@example.com,"Ana\n',
    "there is no row": HEADER,
    "a carriage return stands outside of quotes": HEADER + "a@example.com,A\rna\n",
    "a contact key stands twice in a file": HEADER + "a@example.com,Ana\nA@example.com,Ana\n",
}


@pytest.mark.parametrize("words", FILE_FAULTS)
def test_what_no_file_may_hold_is_remembered(server: StrictServer, account: ImportRequests, words: str) -> None:
    assert account.imported(FILE_FAULTS[words])["status"] == "error"
    assert server.violations == [f"{words} (an import's file)"]


@pytest.mark.parametrize(
    ("words", "options"),
    {
        "type is not contacts": {"type": "products"},
        "overrideExisting is neither true nor false": {"overrideExisting": "True"},
        "updateOnlyEmptyFields is neither true nor false": {"updateOnlyEmptyFields": None},
        "updateOnlyEmptyFields requires overrideExisting": {
            "overrideExisting": "false",
            "updateOnlyEmptyFields": "true",
        },
        "delimiter is not one character": {"delimiter": None},
        "the file is not text/csv": {"kind": "application/octet-stream"},
        "part 'segment' is unknown, stands twice or has a strange head": {"segment": "new"},
    }.items(),
)
def test_what_no_upload_may_be_is_a_422_and_remembered(
    server: StrictServer, account: ImportRequests, words: str, options: dict[str, Any]
) -> None:
    response = account.upload(TWO, **options)
    assert (response.status_code, list(response.json())[-1]) == (422, "validationErrors")
    assert server.violations == [f"{words} (POST )"]
    assert account.ask().json()["results"] == []


def test_an_upload_that_is_not_multipart_is_a_415(server: StrictServer, account: ImportRequests) -> None:
    headers = account.key | {"Content-Type": "application/json"}
    assert account.session.post(f"{account.url}/imports/", data=b"{}", headers=headers, timeout=5).status_code == 415
    assert server.violations == ["content type is not multipart/form-data (POST )"]


def test_an_external_id_has_priority_over_an_email(server: StrictServer, account: ImportRequests) -> None:
    account.imported("_email,_externalId\na@example.com,A/1\n")
    assert server.contacts == {"A/1": {"_email": "a@example.com"}}


def test_ten_may_wait_and_imports_of_the_app_wait_too(server: StrictServer, account: ImportRequests) -> None:
    server.reset(import_hold="queued", foreign_imports=7)
    ids = [account.upload(TWO).json()["id"] for _ in range(3)]
    full = account.upload(TWO)
    assert (full.status_code, full.json()["code"]) == (400, "E0401")
    assert [entry["origin"] for entry in account.ask().json()["results"]] == ["app"] * 5
    server.update(foreign_imports=0)
    assert account.upload(TWO).status_code == 201
    assert {account.state(import_id)["status"] for import_id in ids} == {"queued"}
    server.update(import_hold=None)
    assert {account.end(import_id)["status"] for import_id in ids} == {"finished"}


def test_states_take_the_time_they_are_given(server: StrictServer, account: ImportRequests) -> None:
    server.reset(import_queue_s=0.1, import_run_s=0.4)  # a busy machine asks less often
    import_id = account.upload(TWO).json()["id"]
    seen: list[dict[str, Any]] = []
    until(lambda: seen.append(account.state(import_id)) or seen[-1]["status"] == "finished")
    assert list(dict.fromkeys(state["status"] for state in seen)) == ["queued", "inProgress", "finished"]
    assert "startedAt" not in seen[0]
    assert seen[-1]["createdAt"] < seen[-1]["startedAt"] < seen[-1]["finishedAt"]


@pytest.mark.parametrize("state", ["queued", "inProgress"])
def test_an_import_sticks_where_it_is_meant_to(server: StrictServer, account: ImportRequests, state: str) -> None:
    server.reset(import_faults=[{"nth": [1, 1], "hold": state}])
    stuck = account.upload(TWO).json()["id"]
    assert account.imported(TWO)["status"] == "finished"
    assert account.state(stuck)["status"] == state


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [({"drop": "during", "at_bytes": 100}, 0), ({"drop": "before"}, 0), ({"drop": "after"}, 1), ({"half": True}, 1)],
)
def test_a_connection_breaks_where_it_is_meant_to(
    server: StrictServer, account: ImportRequests, fault: dict[str, Any], accepted: int
) -> None:
    server.reset(import_faults=[fault | {"times": 1}])
    with pytest.raises((DROPPED, requests.exceptions.ChunkedEncodingError)):
        account.upload(TWO)
    assert len(account.ask().json()["results"]) == accepted
    assert [upload["status"] for upload in server.uploads] == [0]
    assert account.upload(TWO).status_code == 201


def test_an_upload_that_the_client_breaks_off_is_in_the_log(server: StrictServer) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    head = f"POST /imports/ HTTP/1.1\r\nHost: x\r\nAuthorization: apiKey {API_KEY}\r\nContent-Length: 1000\r\n"
    with socket.create_connection((host, int(port)), timeout=5) as wire:
        wire.sendall(f"{head}Content-Type: multipart/form-data; boundary=b\r\n\r\n--b".encode())
        until(lambda: server.uploads_begun == 1)
        assert server.uploads == []
    (upload,) = until(lambda: server.uploads)
    assert (upload["status"], upload["received"]) == (0, 0)
    assert server.violations == []


@pytest.mark.parametrize("on", ["POST", "GET", "LIST", "DELETE"])
@pytest.mark.parametrize(("status", "json_"), [(400, {"code": "E0401"}), (422, {}), (429, None), (503, None)])
def test_each_kind_of_request_can_be_refused(
    server: StrictServer, account: ImportRequests, on: str, status: int, json_: dict[str, Any] | None
) -> None:
    import_id = account.imported(TWO)["id"]
    server.update(import_faults=[{"on": on, "status": status, "json": json_ or {}, "times": 1}])
    requests_ = {
        "POST": lambda: account.upload(TWO),
        "GET": lambda: account.ask(import_id),
        "LIST": account.ask,
        "DELETE": lambda: account.ask(import_id, "DELETE"),
    }
    response = requests_[on]()
    assert response.status_code == status
    assert (response.json().get("code") if response.content else None) == (json_ or {}).get("code")
    assert requests_[on]().status_code in (200, 201, 204)


def test_only_what_is_over_can_be_deleted(server: StrictServer, account: ImportRequests) -> None:
    server.reset(import_faults=[{"nth": [2, 2], "hold": "queued"}])
    finished, waiting = account.imported(TWO)["id"], account.upload(TWO).json()["id"]
    assert account.ask(finished, "DELETE").status_code == 204
    assert account.ask(finished).status_code == 404
    assert server.violations == []
    assert account.ask(waiting, "DELETE").status_code == 400
    assert server.violations == ["an import that is neither finished nor in error was to be deleted (DELETE )"]


BAD_SECOND = "_email,_points\na@example.com,1\nb@example.com,x\n"
REASON = '"_points: must be a number without leading zeros"'


@pytest.mark.parametrize(
    ("columns", "expected"),
    {
        "key": f'"_email","reason"\r\n"b@example.com",{REASON}\r\n',
        "line": f'"line","reason"\r\n"3",{REASON}\r\n',
        "row": f'"_email","_points","reason"\r\n"b@example.com","x",{REASON}\r\n',
        "none": f'"reason"\r\n{REASON}\r\n',
    }.items(),
)
def test_a_report_has_the_columns_it_is_given(
    server: StrictServer, account: ImportRequests, columns: str, expected: str
) -> None:
    server.reset(report_columns=columns)
    state = account.imported(BAD_SECOND)
    assert state["errorReportFileUrl"].startswith("http://localhost:")
    response = account.report(state)
    assert (response.status_code, response.text) == (200, expected)
    assert server.violations == []


def test_an_address_of_a_report_expires_until_the_import_is_asked_for_again(
    server: StrictServer, account: ImportRequests
) -> None:
    server.reset(report_dead_addresses=1)
    state = account.imported(BAD_SECOND)
    assert account.report(state).status_code == 403
    fresh = account.state(state["id"])
    assert (account.report(fresh).status_code, account.report(state).status_code) == (200, 403)


def test_a_key_that_goes_to_the_host_of_reports_is_remembered(server: StrictServer, account: ImportRequests) -> None:
    state = account.imported(BAD_SECOND)
    account.session.get(state["errorReportFileUrl"], headers=account.key | {"Cookie": "a=b"}, timeout=5)
    names = ("authorization", "cookie")
    assert server.violations == [f"header {name} went to the host of error reports" for name in names]


def test_the_contacts_can_be_read_from_a_file(server: StrictServer, account: ImportRequests, tmp_path: Path) -> None:
    account.imported(HEADER + "b@example.com,ñ\na@example.com,\n")
    assert server.dump_contacts(tmp_path / "contacts") == 2
    lines = (tmp_path / "contacts").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [["a@example.com", {"_name": ""}], ["b@example.com", {"_name": "ñ"}]]
