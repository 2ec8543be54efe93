"""Structures of a database in a text field."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_connectif.contacts.rules import InvalidValue
from airflow_provider_connectif.contacts.rules.texts import text

STRUCTURES: list[tuple[dict[Any, Any], str]] = [
    ({"k": 1, "n": [True, None]}, '{"k": 1, "n": [true, null]}'),
    ({"on": date(2026, 1, 2), "paid": Decimal("1.50")}, '{"on": "2026-01-02", "paid": "1.50"}'),
    ({"name": "Iñaki"}, '{"name": "Iñaki"}'),
    ({}, "{}"),
]


@pytest.mark.parametrize(("structure", "sent"), STRUCTURES)
def test_a_structure_is_json(structure: dict[Any, Any], sent: str) -> None:
    assert text()(structure) == sent


def test_the_limits_of_the_field_hold() -> None:
    with pytest.raises(InvalidValue, match="at most 5 characters"):
        text(5)({"k": "long"})


@pytest.mark.parametrize("structure", [{"k": float("nan")}, {("a", "b"): 1}])
def test_what_json_cannot_hold_is_refused(structure: dict[Any, Any]) -> None:
    with pytest.raises(InvalidValue):
        text()(structure)


def test_a_structure_that_holds_itself_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["k"] = endless
    with pytest.raises(InvalidValue, match="as JSON"):
        text()(endless)
