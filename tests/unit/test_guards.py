"""Guards: each at its limit and one beyond it, as a number and as a share; pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_connectif.records.reads import Keyless, LastRead
from airflow_provider_connectif.runs.guards import (
    GUARDS,
    Guarded,
    GuardExceeded,
    GuardLimits,
    check_guards,
    check_limits,
    exceeded,
    share_of,
    shrank_by_half,
)

NOTHING = Guarded(0, 0, 0, 0, 0, 0)
FIELDS = {
    "min_rows": "rows",
    "max_created": "created",
    "max_changed": "changed",
    "max_removed": "removed",
    "max_lowered": "lowered",
    "max_raised": "raised",
}
MAXIMA = [name for name in FIELDS if name != "min_rows"]


def last(contacts: int, rows: int | None = None) -> LastRead:
    return LastRead("run", 1, "", contacts if rows is None else rows, contacts, Keyless(), {})


def beyond(name: str, limit: float, number: int, known: LastRead | None) -> bool:
    plan = NOTHING._replace(**{FIELDS[name]: number})
    return bool(exceeded(plan, GuardLimits(**{name: limit}), known))


def test_the_table_has_every_limit() -> None:
    assert {guard.name for guard in GUARDS} == FIELDS.keys()


@pytest.mark.parametrize("name", MAXIMA)
@pytest.mark.parametrize("limit", [0, 7])
def test_a_number_is_allowed_and_one_more_is_not_whatever_is_known(name: str, limit: int) -> None:
    for known in (None, last(0), last(10_000)):
        assert not beyond(name, limit, limit, known)
        assert beyond(name, limit, limit + 1, known)


@pytest.mark.parametrize("name", MAXIMA)
def test_a_share_is_one_of_the_contacts_that_were_known(name: str) -> None:
    for share, contacts, allowed in ((0.05, 1000, 50), (0.29, 100, 29), (0.07, 300, 21), (1.0, 30, 30)):
        assert not beyond(name, share, allowed, last(contacts))
        assert beyond(name, share, allowed + 1, last(contacts))


@pytest.mark.parametrize("name", MAXIMA)
def test_a_share_of_few_allows_one_and_of_consents_twenty(name: str) -> None:
    least = 20 if name in ("max_lowered", "max_raised") else 1
    for contacts in (0, 5, 30):
        assert not beyond(name, 0.01, least, last(contacts))
        assert beyond(name, 0.01, least + 1, last(contacts))


@pytest.mark.parametrize("name", MAXIMA)
def test_a_share_of_nothing_allows_nobody(name: str) -> None:
    for contacts in (0, 30, 10_000):
        assert not beyond(name, 0.0, 0, last(contacts))
        assert beyond(name, 0.0, 1, last(contacts))


@pytest.mark.parametrize("name", FIELDS)
def test_before_the_first_complete_read_a_share_is_no_limit(name: str) -> None:
    assert not beyond(name, 0.05, 0 if name == "min_rows" else 10**6, None)


@pytest.mark.parametrize("name", MAXIMA)
def test_a_share_does_not_stop_the_tasks_of_a_first_load(name: str) -> None:
    first = replace(last(100), is_of_first_run=True)
    assert beyond(name, 0.5, 100, first) is (name != "max_created")
    assert beyond(name, 50, 100, first)


def test_the_least_rows() -> None:
    assert not beyond("min_rows", 40, 40, None)
    assert beyond("min_rows", 40, 39, None)
    assert not beyond("min_rows", 0.5, 1475, last(2950))
    assert beyond("min_rows", 0.5, 1474, last(2950))
    assert not beyond("min_rows", 0.5, 2, last(9, rows=3))  # half of three, rounded up
    assert beyond("min_rows", 0.5, 1, last(9, rows=3))


def test_the_message_names_number_limit_and_the_way_out() -> None:
    with pytest.raises(GuardExceeded) as raised:
        check_guards(Guarded(38, 0, 0, 60, 0, 0), GuardLimits(max_removed=0.05, min_rows=0.5), last(1000, rows=2950))
    assert raised.value.final
    assert str(raised.value) == (
        "The plan exceeds 2 guards, so nothing was sent: 38 rows read, min_rows=0.5 of 2,950 rows of the last "
        "complete read needs 1,475; "
        "60 contacts that left the source, max_removed=0.05 of 1,000 known contacts allows 50. If the plan is "
        "right, set guards_off=True for one run"
    )


def test_a_share_of_few_contacts_allows_a_least_number() -> None:
    plan, limits = NOTHING._replace(lowered=40), GuardLimits(max_lowered=0.05)
    assert exceeded(plan, limits, last(100)) == [
        "40 contacts whose consent is lowered, max_lowered=0.05 of 100 known contacts, but at least 20, allows 20"
    ]


def test_guards_that_are_off_say_what_they_would_have_stopped() -> None:
    plan, limits = NOTHING._replace(created=2), GuardLimits(max_created=1, is_off=True)
    assert check_guards(plan, limits, None) == ["2 contacts to create, max_created=1 allows 1"]


@pytest.mark.parametrize("limit", [-1, 1.5, -0.1, float("nan"), True, "0.05"])
def test_what_is_no_limit_fails_early(limit: object) -> None:
    with pytest.raises(ValueError, match=r"^max_created must be a whole number, a share from "):
        check_limits(GuardLimits(max_created=limit), has_journal=True)  # type: ignore[arg-type]  # what an author may write


def test_a_limit_needs_a_journal() -> None:
    with pytest.raises(ValueError, match="min_rows needs journal_conn_id"):
        check_limits(GuardLimits(min_rows=1), has_journal=False)
    check_limits(GuardLimits(), has_journal=False)


def test_a_source_that_shrank_by_half_is_told_from_an_incremental_one() -> None:
    assert shrank_by_half(38, last(2950))
    assert shrank_by_half(0, last(2950))
    assert not shrank_by_half(1475, last(2950))
    assert not shrank_by_half(38, last(2950, rows=1474))  # it never had most of the contacts
    assert not shrank_by_half(0, None)


def test_a_share_is_what_its_digits_say() -> None:
    assert [share_of(0.29, 100), share_of(0.07, 100), share_of(0.05, 19)] == [29, 7, 0]
    assert share_of(0.05, 19, rounds_up=True) == 1
