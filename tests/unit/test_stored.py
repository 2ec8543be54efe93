"""What was sent against what a response shows: a table for each field type, and any JSON at all."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.contacts.fields import Field, FieldTable
from airflow_provider_connectif.contacts.rules import RULES
from airflow_provider_connectif.contacts.shown_difference import Difference
from airflow_provider_connectif.contacts.shown_values import COMPARISONS
from airflow_provider_connectif.contacts.stored import ShownConsent, compare, shown_consents

MISSING, SHORTENED, OTHER_CASE = Difference.MISSING, Difference.SHORTENED, Difference.OTHER_CASE
OTHER_DAY, OTHER_VALUE = Difference.OTHER_DAY, Difference.OTHER_VALUE

COLOURS = (("red", "Rot"), ("green", "Grün"), ("blue", None), ("a|b", "Both"))
FIELDS = FieldTable(
    "external_id",
    [
        *(Field(f"a_{kind}", kind, custom=True) for kind in RULES if kind not in ("radio", "checkbox")),
        *(Field(f"a_{kind}", kind, COLOURS, custom=True) for kind in ("radio", "checkbox")),
        Field("a_colour", "colour", custom=True),
    ],
)
UNKNOWN = FieldTable("email")

CASES: dict[str, list[tuple[Any, Any, Difference | None]]] = {
    "text": [
        ("Ana", "Ana", None),
        ("Ana  María", " Ana María\n", None),
        ("a\r\nb", "a\nb", None),
        ("Jos\u00e9", "Jose\u0301", None),
        ("28001", 28001, None),
        ("28001", 28001.0, None),
        ("true", True, None),
        ("Ana", {"value": "Eva"}, None),
        ("Ana", ["Eva"], None),
        ("Ana", "ANA", OTHER_CASE),
        ("Straße", "STRASSE", OTHER_CASE),
        ("Ilıca", "ILICA", OTHER_CASE),
        ("Ana María", "Ana", SHORTENED),
        ("Ana María", "Ana ", SHORTENED),
        ("ab\U0001f600", "ab\ud83d", SHORTENED),
        ("ab\U0001f600", "ab\ufffd", SHORTENED),
        ("Ana María", "ANA", OTHER_VALUE),
        ("Ana", "Ana María", OTHER_VALUE),
        ("01", 1, OTHER_VALUE),
        ("Ana", "Eva", OTHER_VALUE),
        ("Ana", False, OTHER_VALUE),
        ("1990-05-17", "1990-05-17T00:00:00Z", OTHER_VALUE),
    ],
    "email": [
        ("Ana@example.com", "Ana@EXAMPLE.com", None),
        ("ana@example.com", " ana@example.com ", None),
        ("ana@xn--exmple-cua.com", "ana@exämple.com", None),
        ("ana@example.com", 5, None),
        ("Ana@example.com", "ana@example.com", OTHER_CASE),
        ("Ana@example.com", "Ana", SHORTENED),
        ("Ana@example.com", "Ana@exa", SHORTENED),
        ("ana@example.com", "eva@example.com", OTHER_VALUE),
    ],
    "phone": [
        ("+34600111222", "+34600111222", None),
        ("+34600111222", "34600111222", None),
        ("+34600111222", 34600111222, None),
        ("+34600111222", "0034 600 11 12 22", None),
        ("+34600111222", "600 111 222", None),
        ("+447911123456", "07911 123456", None),
        ("+447911123456", "+44 (0)7911-123456", None),
        ("+34600111222", "none", None),
        ("+34600111222", ["+34600111333"], None),
        ("+34600111222", "+346001", SHORTENED),
        ("+34600111222", "+34600111223", OTHER_VALUE),
        ("+34600111222", "222", OTHER_VALUE),
    ],
    "integer": [
        (1, 1, None),
        (1, 1.0, None),
        (1, "1", None),
        (1, "1.0", None),
        (1, True, None),
        (0, False, None),
        (1, "one", None),
        (1, [2], None),
        (2**53 + 1, 2**53, None),
        (1, 2, OTHER_VALUE),
        (1, "2", OTHER_VALUE),
        (0, 1, OTHER_VALUE),
        (9_999_999, 9_999_998, OTHER_VALUE),
        (5, 10**400, OTHER_VALUE),
    ],
    "decimal": [
        (0.1, 0.1, None),
        (0.1, "0.10", None),
        (0.1, 0.10000000149011612, None),
        (0.0, 0, None),
        (1.5, "1,5", None),
        (1.5, {"$numberDecimal": "1.5"}, None),
        (19.99, 20, OTHER_VALUE),
        (19.99, 19.9, OTHER_VALUE),
        (1.5, float("nan"), OTHER_VALUE),
        (1.5, float("inf"), OTHER_VALUE),
    ],
    "boolean": [
        (True, True, None),
        (False, False, None),
        (True, 1, None),
        (True, "TRUE", None),
        (False, "0", None),
        (True, "maybe", None),
        (True, [False], None),
        (True, False, OTHER_VALUE),
        (False, True, OTHER_VALUE),
        (True, 0, OTHER_VALUE),
        (True, "false", OTHER_VALUE),
    ],
    "date": [
        ("1990-05-17", "1990-05-17", None),
        ("1990-05-17", "1990-05-17T00:00:00Z", None),
        ("1990-05-17", "1990-05-17T00:00:00.000Z", None),
        ("1990-05-17", "1990-05-17 00:00:00", None),
        ("1990-05-17", "1990-05-17T00:00:00+02:00", None),
        ("1990-05-17", "1990-05-16T19:00:00-05:00", None),
        ("1990-05-17", "1990-05-16T20:00:00-05:00", None),
        ("1990-05-17", "1990-05-17T12:00:00Z", None),
        ("1990-05-17T00:00:00Z", "1990-05-17", None),
        ("0001-01-01", "0001-01-01T00:00:00+14:00", None),
        ("9999-12-31", "9999-12-31T23:00:00-14:00", None),
        ("2026-01-31T08:30:00Z", "2026-01-31T08:30:00.000Z", None),
        ("2026-01-31T08:30:00Z", "2026-01-31T09:30:00+01:00", None),
        ("2026-01-31T08:30:17Z", "2026-01-31T08:30:00Z", None),
        ("2026-01-31T08:30:00Z", "2026-01-31", None),
        ("2026-01-31T08:30:00Z", "2026-01-31T00:00:00Z", None),
        ("1990-05-17", "17/05/1991", None),
        ("1990-05-17", "1990-13-45", None),
        ("1990-05-17", 642902400000, None),
        ("1990-05-17", {"$date": "1991-05-17"}, None),
        ("no date", "no date", None),
        ("1990-05-17", "1990-05", SHORTENED),
        ("1990-05-17", "1990-05-16", OTHER_DAY),
        ("1990-05-17", "1990-05-18", OTHER_DAY),
        ("1990-05-01", "1990-04-30T22:00:00.000Z", OTHER_DAY),
        ("1990-05-17T00:00:00Z", "1990-05-16T22:00:00Z", OTHER_DAY),
        ("2026-01-31T08:30:00Z", "2026-01-30", OTHER_DAY),
        ("2026-01-31T08:30:00Z", "2026-01-31T06:30:00Z", OTHER_DAY),
        ("2026-01-31T08:30:17Z", "2026-01-31T03:00:17Z", OTHER_DAY),
        ("2026-01-31T23:30:00Z", "2026-02-01T09:15:00Z", OTHER_DAY),
        ("2026-01-31T08:30:00Z", "2026-01-30T08:30:00Z", OTHER_DAY),
        ("1990-05-17", "1990-05-19", OTHER_VALUE),
        ("1990-05-17", "1991-05-17", OTHER_VALUE),
        ("2026-01-31T08:30:00Z", "2026-01-31T08:37:00Z", OTHER_VALUE),
        ("2026-01-31T08:30:00Z", "2026-01-31T23:30:00Z", OTHER_VALUE),
    ],
    "radio": [
        ("red", "red", None),
        ("red", "Rot", None),
        ("red", ["red"], None),
        ("red", {"id": "red", "label": "Rot"}, None),
        ("red", {"key": "green"}, None),
        ("a|b", "a|b", None),
        ("a|b", "Both", None),
        ("red", "RED", OTHER_CASE),
        ("green", "gre", SHORTENED),
        ("red", "green", OTHER_VALUE),
        ("red", "Grün", OTHER_VALUE),
    ],
    "checkbox": [
        (["red", "green"], ["red", "green"], None),
        (["red", "green"], ["green", "red", "red"], None),
        (["red", "green"], "green|red", None),
        (["red", "green"], ["Rot", "Grün"], None),
        (["red", "green"], [{"id": "green"}, {"id": "red"}], None),
        (["red", "green"], [["red"], "green"], None),
        (["red", "green"], {"red": True}, None),
        (["red"], [""], MISSING),
        (["red", "green"], ["RED", "Green"], OTHER_CASE),
        (["red", "green"], ["red"], SHORTENED),
        (["red", "green"], ["red", "green", "blue"], OTHER_VALUE),
        (["red", "green"], ["red", "blue"], OTHER_VALUE),
    ],
}
"""By type: what was sent, what is shown, and how they differ."""
EMPTY = [None, "", "  ", []]
SENT = {
    "text": "Ana",
    "email": "ana@example.com",
    "phone": "+34600111222",
    "integer": 0,
    "decimal": 0.0,
    "boolean": False,
    "date": "1990-05-17",
    "radio": "red",
    "checkbox": ["red"],
}
"""A value of each type that is not empty."""


def difference(kind: str, sent: Any, shown: Any) -> Difference | None:
    compared = compare({f"a_{kind}": sent}, {"_email": "ana@example.com", f"a_{kind}": shown}, FIELDS)
    assert compared.shows_contact
    assert compared.same == (set() if compared.differences else {f"a_{kind}"})
    return compared.differences.get(f"a_{kind}")


def test_every_type_has_a_comparison_and_a_table() -> None:
    assert set(COMPARISONS) == set(RULES) == set(CASES) == set(SENT)


@pytest.mark.parametrize(
    ("kind", "sent", "shown", "expected"), [(kind, *case) for kind, cases in CASES.items() for case in cases]
)
def test_a_value_of_each_type(kind: str, sent: Any, shown: Any, expected: Difference | None) -> None:
    assert difference(kind, sent, shown) is expected


@pytest.mark.parametrize("kind", SENT)
def test_a_value_that_is_not_shown_is_missing(kind: str) -> None:
    sent = {f"a_{kind}": SENT[kind]}
    assert compare(sent, {"_email": "ana@example.com"}, FIELDS).differences == {f"a_{kind}": MISSING}
    for shown in EMPTY:
        assert difference(kind, SENT[kind], shown) is MISSING


@pytest.mark.parametrize("kind", SENT)
@pytest.mark.parametrize("sent", [None, "", []])
def test_nothing_is_sent_and_nothing_is_shown(kind: str, sent: Any) -> None:
    assert compare({f"a_{kind}": sent}, {"_email": "ana@example.com"}, FIELDS).same == {f"a_{kind}"}
    for shown in EMPTY:
        assert difference(kind, sent, shown) is None
    assert difference(kind, sent, SENT[kind]) is OTHER_VALUE


@pytest.mark.parametrize("fields", [FIELDS, UNKNOWN], ids=["a type that is not known", "no definitions"])
@pytest.mark.parametrize(
    ("sent", "shown", "expected"),
    [
        ("Ana", "ANA", OTHER_CASE),
        ("Ana", "Eva", OTHER_VALUE),
        ("1990-05-17", "1990-05-17T00:00:00.000Z", None),
        ("1990-05-17", "1990-05-16T22:00:00.000Z", OTHER_DAY),
        ("+34600111222", "34 600111222", None),
        ("+34600111222", "+34600111223", OTHER_VALUE),
        ("Ana@example.com", "Ana@Example.com", None),
        (7, "7.0", None),
        (7, 8, OTHER_VALUE),
        (1, True, None),
        (True, 1, None),
        (True, False, OTHER_VALUE),
        (["a", "b"], ["b", "a"], None),
        (["a", "b"], ["a"], SHORTENED),
        ("007", 7, None),
        ("7.50", 7.5, None),
        ("7", 8, OTHER_VALUE),
        ("gold", 7, None),
        ("yes", True, None),
        ("yes", False, OTHER_VALUE),
        ("b|a", ["a", "b"], None),
        ("Ana", {"id": "Eva"}, None),
    ],
)
def test_without_a_type_the_value_decides(fields: FieldTable, sent: Any, shown: Any, expected: Any) -> None:
    compared = compare({"a_colour": sent}, {"_email": "ana@example.com", "a_colour": shown}, fields)
    assert compared.differences.get("a_colour") is expected


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        [],
        [{"_email": "ana@example.com"}],
        "Ana",
        5,
        True,
        {"id": "5f00"},
        {"id": "5f00", "ok": True},
        {"_email": None},
        {"_email": "", "_externalId": []},
        {"status": "done", "message": "_name"},
    ],
)
def test_a_body_that_shows_no_contact_confirms_nothing(body: Any) -> None:
    compared = compare({"_name": "Ana", "_points": None}, body, FIELDS)
    assert (compared.shows_contact, compared.same, dict(compared.differences)) == (False, frozenset(), {})


@pytest.mark.parametrize("fields", [FIELDS, UNKNOWN], ids=["definitions", "no definitions"])
@pytest.mark.parametrize("body", [{"_email": "ana@example.com"}, {"_externalId": "A-1"}, {"_externalId": 17}])
def test_a_contact_key_alone_shows_a_contact(body: Any, fields: FieldTable) -> None:
    assert compare({"_name": "Ana"}, body, fields).differences == {"_name": MISSING}


@pytest.mark.parametrize(
    "body",
    [
        {"_email": "ana@example.com"},
        {"_surname": None},
        {"_updatedAt": "2026-01-31T00:00:00.000Z"},
        {"a_text": "x"},
        {"sent_only": None},
    ],
)
def test_a_contact_key_or_a_property_that_is_known_shows_a_contact(body: Any) -> None:
    compared = compare({"_name": "Ana", "sent_only": None}, body, FIELDS)
    assert compared.shows_contact
    assert compared.differences == {"_name": MISSING}
    assert compared.same == {"sent_only"}


def test_each_property_is_compared_by_itself() -> None:
    sent = {"_name": "Ana", "_surname": "García", "_birthdate": "1990-05-17", "_points": 7, "a_text": "x"}
    shown = {
        "_email": "ana@example.com",
        "_name": "ANA",
        "_surname": "García",
        "_birthdate": "1990-05-16",
        "_points": 8,
    }
    compared = compare(sent, shown, FIELDS)
    assert compared.same == {"_surname"}
    assert compared.differences == {
        "_name": OTHER_CASE,
        "_birthdate": OTHER_DAY,
        "_points": OTHER_VALUE,
        "a_text": MISSING,
    }


def test_what_differs_is_said_without_values() -> None:
    sent = {"_name": "Secret-1", "a_checkbox": ["red"]}
    compared = compare(sent, {"_email": "secret-2@example.com", "_name": "Secret-3", "a_checkbox": ["blue"]}, FIELDS)
    assert "ecret" not in repr(compared)
    assert [str(found) for found in compared.differences.values()] == ["other_value", "other_value"]


# Consent


def test_consents_as_they_are_shown() -> None:
    assert shown_consents(
        {
            "_newsletterSubscriptionStatus": "unsubscribed",
            "_smsSubscriptionStatus": " None ",
            "_emailStatus": "Complained",
            "_name": "subscribed",
        }
    ) == {
        "_newsletterSubscriptionStatus": ShownConsent("unsubscribed", 0),
        "_smsSubscriptionStatus": ShownConsent("none", 1),
        "_emailStatus": ShownConsent("Complained", 4),
        "_mobilePhoneStatus": None,
    }


@pytest.mark.parametrize("body", [None, {}, [], "subscribed", 5, *({"_emailStatus": x} for x in EMPTY)])
def test_consents_that_are_not_shown(body: Any) -> None:
    assert shown_consents(body) == dict.fromkeys(RANKS)


@pytest.mark.parametrize("shown", [0, False, {}, {"value": "active"}, ["active"]])
def test_a_consent_in_an_unknown_form_is_none_of_the_listed_values(shown: Any) -> None:
    assert shown_consents({"_emailStatus": shown})["_emailStatus"] == ShownConsent("", 4)


# Any JSON


ODD_SCALARS = [
    *(None, True, False, 0, 1, -1, 2**63, 10**400, 10**5000, 0.1, 1e308, float("inf"), float("nan")),
    *("", " ", "Ana", "a|b", "|", "1e400", "1e9999", "9" * 500, "-", "@", "a@b", "ana@exa mple.com", "a@" * 200),
    *("\ud83d", "\0", "\u202e", "é" * 300, "+", "00", "+0", "\u0660\u0661\u0662"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-02-30", "24:00", "2026-W05-6"),
    *("2026-01-31T24:00:00Z", "2026-01-31T00:00:00+99:99", "2026-01-31T00:00:00.123456789Z"),
]


def _scalar(rng: random.Random) -> Any:
    if rng.random() < 0.8:
        return rng.choice(ODD_SCALARS)
    return "".join(chr(rng.randrange(1, 0x3000)) for _ in range(rng.randrange(12)))


def _json(rng: random.Random, depth: int = 0) -> Any:
    if depth > 4 or rng.random() < 0.6:
        return _scalar(rng)
    items = [_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    if rng.random() < 0.5:
        return items
    return {rng.choice(["id", "label", "_email", "_name", "x"]): item for item in items}


@pytest.mark.parametrize("seed", range(20))
def test_no_body_makes_it_raise(seed: int) -> None:
    rng = random.Random(seed)
    ids = [f"a_{kind}" for kind in (*RULES, "colour")] + ["_birthdate", "_mobilePhone", "_email", "unknown"]
    for _ in range(150):
        sent = {property_id: _scalar(rng) if rng.random() < 0.7 else ["red", "blue"] for property_id in ids}
        body = {property_id: _json(rng) for property_id in ids if rng.random() < 0.9}
        for fields in (FIELDS, UNKNOWN):
            compared = compare(sent, rng.choice([body, body, body, _json(rng)]), fields)
            assert compared.same | set(compared.differences) == (set(sent) if compared.shows_contact else set())
        assert set(shown_consents({property_id: _json(rng) for property_id in RANKS})) == set(RANKS)


@pytest.mark.slow
@pytest.mark.timeout(30)  # seconds where the time grows with the length, hours where it grows with its square
def test_large_and_deep_bodies() -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    huge = json.loads("[" + ",".join(['"option"'] * 200_000) + "]")
    for kind in (*RULES, "colour"):
        for shown in (deep, huge, "9" * 1_000_000, "a@" * 500_000, "- " * 500_000, {"id": deep}):
            compare({f"a_{kind}": SENT.get(kind, "Ana")}, {"_email": "a@example.com", f"a_{kind}": shown}, FIELDS)


@pytest.mark.parametrize("kind", SENT)
def test_what_is_shown_as_it_was_sent_is_the_same(kind: str) -> None:
    for sent in (*(case[0] for case in CASES[kind]), SENT[kind]):
        assert difference(kind, sent, json.loads(json.dumps(sent))) is None
