"""One run: rows in, delivered contacts and a summary out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from airflow_provider_connectif.api.client import Answer
from airflow_provider_connectif.api.errors import ConnectifHttpError
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.delivery import Delivery
from airflow_provider_connectif.contacts.mapping import ContactMapping, InvalidRow, Row
from airflow_provider_connectif.contacts.outcomes import Error, Outcome, Settled, Stop, StopKind, describe_error
from airflow_provider_connectif.contacts.progress import Log, Progress, describe_counts, plural
from airflow_provider_connectif.contacts.reasons import public_reasons, raw_reasons
from airflow_provider_connectif.contacts.rejects import Rejects
from airflow_provider_connectif.contacts.response_policy import ResponsePolicy
from airflow_provider_connectif.contacts.summary import FailureBudget, Tally, summarise

_REASONS_IN_FAILURE = 3


class Source(Protocol):
    """Rows in batches.

    ``columns`` are known once iteration has begun, and ``None`` where each row may have its own.
    """

    columns: Sequence[str] | None

    def __iter__(self) -> Iterator[Sequence[Row]]: ...


class Client(Protocol):
    """What a sync needs of :class:`airflow_provider_connectif.api.client.ConnectifClient`."""

    quota: Quota
    tries: int

    def patch_contact(self, email: str, patch: Any) -> Answer:
        """Send one patch."""

    def patch_contact_by_external_id(self, external_id: str, patch: Any) -> Answer:
        """Send one patch."""


class Verdict(StrEnum):
    """How a run ended."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    FAILED = "failed"
    """For good: to run it again unchanged would end the same way."""
    TRY_AGAIN = "try_again"
    """Failed, and another try may well succeed."""


