"""``on_response`` does not claim that a consent was sent: neither by an accepted error, nor by a failed look-up."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.journals import JournalDatabase, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

CONSENT = "_newsletterSubscriptionStatus"
KEY = "ana@example.com"


@pytest.fixture(autouse=True)
def journal(strict: StrictServer, request: pytest.FixtureRequest, connection: Callable[..., None]) -> JournalDatabase:
    connection("connectif_default", **strict.connection(requests_per_minute=10**6, timeout=2, retries=1))
    return journal_database("sqlite", request)


def night(number: int, consent: str, name: str = "Ana", **arguments: Any) -> Run:
    context = {"run_id": f"night {number}", "dag": SimpleNamespace(dag_id="dag")}
    return run_operator(
        context=context,
        rows=[{"email": KEY, "name": name, "consent": consent}],
        properties={"_name": "name", CONSENT: "consent"},
        fields="builtin",
        journal_conn_id="journal",
        sync_id="nightly",
        **arguments,
    )


def sent(strict: StrictServer) -> list[Any]:
    return [entry.get("body") or entry["method"] for entry in strict.log]


@pytest.mark.parametrize("is_there", [False, True])
def test_after_an_accepted_error_a_waiting_consent_is_decided_by_a_look_up(
    strict: StrictServer, is_there: bool
) -> None:
    if is_there:
        strict.change_contacts({KEY: {CONSENT: "unsubscribed"}})
    strict.update(faults=[{"status": 409, "times": 1}])
    first = night(1, "subscribed", on_response={409: "accept"})
    assert (first.state, first.summary.get("consent_kept", 0)) == ("success", int(is_there))
    assert sent(strict) == [{"_name": "Ana"}, "GET", *([] if is_there else [{CONSENT: "subscribed"}])]
    assert night(2, "subscribed").summary["unchanged"] == 1
    assert len(strict.log) == (2 if is_there else 3)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"5xx": "accept"}, {"status": 503}),
        pytest.param({"no_answer": "accept"}, {"drop": "before"}, marks=pytest.mark.slow),
        pytest.param({"5xx": "skip_task"}, {"status": 503}, marks=pytest.mark.slow),
    ],
)
def test_an_authors_rules_are_not_for_look_ups(
    strict: StrictServer, rule: dict[Any, str], fault: dict[str, Any]
) -> None:
    night(1, "subscribed")
    strict.update(faults=[{"method": "GET", "times": 1} | fault])
    second = night(2, "none", on_response=rule)
    assert (second.state, second.summary["undelivered"]) == ("up_for_retry", 1)
    night(3, "none")
    assert sent(strict)[-3:] == ["GET", "GET", {CONSENT: "none"}]
