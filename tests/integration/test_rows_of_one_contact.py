"""Several rows of one contact are one change: later values over earlier ones, of a consent the lowest rank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from tests.support.journals import DATABASES, JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer

OTHERS = 2500  # rows between the two: more than a batch


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


def ana(**properties: Any) -> dict[str, Any]:
    return {"email": "ana@example.com", **properties}


def far_apart(first: dict[str, Any], last: dict[str, Any]) -> list[dict[str, Any]]:
    return [first, *({"email": f"user{n}@example.com", "visits": n} for n in range(OTHERS)), last]


def requests_of(strict: StrictServer, key: str = "ana@example.com") -> list[dict[str, Any]]:
    return [entry for entry in strict.log if entry["key"] == key]


@pytest.mark.slow
@pytest.mark.parametrize("rows", [[ana(visits=1), ana(visits=2)], [ana(visits=2), ana(visits=1)]], ids=["up", "down"])
@pytest.mark.parametrize("are_far_apart", [False, True])
def test_one_request_on_the_first_night_and_none_after(
    rows: Sequence[dict[str, Any]], are_far_apart: bool, journal: JournalDatabase, strict: StrictServer
) -> None:
    source = far_apart(*rows) if are_far_apart else list(rows)
    for number in (1, 2, 3):
        run = deliver(f"night {number}", rows=source)
        assert run.state == "success"
        assert len(requests_of(strict)) == 1
        assert run.summary["merged"] == 1
    assert strict.contacts["ana@example.com"] == {"visits": rows[-1]["visits"]}


@pytest.mark.slow
def test_without_a_journal_it_is_one_request_too(strict: StrictServer, airflow_db: None) -> None:
    run = deliver("night", rows=far_apart(ana(visits=1), ana(visits=2)), journal_conn_id=None)
    assert (run.summary["read"], run.summary["created"], run.summary["merged"]) == (OTHERS + 2, OTHERS + 1, 1)
    assert Counter(entry["key"] for entry in strict.log).most_common(1)[0][1] == 1
    assert strict.contacts["ana@example.com"] == {"visits": 2}


def test_rows_that_fill_different_columns_add_up(journal: JournalDatabase, strict: StrictServer) -> None:
    rows = [ana(visits=1, _name="Ana"), ana(visits=None, _name="Anna"), ana(visits=None, _name=None)]
    for number in (1, 2):
        assert deliver(f"night {number}", rows=rows).state == "success"
    assert strict.contacts["ana@example.com"] == {"visits": 1, "_name": "Anna"}
    assert len(requests_of(strict)) == 1


@pytest.mark.parametrize("order", [("subscribed", "unsubscribed"), ("unsubscribed", "subscribed")])
def test_who_unsubscribed_in_one_of_them_is_unsubscribed(
    order: tuple[str, str], journal: JournalDatabase, strict: StrictServer
) -> None:
    rows = [ana(_newsletterSubscriptionStatus=value) for value in order]
    assert deliver("night", rows=rows).state == "success"
    assert strict.contacts["ana@example.com"] == {"_newsletterSubscriptionStatus": "unsubscribed"}


@pytest.mark.slow
@pytest.mark.parametrize("are_far_apart", [False, True])
def test_a_row_that_joins_an_unchanged_one_counts_by_its_place(
    are_far_apart: bool, journal: JournalDatabase, strict: StrictServer
) -> None:
    """The journal holds the last row: the one before it, which is new, must not be what remains."""
    old, new = ana(visits=1), ana(visits=2)
    assert deliver("night 1", rows=[old]).state == "success"
    for number in (2, 3):
        source = far_apart(new, old) if are_far_apart else [new, old]
        assert deliver(f"night {number}", rows=source).state == "success"
    assert strict.contacts["ana@example.com"] == {"visits": 1}
    assert len(requests_of(strict)) == 1
    source = far_apart(old, new) if are_far_apart else [old, new]
    assert deliver("night 4", rows=source).state == "success"
    assert strict.contacts["ana@example.com"] == {"visits": 2}


def test_what_is_rejected_as_one_is_held_as_one(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[{"keys": ["ana@example.com"], "status": 422}])
    rows = [ana(visits=1), ana(visits=2), {"email": "bea@example.com", "visits": 1}]
    first = deliver("night 1", rows=rows, failure_budget=5)
    second = deliver("night 2", rows=rows, failure_budget=5)
    strict.update(faults=[])
    third = deliver("night 3", rows=[rows[0], ana(visits=3), rows[2]], failure_budget=5)
    assert [first.summary[name] for name in ("rejected", "merged", "created")] == [1, 1, 1]
    assert [second.summary[name] for name in ("held", "merged", "unchanged")] == [1, 1, 1]
    assert [third.summary[name] for name in ("created", "merged", "unchanged")] == [1, 1, 1]
    assert len(requests_of(strict)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("database", DATABASES)
def test_rows_of_a_contact_that_was_imported_are_sent_again_when_they_change(
    database: str, request: pytest.FixtureRequest, airflow_db: None, strict: StrictServer
) -> None:
    journal = journal_database(database, request)
    options: dict[str, Any] = {"kind": "ContactImportOperator", "poll_interval": timedelta(seconds=0.05)}
    options["patch_leftovers"] = False  # a single contact would go by PATCH
    ends = []
    for night, points in (("first", (1, 2)), ("second", (1, 2)), ("third", (1, 3))):
        rows = [{"email": "ana@example.com", "_points": value} for value in points]
        summary = deliver(night, rows=rows, **options).summary
        ends.append([summary[name] for name in ("imported", "merged", "unchanged")])
    assert ends == [[1, 1, 0], [0, 1, 1], [1, 1, 0]]
    assert strict.contacts["ana@example.com"]["_points"] == 3
    assert journal.query("select row_digest from connectif_journal") == [(None,)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("values", [(1, 2), (2, 1)], ids=["up", "down"])
def test_rows_far_apart_are_imported_once(
    values: tuple[int, int], journal: JournalDatabase, strict: StrictServer
) -> None:
    first, last = ana(visits=values[0]), ana(visits=values[1])
    options: dict[str, Any] = {
        "kind": "ContactImportOperator",
        "poll_interval": timedelta(seconds=0.05),
        "fields": {"visits": {"type": "integer"}},
    }
    ends = []
    for number in (1, 2, 3):
        run = deliver(f"night {number}", rows=far_apart(first, last), **options)
        assert run.state == "success", run.error
        ends.append([run.summary[name] for name in ("imported", "merged", "unchanged")])
    assert ends == [[OTHERS + 1, 1, 0], [0, 1, OTHERS + 1], [0, 1, OTHERS + 1]]
    assert len(strict.uploads) == 1
    assert strict.contacts["ana@example.com"] == {"visits": values[1]}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("database", DATABASES)
def test_rows_of_a_contact_that_an_import_refused_are_held(
    database: str, request: pytest.FixtureRequest, airflow_db: None, strict: StrictServer
) -> None:
    journal_database(database, request)
    strict.update(import_zero=False)
    ana, bea = "ana@example.com", "bea@example.com"
    rows = [{"email": ana, "visits": 1}, {"email": ana, "visits": 0}, {"email": bea, "visits": 1}]
    options: dict[str, Any] = {
        "kind": "ContactImportOperator",
        "poll_interval": timedelta(seconds=0.05),
        "fields": {"visits": {"type": "integer"}},
        "failure_budget": 1.0,
    }
    counts = ("imported", "merged", "unchanged", "rejected", "held")
    first, second = (deliver(night, rows=rows, **options).summary for night in ("first", "second"))
    assert [first[name] for name in counts] == [1, 1, 0, 1, 0]
    assert [second[name] for name in counts] == [0, 1, 1, 0, 1]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("more", [{}, {"visits": 2}], ids=["a consent only", "more"])
@pytest.mark.parametrize("are_far_apart", [False, True])
def test_a_row_that_joins_an_unchanged_one_does_not_raise_its_consent(
    are_far_apart: bool, more: dict[str, Any], journal: JournalDatabase, strict: StrictServer
) -> None:
    old = ana(visits=1, _newsletterSubscriptionStatus="unsubscribed")
    new = ana(visits=1, _newsletterSubscriptionStatus="subscribed") | more
    source = far_apart(old, new) if are_far_apart else [old, new]
    deliver("night 1", rows=[old])
    for number in (2, 3):
        run = deliver(f"night {number}", rows=source)
        assert run.state == "success", run.error
        held = strict.contacts["ana@example.com"]
        assert held == {"visits": 1, "_newsletterSubscriptionStatus": "unsubscribed"} | more
    deliver("night 4", rows=[new])
    assert strict.contacts["ana@example.com"]["_newsletterSubscriptionStatus"] == "subscribed"


@pytest.mark.slow
def test_what_a_guard_stops_beside_an_unchanged_row_is_sent_by_the_next_run(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    old = ana(visits=1, _newsletterSubscriptionStatus="unsubscribed")
    new = ana(visits=2, _newsletterSubscriptionStatus="subscribed")
    deliver("night 1", rows=[old])
    assert deliver("night 2", rows=[old, new], max_changed=0).state == "failed"
    deliver("night 3", rows=[old, new])
    assert strict.contacts["ana@example.com"] == {"visits": 2, "_newsletterSubscriptionStatus": "unsubscribed"}
    assert deliver("night 4", rows=[old, new]).summary["requests"] == 0


def test_an_invalid_row_keeps_its_withdrawal_beside_a_row_that_would_raise_it(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    bad = ana(_points="many", _newsletterSubscriptionStatus="unsubscribed")
    good = ana(visits=2, _newsletterSubscriptionStatus="subscribed")
    for number in (1, 2, 3):
        run = deliver(f"night {number}", rows=[bad, good], failure_budget=1)
        assert (run.summary["invalid"], run.summary["requests"] > 0) == (1, number == 1)
        assert strict.contacts["ana@example.com"] == {"visits": 2, "_newsletterSubscriptionStatus": "unsubscribed"}


def test_two_rows_that_both_changed_raise_their_consent_at_once(journal: JournalDatabase, strict: StrictServer) -> None:
    deliver("night 1", rows=[ana(visits=1, _newsletterSubscriptionStatus="unsubscribed")])
    rows = [ana(visits=visits, _newsletterSubscriptionStatus="subscribed") for visits in (2, 3)]
    assert deliver("night 2", rows=rows).state == "success"
    assert strict.contacts["ana@example.com"] == {"visits": 3, "_newsletterSubscriptionStatus": "subscribed"}


@pytest.mark.parametrize("full_refresh", [False, True])
def test_a_row_that_joins_one_of_an_earlier_attempt_does_not_raise_its_consent(
    full_refresh: bool, journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5, retries=1))
    strict.update(faults=[{"keys": ["bea@example.com"], "status": 503, "times": 1}])
    rows = [ana(_name="Ana", _newsletterSubscriptionStatus="unsubscribed"), {"email": "bea@example.com"}]
    assert deliver("night", rows=rows, full_refresh=full_refresh).state == "up_for_retry"
    rows.append(ana(_name="Anna", _newsletterSubscriptionStatus="subscribed"))
    assert deliver("night", rows=rows, full_refresh=full_refresh, tries_before=1).state == "success"
    held = {"_name": "Anna", "_newsletterSubscriptionStatus": "unsubscribed"}
    assert strict.contacts["ana@example.com"] == held
    deliver("next night", rows=rows)
    assert strict.contacts["ana@example.com"] == held
