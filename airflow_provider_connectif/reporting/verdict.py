"""The verdict on a run, with words that say what to do about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from airflow_provider_connectif.api.errors import ConnectifHttpError, RunFailed
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop, StopKind, describe_error
from airflow_provider_connectif.reporting.formats import describe_seconds


class Verdict(StrEnum):
    """The way a run ended."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILED = "failed"
    """Failed, and the next attempt would fail in the same way: Airflow does not retry."""
    TRY_AGAIN = "try_again"
    """Failed, but another attempt may succeed: Airflow retries."""


def verdict_in_words(verdict: str | None) -> str:
    """Describe how a recorded run ended.

    :param verdict: the recorded verdict; ``None``: the run has not ended, or its process was killed.
    """
    words = {Verdict.TRY_AGAIN.value: "failed, another attempt may succeed", None: "no end recorded"}
    return words.get(verdict, str(verdict))


class ImportFailed(RunFailed):
    """The imports cannot continue.

    :param verdict: the verdict on the run.
    :param error: the response that caused it, if there was one.
    """

    def __init__(self, verdict: Verdict, words: str, error: Error | None = None) -> None:
        super().__init__(words, final=verdict is Verdict.FAILED)
        self.verdict = verdict
        self.words = words
        self.error = error

    @property
    def is_about_the_key(self) -> bool:
        """Whether the API key is at fault, so that no further request can succeed."""
        return isinstance(self.error, ConnectifHttpError) and self.error.status in (401, 403)


class ImportForbidden(ImportFailed):
    """Connectif's own response to the first upload says that the API key may not import. No file was accepted."""


class WaitTooLong(ImportFailed):
    """Connectif asks for a delay that is longer than a worker may wait.

    :param wait_s: seconds that it asks for.
    :param longest_wait_s: seconds that a worker may wait.
    """

    def __init__(self, wait_s: float, longest_wait_s: float) -> None:
        super().__init__(
            Verdict.TRY_AGAIN,
            f"Connectif asks for a pause of {wait_s:,.0f} s, longer than longest_wait of the connection, "
            f"{longest_wait_s:,.0f} s: set a retry_delay of {wait_s:,.0f} s or more",
        )


def unaccounted_verdict(read: int, unaccounted: int) -> tuple[Verdict, str]:
    """Return the verdict on a run whose outcomes do not add up to its rows, and why in words.

    Another attempt may help: it reads the source again, and a journal knows what was delivered.

    :param unaccounted: rows without an outcome; below zero: outcomes without a row.
    """
    words = f"{abs(unaccounted):,} of {read:,} rows cannot be accounted for"
    if unaccounted < 0:
        words = f"{read:,} rows were read and {read - unaccounted:,} outcomes counted: {-unaccounted:,} too many"
    return Verdict.TRY_AGAIN, f"{words}; the next attempt reads the source again"


def removals_verdict(removals: Mapping[Outcome, int]) -> tuple[Verdict, str] | None:
    """Return the verdict if ``on_removed`` was not carried out for every contact that left the source; ``None``: no
    failure.

    :param removals: the outcomes of these contacts.
    """
    failed = sum(removals.get(outcome, 0) for outcome in (Outcome.REJECTED, Outcome.UNDELIVERED))
    if not failed:
        return None
    is_to_be_tried = bool(removals.get(Outcome.UNDELIVERED))
    words = f"on_removed failed for {failed:,} of {sum(removals.values()):,} contacts that left the source"
    return Verdict.TRY_AGAIN if is_to_be_tried else Verdict.FAILED, words


_STATUS_WORDS: dict[int, str] = {
    401: (
        "Connectif refused the API key (401) of {connection} at {host}: it is wrong or no longer valid; store a valid "
        "keyId:keySecret as the password"
    ),
    403: (
        "Connectif responded 403 to {connection} at {host}: either the API key does not have the scope {scope}, or the "
        "account is blocked"
    ),
    415: "Connectif responded 415, unsupported media type: a fault of this provider, please report it",
}

