"""What the server says of a refusal is shown without the row's values."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import NoResponseError, error_class
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.reporting.reasons import public_reasons, raw_reasons
from airflow_provider_connectif.reporting.rejects import Rejects

MAPPING = ContactMapping(properties={"_name": "first_name", "_mobilePhone": "mobile", "tier": "tier", "tags": "tags"})
ROW = {
    "email": "ana.garcia@example.com",
    "first_name": "Ana María",
    "mobile": "+34 600 123 456",
    "tier": "gold",
    "tags": ["sports", "Wolfsburg"],
    "note": "Secret Street",
    "history": "thoroughfare " + "lorem ipsum " * 200,
}
PATCH = MAPPING.patch(17, ROW)


def reasons(status: int, **body: Any) -> tuple[str, ...]:
    return public_reasons(error_class(status)(status, **body), PATCH, MAPPING)


def test_a_validation_error_names_property_column_and_rule() -> None:
    said = reasons(422, validation_errors=({"name": "_mobilePhone", "path": "/_mobilePhone", "reason": "not mobile"},))
    assert said == ('HTTP 422 _mobilePhone (column "mobile"): not mobile',)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"path": "/tier", "reason": "unknown option"}, "HTTP 422 tier: unknown option"),
        ({"name": "tier"}, "HTTP 422 tier: no reason given"),
        ({"path": "/ana.garcia@example.com", "reason": "bad"}, "HTTP 422 no property named: bad"),
        ({"name": "tier", "path": "/0", "reason": "bad"}, "HTTP 422 tier: bad"),
        ({}, "HTTP 422 no property named: no reason given"),
        ({"path": None, "reason": {"a": 1}}, "HTTP 422 no property named: {'a': 1}"),
    ],
)
def test_every_part_of_a_validation_error_may_be_missing(entry: dict[str, Any], said: str) -> None:
    assert reasons(422, validation_errors=(entry,)) == (said,)


@pytest.mark.parametrize(
    "quoted",
    [
        "ana.garcia@example.com",
        "ANA.GARCIA@EXAMPLE.COM",
        "ana.garcia%40example.com",
        "other.person@example.org",
        "Ana María",
        "ana maría",
        "María",
        "+34600123456",
        "34 600 123 456",
        "600-123-456",
        "Secret Street",
        "Wolfsburg",
        "ana.garcia%2540example.com",
        "Ana%20Mar%C3%ADa",
        "Ana Mar\\u00eda",
        "Ana Mar&iacute;a",
        "Ana Mari\u0301a",
        "thoroughfare",
    ],
)
def test_values_that_the_server_quotes_are_taken_out(quoted: str) -> None:
    for said in (
        reasons(422, validation_errors=({"path": "/_name", "reason": f"the value '{quoted}' is wrong"},)),
        reasons(400, detail=f"contact {quoted}: cannot be changed"),
        reasons(409, title=quoted),
    ):
        assert quoted.casefold() not in said[0].casefold()
        assert said[0].startswith("HTTP 4")
    assert "is wrong" in reasons(422, validation_errors=({"reason": f"the value '{quoted}' is wrong"},))[0]


def test_property_ids_stay() -> None:
    assert reasons(400, detail="_mobilePhone is no mobile") == ("HTTP 400 Bad Request: _mobilePhone is no mobile",)


def test_without_a_body_the_status_speaks() -> None:
    assert reasons(404) == ("HTTP 404 Not Found",)
    assert reasons(400, code="E0103") == ("HTTP 400 Bad Request (E0103)",)


def test_a_long_reason_is_cut() -> None:
    assert len(reasons(400, detail="x y " * 10_000)[0]) <= 140


def test_a_property_that_the_request_did_not_carry_is_named() -> None:
    properties = dict(PATCH.properties)
    later = PATCH.split({"_name": properties.pop("_name")}, properties)
    error = error_class(422)(422, validation_errors=({"path": "/_mobilePhone", "reason": "is missing"},))
    assert public_reasons(error, later, MAPPING) == ('HTTP 422 _mobilePhone (column "mobile"): is missing',)


def test_no_answer() -> None:
    assert public_reasons(NoResponseError("no response within 30 s"), PATCH, MAPPING) == ("no response within 30 s",)


def test_the_rejects_file_gets_it_as_it_came() -> None:
    entry = {"path": "/_name", "reason": "Ana María is wrong"}
    error = error_class(422)(422, title="Unprocessable", detail="sorry, Ana", validation_errors=(entry,))
    assert raw_reasons(error) == [entry, "sorry, Ana"]


def test_the_rejects_file_can_hold_numbers_that_json_does_not_know() -> None:
    entry = {"path": "/_name", "limit": math.inf, "bounds": [math.nan, {"least": -math.inf}], "number": 10**400}
    error = error_class(422)(422, validation_errors=(entry,))
    written = io.StringIO()
    Rejects(written).write(1, "ana@example.com", "rejected", 422, raw_reasons(error), {})  # type: ignore[arg-type]
    (reason,) = json.loads(written.getvalue())["reasons"]
    assert reason == entry | {"limit": "inf", "bounds": ["nan", {"least": "-inf"}], "number": hex(10**400)}
