"""The contract in one sentence: whatever the network and the server do, every good row arrives as it was mapped."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest

from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_in_airflow

ROWS = 400
CONSENT = "_newsletterSubscriptionStatus"
RANKED = ("unsubscribed", "none", "subscribed")  # of two rows of a contact the lowest counts
PROPERTIES = {
    "_name": "first_name",
    "_birthdate": "born",
    "_mobilePhone": "phone",
    "_points": "points",
    "_newsletterSubscriptionStatus": "newsletter",
    "tier": "tier",
    "spent": "spent",
    "visits": "visits",
    "last_visit": "seen",
}
COLUMNS = ("email", *PROPERTIES.values())
# Keys that a URL must carry whole: a slash, a plus, a percent sign, a quoted local part, letters of another
# alphabet, and the longest there is.
HARD_KEYS = (
    "a/b+c{n}@example.com",
    "50%25{n}@example.com",
    '"two words?{n}"@example.com',
    "ñandú{n}@example.es",
    "почта{n}@example.com",
    "{n:0>242}@example.com",
    "Mixed.Case{n}@Example.COM",
    "o'brien&co#{n}@example.com",
)


def row(n: int) -> dict[str, Any]:
    """A row as a warehouse has it; every tenth one is a later state of the contact before it."""
    contact = n - 1 if n % 10 == 9 else n
    return {
        "email": HARD_KEYS[contact % 16].format(n=contact) if contact % 16 < 8 else f"user{contact}@example.com",
        "first_name": f"Zoë {n} 🙂",
        "born": None if n % 7 == 0 else datetime.date(1950 + n % 50, 1 + n % 12, 1 + n % 28),
        "phone": f"+34 600 {n:06}",
        "points": n,
        "newsletter": ("subscribed", "unsubscribed", "none")[n % 3],
        "tier": None if n % 5 == 0 else f'"gold", \\{n}\n',
        "spent": n + Decimal("0.25"),
        "visits": n * 1000,
        "seen": datetime.datetime(2026, 1, 1 + n % 28, tzinfo=datetime.UTC),
    }


def patch(n: int) -> dict[str, Any]:
    """What the API's documents make of that row; written down here a second time, by hand."""
    expected = {
        "_name": f"Zoë {n} 🙂",
        "_birthdate": f"{1950 + n % 50}-{1 + n % 12:02}-{1 + n % 28:02}",
        "_mobilePhone": f"+34600{n:06}",
        "_points": n,
        "_newsletterSubscriptionStatus": ("subscribed", "unsubscribed", "none")[n % 3],
        "tier": f'"gold", \\{n}\n',
        "spent": n + 0.25,
        "visits": n * 1000,
        "last_visit": f"2026-01-{1 + n % 28:02}T00:00:00Z",
    }
    if n % 7 == 0:
        del expected["_birthdate"]
    if n % 5 == 0:
        del expected["tier"]
    return expected


def upstream_rows() -> list[dict[str, Any]]:
    from tests.integration.test_hostile_server import ROWS, row

    return [row(n) for n in range(ROWS)]


def _from_xcom(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"upstream": upstream_rows}


def _from_sqlite(request: pytest.FixtureRequest) -> dict[str, Any]:
    fill = request.getfixturevalue("sqlite_warehouse")
    # SQLite knows no dates and no decimals: they come as the text and the double that a loader makes of them.
    plain = {Decimal: float, datetime.date: str, datetime.datetime: datetime.datetime.isoformat}
    fill(COLUMNS, [[plain.get(type(v), lambda v: v)(v) for v in row(n).values()] for n in range(ROWS)])
    return {"sql": "select * from contacts order by points", "sql_conn_id": "warehouse"}