_STOP_VERDICTS: dict[StopKind, tuple[Verdict, str]] = {
    StopKind.FAIL: (Verdict.FAILED, "on_response says to fail on this response: {response}"),
    StopKind.SKIP_TASK: (Verdict.SKIPPED, "on_response says to skip the task on this response: {response}"),
    StopKind.ALL_REJECTED: (
        Verdict.FAILED,
        "The first responses were all rejections, so the run sends nothing more: either the mapping is wrong, or "
        "something between here and Connectif changes the requests. No row is held because of that",
    ),
    StopKind.BLOCKED: (
        Verdict.FAILED,
        "Several responses in a row were {response}, so the run sends nothing more: something between here and "
        "Connectif, such as a firewall, refuses the requests",
    ),
    StopKind.LEFT_ALONE: (
        Verdict.TRY_AGAIN,
        "Connectif asks for a pause of {asked} ({response}), longer than longest_wait of the connection, {longest}: "
        "set a retry_delay of {retry_delay} or more",
    ),
    StopKind.NO_DEFINITIONS: (
        Verdict.TRY_AGAIN,
        "The field definitions cannot be read ({response}), and without them no value could be checked",
    ),
    StopKind.NOT_RESPONDING: (
        Verdict.TRY_AGAIN,
        "Connectif does not respond as it should: {response}, after every attempt of a request ({connection}, {host})",
    ),
    StopKind.ASKED_AGAIN: (
        Verdict.TRY_AGAIN,
        "Connectif asks for a pause again and again ({response}), and nothing was delivered in between",
    ),
    StopKind.KILLED: (
        Verdict.TRY_AGAIN,
        "The task was stopped before every row had an outcome; with a journal, what was delivered is not sent again",
    ),
    StopKind.TIMED_OUT: (
        Verdict.TRY_AGAIN,
        "execution_timeout has passed, the time in which the task was deferred included",
    ),
    StopKind.DEFERRED: (Verdict.TRY_AGAIN, "The changes that are left could not be stored for a deferral"),
    StopKind.PLAN_TOO_OLD: (
        Verdict.TRY_AGAIN,
        "The plan is older than plan_max_age: the next attempt reads the source again, and with a journal it sends "
        "only what is left",
    ),
    StopKind.CRASHED: (Verdict.TRY_AGAIN, "An error ended a sending thread"),
}


class Account(NamedTuple):
    """The Connectif account that a run sends to, as messages name it: by its connection and address.

    :param conn_id: the id of the Airflow connection; empty if a run has none.
    :param base_url: scheme and host.
    """

    conn_id: str
    base_url: str

    @property
    def connection(self) -> str:
        """The connection, worded as a part of a sentence."""
        return f"connection {self.conn_id!r}" if self.conn_id else "the connection"


_UNNAMED = Account("", "Connectif")


def stop_verdict(stop: Stop, scope: str, account: Account = _UNNAMED) -> tuple[Verdict, str]:
    """Return the verdict on a run that stopped before its last row, and why in words.

    :param scope: the scope that the API key needs for this kind of run.
    :param account: the account that the text names if its connection has to be checked.
    """
    verdict, words = _STOP_VERDICTS[stop.kind]
    if stop.failure is not None:
        return Verdict.FAILED if stop.failure.final else verdict, str(stop.failure)
    if stop.kind is StopKind.LEFT_ALONE:
        minutes = math.ceil(stop.asked_s / 60)
        return verdict, words.format(
            asked=describe_seconds(stop.asked_s),
            response=_response(stop.error, "its rate limit"),
            longest=describe_seconds(stop.longest_wait_s),
            retry_delay="1 minute" if minutes == 1 else f"{minutes} minutes",
        )
    if stop.kind is StopKind.FAIL and isinstance(stop.error, ConnectifHttpError):
        if stop.error.status // 100 == 3:
            return verdict, (
                f"Connectif responded {describe_error(stop.error)}: check the host of {account.connection}, "
                f"{account.base_url}"
            )
        words = _STATUS_WORDS.get(stop.error.status, words)
    without_error = "its rate limit" if stop.kind is StopKind.ASKED_AGAIN else "a 2xx"
    return verdict, words.format(
        response=_response(stop.error, without_error), scope=scope, host=account.base_url, connection=account.connection
    )


class End(NamedTuple):
    """The end of a run, for the last lines of its log.

    ``how``: the way it ended, as the beginning of a line. ``notes``: details, each for a line of its own; an empty one
    has no line. ``is_failure``: whether the task fails, so that these lines are a warning.
    """

    how: str
    notes: Sequence[str] = ()
    is_failure: bool = False


def describe_end(verdict: Verdict, stop: Stop | None) -> str:
    """Return the way a run ended, as the beginning of a line.

    :param stop: the reason if it ended before its last row.
    """
    if verdict is Verdict.SUCCESS:
        return "Done"
    if verdict is Verdict.SKIPPED:
        return "Skipped"
    return "Failed" if stop is None else "Stopped early"


def _response(error: Error | None, without_error: str) -> str:
    return without_error if error is None else describe_error(error)
