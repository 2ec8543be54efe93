"""Reading the account's field definitions: every way in which that may fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import MalformedResponseError, NoResponseError, RunStopped, error_class
from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.contacts.fields import FieldTable
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.records.outcomes import StopKind
from airflow_provider_connectif.runs.definitions import DefinitionsError, fetch_definitions
from tests.support.clock import FakeClock

GOOD = [{"id": "favourite", "type": "text"}]


Fetch = Callable[..., FieldTable | None]


class Client:
    """Responds in turn, the last one for ever: definitions, an exception to raise, or a function that waits."""

    tries = 3

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests = 0
        self.quota = Allowance()

    def list_contact_fields(self) -> list[Mapping[str, Any]]:
        self.requests += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer() if callable(answer) else answer


class Allowance:
    """What a quota says of the wait for its window."""

    wait: Wait | None = None


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        self.lines.append(message % args)

    warning = debug = info


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
def fetch(log: Log, clock: FakeClock, failures: list[str]) -> Fetch:
    def fetch(client: Client, stopped: Callable[[], bool] = lambda: False, **more: Any) -> FieldTable | None:
        """The fields of the resource that was checked; ``None`` where it came back as it was."""
        resource = ContactResource(ContactMapping())
        fetched = fetch_definitions(
            resource,
            client,  # type: ignore[arg-type]  # a client asks for definitions only here
            log,
            stopped,
            failures.append,
            longest_wait_s=120.0,
            clock=clock,
            **more,
        )
        return None if fetched is resource else fetched.mapping.fields

    return fetch


def http(status: int, **more: Any) -> Exception:
    return error_class(status)(status, **more)


def test_definitions_become_fields(fetch: Fetch) -> None:
    fields = fetch(Client(GOOD))
    assert fields is not None
    assert fields.get("favourite") is not None


def test_a_key_without_the_scope_is_told_and_the_run_goes_on(fetch: Fetch, log: Log) -> None:
    assert fetch(Client(http(403))) is None
    assert "does not have the scope Contact fields: Read" in log.lines[0]


@pytest.mark.parametrize("status", [401, 302, 415])
def test_a_response_that_no_retry_mends_ends_at_once(status: int, fetch: Fetch) -> None:
    client = Client(http(status))
    with pytest.raises(DefinitionsError) as error:
        fetch(client)
    assert (error.value.kind, client.requests) == (StopKind.FAIL, 1)


@pytest.mark.parametrize("failure", [http(503), NoResponseError("no response within 30 s")])
def test_no_answer_is_tried_again_until_the_attempts_are_used_up(
    failure: Exception, fetch: Fetch, failures: list[str]
) -> None:
    client = Client(failure)
    with pytest.raises(DefinitionsError) as error:
        fetch(client)
    assert (error.value.kind, client.requests, len(failures)) == (StopKind.NOT_RESPONDING, 3, 2)
    assert fetch(Client(failure, GOOD)) is not None


def test_a_429_is_no_attempt(fetch: Fetch) -> None:
    assert fetch(Client(*[http(429)] * 10, GOOD)) is not None


@pytest.mark.parametrize("answer", [MalformedResponseError("more than 100 pages"), [], [{"id": 7}]])
def test_a_response_that_is_none_of_definitions_is_left_to_the_next_attempt(answer: Any, fetch: Fetch) -> None:
    client = Client(answer)
    with pytest.raises(DefinitionsError) as error:
        fetch(client)
    assert (error.value.kind, client.requests) == (StopKind.NO_DEFINITIONS, 1)


def test_a_retry_after_is_waited_for(fetch: Fetch, clock: FakeClock) -> None:
    assert fetch(Client(http(503, retry_after=100.0), GOOD)) is not None
    assert 100 <= sum(clock.slept) < 101


def test_a_retry_after_that_is_too_long_is_not_waited_for(fetch: Fetch, clock: FakeClock) -> None:
    with pytest.raises(DefinitionsError) as error:
        fetch(Client(http(503, retry_after=121.0), GOOD))
    assert (error.value.kind, error.value.asked_s) == (StopKind.LEFT_ALONE, 121.0)
    assert clock.slept == []


@pytest.fixture
def hanging() -> Iterator[Client]:
    """A client whose response does not come before the end of the test."""
    is_over = threading.Event()
    yield Client(lambda: GOOD if is_over.wait(60) else [])
    is_over.set()


def test_a_run_that_was_told_to_stop_waits_for_no_response(fetch: Fetch, hanging: Client) -> None:
    with pytest.raises(RunStopped):
        fetch(hanging, lambda: True)


def test_definitions_have_a_timeout(fetch: Fetch, clock: FakeClock, hanging: Client) -> None:
    with pytest.raises(DefinitionsError, match=r"the timeout of 30\.0 s has passed$") as error:
        fetch(hanging, timeout_s=30.0)
    assert error.value.kind is StopKind.NO_DEFINITIONS
    assert 30 <= clock.monotonic() < 31


def test_a_rate_limit_that_is_used_up_is_waited_for_only_as_long_as_a_worker_may_be_held(
    fetch: Fetch, clock: FakeClock, hanging: Client
) -> None:
    hanging.quota.wait = Wait(clock.now() + 3600.0, Cause.USED_UP)
    with pytest.raises(DefinitionsError, match="the rate limit is used up") as error:
        fetch(hanging)
    assert (error.value.kind, error.value.asked_s) == (StopKind.LEFT_ALONE, 3600.0)


def test_a_fault_in_the_thread_that_asks_is_not_lost(fetch: Fetch) -> None:
    with pytest.raises(RuntimeError, match="ended by SystemExit"):
        fetch(Client(SystemExit(1)))
    with pytest.raises(ZeroDivisionError):
        fetch(Client(ZeroDivisionError()))
