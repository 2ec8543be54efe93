"""The forms of values in a CSV, each as the help centre has it, and what a CSV cannot carry."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.fields import SYSTEM_FIELDS, FieldType
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.rules.base import InvalidValue
from airflow_provider_connectif.imports.cells import FORMS, cell_of

DEFINITIONS = fields_of_author(
    {
        "text": "text",
        "email": "email",
        "phone": {"type": "phone", "defaultCountryCode": "34"},
        "integer": "integer",
        "decimal": "decimal",
        "boolean": "boolean",
        "date": "date",
        "radio": {"type": "radio", "options": [{"id": "gold", "label": "Gold"}, {"id": "a|b", "label": "Both"}]},
        "checkbox": {"type": "checkbox", "options": [{"id": "x"}, {"id": "y"}, {"id": "a|b"}]},
    }
)
FIELDS = {**SYSTEM_FIELDS, **{field.id: field for field in DEFINITIONS}}


def cell(property_id: str, value: Any) -> str:
    """What a column's value becomes on its way through mapping and into the file."""
    mapping = ContactMapping(properties={property_id: "value"}, definitions=DEFINITIONS)
    properties = mapping.patch(1, {"email": "ana@example.com", "value": value}).properties
    return cell_of(FIELDS[property_id].type)(properties[property_id])


def test_every_type_of_field_has_its_form() -> None:
    assert set(FORMS) == set(get_args(FieldType))


@pytest.mark.parametrize(
    ("property_id", "value", "expected"),
    [
        ("_birthdate", date(1990, 5, 17), "1990-05-17"),
        ("_birthdate", datetime(1990, 5, 17, tzinfo=timezone(timedelta(hours=-5))), "1990-05-17"),
        ("_birthdate", "1990-05-17T00:00:00+02:00", "1990-05-17"),
        ("date", date(1, 1, 1), "0001-01-01"),
        ("date", datetime(2026, 1, 1, 0, 0, tzinfo=timezone(timedelta(hours=2))), "2026-01-01"),
        ("date", datetime(2026, 1, 1, 12, 0, 0, 5), "2026-01-01"),
        ("integer", "007", "7"),
        ("integer", 0, "0"),
        ("integer", Decimal("1e3"), "1000"),
        ("integer", -(2**63 - 1), "-9223372036854775807"),
        ("decimal", 1e-7, "0.0000001"),
        ("decimal", 1e22, "10000000000000000000000"),
        ("decimal", Decimal("19.90"), "19.9"),
        ("decimal", -0.0, "0"),
        ("decimal", 5e-324, "0." + "0" * 323 + "5"),
        ("boolean", "YES", "true"),
        ("boolean", 0, "false"),
        ("phone", "600 123 456", "+34600123456"),
        ("_mobilePhone", "+34 600 123 456", "+34600123456"),
        ("radio", "Gold", "gold"),
        ("radio", "a|b", "a|b"),
        ("checkbox", ["y", "x"], "y|x"),
        ("checkbox", "x", "x"),
        ("text", "=SUM(A1)", "=SUM(A1)"),
        ("text", "+1 -2 @x", "+1 -2 @x"),
        ("text", 28001.0, "28001"),
        ("email", " Ana@Example.com ", "Ana@Example.com"),
    ],
)
def test_forms(property_id: str, value: Any, expected: str) -> None:
    assert cell(property_id, value) == expected


@pytest.mark.parametrize(
    ("property_id", "value", "words"),
    [
        ("checkbox", ["x", "a|b"], 'option id has a "|"'),
        ("checkbox", ["x", ""], "blank"),
        ("date", "17/05/1990", "must be a date"),
        ("date", "1990-05-17x", "must be a date"),
        ("date", 19900517, "must be a date"),
        ("decimal", float("nan"), "NaN"),
        ("decimal", float("-inf"), "infinity"),
        ("text", {"a": 1}, "not a dict"),
    ],
)
def test_what_a_cell_cannot_carry_is_refused(property_id: str, value: Any, words: str) -> None:
    with pytest.raises(InvalidValue, match=words.replace("|", r"\|")):
        cell_of(FIELDS[property_id].type)(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, "true"), (7, "7"), (0.5, "0.5"), ("x", "x"), (["a", "b"], "a|b"), (None, "")]
)
def test_a_type_that_is_not_known_goes_by_the_value(value: Any, expected: str) -> None:
    assert cell_of(None)(value) == expected
    assert cell_of("something new")(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_decimals_are_exact_and_have_no_exponent(value: float) -> None:
    text = cell_of(FIELDS["decimal"].type)(value)
    assert float(text) == value
    assert set(text) <= set("-.0123456789")
