"""How a run ends: as a success or not, why, and in which words."""

from __future__ import annotations

from typing import Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.records.outcomes import Outcome, Stop, StopKind
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import (
    Account,
    ImportFailed,
    Verdict,
    describe_end,
    removals_verdict,
    stop_verdict,
    unaccounted_verdict,
)
from airflow_provider_connectif.runs.sink import Sink


class Ending:
    """Gathers what ends a run, and says what it makes of its counts.

    :param sink: where the plan goes.
    :param report: of the run.
    :param budget: how many refused rows are too many.
    :param account: where the run sends to, for messages.
    """

    def __init__(self, sink: Sink[Any], report: Report, budget: FailureBudget, account: Account) -> None:
        self._sink = sink
        self._report = report
        self._budget = budget
        self._account = account
        self._own_stop: Stop | None = None
        self._troubles: list[ImportFailed] = []
        self._scope: str | None = None
        self._is_killed = False
        self._is_broken = True  # an exception ends the run, until it has come to its end
        self._breaks_as = Verdict.TRY_AGAIN

    def kill(self) -> None:
        """The run is told to stop; safe in a signal handler."""
        self._is_killed = True

    def stop_for(self, stop: Stop, scope: str | None = None) -> None:
        """The run ends early.

        :param scope: what the API key had to allow for the request that ends it. Default: what the sink says.
        """
        self._own_stop, self._scope = stop, scope

    def fail_by(self, failure: ImportFailed, scope: str | None = None) -> None:
        """Something that other runs have left keeps this one from going on.

        :param scope: as of :meth:`stop_for`.
        """
        if failure.is_about_the_key:
            self.stop_for(Stop(StopKind.FAIL, failure.error), scope)
        else:
            self._troubles.append(failure)

    def break_off(self, error: BaseException) -> None:
        """An exception ends the run, and is raised on."""
        self._is_broken = True
        self._breaks_as = Verdict.FAILED if isinstance(error, RunFailed) and error.final else Verdict.TRY_AGAIN

    def come_to_its_end(self) -> None:
        """No exception has ended the run."""
        self._is_broken = False

    @property
    def stop(self) -> Stop | None:
        """Why the run ends early, if it does."""
        return Stop(StopKind.KILLED) if self._is_killed else self._own_stop or self._sink.stop

    @property
    def may_continue(self) -> bool:
        """Nothing that was gathered ends the run."""
        return not (self.stop or self._troubles)

    @property
    def recorded(self) -> Verdict:
        """How the attempt ended, for the journal."""
        return self._breaks_as if self._is_broken else self._ended()[0]

    @property
    def left_behind(self) -> int:
        """Rows that were read and have no outcome since the run ended early: they are undelivered."""
        is_early = self.stop is not None or self._is_broken or self._troubles or self._sink.is_early
        return max(0, self._unsettled - self._sink.unaccounted) if is_early else 0

    @property
    def reason_of_early_end(self) -> str:
        """Why rows were left behind, in a few words for the journal."""
        if self.stop is not None:
            return f"the run ended early ({self.stop.kind.value.replace('_', ' ')})"
        return "the run failed" if self._is_broken else "the run ended early"

    def verdict(self) -> tuple[Verdict, str]:
        """How the run ended, and why in one sentence; the reasons of refusals are in the log and in the summary."""
        return self._ended()

    @property
    def words(self) -> str:
        """How the run ended, as the beginning of a line."""
        return "Failed" if self._is_broken else describe_end(self._ended()[0], self.stop)

    def notes(self, attempts: int) -> list[str]:
        """Lines below the counts: the failure budget, the file of rows that were not delivered, the attempts.

        :param attempts: of the run, this one included.
        """
        use, path = self._budget.describe_use(self._report.tally), self._report.written_rejects_path
        return [
            wording.BUDGET.format(use=use) if use else "",
            "" if path is None else wording.REJECTS.format(path=repr(path)),
            wording.ATTEMPTS.format(count=attempts) if attempts > 1 else "",
        ]

    @property
    def _unsettled(self) -> int:
        return self._report.tally.unsettled - self._sink.checked_only

    def _ended(self) -> tuple[Verdict, str]:
        tally = self._report.tally
        undelivered = tally.outcomes[Outcome.UNDELIVERED]
        if self._unsettled < 0:
            return unaccounted_verdict(tally.read, self._unsettled)
        if self.stop is not None:
            return stop_verdict(self.stop, self._scope or self._sink.scope, self._account)
        if failures := [*self._troubles, *self._sink.failures]:
            words = "; ".join(dict.fromkeys(failure.words for failure in failures))
            return Verdict.FAILED if any(failure.final for failure in failures) else Verdict.TRY_AGAIN, words
        if unaccounted := self._unsettled - self.left_behind:
            return unaccounted_verdict(tally.read, unaccounted)
        excess = self._budget.describe_excess(tally)
        if verdict := removals_verdict(tally.removals):
            return verdict
        if undelivered:
            also = f"; besides, {excess}" if excess else ""
            return Verdict.TRY_AGAIN, f"{plural(undelivered, 'row')} not delivered after all attempts{also}"
        return (Verdict.FAILED, excess) if excess else (Verdict.SUCCESS, "")
