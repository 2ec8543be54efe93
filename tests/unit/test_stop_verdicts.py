"""How a run ends that stopped before its last row: whether another attempt may help, and why, in words."""

from __future__ import annotations

import pytest

from airflow_provider_connectif.api.errors import NoResponseError, error_class
from airflow_provider_connectif.records.outcomes import Error, Stop, StopKind
from airflow_provider_connectif.reporting.verdict import (
    Account,
    Verdict,
    describe_end,
    stop_verdict,
    unaccounted_verdict,
)

ENDS = {
    StopKind.FAIL: (Verdict.FAILED, "on_response says to fail on this response: HTTP 404"),
    StopKind.SKIP_TASK: (Verdict.SKIPPED, "on_response says to skip the task on this response: HTTP 404"),
    StopKind.ALL_REJECTED: (Verdict.FAILED, "The first responses were all rejections"),
    StopKind.BLOCKED: (Verdict.FAILED, "Several responses in a row were HTTP 404"),
    StopKind.LEFT_ALONE: (Verdict.TRY_AGAIN, "asks for a pause of 10 min"),
    StopKind.NO_DEFINITIONS: (Verdict.TRY_AGAIN, "The field definitions cannot be read (HTTP 404"),
    StopKind.NOT_RESPONDING: (Verdict.TRY_AGAIN, "Connectif does not respond as it should: HTTP 404"),
    StopKind.ASKED_AGAIN: (Verdict.TRY_AGAIN, "asks for a pause again and again (HTTP 404"),
    StopKind.KILLED: (Verdict.TRY_AGAIN, "The task was stopped before every row had an outcome"),
    StopKind.TIMED_OUT: (Verdict.TRY_AGAIN, "execution_timeout has passed"),
    StopKind.DEFERRED: (Verdict.TRY_AGAIN, "could not be stored for a deferral"),
    StopKind.PLAN_TOO_OLD: (Verdict.TRY_AGAIN, "The plan is older than plan_max_age"),
    StopKind.CRASHED: (Verdict.TRY_AGAIN, "An error ended a sending thread"),
}


def http(status: int) -> Error:
    return error_class(status)(status)


def test_every_way_to_stop_is_here() -> None:
    assert set(ENDS) == set(StopKind)


@pytest.mark.parametrize("kind", StopKind)
def test_how_a_run_ends_that_stopped_early(kind: StopKind) -> None:
    expected, words = ENDS[kind]
    verdict, said = stop_verdict(Stop(kind, http(404), asked_s=600.0, longest_wait_s=60.0), "Contacts: Write")
    assert verdict is expected
    assert words in said


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "Connectif refused the API key (401) of connection 'crm' at https://api.example"),
        (403, "either the API key does not have the scope Contacts: Write, or the account is blocked"),
        (415, "a fault of this provider, please report it"),
        (302, "check the host of connection 'crm', https://api.example"),
    ],
)
def test_a_response_that_ends_a_run_says_what_to_mend(status: int, words: str) -> None:
    account = Account("crm", "https://api.example")
    verdict, said = stop_verdict(Stop(StopKind.FAIL, http(status)), "Contacts: Write", account)
    assert verdict is Verdict.FAILED
    assert words in said


def test_a_wait_that_is_too_long_names_a_retry_delay_that_outlasts_it() -> None:
    stop = Stop(StopKind.LEFT_ALONE, NoResponseError("no answer"), asked_s=601.0, longest_wait_s=60.0)
    assert "set a retry_delay of 11 minutes or more" in stop_verdict(stop, "")[1]


def test_a_rate_limit_that_asks_for_pauses_again_and_again_is_named() -> None:
    assert "again and again (its rate limit)" in stop_verdict(Stop(StopKind.ASKED_AGAIN), "")[1]


@pytest.mark.parametrize(("unaccounted", "words"), [(2, "2 of 10 rows cannot be"), (-1, "1 too many")])
def test_outcomes_that_do_not_add_up_are_no_success(unaccounted: int, words: str) -> None:
    verdict, said = unaccounted_verdict(10, unaccounted)
    assert verdict is Verdict.TRY_AGAIN
    assert words in said


def test_an_early_end_is_not_called_done() -> None:
    assert describe_end(Verdict.SUCCESS, None) == "Done"
    assert describe_end(Verdict.FAILED, None) == "Failed"
    assert describe_end(Verdict.FAILED, Stop(StopKind.FAIL)) == "Stopped early"
