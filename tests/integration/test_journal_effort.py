"""How many transactions and statements a journal takes: they, and not the requests, cost the processor's time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from tests.support.journals import JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer

CONTACTS = 200
FIXED = 15
"""Transactions of a run, and statements of one kind, whatever it has to send."""


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Transactions, and statements by their first words."""
    counts: Counter[str] = Counter()

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        counts[" ".join(statement.split()[:3])] += 1

    def commit(_connection: Any) -> None:
        counts["commit"] += 1

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    sa.event.listen(sa.Engine, "commit", commit)
    try:
        yield counts
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
        sa.event.remove(sa.Engine, "commit", commit)


def night(number: int) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": n + number} for n in range(CONTACTS)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["new", "changed"])
def test_contacts_are_written_down_many_at_once(kind: str, strict: StrictServer, journal: JournalDatabase) -> None:
    deliver("before", rows=night(0) if kind == "changed" else [{"email": "first@example.com", "visits": 1}])
    with counted() as counts:
        run = deliver("night", rows=night(1))
    assert run.summary["updated" if kind == "changed" else "created"] == CONTACTS, run.error
    # About five transactions take 200 contacts. On a slow machine some are smaller.
    assert counts["commit"] <= FIXED + CONTACTS / 10
    assert max(counts.values()) <= FIXED + CONTACTS / 5, counts.most_common(5)