def _from_postgres(request: pytest.FixtureRequest) -> dict[str, Any]:
    postgres = request.getfixturevalue("postgres")
    types = ("text", "text", "date", "text", "bigint", "text", "text", "numeric(12, 2)", "int", "timestamptz")
    postgres.execute(f"create table contacts ({', '.join(map(' '.join, zip(COLUMNS, types, strict=True)))})")
    with postgres.cursor().copy("copy contacts from stdin") as copy:
        for n in range(ROWS):
            copy.write_row(list(row(n).values()))
    return {"sql": "select * from contacts order by points", "sql_conn_id": "postgres"}


def keys(remainder: int) -> list[str]:
    """A fortieth of the contacts, to which one kind of harm is done."""
    return [row(n)["email"] for n in range(ROWS) if n % 40 == remainder]


GATEWAY_PAGE = {"text": "<html><h1>502 Bad Gateway</h1>", "content_type": "text/html"}
EVERYTHING_AT_ONCE: list[dict[str, Any]] = [
    {"keys": keys(1), "attempts": 2, "drop": "before"},
    {"keys": keys(4), "attempts": 1, "drop": "after"},
    {"keys": keys(7), "attempts": 1, "hang": "before"},
    {"keys": keys(10), "attempts": 1, "hang": "after"},
    {"keys": keys(13), "attempts": 1, "half": True},
    {"keys": keys(16), "attempts": 2, "status": 502, **GATEWAY_PAGE},
    {"keys": keys(18), "attempts": 1, "status": 500},
    {"keys": keys(22), "attempts": 1, "status": 503, "headers": {"Retry-After": "1"}},
    {"keys": keys(25), "attempts": 1, "status": 400, "json": {"code": "E0401", "detail": "Queue is full"}},
    {"keys": keys(28), "attempts": 1, "trickle_s": 0.3},
    {"keys": keys(31), "delay_s": 0.2},
]


@pytest.mark.slow
@pytest.mark.parametrize("source", [_from_xcom, _from_sqlite, _from_postgres])
def test_every_row_arrives_exactly_as_mapped_whatever_happens_on_the_way(
    source: Callable[..., dict[str, Any]],
    request: pytest.FixtureRequest,
    strict: StrictServer,
    connection: Callable[..., None],
    run_dag: Callable[..., Any],
) -> None:
    # A short window on top, so that 429s fall between all of the rest.
    strict.reset(limit=250, window_s=1.2, headers="fraction", faults=EVERYTHING_AT_ONCE)
    connection("connectif_default", **strict.connection(timeout=0.5))

    run = run_in_airflow(run_dag, properties=PROPERTIES, max_in_flight=16, **source(request))

    assert run.state == "success"
    contacts = {}
    for n in range(ROWS):
        earlier = contacts.get(row(n)["email"], {})
        consent = {CONSENT: min(earlier.get(CONSENT, "subscribed"), patch(n)[CONSENT], key=RANKED.index)}
        contacts[row(n)["email"]] = earlier | patch(n) | consent
    for contact in contacts.values():
        if contact[CONSENT] == "none":  # what a contact has of whom nothing was said
            del contact[CONSENT]
    assert as_text(strict.contacts) == as_text(contacts)
    summary = run.summary
    delivered = summary["created"] + summary["updated"]
    assert (summary["read"], delivered, summary["merged"]) == (ROWS, len(contacts), ROWS - len(contacts))
    assert summary["requests"] == strict.requests
    assert summary["rate_limited"] == sum(window["refused"] for window in strict.windows)
    assert rows_in_order_for_each_contact(strict)


def as_text(contacts: dict[str, Any]) -> dict[str, str]:
    """As JSON text, in which 1, 1.0 and true are not equal."""
    return {key: json.dumps(properties, sort_keys=True) for key, properties in contacts.items()}


def rows_in_order_for_each_contact(strict: StrictServer) -> bool:
    """Whether no request of a later row of a contact came before one of an earlier row."""
    points = defaultdict(list)
    for entry in strict.log:
        if "_points" in (entry.get("body") or {}):  # else it looks up, or sends the consent that follows
            points[entry["key"]].append(entry["body"]["_points"])
    return all([n for n, _ in groupby(sent)] == sorted(set(sent)) for sent in points.values())
