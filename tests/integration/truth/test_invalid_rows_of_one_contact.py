"""Different invalid rows of one contact are new refusals once: a share as budget does not fail the task each night."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

PATCH: dict[str, Any] = {}
IMPORT: dict[str, Any] = {"kind": "ContactImportOperator", "poll_interval": timedelta(seconds=0.05)}
WAYS = pytest.mark.parametrize("way", [PATCH, IMPORT], ids=["patch", "import"])

GOOD = [{"email": f"user{n}@example.com", "_points": n} for n in range(30)]
FILLER = [{"email": "filler@example.com", "_points": 1}] * 2100
"""More rows than a batch has. They are one change."""


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def bad(value: str, email: str = "ana@example.com") -> dict[str, Any]:
    return {"email": email, "_points": value}


def night(number: int, *rows: dict[str, Any], **arguments: Any) -> Run:
    return deliver(f"night {number}", rows=[*GOOD, *rows], **({"failure_budget": 0.25} | arguments))


def new(run: Run) -> tuple[int, int]:
    return run.summary["new_refusals"], run.summary["invalid"]


@WAYS
@pytest.mark.parametrize(
    "count", [2, 3, pytest.param(5, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)]
)
def test_they_are_new_in_the_first_night_only(
    count: int, way: dict[str, Any], journal: JournalDatabase, strict: StrictServer
) -> None:
    rows = [bad("x" * length) for length in range(1, count + 1)]
    assert new(night(1, *rows, **way)) == (count, count)
    for number in (2, 3):
        run = night(number, *rows, **way)
        assert (run.state, new(run), run.raised) == ("success", (0, count), "")
    ((digest, run_id),) = journal.query(
        "select invalid_digest, invalid_run from connectif_journal where contact_key = 'ana@example.com'"
    )
    assert (digest[0], len(digest), run_id) == ("~", 2 + 6 * min(count, 5), "dag/night 1")


@pytest.mark.slow
@WAYS
def test_they_may_be_far_apart_and_have_another_spelling(
    way: dict[str, Any], journal: JournalDatabase, strict: StrictServer
) -> None:
    rows = [bad("x"), *FILLER, bad("y", "Ana@example.com"), *FILLER, bad("z")]
    assert new(night(1, *rows, **way)) == (3, 3)
    for number in (2, 3):
        run = night(number, *rows, **way)
        assert (run.state, new(run)) == ("success", (0, 3))
    more = [bad("v"), *rows, bad("w")]
    assert new(night(4, *more, failure_budget=1.0, **way)) == (2, 5)
    assert new(night(5, *more, **way)) == (0, 5)


def test_a_further_one_alone_is_new_and_so_in_the_retry(journal: JournalDatabase, strict: StrictServer) -> None:
    night(1, bad("x"), bad("y"))
    rows = [bad("z"), bad("x"), {"email": "bea@example.com", "_points": 1}, bad("y")]
    strict.update(faults=[{"keys": ["bea@example.com"], "status": 503}])
    first = night(2, *rows, failure_budget=1.0, retries=2)
    assert (first.state, new(first)) == ("up_for_retry", (1, 3))
    strict.update(faults=[])
    again = night(2, *rows, failure_budget=1.0, retries=2, tries_before=1)
    assert (again.state, new(again), again.summary["tries"]) == ("success", (1, 3), 2)
    assert new(night(3, *rows)) == (0, 3)


def test_two_equal_ones_are_one_row(journal: JournalDatabase, strict: StrictServer) -> None:
    for number, fresh in ((1, 2), (2, 0)):
        assert new(night(number, bad("x"), bad("x"), failure_budget=1.0)) == (fresh, 2)
    (digest,) = journal.query("select length(invalid_digest) from connectif_journal where state = 'invalid'")
    assert digest == (32,)


@pytest.mark.slow
def test_a_row_that_was_corrected_and_is_as_invalid_as_before_is_known(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    good = {"email": "ana@example.com", "_points": 1}
    nights = [([bad("x"), bad("y")], 2), ([good, bad("y")], 0), ([good], 0), ([bad("y"), bad("x")], 0)]
    for number, (rows, fresh) in enumerate([*nights, ([bad("z"), good], 1), ([good, bad("z"), bad("x")], 0)]):
        assert (number, night(number, *rows, failure_budget=1.0).summary["new_refusals"]) == (number, fresh)


@pytest.mark.slow
def test_a_row_that_is_invalid_and_changes_each_night_is_new_each_night(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    for number in range(8):
        assert new(night(number, bad("x" * (number + 1)), failure_budget=1.0)) == (1, 1)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("is_invalid_first", [True, False])
def test_one_that_is_rejected_beside_one_that_is_invalid(
    is_invalid_first: bool, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(faults=[{"keys": ["ana@example.com"], "status": 422}])
    rows = [bad("x"), {"email": "ana@example.com", "_points": 1}][:: 1 if is_invalid_first else -1]
    first = night(1, *rows)
    assert (first.summary["rejected"], new(first)) == (1, (2, 1))
    for number in (2, 3):
        run = night(number, *rows)
        assert (run.state, run.summary["held"], new(run)) == ("success", 1, (0, 1))


@pytest.mark.slow
def test_a_digest_of_an_earlier_version_is_known_and_the_other_row_is_added(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    night(1, bad("x"))
    before = journal.query("select invalid_digest, invalid_run from connectif_journal where state = 'invalid'")
    assert new(night(2, bad("y"), bad("x"), failure_budget=1.0)) == (1, 2)
    assert new(night(3, bad("y"), bad("x"))) == (0, 2)
    after = journal.query("select invalid_digest, invalid_run from connectif_journal where state = 'invalid'")
    assert after[0][0].startswith(f"~1{before[0][0][:6]}")
    assert (before[0][1], after[0][1]) == ("dag/night 1", "dag/night 2")
