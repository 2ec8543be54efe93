"""Requests about imports from the run's own thread: asked again where that helps, and never longer than is sensible."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedAnswerError,
    NoAnswerError,
    NotFoundError,
    QuotaClosed,
    TooManyRequestsError,
)
from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.contacts.imports.import_file import ImportFile
from airflow_provider_connectif.contacts.imports.memory import SentFile
from airflow_provider_connectif.contacts.imports.rules import ImportRules
from airflow_provider_connectif.contacts.outcomes import Error
from airflow_provider_connectif.contacts.progress import Log, describe_seconds
from airflow_provider_connectif.contacts.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.contacts.verdict import Verdict

T = TypeVar("T")

QUEUE_FULL = frozenset({"E0301", "E0401"})
_LOOKS = 3  # for an import whose upload was not answered: it may come into the list a moment later
_LONGEST_BETWEEN_LOOKS_S = 20.0
_FIRST_DELAY_S = 0.5


class ImportClient(Protocol):
    """What is needed of :class:`airflow_provider_connectif.api.client.ConnectifClient`."""

    tries: int

    def create_import(
        self, file: object, *, override_existing: bool, update_only_empty_fields: bool, delimiter: str
    ) -> Import:
        """Upload a file."""

    def get_import(self, import_id: str) -> Import:
        """One import."""

    def list_imports(self) -> Iterable[Import]:
        """All of them."""


class Trouble(Exception):
    """Why the imports of a run cannot go on; the text is safe to show.

    :param verdict: how the run ends.
    :param error: the answer that it comes from, if there was one.
    """

    def __init__(self, verdict: Verdict, words: str, error: Error | None = None) -> None:
        super().__init__(words)
        self.verdict = verdict
        self.words = words
        self.error = error

    @property
    def is_about_the_key(self) -> bool:
        """Nothing can be asked any more."""
        return isinstance(self.error, ConnectifHttpError) and self.error.status in (401, 403)


class ImportRequests:
    """The requests of one run.

    :param client: of the API.
    :param rules: of the run.
    :param policy: what answers lead to.
    :param pause: waits for some seconds; raises :class:`Trouble` once the deadline is over and
        :class:`QuotaClosed` once the run was told to stop.
    :param log: where waits are told.
    :param tell_failure: is told of each request that failed and is tried again, in words.
    """

    def __init__(
        self,
        client: ImportClient,
        rules: ImportRules,
        policy: ResponsePolicy,
        pause: Callable[[float], None],
        log: Log,
        tell_failure: Callable[[str], None],
    ) -> None:
        self._client = client
        self._rules = rules
        self._policy = policy
        self._pause = pause
        self._log = log
        self._tell_failure = tell_failure

    def looked_at(self, import_id: str) -> Import | None:
        """An import as it stands; ``None`` where Connectif did not answer, or not well, and may do so later.

        :raises NotFoundError: there is no such import.
        :raises Trouble: the key is refused.
        """
        try:
            return self._client.get_import(import_id)
        except NotFoundError:
            raise
        except TooManyRequestsError:
            return None
        except (NoAnswerError, MalformedAnswerError) as error:
            self._tell_failure(str(error))
            return None
        except ConnectifHttpError as error:
            if self._policy.for_error(error) is Action.FAIL:
                raise Trouble(Verdict.FAILED, "", error) from None
            self._tell_failure(str(error))
            return None

    def like(self, rows: Iterable[int], since: float) -> list[Import]:
        """The imports that may be files of ours with so many rows, the oldest first; one walk through the list.

        :raises Trouble: the list cannot be had.
        """
        wanted = set(rows)

        def walk() -> list[Import]:
            return [one for one in self._client.list_imports() if self._is_like(one, wanted, since)]

        found = self._patiently(walk)
        return sorted(found, key=lambda one: one.created_at.timestamp() if one.created_at else time.time())

    def upload(
        self, file: ImportFile, sent: SentFile, save: Callable[[], None], unanswered: Callable[[], Import | None]
    ) -> Import:
        """Upload a file once, however often that has to be tried.

        :param save: writes down what ``sent`` says; called before each request, and when there is no import for sure.
        :param unanswered: looks whether an upload that was not answered has arrived.
        :raises Trouble: Connectif does not take it.
        :raises QuotaClosed: told to stop, and there is no import.
        """
        tries, is_told = 0, False
        while True:
            sent.since = sent.since or time.time()
            save()
            try:
                return self._client.create_import(
                    file.path, **self._rules.flags._asdict(), delimiter=self._rules.delimiter
                )
            except TooManyRequestsError:
                continue  # the next request waits for the window
            except (ConnectifHttpError, NoAnswerError, MalformedAnswerError) as error:
                failure = error
            except QuotaClosed:
                sent.since = None
                save()
                raise
            if isinstance(failure, ConnectifHttpError) and failure.code in QUEUE_FULL:
                sent.since = None
                if not is_told:
                    self._log.info("The queue of imports is full, those of the app count too: waiting for room")
                    is_told = True
                self._pause(self._rules.poll_interval_s)
                continue
            tries += 1
            self._after_failure(failure, sent, save)
            delay_s = _delay_s(tries)
            self._tell_failed_upload(failure, sent, tries, delay_s)
            found = unanswered()
            if found is not None:
                return found
            if tries >= self._client.tries:
                raise Trouble(Verdict.TRY_AGAIN, f"A file could not be uploaded in {tries} tries: {failure}")
            self._tell_failure(str(failure))
            self._pause(delay_s)

    def looks(self) -> Iterable[None]:
        """As often as an import is looked for in the list that may come late."""
        for look in range(_LOOKS):
            if look:
                self._pause(self._between_looks_s)
            yield

    @property
    def _between_looks_s(self) -> float:
        return min(self._rules.poll_interval_s, _LONGEST_BETWEEN_LOOKS_S)

    def _tell_failed_upload(self, failure: Exception, sent: SentFile, tries: int, delay_s: float) -> None:
        """An upload that failed is looked for before it is sent again, which takes longer than the delay."""
        again = "this was the last try"
        if tries < self._client.tries:
            seconds = (_LOOKS - 1) * self._between_looks_s + delay_s
            again = (
                f"it is uploaded again in about {describe_seconds(seconds)}, try {tries + 1} of {self._client.tries}"
            )
        self._log.warning(
            "File %d could not be uploaded: %s. It is looked for in the list of imports; if it is not there, %s",
            sent.file + 1,
            failure,
            again,
        )

    def _after_failure(
        self,
        failure: ConnectifHttpError | NoAnswerError | MalformedAnswerError,
        sent: SentFile,
        save: Callable[[], None],
    ) -> None:
        """Raise where there is no import and will be none; an answer that may hide one is looked into."""
        if not isinstance(failure, ConnectifHttpError):
            return
        action = self._policy.for_error(failure)
        if action is Action.RETRY:
            return  # behind a gateway's 502 or 504 the import may exist
        sent.since = None
        save()
        raise Trouble(Verdict.FAILED, f"Connectif did not take a file: {failure}", failure)

    def _is_like(self, one: Import, rows: set[int], since: float) -> bool:
        return one.total in rows and self._rules.could_be(one, one.total or 0, since)

    def _patiently(self, request: Callable[[], T]) -> T:
        tries = 0
        while True:
            try:
                return request()
            except TooManyRequestsError:
                continue
            except (ConnectifHttpError, NoAnswerError, MalformedAnswerError) as error:
                failure = error
            if isinstance(failure, ConnectifHttpError) and self._policy.for_error(failure) is not Action.RETRY:
                raise Trouble(Verdict.FAILED, f"The list of imports cannot be read: {failure}", failure)
            tries += 1
            if tries >= self._client.tries:
                raise Trouble(Verdict.TRY_AGAIN, f"The list of imports cannot be read: {failure}")
            self._tell_failure(str(failure))
            self._pause(_delay_s(tries))


def _delay_s(tries: int) -> float:
    """Seconds until the next request after so many that failed."""
    return _FIRST_DELAY_S * 2.0 ** (tries - 1) * random.uniform(0.5, 1.5)
