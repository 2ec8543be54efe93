"""Field definitions of the account: every type and limit, over real pages, against a server with its own judgement.

Two promises are held together here: no value that the account takes is refused on the way, and no value that it
would refuse is sent. ``CONNECTIF_ROWS`` and ``CONNECTIF_ROWS_HTTP`` set how many rows of each type are tried.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.records.rows import InvalidRow
from tests.support.catalogue_fixtures import LINKS, TRAPS, CatalogueAccount
from tests.support.spellings import FIELDS, REFUSED, SPELLINGS, fault, spellings
from tests.support.task_runs import run_operator

ROWS = int(os.environ.get("CONNECTIF_ROWS", "10000"))
ROWS_HTTP = int(os.environ.get("CONNECTIF_ROWS_HTTP", "300"))
MAPPING = ContactMapping(definitions=[Field.from_api(field) for field in FIELDS])


@pytest.mark.slow
@pytest.mark.parametrize("kind", SPELLINGS)
def test_each_type_takes_what_the_account_takes_and_nothing_else(kind: str) -> None:
    faults, counts = [], {True: 0, False: 0}
    for field, raw, expected in spellings(kind, ROWS):
        try:
            sent: Any = MAPPING.patch(1, {"email": "ana@example.com", field["id"]: raw}).properties[field["id"]]
        except InvalidRow:
            sent = REFUSED
        counts[sent is REFUSED] += 1
        if words := fault(field, raw, expected, sent):
            faults.append(words)
    assert faults[:10] == []
    assert min(counts.values()) > ROWS / 20, "both outcomes are meant to be tried"


@pytest.mark.slow
def test_a_run_over_every_field_gets_no_422(account: CatalogueAccount) -> None:
    tried = [case for kind in SPELLINGS for case in spellings(kind, ROWS_HTTP)]
    rows = [{"email": f"{n}@example.com", field["id"]: raw} for n, (field, raw, _) in enumerate(tried)]
    done = run_operator(rows=rows, failure_budget=1.0)
    report = account.report()
    assert report["refused"] == []
    assert report["statuses"] == {200: len(report["pages"]), 201: done.summary["created"]}
    assert len(rows) == done.summary["read"] == done.summary["created"] + done.summary["invalid"]
    arrived = report["contacts"]
    sent = [arrived.get(f"{n}@example.com", {}).get(field["id"], REFUSED) for n, (field, *_) in enumerate(tried)]
    faults = [words for case, value in zip(tried, sent, strict=True) if (words := fault(*case, value))]
    assert faults[:10] == []


PAGES = 16
GOOD = {"email": "a@example.com", "text_00": "x"}


@pytest.mark.parametrize("style", LINKS)
def test_all_pages_are_read_once_whatever_their_links_look_like(account: CatalogueAccount, style: str) -> None:
    account.reset(fields_link=LINKS[style])
    wrong_for_the_last = {"email": "b@example.com", FIELDS[-2]["id"]: "none of its options"}
    done = run_operator(rows=[GOOD, wrong_for_the_last], failure_budget=1)
    report = account.report()
    assert (done.state, done.summary["invalid"]) == ("success", 1)
    assert len(report["pages"]) == len(set(report["pages"])) == PAGES
    assert report["contacts"] == {"a@example.com": {"text_00": "x"}}


@pytest.mark.parametrize("trap", TRAPS)
def test_pages_that_lead_astray_end_the_run_before_a_value_is_sent_unchecked(
    account: CatalogueAccount, trap: str
) -> None:
    account.reset(trap=trap)
    run = run_operator(rows=[GOOD])
    assert run.state == "up_for_retry"
    assert "The field definitions cannot be read" in str(run.error)
    report = account.report()
    assert (report["foreign"], report["patches"]) == (0, 0)
    assert len(report["pages"]) <= 100


CUSTOM = {"rows": [GOOD]}
SYSTEM = {"rows": [{"email": "a@example.com", "_name": "Ana"}], "properties": {"_name": "_name"}}


@pytest.mark.parametrize(
    ("arguments", "pages"),
    [
        (CUSTOM, PAGES),
        (CUSTOM | {"check_only": True}, PAGES),
        (CUSTOM | {"fields": "builtin"}, 0),
        (CUSTOM | {"fields": {"text_00": {"type": "text", "maxLength": 1}}}, 0),
        (SYSTEM, 0),
        (SYSTEM | {"properties": {"_name": "_name", "text_00": "_name"}}, PAGES),
    ],
)
def test_definitions_are_read_only_where_something_needs_them(
    account: CatalogueAccount, arguments: dict[str, Any], pages: int
) -> None:
    assert run_operator(**arguments).state == "success"
    assert len(account.report()["pages"]) == pages


HTML = "<html>Bad gateway</html>"


@pytest.mark.parametrize(
    ("fault", "state", "patches", "words"),
    [
        ([{"status": 503, "text": HTML}, {"status": 500}], "success", 1, "Done: "),
        ([{"status": 429, "headers": {"Retry-After": "1"}}], "success", 1, "Done: "),
        ({"status": 403}, "success", 1, "does not have the scope Contact fields: Read, or"),
        ({"status": 404}, "up_for_retry", 0, "Stopped early: "),
        ({"status": 200, "text": HTML}, "up_for_retry", 0, "HTTP 200 OK with an HTML or XML page"),
        ({"status": 200, "text": '{"results": []}'}, "up_for_retry", 0, "Stopped early: "),
        ({"status": 200, "text": '{"results": [{"id": 7}]}'}, "up_for_retry", 0, "Stopped early: "),
        ({"status": 401}, "failed", 0, "Stopped early: "),
    ],
)
def test_definitions_that_do_not_come(
    account: CatalogueAccount, said: Callable[[], str], fault: Any, state: str, patches: int, words: str
) -> None:
    account.reset(fields_fault=fault)
    assert run_operator(**CUSTOM).state == state
    assert account.report()["patches"] == patches
    log = said()
    assert words in log
    assert log.count("custom fields are not checked") == (isinstance(fault, dict) and state == "success")


CROSSED = {
    "type": "radio",
    "options": [{"id": "1", "label": "2"}, {"id": "2", "label": "1"}, {"id": "3", "label": "Café"}],
}
GAPS = {
    "type": "radio",
    "options": [{"id": "", "label": "No"}, {"id": "b", "label": "  "}, {"id": "d", "label": "Twice"}],
}
GAPS["options"] += [{"id": "d", "label": "Twice"}, {"id": "x", "label": "gold"}, {"id": "gold"}]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("definition", "value", "sent"),
    [
        ({"type": "text", "maxLength": 0}, "x", REFUSED),
        ({"type": "text", "maxLength": 0}, "", ""),
        ({"type": "text", "maxLength": "3"}, "four", REFUSED),
        ({"type": "text", "required": True}, "", REFUSED),
        ({"type": "integer", "minValue": "5"}, 4, REFUSED),
        ({"type": "integer", "minValue": 4.5}, 4, REFUSED),
        ({"type": "phone", "defaultCountryCode": 34}, "600 123 456", "+34600123456"),
        ({"type": "phone", "defaultCountryCode": "+34"}, "600 123 456", "+34600123456"),
        ({"type": "phone", "defaultCountryCode": "1"}, "(204) 234-5678", "+12042345678"),
        ({"type": "phone", "defaultCountryCode": "44"}, "020 7707 0707", "+442077070707"),
        ({"type": "phone", "defaultCountryCode": "800"}, "1234 5678", "+80012345678"),
        ({"type": "phone", "defaultCountryCode": "999"}, "912 345 678", "+351912345678"),
        ({"type": "phone"}, "912 345 678", "+351912345678"),
        (CROSSED, " 2 ", "2"),
        (CROSSED, 2, "2"),
        (CROSSED, "Cafe\u0301", "3"),
        (GAPS, "", ""),
        (GAPS, " ", ""),
        (GAPS, "TWICE", "d"),
        (GAPS, "GOLD", REFUSED),
        ({"type": "date", "minDate": "2020-01-01T00:00:00+02:00"}, datetime(2019, 12, 31, 22), "2019-12-31T22:00:00Z"),
        ({"type": "date", "minDate": "2020-01-01T00:00:00+02:00"}, "2019-12-31", REFUSED),
        ({"type": "date", "maxDate": "2020-01-01"}, datetime(2020, 1, 1, 0, 0, 1), REFUSED),
        ({"type": "colour"}, "red", "red"),
        ({"type": "text", "readOnly": True}, "x", REFUSED),
    ],
)
def test_definitions_that_nobody_expects(
    account: CatalogueAccount, definition: dict[str, Any], value: Any, sent: Any
) -> None:
    account.reset(add=[{"id": "odd", "custom": True, "readOnly": False, "required": False} | definition])
    run_operator(rows=[{"email": "a@example.com", "odd": value}], default_region="PT")
    report = account.report()
    assert report["contacts"] == ({} if sent is REFUSED else {"a@example.com": {"odd": sent}})
    assert report["refused"] == []


@pytest.mark.parametrize("more", [{}, {"text_00": "x"}], ids=["alone", "with a custom field"])
@pytest.mark.parametrize(
    ("arguments", "row", "sent"),
    [
        ({"default_region": "PT"}, {"email": "a@example.com", "_mobilePhone": "912345678"}, "+351912345678"),
        ({"key": "external_id"}, {"external_id": "7", "_email": "a@example.com"}, "a@example.com"),
        (
            {},
            {"email": "a@example.com", "_birthdate": datetime.fromisoformat("1990-05-17T00:00:00+02:00")},
            "1990-05-17",
        ),
        ({}, {"email": "a@example.com", "_emailStatus": "active "}, "active"),
    ],
)
def test_a_system_property_is_the_same_with_and_without_the_account_s_definitions(
    account: CatalogueAccount, arguments: dict[str, Any], row: dict[str, Any], sent: str, more: dict[str, Any]
) -> None:
    properties = {column: column for column in (*list(row)[1:], *more)}
    assert run_operator(rows=[row | more], properties=properties, **arguments).state == "success"
    (contact,) = account.report()["contacts"].values()
    assert contact[list(row)[1]].startswith(sent)
