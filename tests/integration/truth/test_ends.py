"""The exception names what failed the task; a warning says what a mapping does to consent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.journals import deliver, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_in_airflow, run_operator

NOT_DELIVERED = "1 row not delivered after all attempts of its request; a retry or the next run sends it again"


def rows(good: int, bad: int = 0) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "_points": 1} for n in range(good)] + [
        {"email": f"bad{n}@example.com", "_points": "many"} for n in range(bad)
    ]


def test_rows_within_the_budget_do_not_explain_undelivered_ones(
    strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=1_000_000, timeout=5, retries=1))
    strict.update(faults=[{"keys": ["user1@example.com"], "status": 500}])
    end = run_operator(rows=rows(4, 5), fields="builtin", failure_budget=5)
    assert end.state == "up_for_retry"
    assert str(end.error) == NOT_DELIVERED


def test_what_is_over_the_budget_too_is_named_beside(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=1_000_000, timeout=5, retries=1))
    strict.update(faults=[{"keys": ["user1@example.com"], "status": 500}])
    end = run_operator(rows=rows(4, 5), fields="builtin", failure_budget=4)
    assert end.state == "up_for_retry"
    words = f"{NOT_DELIVERED}; besides, 5 of 9 rows were refused; failure_budget allows 4"
    assert str(end.error) == words


def test_held_rows_that_are_ignored_do_not_explain_a_failure(
    strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest
) -> None:
    journal_database("sqlite", request)
    strict.update(faults=[{"keys": ["user1@example.com"], "status": 422}])
    assert deliver("night", rows=rows(4, 0), failure_budget=1).summary["rejected"] == 1
    end = deliver("next night", rows=rows(4, 2), ignore_held=True, failure_budget=1)
    assert (end.state, end.summary["held"], end.summary["invalid"]) == ("failed", 1, 2)
    assert str(end.error) == "2 of 6 rows were refused; failure_budget allows 1"


def test_a_refused_key_is_not_explained_by_invalid_rows(strict: StrictServer, airflow_db: None) -> None:
    strict.update(faults=[{"nth": [1, None], "status": 401}])
    end = run_operator(rows=rows(1, 0) + rows(0, 5), fields="builtin", failure_budget=9, max_in_flight=1)
    assert end.state == "failed"
    assert "_points" not in str(end.error)


# "Check the connection's password": which one, of which host?
@pytest.mark.sampled(1)
@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_by_its_connection_and_host(
    status: int, strict: StrictServer, connection: Callable[..., None], run_dag: Callable[..., Any]
) -> None:
    connection("crm_account", **strict.connection(requests_per_minute=1_000_000, timeout=5))
    said = {"status": status, "json": {"status": status, "title": "No", "detail": "no"}}
    strict.update(faults=[{"nth": [1, None], **said}])
    end = run_operator(rows=rows(1), fields="builtin", connectif_conn_id="crm_account")
    assert end.state == "failed"
    assert f"connection 'crm_account' at {strict.url}" in str(end.error)
    strict.update(faults=[{"nth": [1, None], **said}])
    assert run_in_airflow(run_dag, rows=rows(1), fields="builtin", connectif_conn_id="crm_account").state == "failed"


CONSENT = ("_newsletterSubscriptionStatus", "_smsSubscriptionStatus", "_emailStatus", "_mobilePhoneStatus")
_WARNING = "resubscribe='always' raises consents: a person who unsubscribed at Connectif is subscribed again"


def warnings(capfd: pytest.CaptureFixture[str]) -> list[str]:
    text = capfd.readouterr().out
    return [part for part in text.split("[warning") if _WARNING in part]


def row_with(name: str) -> dict[str, Any]:
    return {"email": "ana@example.com", name: "active" if name.endswith(("lStatus", "eStatus")) else "subscribed"}


# Who says "always" subscribes people again who have unsubscribed: that is said.
@pytest.mark.parametrize("name", CONSENT)
@pytest.mark.parametrize("mapped", [True, False])
def test_a_mapping_with_consent_is_warned_of_once(
    name: str, mapped: bool, strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    many = [row_with(name) | {"email": f"user{n}@example.com"} for n in range(1200)]
    arguments: dict[str, Any] = {"properties": {name: name}} if mapped else {}
    end = run_operator(rows=iter(many), fields="builtin", check_only=True, resubscribe="always", **arguments)
    assert end.state == "success"
    (warning,) = warnings(capfd)
    assert name in warning
    assert len(_WARNING) <= 110


def test_a_consent_that_first_stands_in_a_later_row_is_warned_of(
    strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    many = [*rows(2500), row_with(CONSENT[1]), row_with(CONSENT[0]), row_with(CONSENT[1])]
    assert run_operator(rows=many, fields="builtin", check_only=True, resubscribe="always").state == "success"
    told = warnings(capfd)
    assert [sum(name in warning for warning in told) for name in CONSENT[:3]] == [1, 1, 0]


def test_a_mapping_without_consent_is_not(
    strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_operator(rows=rows(2), fields="builtin").state == "success"
    renamed = {"properties": {"_name": "_emailStatus"}}
    assert (
        run_operator(rows=[{"email": "a@example.com", "_emailStatus": "x"}], fields="builtin", **renamed).state
        == "success"
    )
    assert warnings(capfd) == []


@pytest.mark.parametrize(("on_existing", "count"), [("update", 1), ("fill_empty", 0), ("keep", 0)])
def test_an_import_warns_where_it_overwrites(
    on_existing: str, count: int, strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    run_operator(
        rows=[row_with(CONSENT[0])],
        kind="ContactImportOperator",
        fields="builtin",
        on_existing=on_existing,
        resubscribe="always",
        check_only=True,
    )
    assert len(warnings(capfd)) == count


def test_the_warning_stands_in_a_task_s_log(
    strict: StrictServer, run_dag: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = {"rows": [row_with(CONSENT[0])], "fields": "builtin", "resubscribe": "always"}
    assert run_in_airflow(run_dag, **arguments).state == "success"
    assert len(warnings(capfd)) == 1
