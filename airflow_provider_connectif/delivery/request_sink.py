"""A sink that sends a request for each change, and gives its worker back while it waits for a window.

What is left to send is then put into the plan of the journal's database, so that the process that continues needs
neither the source nor the field definitions: it sends what the plan holds.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.delivery.sender import RequestSender, Spread, nothing_more
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.left_behind import ChangesLeft
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, JournalError, Outcome, Stop, StopKind
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.requests import Cost
from airflow_provider_connectif.reporting.verdict import Verdict

PLAN_MAX_AGE_S = 12 * 3600.0


class RequestSink:
    """Delivers a plan by request.

    :param resource: what is sent.
    :param sender: sends the changes.
    :param quota: of the client.
    :param report: of the run.
    :param journal: what Connectif has acknowledged; ``None``: nothing is remembered, and nothing deferred.
    :param confirmation: writes into the journal what became of changes.
    :param comes_back: the task was deferred before, and continues with its plan.
    :param plan_max_age_s: a plan is sent for at most so many seconds, deferrals included.
    """

    overwrites = True
    failures = ()
    checked_only = unaccounted = 0
    is_early = False  # it ends with a stop then

    def __init__(
        self,
        resource: Resource,
        sender: RequestSender,
        quota: Quota,
        report: Report,
        journal: Journal | None,
        confirmation: Confirmation | None,
        *,
        comes_back: bool = False,
        plan_max_age_s: float = PLAN_MAX_AGE_S,
    ) -> None:
        self._resource = resource
        self.scope = resource.scope
        self._sender = sender
        self._quota = quota
        self._report = report
        self._journal = journal
        self._confirmation = confirmation
        self._comes_back = comes_back
        self._max_age_s = plan_max_age_s
        self._planned_at: float | None = None
        self._overdue: Iterator[Sequence[Patch]] = iter(())
        """What is left of a plan that became too old."""
        self._is_parked = False
        self.summary_is_complete = not comes_back
        """Whether the summary is that of the whole run, and not only of a process that could not yet look back."""

    @property
    def stop(self) -> Stop | None:
        """Why sending ended early, if it did."""
        return self._sender.stop

    @property
    def deferral(self) -> Deferral | None:
        """The window or the delay that is to be waited for without a worker, if sending ended for that."""
        wait = self._sender.wait
        if wait is None or self.stop != Stop(StopKind.DEFERRED):
            return None
        return Deferral(wait.until, self._sender.time_left_s)

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, if there is one, and wait until no other run of the sync is under way.

        :raises RunFailed: there is none, and without it a retry would send what has arrived once more.
        """
        if self._journal is not None:
            self._journal.open(is_to_stop, self._report.log.info, comes_back=self._comes_back, counted=self._report)
        elif not self._resource.is_idempotent:
            raise RunFailed(
                f"sending a {self._resource.noun} twice is not harmless, so give journal_conn_id: only a journal knows "
                "what an earlier attempt has sent",
                final=True,
            )

    def resume(self) -> bool:
        """Continue with the plan of an earlier process; whether there was a whole one."""
        journal, report = self._journal, self._report
        state = journal.plan.load() if journal is not None and self._comes_back else None
        self.summary_is_complete = True
        if state is not None:
            report.effort.restore(state["effort"], window_opens_at=state["quota"]["until"])
            self._sender.restore(state.get("asked_deferrals", 0))
            self._quota.recall(state["quota"])
        if journal is None or state is None or not state["is_read"]:
            if self._comes_back:
                report.log.info(
                    wording.CONTINUING_WITHOUT_PLAN,
                    "the changes left to send are gone; " if state is None else "",
                )
                report.rejects.reset()  # every row is looked at again
            return False
        report.restore(state)
        self._sender.restore(state.get("asked_deferrals", 0))
        if self._confirmation is not None:
            is_alive = bool(report.tally.delivered or report.tally.outcomes[Outcome.SKIPPED])
            self._confirmation.restore(state.get("held_back", ()), is_alive=is_alive)
        self._planned_at = state.get("planned_at", time.time())
        self._count_removed(journal)
        pending = journal.plan.count()
        report.progress.begin_sending(pending)
        report.log.info(
            wording.CONTINUING,
            plural(pending, self._resource.noun),
            report.progress.describe_left(),
        )
        journal.left_behind = ChangesLeft(self._left_behind, self._resource.same_key)
        self._send(self._while_young(journal.plan.patches()))
        self._count_removed(journal)
        return True

    def cost(self, changes: PendingChanges, resource: Resource) -> Cost:
        """What the changes of a plan take, one request for each at least."""
        return changes.counts.by_request(self._quota.allowance)

    def check_columns(self, columns: Sequence[str] | None, resource: Resource) -> None:
        """Accept every column: the resource has already checked them."""

    def deliver(self, changes: PendingChanges, resource: Resource) -> None:
        """Send the changes of a plan, as far as possible.

        :param resource: not needed here.
        """
        self._planned_at = time.time()
        self._report.progress.begin_sending(len(changes) - changes.beside - changes.counts.removals)
        if self._journal is not None:
            self._journal.left_behind = ChangesLeft(self._left_behind, self._resource.same_key)
        self._send(self._while_young(changes.batches()), changes.spread)

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Leave the journal: with the plan where the run was deferred, else for good."""
        if self._journal is None:
            return
        if (deferral := self.deferral) is not None:
            try:
                self._park(self._journal, deferral.until)
            except JournalError:
                self._journal.close(verdict, keyless=keyless)
                raise
            if self.deferral is not None:
                self._is_parked = True
                return
        self._journal.close(verdict, keyless=keyless)  # also where the run was killed meanwhile: nobody comes back

    def kill(self) -> str:
        """Send nothing more; safe in a signal handler."""
        self._sender.kill()
        return ""

    def look_at_the_clock(self) -> None:
        """End early where the time limit is reached, or a wait is too long for a worker."""
        self._sender.look_at_the_clock()

    @property
    def longest_pause_s(self) -> float:
        """Seconds that Connectif may ask for before the run does something else than to wait."""
        return self._sender.longest_pause_s

    def leave_alone(self, error: Error | None, asked_s: float) -> None:
        """Connectif asks for a pause of so many seconds: one that is too long ends or defers the run."""
        self._sender.leave_alone(error, asked_s)

    def summary(self) -> dict[str, Any]:
        """What the responses have shown; ``deferrals``, where the run may be deferred.

        Of a run that is deferred ``pending`` and ``predicted_end`` besides: see :meth:`Progress.forecast`.
        """
        summary = self._report.shown.summary()
        if self._sender.may_defer:
            summary["deferrals"] = self._report.effort.deferrals
        if self._is_parked and self._sender.wait is not None:
            summary |= self._report.progress.forecast(max(0.0, self._sender.wait.until - time.time()))
        return summary

    def log_end(self, how: str, notes: Sequence[str]) -> None:
        """Log the end of the run, or that it gives its worker back."""
        if self._is_parked and self._sender.wait is not None:
            self._report.progress.log_deferral(self._sender.wait)
        else:
            self._report.shown.log_end()
            self._report.progress.log_end(how, notes)

    def _send(self, batches: Iterator[Sequence[Patch]], spread: Spread = nothing_more) -> None:
        """Send what is pending, in this process or in an earlier one."""
        self._sender.deliver(batches, spread, planned_at=self._planned_at)

    def _window_opens_at(self, until: float) -> float:
        """When the next request may go, in seconds since the epoch.

        :param until: what the run is deferred for.
        """
        return until

    def _count_removed(self, journal: Journal) -> None:
        """Count the rows that erasures have taken out of the plan."""
        self._report.tally.count_many(Outcome.SUPPRESSED, journal.plan.take_removed())

    def _while_young(self, batches: Iterator[Sequence[Patch]]) -> Iterator[Sequence[Patch]]:
        """The batches, until the plan is too old to be sent as it is."""
        for batch in batches:
            if self._planned_at is not None and time.time() - self._planned_at > self._max_age_s:
                self._sender.end(Stop(StopKind.PLAN_TOO_OLD))
                self._overdue = itertools.chain([batch], batches)
                return
            yield batch

    def _left_behind(self) -> Iterator[Sequence[Patch]]:
        yield from self._sender.left_behind()
        yield from self._overdue

    def _park(self, journal: Journal, until: float) -> None:
        for batch in self._sender.unsent():
            journal.plan.add([patch for patch in batch if patch.place is None], self._resource.same_key)
        self._count_removed(journal)
        state = {
            "is_read": self._planned_at is not None,
            "planned_at": self._planned_at,
            "quota": self._quota.remember(self._window_opens_at(until)),
            "held_back": [] if self._confirmation is None else self._confirmation.as_state(),
            "asked_deferrals": self._sender.asked_deferrals,
            **self._report.as_state(),
        }
        journal.park(state, until)
