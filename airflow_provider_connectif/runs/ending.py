"""The end of a run: its verdict, the reason, and the lines for the log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.records.outcomes import Outcome, Stop, StopKind
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import (
    Account,
    End,
    ImportFailed,
    Verdict,
    describe_end,
    removals_verdict,
    stop_verdict,
    unaccounted_verdict,
)
from airflow_provider_connectif.runs.sink import Sink

_FAILURES = (Verdict.FAILED, Verdict.TRY_AGAIN)
_STRICTEST_FIRST = (*_FAILURES, Verdict.SKIPPED, Verdict.SUCCESS)


class Ending:
    """Collects the causes that end a run, and decides on its verdict by the counts.

    :param sink: the sink of the run.
    :param report: the report of the run.
    :param budget: the failure budget.
    :param account: the account that the run sends to, for messages.
    :param verdicts: see :class:`~airflow_provider_connectif.runs.settings.RunSettings`.
    """

    def __init__(
        self,
        sink: Sink[Any],
        report: Report,
        budget: FailureBudget,
        account: Account,
        verdicts: Mapping[type[BaseException], Verdict],
    ) -> None:
        self._sink = sink
        self._report = report
        self._budget = budget
        self._account = account
        self._verdicts = verdicts
        self._own_stop: Stop | None = None
        self._troubles: list[ImportFailed] = []
        self._scope: str | None = None
        self._is_killed = False
        self._is_broken = True  # until the run has ended: an exception may still end it
        self._breaks_as = Verdict.TRY_AGAIN
        self._broken_by = ""
        self._fails_by_itself = False  # whether an exception of this package has ended the run

    def kill(self) -> None:
        """Note that the run must stop; safe in a signal handler."""
        self._is_killed = True

    def stop_for(self, stop: Stop, scope: str | None = None) -> None:
        """End the run early.

        :param scope: the scope that the last request needed. Default: the sink's.
        """
        self._own_stop, self._scope = stop, scope

    def fail_by(self, failure: ImportFailed, scope: str | None = None) -> None:
        """End the run because of work that other runs have left.

        :param scope: as in :meth:`stop_for`.
        """
        if failure.is_about_the_key:
            self.stop_for(Stop(StopKind.FAIL, failure.error), scope)
        else:
            self._troubles.append(failure)

    def break_off(self, error: BaseException) -> None:
        """Note that an exception, which the caller raises again, ends the run."""
        self._is_broken = True
        # The text of any other exception, such as one of the author's code, may quote values.
        self._fails_by_itself = isinstance(error, RunFailed)
        self._broken_by = str(error) if self._fails_by_itself else type(error).__name__
        if isinstance(error, RunFailed):
            self._breaks_as = Verdict.FAILED if error.final else Verdict.TRY_AGAIN
        else:
            found = (verdict for kind, verdict in self._verdicts.items() if isinstance(error, kind))
            self._breaks_as = next(found, Verdict.TRY_AGAIN)

    def come_to_its_end(self) -> None:
        """Note that the run ended without an exception."""
        self._is_broken = False

    @property
    def is_broken(self) -> bool:
        """Whether an exception has ended the run, or it has not ended yet."""
        return self._is_broken

    @property
    def stop(self) -> Stop | None:
        """The reason why the run ends early; ``None`` if it does not."""
        return Stop(StopKind.KILLED) if self._is_killed else self._own_stop or self._sink.stop

    @property
    def may_continue(self) -> bool:
        """Whether the run may continue: nothing has ended it so far."""
        return not (self.stop or self._troubles)

    @property
    def recorded(self) -> Verdict:
        """The verdict on the attempt, for the journal."""
        return self.verdict()[0]

    @property
    def cause(self) -> str:
        """The cause of a failure in words, for the journal; empty: the run did not fail."""
        verdict, words = self.verdict()
        return words if verdict in _FAILURES else ""

    @property
    def left_behind(self) -> int:
        """Number of rows without an outcome because the run ended early; they count as undelivered."""
        is_early = self.stop is not None or self._is_broken or self._troubles or self._sink.is_early
        return max(0, self._unsettled - self._sink.unaccounted) if is_early else 0

    @property
    def reason_of_early_end(self) -> str:
        """The reason why rows were left, in a few words for the journal."""
        if self.stop is not None:
            return f"the run ended early ({self.stop.kind.value.replace('_', ' ')})"
        is_failed = self._is_broken and self._breaks_as is not Verdict.SKIPPED
        return "the run failed" if is_failed else "the run ended early"

    def verdict(self) -> tuple[Verdict, str]:
        """Return the verdict on the run, and the reason in one sentence. The reasons of refused rows are in the log and
        in the summary.

        An exception that has ended the run comes first. If another attempt may help, neither refused rows nor a skip
        change that: the next attempt sends the rows that this one has not sent.
        """
        if not self._is_broken:
            return self._ended()
        if not self._fails_by_itself or self._breaks_as is Verdict.FAILED:
            return self._breaks_as, self._broken_by
        verdict, more = self._ended()
        if verdict is not Verdict.FAILED or (self.stop is None and not self._failures):
            verdict = self._breaks_as
        return verdict, _sentences([self._broken_by, more])

    def end(self, attempts: int) -> End:
        """Return the end for the log. Its notes are the failure budget, the rejects file, and the attempts.

        :param attempts: number of attempts of the run, including this one.
        """
        verdict = self.recorded
        use, path = self._budget.describe_use(self._report.tally), self._report.written_rejects_path
        notes = [
            wording.BUDGET.format(use=use) if use else "",
            "" if path is None else wording.REJECTS.format(path=repr(path)),
            wording.ATTEMPTS.format(count=attempts) if attempts > 1 else "",
        ]
        how = describe_end(verdict, None if self._is_broken else self.stop)
        return End(how, notes, is_failure=verdict in _FAILURES)

    @property
    def _unsettled(self) -> int:
        return self._report.tally.unsettled - self._sink.checked_only

    @property
    def _failures(self) -> list[ImportFailed]:
        return [*self._troubles, *self._sink.failures]

    def _ended(self) -> tuple[Verdict, str]:
        tally = self._report.tally
        undelivered = tally.outcomes[Outcome.UNDELIVERED]
        if self._unsettled < 0:
            return unaccounted_verdict(tally.read, self._unsettled)
        ends = [(Verdict.FAILED if failure.final else Verdict.TRY_AGAIN, failure.words) for failure in self._failures]
        if self.stop is not None:
            ends.insert(0, stop_verdict(self.stop, self._scope or self._sink.scope, self._account))
        if ends:
            # A retry would import again what somebody has cancelled, and a skip would hide what has failed.
            verdict = min((verdict for verdict, _ in ends), key=_STRICTEST_FIRST.index)
            return verdict, _sentences([words for _, words in ends])
        if unaccounted := self._unsettled - self.left_behind:
            return unaccounted_verdict(tally.read, unaccounted)
        found = [(Verdict.TRY_AGAIN, self._describe_undelivered(undelivered))] if undelivered else []
        if removals := removals_verdict(tally.removals):
            found.append(removals)
        if excess := self._budget.describe_excess(tally):
            found.append((Verdict.FAILED, excess))
        # The first one decides: a retry sends what was not delivered, whatever else was refused.
        return (found[0][0], "; besides, ".join(words for _, words in found)) if found else (Verdict.SUCCESS, "")

    def _describe_undelivered(self, undelivered: int) -> str:
        its, them = ("its request", "it") if undelivered == 1 else ("their requests", "them")
        next_time = f"a retry or the next run sends {them} again"
        if self._report.may_leave_doubt:
            next_time = f"what is in doubt is held, otherwise {next_time}"
        return f"{plural(undelivered, 'row')} not delivered after all attempts of {its}; {next_time}"


def _sentences(parts: Iterable[str]) -> str:
    """Return parts as sentences, each one once, without the last full stop."""
    first, *others = dict.fromkeys(filter(None, parts)) or [""]
    return ". ".join([first, *map(_capitalised, others)])


def _capitalised(sentence: str) -> str:
    """Return a sentence with a capital, unless its first word is the name of an argument."""
    return sentence if "_" in sentence.partition(" ")[0] else f"{sentence[:1].upper()}{sentence[1:]}"
