"""Requests about imports from the run's own thread: sent again where that helps, within the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Container
from pathlib import Path

from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedAnswerError,
    NoAnswerError,
    NotFoundError,
    QuotaClosed,
    TooManyRequestsError,
)
from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.imports.rules import CLOCK_TOLERANCE_S, FATES, Fate, ImportRules
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.journal.import_state import SentFile
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.reporting.progress import Log
from airflow_provider_connectif.reporting.verdict import Trouble, Verdict

QUEUE_FULL = frozenset({"E0301", "E0401"})

Failure = ConnectifHttpError | NoAnswerError | MalformedAnswerError
"""A request that was sent and has no response to work with; 429 aside, which is waited out."""


class QueueFull(Exception):
    """Connectif has ten imports in its queue; there is no import of this file.

    :param retry_after_s: what ``Retry-After`` asks for.
    """

    def __init__(self, retry_after_s: float | None) -> None:
        super().__init__("the queue of imports is full")
        self.retry_after_s = retry_after_s


class ImportRequests:
    """The requests of one run.

    :param client: of the API.
    :param rules: of the run.
    :param policy: what responses lead to; the author's ``on_response`` is about contacts only.
    :param waiting: between two requests, and as long as a window holds one back.
    :param log: where waits are told.
    :param tell_failure: is told of each request that failed and is sent again, in words.
    """

    def __init__(
        self,
        client: Client,
        rules: ImportRules,
        policy: ResponsePolicy,
        waiting: Waiting,
        log: Log,
        tell_failure: Callable[[str], None],
    ) -> None:
        self._client = client
        self._rules = rules
        self._policy = policy
        self._waiting = waiting
        self._log = log
        self._tell_failure = tell_failure
        self.failed_polls: tuple[int, float | None] = (0, None)
        """How many polls in a row got no usable response, and the last one's ``Retry-After`` in seconds."""

    def get_import(self, import_id: str) -> Import | None:
        """An import as it is shown now; ``None`` where there was no usable response, and may be one later.

        :raises NotFoundError: there is no such import.
        :raises Trouble: the key is refused.
        """
        try:
            one = self._client.get_import(import_id)
        except TooManyRequestsError:
            return None
        except (ConnectifHttpError, NoAnswerError, MalformedAnswerError) as error:
            if isinstance(error, NotFoundError):
                self.failed_polls = (0, None)
                raise
            if self._is_final(error):
                raise Trouble(Verdict.FAILED, "", _http(error)) from None
            self._tell_failure(str(error))
            self.failed_polls = (self.failed_polls[0] + 1, _retry_after_s(error))
            return None
        self.failed_polls = (0, None)
        return one

    def open_imports(self, since: float, ours: Container[str]) -> list[str]:
        """The ids of imports that are open and that an upload without a response may have begun.

        :param since: when the upload began, in seconds since the epoch.
        :param ours: ids that are left out.
        :raises Trouble: the list cannot be read.
        """
        failures = 0
        while True:
            self._waiting.check()
            try:
                return [one.id for one in self._client.list_imports() if one.id not in ours and _may_be(one, since)]
            except TooManyRequestsError:
                continue
            except (ConnectifHttpError, NoAnswerError, MalformedAnswerError) as error:
                failure: Failure = error
            failures += 1
            words = f"The list of imports cannot be read: {failure}"
            if self._policy_action(failure) is not Action.RETRY:
                raise Trouble(Verdict.FAILED, words, _http(failure))
            if failures >= self._client.tries:
                raise Trouble(Verdict.TRY_AGAIN, words)
            self._tell_failure(str(failure))
            self._waiting.before_retry(failures, _retry_after_s(failure))

    def upload(
        self,
        path: Path,
        sent: SentFile,
        save: Callable[[], None],
        ours: Container[str],
        wait_for_lost: Callable[[float, Container[str]], None],
    ) -> Import:
        """Upload a file once, however many attempts that takes.

        An upload without a response may have begun an import, and no import of the list is known to be that one. So
        the file is uploaded again, after whatever that upload can have begun.

        :param save: writes down what ``sent`` says; called before each request, and when no import can exist.
        :param ours: the ids of earlier imports: a response that repeats one is not about this upload.
        :param wait_for_lost: waits for the open imports that began since a moment, in seconds since the epoch, but for
            those of ``ours``.
        :raises QueueFull: for now.
        :raises Trouble: Connectif does not take it.
        :raises QuotaClosed: told to stop, and there is no import.
        """
        failures = 0
        while True:
            self._waiting.check()
            sent.since = began_at = time.time()
            save()
            try:
                one = self._client.create_import(path, **self._rules.flags._asdict(), delimiter=self._rules.delimiter)
                if one.id not in ours:
                    return one
                failure: Failure = MalformedAnswerError("the response names an earlier import")
            except TooManyRequestsError:
                _forget(sent, save)
                continue  # the next request waits for the window
            except (QuotaClosed, Trouble):  # before the file was sent
                _forget(sent, save)
                raise
            except (ConnectifHttpError, NoAnswerError, MalformedAnswerError) as error:
                failure = error
            if isinstance(failure, ConnectifHttpError) and failure.code in QUEUE_FULL:
                _forget(sent, save)
                raise QueueFull(failure.retry_after)
            failures += 1
            if self._policy_action(failure) is not Action.RETRY:
                _forget(sent, save)
                raise Trouble(Verdict.FAILED, f"Connectif did not take a file: {failure}", _http(failure))
            self._log_failed_upload(failure, failures)
            if failures >= self._client.tries:
                raise Trouble(Verdict.TRY_AGAIN, f"A file could not be uploaded in {failures} attempts: {failure}")
            self._tell_failure(str(failure))
            self._waiting.before_retry(failures, _retry_after_s(failure))
            wait_for_lost(began_at, ours)

    def _log_failed_upload(self, failure: Failure, failures: int) -> None:
        tries = self._client.tries
        self._log.warning(
            "A file could not be uploaded: %s. %s",
            failure,
            "This was the last attempt"
            if failures >= tries
            else f"Attempt {failures + 1} of {tries} follows when the imports that have begun since then are finished",
        )

    def _policy_action(self, failure: Failure) -> Action:
        # A 2xx that is no JSON of an import comes from something between here and Connectif.
        return Action.RETRY if isinstance(failure, MalformedAnswerError) else self._policy.for_error(failure)

    def _is_final(self, failure: Failure) -> bool:
        return self._policy_action(failure) is Action.FAIL


def _may_be(one: Import, since: float) -> bool:
    """Whether an upload that began at a moment may have begun this open import; ``app`` never does."""
    is_open = FATES.get(one.status, Fate.WAIT) is Fate.WAIT
    is_older = one.created_at is not None and one.created_at.timestamp() < since - CLOCK_TOLERANCE_S
    return is_open and one.type in ("contacts", None) and one.origin != "app" and not is_older


def _forget(sent: SentFile, save: Callable[[], None]) -> None:
    """Write down that an upload has begun no import."""
    sent.since = None
    save()


def _http(failure: Failure) -> ConnectifHttpError | None:
    return failure if isinstance(failure, ConnectifHttpError) else None


def _retry_after_s(failure: Failure) -> float | None:
    return failure.retry_after if isinstance(failure, ConnectifHttpError) else None
