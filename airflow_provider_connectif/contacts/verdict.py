"""How a run ends, in words that say what to do about it."""

from __future__ import annotations

from enum import StrEnum

from airflow_provider_connectif.api.errors import ConnectifHttpError
from airflow_provider_connectif.contacts.outcomes import Error, Stop, StopKind, describe_error


class Verdict(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILED = "failed"
    """For good: to run it again unchanged would end the same way."""
    TRY_AGAIN = "try_again"
    """Failed, and another try may well succeed."""


class Trouble(Exception):
    """Why imports cannot go on; the text is safe to show.

    :param verdict: how the run ends.
    :param error: the response that it comes from, if there was one.
    """

    def __init__(self, verdict: Verdict, words: str, error: Error | None = None) -> None:
        super().__init__(words)
        self.verdict = verdict
        self.words = words
        self.error = error

    @property
    def is_about_the_key(self) -> bool:
        """No further request makes sense."""
        return isinstance(self.error, ConnectifHttpError) and self.error.status in (401, 403)


class WaitTooLong(Trouble):
    """Connectif asks for a delay that is longer than a worker may wait.

    :param wait_s: seconds that it asks for.
    :param longest_wait_s: seconds that a worker may wait.
    """

    def __init__(self, wait_s: float, longest_wait_s: float) -> None:
        super().__init__(
            Verdict.TRY_AGAIN,
            f"Connectif asks for a delay of {wait_s:,.0f} s, and longest_wait of the connection allows "
            f"{longest_wait_s:,.0f} s. A retry_delay of {wait_s:,.0f} s or more outlasts it",
        )


def unaccounted_verdict(read: int, unaccounted: int) -> tuple[Verdict, str]:
    """How a run ends whose outcomes do not add up to its rows, and in words why.

    Retryable: the next attempt reads the source again, and a journal tells it what was delivered.

    :param unaccounted: rows without an outcome; below zero: outcomes without a row.
    """
    words = f"{abs(unaccounted):,} of {read:,} rows cannot be accounted for"
    if unaccounted < 0:
        words = f"{read:,} rows were read and {read - unaccounted:,} outcomes counted: {-unaccounted:,} too many"
    return Verdict.TRY_AGAIN, f"{words}. The next attempt reads the source again"


_STATUS_WORDS: dict[int, str] = {
    401: "Connectif refused the API key (401): check the connection's password, which must be keyId:keySecret",
    403: "Connectif answered 403: either the API key lacks the scope {scope}, or the account is blocked",
    413: "Connectif answered 413, request too large: a fault of this provider, please report it",
    415: "Connectif answered 415, unsupported media type: a fault of this provider, please report it",
}

_STOP_VERDICTS: dict[StopKind, tuple[Verdict, str]] = {
    StopKind.FAIL: (Verdict.FAILED, "on_response says to fail on this answer: {answer}"),
    StopKind.SKIP_TASK: (Verdict.SKIPPED, "on_response says to skip the task on this answer: {answer}"),
    StopKind.ALL_REJECTED: (
        Verdict.FAILED,
        "The first answers were all refusals, so the mapping is wrong rather than the rows; stopped at once",
    ),
    StopKind.NOT_ANSWERING: (Verdict.TRY_AGAIN, "Connectif does not answer as it should: {answer}, after every try"),
    StopKind.KILLED: (Verdict.TRY_AGAIN, "Stopped from outside before the last row"),
    StopKind.TIMED_OUT: (
        Verdict.TRY_AGAIN,
        "execution_timeout is over, the time in which the task was deferred included",
    ),
    StopKind.DEFERRED: (Verdict.TRY_AGAIN, "What is left to send could not be kept for a deferral"),
    StopKind.CRASHED: (Verdict.TRY_AGAIN, "A fault of this provider ended a sending thread; its traceback is above"),
}


def stop_verdict(stop: Stop, scope: str) -> tuple[Verdict, str]:
    """How a run ends that stopped before its last row, and in words why.

    :param scope: what the API key must allow for this kind of run.
    """
    verdict, words = _STOP_VERDICTS[stop.kind]
    if stop.kind is StopKind.FAIL and isinstance(stop.error, ConnectifHttpError):
        if stop.error.status // 100 == 3:
            return verdict, f"Connectif answered {describe_error(stop.error)}: check the connection's host"
        words = _STATUS_WORDS.get(stop.error.status, words)
        return verdict, words.format(answer=_answer(stop.error), scope=scope)
    return verdict, words.format(answer=_answer(stop.error))


def describe_end(verdict: Verdict, stop: Stop | None) -> str:
    """How a run ended, as the beginning of a sentence that goes on with how long it took.

    :param stop: why it ended before its last row, if it did.
    """
    if verdict is Verdict.SUCCESS:
        return "Done in"
    if verdict is Verdict.SKIPPED:
        return "Skipped after"
    return "Failed after" if stop is None else "Stopped early, after"


def _answer(error: Error | None) -> str:
    return "a 2xx" if error is None else describe_error(error)
