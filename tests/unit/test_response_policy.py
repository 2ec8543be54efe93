"""The response policy: the table of the design, row by row, and an author's changes to it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_connectif.api.errors import NoResponseError, NotConnectifError, error_class
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy, Rule


@pytest.mark.parametrize(
    ("status", "code", "action"),
    [
        (200, None, "accept"),
        (201, None, "accept"),
        (204, None, "accept"),
        (302, None, "fail"),
        (400, None, "reject"),
        (400, "E0103", "reject"),
        (400, "E0301", "retry"),
        (400, "E0401", "retry"),
        (401, None, "fail"),
        (403, None, "reject"),
        (404, None, "reject"),
        (409, None, "reject"),
        (408, None, "retry"),
        (413, None, "reject"),
        (415, None, "fail"),
        (418, None, "reject"),
        (421, None, "retry"),
        (422, None, "reject"),
        (423, None, "retry"),
        (425, None, "retry"),
        (429, None, "wait"),
        (500, None, "retry"),
        (503, None, "retry"),
        (599, None, "retry"),
        (101, None, "fail"),
        (999, None, "fail"),
    ],
)
def test_the_default_table(status: int, code: str | None, action: str) -> None:
    assert ResponsePolicy().for_status(status, code).action.value == action


@pytest.mark.parametrize(
    ("status", "is_document", "rule"),
    [
        (400, True, Rule(Action.REJECT, is_remembered=True)),
        (400, False, Rule(Action.REJECT)),
        (422, True, Rule(Action.REJECT, is_remembered=True)),
        (422, False, Rule(Action.REJECT)),
        (404, True, Rule(Action.REJECT)),
        (409, True, Rule(Action.REJECT)),
        (403, True, Rule(Action.FAIL)),
        (403, False, Rule(Action.REJECT, most_in_a_row=5)),
        (413, True, Rule(Action.REJECT, most_in_a_row=5)),
    ],
)
def test_only_connectifs_own_word_about_a_row_is_remembered(status: int, is_document: bool, rule: Rule) -> None:
    assert ResponsePolicy().for_status(status, is_error_document=is_document) == rule


@pytest.mark.parametrize(
    ("status", "is_document", "is_remembered"), [(422, True, True), (422, False, False), (409, True, False)]
)
def test_an_authors_rejection_is_remembered_where_the_tables_would_be(
    status: int, is_document: bool, is_remembered: bool
) -> None:
    policy = ResponsePolicy({status: "reject"})
    assert policy.for_status(status, is_error_document=is_document) == Rule(Action.REJECT, is_remembered)


def test_a_success_that_is_not_connectifs_counts_as_no_response_whatever_an_author_says_of_2xx() -> None:
    error = NotConnectifError("HTTP 200 OK with a text")
    assert ResponsePolicy({"2xx": "accept"}).for_error(error) is Action.RETRY
    assert ResponsePolicy({"no_answer": "fail"}).for_error(error) is Action.FAIL


def test_a_success_that_shows_another_key_is_confirmed() -> None:
    assert ResponsePolicy().for_success(200, shows_another_key=True).action is Action.CONFIRM
    assert ResponsePolicy({200: "reject"}).for_success(200, shows_another_key=True).action is Action.CONFIRM
    assert ResponsePolicy({200: "skip"}).for_success(200, shows_another_key=False).action is Action.SKIP


@pytest.mark.parametrize(("status", "code"), [(408, None), (500, None), (503, None)])
def test_a_response_that_may_come_after_the_change_leaves_a_doubt(status: int, code: str | None) -> None:
    assert ResponsePolicy().for_status(status, code) == Rule(Action.RETRY, leaves_doubt=True)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "E0301"), (400, "E0401"), (421, None), (423, None), (425, None), (429, None)]
)
def test_a_response_that_says_that_nothing_was_done_leaves_none(status: int, code: str | None) -> None:
    assert not ResponsePolicy().for_status(status, code).leaves_doubt


@pytest.mark.parametrize(
    "error", [NoResponseError("no response within 30 s"), NotConnectifError("HTTP 200 OK with a text")]
)
def test_without_connectifs_response_there_is_a_doubt_unless_an_author_says_otherwise(error: NoResponseError) -> None:
    assert ResponsePolicy().rule_for_error(error) == Rule(Action.RETRY, leaves_doubt=True)
    assert ResponsePolicy({"no_answer": "retry"}).rule_for_error(error) == Rule(Action.RETRY)


def test_no_answer_is_a_row_of_its_own() -> None:
    error = NoResponseError("no response within 30 s")
    assert ResponsePolicy().for_error(error) is Action.RETRY
    assert ResponsePolicy({"no_answer": "reject"}).for_error(error) is Action.REJECT


@pytest.mark.parametrize(
    ("on_response", "status", "code", "action"),
    [
        ({422: "skip"}, 422, None, "skip"),
        ({"422": "skip"}, 422, None, "skip"),
        ({"5xx": "fail"}, 503, None, "fail"),
        ({"5xx": "fail", 503: "retry"}, 503, None, "retry"),
        ({"4xx": "skip"}, 422, None, "skip"),
        ({"4xx": "skip"}, 401, None, "fail"),
        ({"4xx": "skip"}, 403, None, "reject"),
        ({"4xx": "skip"}, 429, None, "wait"),
        ({401: "skip_task", 403: "reject", 429: "fail"}, 401, None, "skip_task"),
        ({401: "skip_task", 403: "reject", 429: "fail"}, 403, None, "reject"),
        ({401: "skip_task", 403: "reject", 429: "fail"}, 429, None, "fail"),
        ({"E0401": "reject"}, 400, "E0401", "reject"),
        ({400: "skip"}, 400, "E0401", "skip"),
        ({404: "accept"}, 404, None, "accept"),
        ({201: "skip"}, 201, None, "skip"),
    ],
)
def test_an_author_changes_rows(on_response: dict[int | str, str], status: int, code: str | None, action: str) -> None:
    assert ResponsePolicy(on_response).for_status(status, code).action.value == action


@pytest.mark.parametrize(
    ("on_response", "words"),
    [
        ({"42x": "skip"}, "'42x' is not a status"),
        ({700: "skip"}, "700 is not a status"),
        ({True: "skip"}, "True is not a status"),
        ({422: "ignore"}, "'ignore' for 422 is not one of accept, skip"),
        ({422: "wait"}, "'wait' for 422"),
        ([422], "must be a dict"),
    ],
)
def test_a_change_that_cannot_work_is_refused(on_response: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ResponsePolicy(on_response)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"'42x'.*'drop'"):
        ResponsePolicy({"42x": "skip", 422: "drop"})


def test_the_text_of_an_error_holds_nothing_that_the_server_said() -> None:
    error = error_class(422)(
        422,
        title="ana@example.com",
        detail="ana@example.com is taken",
        code="ana",
        validation_errors=({"reason": "ana@example.com"},),
    )
    assert str(error) == "HTTP 422 Unprocessable Entity"
    assert error.detail == "ana@example.com is taken"