class ContactSync:
    """Delivers the rows of a source.

    :param client: paces itself by its quota.
    :param mapping: how rows become patches.
    :param policy: what answers lead to.
    :param budget: how many bad rows are too many.
    :param max_in_flight: requests at once.
    :param rejects: where refused rows are written.
    :param rejects_path: its name, for the summary.
    :param log: where progress is told.
    """

    def __init__(
        self,
        client: Client,
        mapping: ContactMapping,
        policy: ResponsePolicy,
        budget: FailureBudget,
        *,
        max_in_flight: int,
        rejects: Rejects,
        rejects_path: str | None,
        log: Log,
    ) -> None:
        self._mapping = mapping
        self._budget = budget
        self._rejects = rejects
        self._rejects_path = rejects_path
        self._quota = client.quota
        self._tally = Tally()
        self._progress = Progress(log, self._tally, client.quota)
        send = client.patch_contact if mapping.key == "email" else client.patch_contact_by_external_id
        self._delivery = Delivery(
            lambda patch: send(patch.key, patch.properties),
            client.quota.close,
            policy,
            max_in_flight=max_in_flight,
            tries=client.tries,
            stop_when_all_rejected=not budget.is_unlimited,
        )

    def run(self, source: Source) -> None:
        """Read, map and deliver every row, or as many as it takes to know that the run must end early.

        :raises MappingError: the columns do not fit the mapping; nothing was sent.
        """
        try:
            with self._delivery:
                checked = False
                for batch in source:
                    if not checked:
                        self._check_columns(source, batch)
                        checked = True
                    if not self._take(batch):
                        break
                self._delivery.drain(self._tick)
        finally:
            self._tick()
            self._rejects.flush()
            self._progress.log_end()

    def kill(self) -> str:
        """Stop now; safe in a signal handler.

        :return: how far the run came.
        """
        self._delivery.kill()
        return describe_counts(self._tally, self._quota)

    @property
    def summary(self) -> dict[str, Any]:
        """The run so far; see :func:`airflow_provider_connectif.contacts.summary.summarise`."""
        return summarise(
            self._tally,
            requests=self._quota.requests,
            rate_limited=self._quota.rate_limited,
            waited_s=self._quota.waited_s,
            duration_s=self._progress.duration_s,
            rejects_path=self._rejects_path,
        )

    def verdict(self) -> tuple[Verdict, str]:
        """How the run ended, and in words why, with counts and the commonest reasons."""
        stop = self._delivery.stop
        undelivered = self._tally.outcomes[Outcome.UNDELIVERED]
        if stop is not None:
            verdict, words = _stop_verdict(stop)
        elif undelivered:
            verdict, words = Verdict.TRY_AGAIN, f"{plural(undelivered, 'row')} given up on after every try"
        elif self._budget.is_exceeded_by(self._tally):
            verdict = Verdict.FAILED
            words = f"{self._tally.bad:,} of {self._tally.read:,} rows were refused, and {self._budget} may be"
        else:
            return Verdict.SUCCESS, ""
        reasons = "; ".join(self._tally.top_reasons(_REASONS_IN_FAILURE))
        account = describe_counts(self._tally, self._quota)
        return verdict, f"{words}. {account}" + (f". Commonest reasons: {reasons}" if reasons else "")

    def _check_columns(self, source: Source, batch: Sequence[Row]) -> None:
        if source.columns is not None:
            self._mapping.check_columns(source.columns)
        elif self._mapping.properties is None and batch:
            # Without a mapping the first row's columns say what the author means to send.
            self._mapping.check_columns(list(batch[0]))

    def _take(self, batch: Sequence[Row]) -> bool:
        for row in batch:
            self._tally.read += 1
            number = self._tally.read
            try:
                patch = self._mapping.patch(number, row)
            except InvalidRow as invalid:
                self._tally.count(Outcome.INVALID, number, invalid.reasons)
                key = row.get(self._mapping.key_column) if isinstance(row, Mapping) else None
                self._rejects.write(number, key, Outcome.INVALID.value, None, invalid.reasons, row)
            else:
                if not self._delivery.submit(patch, self._tick):
                    return False
            if self._delivery.stop:
                return False
            self._progress.tick()
        self._tick()
        return True

    def _tick(self) -> None:
        for settled in self._delivery.collect():
            self._account(settled)
        self._progress.tick()

    def _account(self, settled: Settled) -> None:
        patch, error = settled.patch, settled.error
        if error is None:
            self._tally.count(settled.outcome, patch.number)
            return
        reasons = public_reasons(error, patch, self._mapping)
        if settled.outcome is Outcome.UNDELIVERED and settled.tries > 1:
            reasons = tuple(f"{reason}, {settled.tries} times" for reason in reasons)
        self._tally.count(settled.outcome, patch.number, reasons)
        if settled.outcome in (Outcome.REJECTED, Outcome.UNDELIVERED):
            status = error.status if isinstance(error, ConnectifHttpError) else None
            self._rejects.write(patch.number, patch.key, settled.outcome.value, status, raw_reasons(error), patch.row)


_STATUS_WORDS: dict[int, str] = {
    401: "Connectif refused the API key (401): check the connection's password, which must be keyId:keySecret",
    403: (
        "Connectif answered 403: either the API key lacks the scope Contacts: Write, or the account is blocked; "
        "the answer does not tell which"
    ),
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
    StopKind.CRASHED: (Verdict.TRY_AGAIN, "A fault of this provider ended a sending thread; its traceback is above"),
}


def _stop_verdict(stop: Stop) -> tuple[Verdict, str]:
    verdict, words = _STOP_VERDICTS[stop.kind]
    if stop.kind is StopKind.FAIL and isinstance(stop.error, ConnectifHttpError):
        if stop.error.status // 100 == 3:
            return verdict, f"Connectif answered {describe_error(stop.error)}: check the connection's host"
        return verdict, _STATUS_WORDS.get(stop.error.status, words.format(answer=_answer(stop.error)))
    return verdict, words.format(answer=_answer(stop.error))


def _answer(error: Error | None) -> str:
    return "a 2xx" if error is None else describe_error(error)
