"""The account's field definitions, fetched once a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedAnswerError,
    NoAnswerError,
    QuotaClosed,
    TooManyRequestsError,
)
from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.records.outcomes import Error, StopKind, describe_error
from airflow_provider_connectif.reporting.progress import Log

_POLL_S = 0.25
UNCHECKED = "custom fields are not checked before sending, their values are sent by their own type"

_STOP_KINDS: dict[Action | None, StopKind] = {Action.FAIL: StopKind.FAIL, Action.RETRY: StopKind.NOT_ANSWERING}


class DefinitionsError(Exception):
    """The definitions could not be read, and the run must not go on without.

    :param error: the last response.
    :param kind: how the run ends.
    :param asked_s: with :attr:`StopKind.LEFT_ALONE`: seconds for which Connectif asks to be left alone.
    """

    def __init__(self, error: Error, kind: StopKind, asked_s: float = 0.0) -> None:
        super().__init__(describe_error(error))
        self.error = error
        self.kind = kind
        self.asked_s = asked_s


class FieldsClient(Protocol):
    """What is needed of the API's client."""

    tries: int

    def list_contact_fields(self) -> list[Mapping[str, Any]]:
        """All definitions."""


def fetch_definitions(
    client: FieldsClient,
    log: Log,
    stopped: Callable[[], bool],
    tell_failure: Callable[[str], None],
    consequence: str = UNCHECKED,
    *,
    longest_wait_s: float,
    clock: Clock = SYSTEM_CLOCK,
) -> list[Field] | None:
    """Read the account's field definitions.

    :param stopped: whether the run was told to stop; looked at while waiting.
    :param tell_failure: is told of each request that failed and is tried again, in words.
    :param consequence: what it means for the run that there are no definitions, for the log.
    :param longest_wait_s: a ``Retry-After`` of more seconds is not waited for.
    :param clock: of the delays before a retry.
    :return: ``None`` where the key lacks the scope, so that contacts might still be written. It is logged once, with
        what that means.
    :raises DefinitionsError: a refused key, a response that is none of definitions, or none at all, in each attempt. To
        go on without would leave every value unchecked.
    :raises QuotaClosed: the run was told to stop.
    """
    policy = ResponsePolicy()  # what an author changes is about contacts
    failures = 0
    while True:
        error: Error
        action: Action | None  # None: a 2xx that is none of definitions
        try:
            return _fields(_unless_stopped(client.list_contact_fields, stopped))
        except TooManyRequestsError:
            continue  # the next request waits for the window; never counts as an attempt
        except (ConnectifHttpError, NoAnswerError) as failure:
            if isinstance(failure, ConnectifHttpError) and failure.status == 403:
                log.warning(
                    "The API key lacks the scope Contact fields: Read (403), or the account is blocked: %s", consequence
                )
                return None
            error, action = failure, policy.for_error(failure)
        except MalformedAnswerError as malformed:
            # Connectif's own response, up to a hundred pages of it: the next attempt of the task may ask again.
            error, action = NoAnswerError(str(malformed)), None
        failures += 1
        if stopped():
            raise QuotaClosed("the run was told to stop")
        if action is not Action.RETRY or failures >= client.tries:
            raise DefinitionsError(error, _STOP_KINDS.get(action, StopKind.NO_DEFINITIONS))
        asked_s = (error.retry_after if isinstance(error, ConnectifHttpError) else None) or 0.0
        if asked_s > longest_wait_s:
            raise DefinitionsError(error, StopKind.LEFT_ALONE, asked_s)
        tell_failure(describe_error(error))
        _pause(retry_delay_s(failures, asked_s), stopped, clock)


def _unless_stopped(ask: Callable[[], list[Mapping[str, Any]]], stopped: Callable[[], bool]) -> list[Mapping[str, Any]]:
    """Ask in a thread of its own, so that a task that is killed does not wait for a response that may not come.

    Whatever the thread raises is raised here: a fault that was lost would look like an account without definitions.
    """
    response: Future[list[Mapping[str, Any]]] = Future()

    def run() -> None:
        try:
            response.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            response.set_exception(error)

    thread = threading.Thread(target=run, name="connectif-fields", daemon=True)
    thread.start()
    while thread.is_alive() and not stopped():
        thread.join(_POLL_S)
    if not response.done():
        raise QuotaClosed("the run was told to stop")
    error = response.exception()
    if error is not None and not isinstance(error, Exception):  # such as SystemExit: it must not end this process
        raise RuntimeError(f"reading the field definitions was ended by {type(error).__name__}")
    return response.result()


def _fields(definitions: list[Mapping[str, Any]]) -> list[Field]:
    fields = []
    for definition in definitions:
        try:
            fields.append(Field.from_api(definition))
        except (ValueError, TypeError, ArithmeticError, RecursionError) as fault:
            # Our own words have no value of the definition in them; those of the language may.
            words = str(fault) if type(fault) is ValueError else "a field definition has a value of a wrong kind"
            raise MalformedAnswerError(words) from None
    if not fields:
        raise MalformedAnswerError("no field at all, although every account has system fields")
    return fields


def _pause(seconds: float, stopped: Callable[[], bool], clock: Clock) -> None:
    until = clock.monotonic() + seconds
    while not stopped() and (left := until - clock.monotonic()) > 0:
        clock.sleep(min(left, _POLL_S))
