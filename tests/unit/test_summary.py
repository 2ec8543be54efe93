"""Counts, reasons and the failure budget."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.summary import Tally, empty_summary, summarise


def tally(read: int = 0, **counts: int) -> Tally:
    made = Tally(read=read)
    for name, count in counts.items():
        for number in range(1, count + 1):
            made.count(Outcome(name), number)
    return made


def summary(of: Tally, **changes: Any) -> dict[str, Any]:
    now, effort = time.time(), Effort(Quota())
    counts = {"requests": 5, "rate_limited": 1, "deferrals": 0}
    effort.restore({**counts, "waited_s": 12.3, "started_at": now - 20.0, "deferred_at": now})
    return summarise(of, **({"effort": effort, "rejects_path": None} | changes))


@pytest.mark.parametrize(
    ("back_after_s", "window_opens_after_s", "least_s", "most_s"),
    [(24.0, 5.0, 5.0, 5.0), (3.0, 5.0, 3.0, 5.0), (24.0, None, 0.0, 0.0), (3.0, -1.0, 0.0, 0.0)],
    ids=["no worker was free", "back before the window", "deferred for an import", "the window was open already"],
)
def test_a_deferral_is_waiting_for_the_limit_only_until_the_window_opens(
    back_after_s: float, window_opens_after_s: float | None, least_s: float, most_s: float
) -> None:
    before, after = Effort(Quota()), Effort(Quota())
    state = before.as_state()
    state["deferred_at"] = time.time() - back_after_s
    opens_at = None if window_opens_after_s is None else state["deferred_at"] + window_opens_after_s
    after.restore(state, opens_at)
    assert least_s <= round(after.waited_s, 3) <= most_s


def test_the_summary_has_exactly_these_keys() -> None:
    made = tally(6, created=1, updated=2, invalid=1)
    made.count(Outcome.REJECTED, 6, ["HTTP 422 tier: unknown option"])
    assert summary(made, rejects_path="s3://bucket/rejects.jsonl") == {
        "read": 6,
        "created": 1,
        "updated": 2,
        "skipped": 0,
        "invalid": 1,
        "rejected": 1,
        "merged": 0,
        "undelivered": 0,
        "requests": 5,
        "rate_limited": 1,
        "waited_s": 12.3,
        "duration_s": 20.0,
        "new_refusals": 2,
        "reasons": {"HTTP 422 tier: unknown option": 1},
        "rejects_path": "s3://bucket/rejects.jsonl",
    }
    assert empty_summary().keys() == summary(made).keys()


@pytest.mark.parametrize("distinct", [0, 1, 20, 21, 5000])
@pytest.mark.parametrize("reason", ["r{}", "an überlong reason {} " * 6])
def test_the_summary_stays_small_and_its_reasons_add_up(distinct: int, reason: str) -> None:
    made = tally(distinct)
    for number in range(distinct):
        made.count(Outcome.INVALID, number, [reason.replace("{}", str(number))[:140]])
    small = summary(made, rejects_path="file:///" + "x" * 200)
    assert len(json.dumps(small)) < 2048
    assert len(small["reasons"]) <= 20
    assert sum(small["reasons"].values()) == distinct


def test_the_commonest_reasons_come_first_with_their_first_rows() -> None:
    made = tally()
    for number in (3, 17, 40, 41):
        made.count(Outcome.INVALID, number, ["blank key", "blank key"])
    made.count(Outcome.REJECTED, 1200, ["HTTP 404 Not Found"])
    assert made.top_reasons(5) == ["4 x blank key (rows 3, 17, 40, ...)", "1 x HTTP 404 Not Found (row 1,200)"]


@pytest.mark.parametrize(
    ("allowed", "read", "invalid", "rejected", "exceeded"),
    [
        (0, 10, 0, 0, False),
        (0, 10, 1, 0, True),
        (0, 10, 0, 1, True),
        (2, 10, 1, 1, False),
        (2, 10, 2, 1, True),
        (0.2, 10, 1, 1, False),
        (0.2, 10, 2, 1, True),
        (0.0, 10, 1, 0, True),
        (1.0, 10, 10, 0, False),
        (0.29, 100, 29, 0, False),
        (0.29, 100, 30, 0, True),
        (0.5, 0, 0, 0, False),
    ],
)
def test_the_failure_budget_counts_invalid_and_rejected(
    allowed: float, read: int, invalid: int, rejected: int, exceeded: bool
) -> None:
    assert bool(FailureBudget(allowed).describe_excess(tally(read, invalid=invalid, rejected=rejected))) is exceeded


@pytest.mark.parametrize("allowed", [-1, -0.1, 1.5, True, "3", None, float("nan")])
def test_what_is_no_budget(allowed: Any) -> None:
    with pytest.raises(ValueError, match="failure_budget must be"):
        FailureBudget(allowed)


@pytest.mark.parametrize(
    ("allowed", "words", "use"),
    [
        (0, "0", "2 refused, 0 allowed"),
        (0.0, "0 %", "2 refused, 0 allowed (0 % of the rows read)"),
        (1, "1", "2 refused, 1 allowed"),
        (1200, "1,200", "2 refused, 1,200 allowed"),
        (0.015, "1.5 %", "2 refused, 3 allowed (1.5 % of the rows read)"),
    ],
)
def test_the_budget_in_words(allowed: float, words: str, use: str) -> None:
    budget = FailureBudget(allowed)
    assert str(budget) == words
    assert budget.describe_use(tally(200, invalid=1, rejected=1)) == use
    assert bool(budget.describe_use(tally(200))) is bool(allowed)
