"""The account's field definitions, fetched once a run."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedAnswerError,
    NoAnswerError,
    QuotaClosed,
    TooManyRequestsError,
)
from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.outcomes import Error, describe_error
from airflow_provider_connectif.contacts.progress import Log
from airflow_provider_connectif.contacts.response_policy import Action, ResponsePolicy

_FIRST_DELAY_S = 0.5
_POLL_S = 0.25
UNCHECKED = "custom fields are not checked before sending, their values are sent by their own type"


class DefinitionsError(Exception):
    """The definitions could not be read, and the run must not go on without; ``error`` is the last answer."""

    def __init__(self, error: Error) -> None:
        super().__init__(describe_error(error))
        self.error = error


class FieldsClient(Protocol):
    """What is needed of the API's client."""

    tries: int

    def list_contact_fields(self) -> list[Mapping[str, Any]]:
        """All definitions."""


def fetch_definitions(
    client: FieldsClient,
    policy: ResponsePolicy,
    log: Log,
    stopped: Callable[[], bool],
    tell_failure: Callable[[str], None],
    consequence: str = UNCHECKED,
) -> list[Field] | None:
    """Read the account's field definitions.

    :param stopped: whether the run was told to stop; looked at while waiting.
    :param tell_failure: is told of each request that failed and is tried again, in words.
    :param consequence: what it means for the run that there are no definitions, for the log.
    :return: ``None`` where they cannot be had although contacts might still be written: the key lacks the
        scope, or the answer was none of definitions. It is logged once, with what that means.
    :raises DefinitionsError: a refused key, or no answer to every try.
    """
    tries = 0
    while True:
        try:
            return _fields(_unless_stopped(client.list_contact_fields, stopped))
        except TooManyRequestsError:
            continue  # the next request waits for the window; never counts as a try
        except MalformedAnswerError as error:
            log.warning("Field definitions cannot be read (%s): %s", error, consequence)
            return None
        except (ConnectifHttpError, NoAnswerError) as error:
            if isinstance(error, ConnectifHttpError) and error.status == 403:
                log.warning("The API key lacks the scope Contact fields: Read (403): %s", consequence)
                return None
            tries += 1
            if policy.for_error(error) is Action.RETRY and tries < client.tries and not stopped():
                tell_failure(describe_error(error))
                _pause(_FIRST_DELAY_S * 2 ** (tries - 1) * random.uniform(0.5, 1.5), stopped)
                continue
            if isinstance(error, NoAnswerError) or error.status == 401 or error.status >= 500:
                raise DefinitionsError(error) from None
            log.warning("Field definitions cannot be read (%s): %s", error, consequence)
            return None


def _unless_stopped(ask: Callable[[], list[Mapping[str, Any]]], stopped: Callable[[], bool]) -> list[Mapping[str, Any]]:
    """Ask in a thread of its own, so that a task that is killed does not wait for an answer that may not come."""
    answer: Future[list[Mapping[str, Any]]] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends the run in the task's thread
            answer.set_exception(error)

    thread = threading.Thread(target=run, name="connectif-fields", daemon=True)
    thread.start()
    while thread.is_alive() and not stopped():
        thread.join(_POLL_S)
    if not answer.done():
        raise QuotaClosed("the run was told to stop")
    error = answer.exception()
    if error is not None and not isinstance(error, Exception):  # such as SystemExit: it must not end this process
        raise RuntimeError(f"reading the field definitions was ended by {type(error).__name__}")
    return answer.result()


def _fields(definitions: list[Mapping[str, Any]]) -> list[Field]:
    fields = []
    for definition in definitions:
        try:
            fields.append(Field.from_api(definition))
        except ValueError as fault:
            raise MalformedAnswerError(str(fault)) from None
    if not fields:
        raise MalformedAnswerError("no field at all, although every account has system fields")
    return fields


def _pause(seconds: float, stopped: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    nothing = threading.Event()
    while not stopped() and (left := until - time.monotonic()) > 0:
        nothing.wait(min(left, _POLL_S))
