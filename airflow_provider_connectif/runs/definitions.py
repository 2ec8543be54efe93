"""Fetches the account's field definitions once in each run."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedResponseError,
    NoResponseError,
    RunStopped,
    TooManyRequestsError,
)
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.window import GIVEN_BY_SERVER
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.records.outcomes import Error, StopKind, describe_error
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.reporting.formats import describe_seconds

_POLL_S = 0.25
ResourceT = TypeVar("ResourceT", bound=Resource)

_STOP_KINDS: dict[Action | None, StopKind] = {Action.FAIL: StopKind.FAIL, Action.RETRY: StopKind.NOT_RESPONDING}


class DefinitionsError(Exception):
    """The definitions could not be read, and the run must not continue without them.

    :param error: the last response; ``None``: the rate limit is used up.
    :param kind: the reason why the run ends.
    :param asked_s: with :attr:`StopKind.LEFT_ALONE`: the pause in seconds that Connectif asks for.
    """

    def __init__(self, error: Error | None, kind: StopKind, asked_s: float = 0.0) -> None:
        super().__init__("the rate limit is used up" if error is None else describe_error(error))
        self.error = error
        self.kind = kind
        self.asked_s = asked_s


def fetch_definitions(
    resource: ResourceT,
    client: Client,
    log: Log,
    stopped: Callable[[], bool],
    tell_failure: Callable[[str], None],
    consequence: str = "",
    *,
    longest_wait_s: float,
    timeout_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> ResourceT:
    """Check a resource against the account's definitions.

    :param client: sends the requests, within its rate limit.
    :param stopped: returns whether the run must stop; called while waiting.
    :param tell_failure: called with a description of each request that failed and is sent again.
    :param consequence: the consequence of missing definitions for the run, for the log. Default: the resource's.
    :param longest_wait_s: the longest pause in seconds for which the run waits if Connectif asks for one.
    :param timeout_s: seconds for everything: requests, retries and the rate limit. Default: no limit.
    :param clock: measures the delays before a retry, and the timeout.
    :return: the resource with definitions. If the API key does not have the scope, the unchanged resource: rows can be
        written without definitions. The log then has a warning with the consequence.
    :raises DefinitionsError: the API key is refused, every attempt got no response or one without definitions,
        Connectif asks for a longer pause, or the time has passed. Without definitions every value would be unchecked.
    :raises RunStopped: the run must stop.
    """
    policy = ResponsePolicy()  # ``on_response`` is only for requests that write
    limits = _Limits(client.quota, stopped, longest_wait_s, timeout_s, clock)
    failures = 0
    while True:
        error: Error
        action: Action | None  # None: a 2xx without definitions
        try:
            return _within(limits, lambda: resource.with_definitions(client), clock)
        except TooManyRequestsError:
            limits.check()
            continue  # the next request waits for the window; never counts as an attempt
        except (ConnectifHttpError, NoResponseError) as failure:
            if isinstance(failure, ConnectifHttpError) and failure.status == 403:
                log.warning(
                    wording.SCOPE_MISSING,
                    resource.definitions_scope,
                    consequence or resource.without_definitions,
                )
                return resource
            error, action = failure, policy.for_error(failure)
        except MalformedResponseError as malformed:
            # Connectif's own response, of up to a hundred pages: it is not requested again before the task's next
            # attempt.
            error, action = NoResponseError(str(malformed)), None
        failures += 1
        if stopped():
            raise RunStopped("the run must stop, so the field definitions were not read")
        if action is not Action.RETRY or failures >= client.tries:
            raise DefinitionsError(error, _STOP_KINDS.get(action, StopKind.NO_DEFINITIONS))
        asked_s = (error.retry_after if isinstance(error, ConnectifHttpError) else None) or 0.0
        if asked_s > longest_wait_s:
            raise DefinitionsError(error, StopKind.LEFT_ALONE, asked_s)
        tell_failure(describe_error(error))
        _pause(limits, retry_delay_s(failures, asked_s), clock)


class _Limits:
    """The time limits for reading the definitions."""

    def __init__(
        self,
        quota: Quota,
        stopped: Callable[[], bool],
        longest_wait_s: float,
        timeout_s: float | None,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._quota = quota
        self._stopped = stopped
        self._longest_wait_s = longest_wait_s
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._began_at = self._clock.monotonic()

    def check(self) -> None:
        """Check that waiting may continue; raise the errors of :func:`fetch_definitions` otherwise."""
        if self._stopped():
            raise RunStopped("the run must stop, so the field definitions were not read")
        wait = self._quota.wait
        asked_s = 0.0 if wait is None or wait.cause not in GIVEN_BY_SERVER else wait.until - self._clock.now()
        if asked_s > self._longest_wait_s:
            raise DefinitionsError(None, StopKind.LEFT_ALONE, asked_s)
        if self._clock.monotonic() - self._began_at >= self._timeout_s:
            waits_for = "" if wait is None else ", the rate limit is used up"
            words = f"the timeout of {describe_seconds(self._timeout_s)} has passed{waits_for}"
            raise DefinitionsError(NoResponseError(words), StopKind.NO_DEFINITIONS)


def _within(limits: _Limits, ask: Callable[[], ResourceT], clock: Clock) -> ResourceT:
    """Send the request in a thread, so that a killed task does not wait for a response that may never come.

    Errors of the thread are raised here: a lost error would look like an account without definitions.
    """
    response: Future[ResourceT] = Future()
    is_here = threading.Condition()

    def run() -> None:
        try:
            response.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            response.set_exception(error)
        with is_here:
            is_here.notify()

    threading.Thread(target=run, name="connectif-fields", daemon=True).start()
    with is_here:
        while not response.done():
            limits.check()
            clock.wait(is_here, _POLL_S)
    error = response.exception()
    if error is not None and not isinstance(error, Exception):  # such as SystemExit: it must not end this process
        raise RuntimeError(f"reading the field definitions was ended by {type(error).__name__}")
    return response.result()


def _pause(limits: _Limits, seconds: float, clock: Clock) -> None:
    until = clock.monotonic() + seconds
    while (left := until - clock.monotonic()) > 0:
        limits.check()
        clock.sleep(min(left, _POLL_S))
