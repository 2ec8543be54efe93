"""Any row yields a JSON-valid patch or reasons, and never an exception of another kind (hypothesis)."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.fields import SYSTEM_FIELDS
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.records.rows import InvalidRow

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**301),
    st.floats(),
    st.decimals(),
    st.decimals(places=40, allow_nan=False, allow_infinity=False),
    st.text(st.characters(), max_size=50),
    st.binary(max_size=20),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from(["+34 (91) 123-45-67", "00 34 600 123 456", " 7 ", "1e400", "-0", "NaN", "active", "2024-02-30"]),
    st.from_regex(r"\A[+]?[0-9 ().-]{1,25}\Z"),
    st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.+Z-]{0,20})?\Z"),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=2),
        st.frozensets(st.text(max_size=5), max_size=3),
    ),
    max_leaves=5,
)
COLUMNS = ["email", *SYSTEM_FIELDS, "custom"]
EMAIL_MAPPING = ContactMapping(properties={p: p for p in COLUMNS[1:]})
EXTERNAL_ID_MAPPING = ContactMapping(key="external_id", properties={"_email": "email", "_name": "_name"}, nulls="clear")


DEFINITIONS = fields_of_author(
    {
        "text": {"type": "text", "maxLength": 10},
        "email": "email",
        "phone": {"type": "phone", "defaultCountryCode": "34"},
        "integer": {"type": "integer", "minValue": -10, "maxValue": 10**6},
        "decimal": {"type": "decimal", "minValue": -1e9},
        "boolean": "boolean",
        "date": {"type": "date", "minDate": "1900-01-01T00:00:00Z"},
        "radio": {"type": "radio", "options": [{"id": "a", "label": "A"}, {"id": "7", "label": "Seven"}]},
        "checkbox": {"type": "checkbox", "options": [{"id": "a", "label": "A"}, {"id": "7", "label": "Seven"}]},
    }
)
TYPED_MAPPINGS = [
    ContactMapping(properties={field.id: "value"}, definitions=DEFINITIONS, default_region="ES")
    for field in DEFINITIONS
]


def check(mapping: ContactMapping, row: dict[Any, Any]) -> None:
    try:
        patch = mapping.patch(1, row)
    except InvalidRow as invalid:
        assert invalid.reasons
        for reason in invalid.reasons:
            assert len(reason) < 140, reason
            assert reason.startswith(("column ", "the row ", "a column's name"))
        return
    assert patch.key.strip() == patch.key != ""
    text = json.dumps(patch.properties, allow_nan=False)
    assert json.loads(text) == patch.properties
    json.dumps(patch.properties, ensure_ascii=False).encode()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(COLUMNS, VALUES)))
def test_any_value_in_any_column(row: dict[str, Any]) -> None:
    check(EMAIL_MAPPING, row)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(SCALARS.filter(lambda value: value is not None), VALUES)
def test_one_value_with_a_good_key(value: Any, name: Any) -> None:
    for property_id in COLUMNS[1:]:
        check(ContactMapping(properties={property_id: "c"}), {"email": "ana@example.com", "c": value})
    check(EXTERNAL_ID_MAPPING, {"external_id": value, "email": "ana@example.com", "_name": name})


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_any_value_for_any_type_of_field(value: Any) -> None:
    for mapping in TYPED_MAPPINGS:
        check(mapping, {"email": "ana@example.com", "value": value})


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.one_of(st.text(max_size=10), st.integers(), st.none()), VALUES, max_size=6))
def test_any_row_without_a_mapping(row: dict[Any, Any]) -> None:
    check(ContactMapping(), {"email": "ana@example.com", **row})


def test_the_strategies_reach_patches() -> None:
    """The tests above would be empty if every generated row were refused."""
    good = {"email": "ana@example.com", "_name": "Ana", "_points": 7, "custom": UUID(int=1)}
    assert ContactMapping().patch(1, good).properties == {
        **{k: good[k] for k in ("_name", "_points")},
        "custom": str(UUID(int=1)),
    }
