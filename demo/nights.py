"""What changes in the warehouse from night to night, and at Connectif meanwhile."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from demo.warehouse import SUBSCRIPTION, Row

CAMPAIGN = 150
"""How many customers get more points for the second night, in which the task is killed."""
CAMPAIGN_POINTS = 10_000
"""More than any customer has without the campaign."""
ANSWERS = 1_000
"""How many answers to the survey are imported."""
MOVED = 6
"""How many customers live in another city in the third night."""
SUBSCRIBER = "Conceição"
"""The first name of the customer who unsubscribes at Connectif: once in the warehouse, and subscribed there."""
NEW_SURNAME = "Simões"
"""What she is called after her wedding."""


def after_campaign(customers: Sequence[Row]) -> list[Row]:
    """The customers once 150 of them were given points."""
    return _changed(customers, _single(customers)[:CAMPAIGN], _campaign_points)


def after_moves(customers: Sequence[Row]) -> list[Row]:
    """The customers once six of them have moved to Vigo."""
    return _changed(customers, _single(customers)[-MOVED:], lambda row: ("city", "city", "Vigo"))


def subscriber(customers: Sequence[Row]) -> Row:
    """The customer who unsubscribes at Connectif; her row goes on to say that she is subscribed."""
    return next(
        row
        for row in _single(customers)
        if row.properties.get(SUBSCRIPTION) == "subscribed" and row.values["first_name"] == SUBSCRIBER
    )


def after_wedding(customers: Sequence[Row]) -> list[Row]:
    """The customers once she has another surname; her subscription in the warehouse is as it was."""
    return _changed(customers, [subscriber(customers)], lambda row: ("last_name", "_surname", NEW_SURNAME))


def store(path: Path, customers: Iterable[Row]) -> None:
    """Bring the table ``customers`` of the warehouse up to date."""
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "UPDATE customers SET points = :points, city = :city, last_name = :last_name "
            "WHERE customer_id = :customer_id",
            [row.values for row in customers],
        )


def _single(customers: Sequence[Row]) -> list[Row]:
    """Good rows of contacts that stand in the table once."""
    times = Counter(row.email.casefold() for row in customers)
    return [row for row in customers if row.flaw is None and times[row.email.casefold()] == 1]


def _changed(customers: Sequence[Row], chosen: Sequence[Row], change: Any) -> list[Row]:
    numbers = {_number(row) for row in chosen}
    return [_with(row, *change(row)) if _number(row) in numbers else row for row in customers]


def _campaign_points(row: Row) -> tuple[str, str, int]:
    return "points", "_points", CAMPAIGN_POINTS + _number(row)


def _with(row: Row, column: str, property_id: str, value: Any) -> Row:
    return replace(row, values={**row.values, column: value}, properties={**row.properties, property_id: value})


def _number(row: Row) -> int:
    number: int = row.values["customer_id"]
    return number
