"""Reading the account's field definitions: every way in which that may fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import MalformedAnswerError, NoAnswerError, QuotaClosed, error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.records.outcomes import StopKind
from airflow_provider_connectif.runs.definitions import DefinitionsError, fetch_definitions
from tests.support.clock import FakeClock

GOOD = [{"id": "_name", "type": "text"}]


class Client:
    """Answers in turn, the last one for ever; an answer is definitions, or what is raised."""

    tries = 3

    def __init__(self, *answers: Any) -> None:
        self.quota = Quota()
        self.answers = list(answers)
        self.requests = 0

    def list_contact_fields(self) -> list[Mapping[str, Any]]:
        self.requests += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        self.lines.append(message % args)

    warning = info


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def failures() -> list[str]:
    return []


@pytest.fixture
def fetch(log: Log, clock: FakeClock, failures: list[str]) -> Callable[..., ContactResource | None]:
    def fetch(client: Client, stopped: Callable[[], bool] = lambda: False) -> ContactResource | None:
        contacts = ContactResource(ContactMapping())
        found = fetch_definitions(contacts, client, log, stopped, failures.append, longest_wait_s=120.0, clock=clock)
        return None if found is contacts else found

    return fetch


Fetch = Callable[..., ContactResource | None]


def http(status: int, **more: Any) -> Exception:
    return error_class(status)(status, **more)


def test_definitions_become_fields(fetch: Fetch) -> None:
    found = fetch(Client([*GOOD, {"id": "tier", "type": "text"}]))
    assert found is not None
    assert found.mapping.fields.get("tier") == Field.from_api({"id": "tier", "type": "text"})


def test_a_key_without_the_scope_is_told_and_the_run_goes_on(fetch: Fetch, log: Log) -> None:
    assert fetch(Client(http(403))) is None
    assert "lacks the scope Contact fields: Read" in log.lines[0]


@pytest.mark.parametrize("status", [401, 302, 415])
def test_a_response_that_no_retry_mends_ends_at_once(status: int, fetch: Fetch) -> None:
    client = Client(http(status))
    with pytest.raises(DefinitionsError) as error:
        fetch(client)
    assert (error.value.kind, client.requests) == (StopKind.FAIL, 1)


@pytest.mark.parametrize("failure", [http(503), NoAnswerError("no answer within 30 s")])
def test_no_answer_is_tried_again_until_the_attempts_are_used_up(
    failure: Exception, fetch: Fetch, failures: list[str]
) -> None:
    client = Client(failure)
    with pytest.raises(DefinitionsError) as error:
        fetch(client)
    assert (error.value.kind, client.requests, len(failures)) == (StopKind.NOT_ANSWERING, 3, 2)
    assert fetch(Client(failure, GOOD)) is not None


def test_a_429_is_no_attempt(fetch: Fetch) -> None:
    assert fetch(Client(*[http(429)] * 10, GOOD)) is not None


@pytest.mark.parametrize("answer", [MalformedAnswerError("more than 100 pages"), [], [{"id": 7}]])
def test_a_response_that_is_none_of_definitions_is_left_to_the_next_attempt(answer: Any, fetch: Fetch) -> None:
    client = Client(answer)
    with pytest.raises(DefinitionsError) as error:
        fetch(client)
    assert (error.value.kind, client.requests) == (StopKind.NO_DEFINITIONS, 1)


def test_a_retry_after_is_waited_for(fetch: Fetch, clock: FakeClock) -> None:
    assert fetch(Client(http(503, retry_after=100.0), GOOD)) is not None
    assert 100 <= clock.monotonic() < 101


def test_a_retry_after_that_is_too_long_is_not_waited_for(fetch: Fetch, clock: FakeClock) -> None:
    with pytest.raises(DefinitionsError) as error:
        fetch(Client(http(503, retry_after=121.0), GOOD))
    assert (error.value.kind, error.value.asked_s) == (StopKind.LEFT_ALONE, 121.0)
    assert clock.monotonic() == 0


def test_a_run_that_was_told_to_stop_waits_for_no_response(fetch: Fetch) -> None:
    with pytest.raises(QuotaClosed):
        fetch(Client(http(503)), lambda: True)


def test_a_fault_in_the_thread_that_asks_is_not_lost(fetch: Fetch) -> None:
    with pytest.raises(RuntimeError, match="ended by SystemExit"):
        fetch(Client(SystemExit(1)))
    with pytest.raises(ZeroDivisionError):
        fetch(Client(ZeroDivisionError()))
