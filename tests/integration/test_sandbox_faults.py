"""Faults on request: what a test asks the sandbox to get wrong. Nothing here is the API's."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from airflow_provider_connectif.sandbox import SandboxProcess
from airflow_provider_connectif.sandbox.process import SandboxError
from tests.support.sandboxes import ask


def statuses(sandbox: SandboxProcess, count: int) -> list[int]:
    return [ask(sandbox).status_code for _ in range(count)]


def test_a_fault_answers_with_status_body_and_headers(sandbox: SandboxProcess) -> None:
    sandbox.add_fault({"status": 503, "body": "<h1>busy</h1>", "headers": {"Content-Type": "text/html", "X-A": "b"}})
    response = ask(sandbox)
    assert (response.status_code, response.text) == (503, "<h1>busy</h1>")
    assert (response.headers["Content-Type"], response.headers["X-A"]) == ("text/html", "b")
    sandbox.clear_faults()
    assert ask(sandbox).status_code == 200


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [503, 503, 503, 503, 503, 503]),
        ({"times": 2}, [503, 503, 200, 200, 200, 200]),
        ({"after": 2}, [200, 200, 503, 503, 503, 503]),
        ({"after": 1, "times": 3}, [200, 503, 503, 503, 200, 200]),
        ({"times": 0}, [200, 200, 200, 200, 200, 200]),
        ({"probability": 0.0}, [200, 200, 200, 200, 200, 200]),
    ],
)
def test_a_fault_strikes_as_often_as_asked(
    sandbox: SandboxProcess, options: dict[str, Any], expected: list[int]
) -> None:
    sandbox.add_fault({"status": 503}, **options)
    assert statuses(sandbox, 6) == expected


def test_a_seed_makes_chance_repeatable(sandbox: SandboxProcess) -> None:
    runs = []
    for _ in range(2):
        sandbox.clear_faults()
        sandbox.add_fault({"status": 503}, probability=0.5, seed=7)
        runs.append(statuses(sandbox, 40))
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}
    assert sandbox.faults() == [{"seen": 40, "struck": runs[0].count(503)}]


def test_a_fault_is_for_the_requests_it_matches(sandbox: SandboxProcess) -> None:
    sandbox.add_fault({"status": 500}, match={"method": "PATCH", "key": r"^bad\+.*/x@"})
    sandbox.add_fault({"status": 502}, match={"path": "/contact-fields/"})
    answers = [
        ask(sandbox, "PATCH", "/contacts/bad%2B1%2Fx@example.com", json={}),
        ask(sandbox, "GET", "/contacts/bad%2B1%2Fx@example.com"),
        ask(sandbox, "PATCH", "/contacts/email/good@example.com", json={}),
        ask(sandbox, "GET", "/contact-fields"),
        ask(sandbox, "GET", "/contact-fields/city"),
    ]
    assert [answer.status_code for answer in answers] == [500, 404, 201, 502, 200]
    assert list(sandbox.contacts()) == ["good@example.com"]


def test_the_first_fault_that_strikes_wins(sandbox: SandboxProcess) -> None:
    sandbox.add_fault({"status": 500}, times=1)
    sandbox.add_fault({"status": 503}, times=2)
    assert statuses(sandbox, 4) == [500, 503, 503, 200]


def test_a_dropped_connection_is_a_connection_error(sandbox: SandboxProcess) -> None:
    sandbox.add_fault({"drop": True}, times=3)
    for _ in range(3):
        with pytest.raises(requests.ConnectionError):
            ask(sandbox, "PATCH", "/contacts/ana@example.com", json={"_name": "Ana"})
    assert sandbox.contacts() == {}
    assert ask(sandbox).status_code == 200
    assert sandbox.requests()["by_status"] == {"200": 1, "dropped": 3}
    assert sandbox.log_text() == ""


@pytest.mark.parametrize("action", [{"drop": True}, {"status": 500}], ids=["drop", "status"])
def test_an_acknowledgement_can_be_lost(sandbox: SandboxProcess, action: dict[str, Any]) -> None:
    sandbox.add_fault({**action, "apply": True}, times=1)
    if "drop" in action:
        with pytest.raises(requests.ConnectionError):
            ask(sandbox, "PATCH", "/contacts/ana@example.com", json={"_name": "Ana"})
    else:
        assert ask(sandbox, "PATCH", "/contacts/ana@example.com", json={"_name": "Ana"}).status_code == 500
    assert sandbox.contacts()["ana@example.com"]["_name"] == "Ana"


def test_a_delay_holds_up_its_own_request_only(sandbox: SandboxProcess) -> None:
    sandbox.add_fault({"delay_s": 1.0}, match={"key": "slow"})
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        slow = pool.submit(ask, sandbox, "PATCH", "/contacts/slow@example.com", json={})
        while sandbox.faults()[0]["struck"] == 0:
            assert time.monotonic() - started < 10
        assert ask(sandbox, "PATCH", "/contacts/quick@example.com", json={}).status_code == 201
        assert list(sandbox.contacts()) == ["quick@example.com"]
        assert slow.result().status_code == 201
        assert time.monotonic() - started >= 1.0


def test_a_client_that_does_not_wait_does_no_harm(sandbox: SandboxProcess) -> None:
    sandbox.add_fault({"delay_s": 0.6}, times=1)
    with pytest.raises(requests.ReadTimeout):
        ask(sandbox, timeout=0.2)
    deadline = time.monotonic() + 10
    while not sandbox.requests()["total"]:
        assert time.monotonic() < deadline
    assert ask(sandbox).status_code == 200
    assert sandbox.log_text() == ""


def test_faults_use_up_the_window_and_their_headers_win() -> None:
    with SandboxProcess(requests_per_minute=3, window_seconds=3600) as sandbox:
        sandbox.add_fault({"status": 503, "headers": {"x-ratelimit-remaining": "77"}}, times=2)
        answers = [ask(sandbox) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [503, 503, 200, 429]
        assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["77", "77", "0", "0"]


@pytest.mark.parametrize(
    ("action", "options", "words"),
    [
        ({}, {}, "needs a status"),
        ({"status": 99}, {}, "between 200 and 599"),
        ({"status": "503"}, {}, "whole number"),
        ({"status": 503, "drop": True}, {}, "cannot be combined"),
        ({"stauts": 503}, {}, "unknown stauts"),
        ({"status": 204, "body": "x"}, {}, "has no body"),
        ({"drop": True, "body": "x"}, {}, "need a status"),
        ({"status": 503, "headers": {"Content-Length": "9"}}, {}, "cannot be set"),
        ({"status": 503, "headers": {"X-A": "a\r\nb"}}, {}, "printable"),
        ({"delay_s": -1}, {}, "delay_s must be a number from 0"),
        ({"status": 503}, {"match": {"key": "("}}, "regular expression"),
        ({"status": 503}, {"match": {"host": "x"}}, "unknown host"),
        ({"status": 503}, {"probability": 2}, "from 0 to 1"),
        ({"status": 503}, {"times": -1}, "times must be"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_in_words(
    sandbox: SandboxProcess, action: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(SandboxError, match=words):
        sandbox.add_fault(action, **options)
    assert sandbox.faults() == []
