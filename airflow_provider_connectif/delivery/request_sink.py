"""A sink that sends a request for each change, and can wait for a window without a worker.

For such a wait it stores the remaining changes as a plan in the journal's database. The next process sends this plan,
and needs neither the source nor the field definitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.delivery.sender import NOTHING_SENT, RequestSender, Spread, nothing_more
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.left_behind import ChangesLeft
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, JournalError, Outcome, Stop, StopKind
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.counts import NOT_SENT, NOT_SENT_OR_UNKNOWN
from airflow_provider_connectif.reporting.formats import one, plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.requests import Cost
from airflow_provider_connectif.reporting.verdict import End, Verdict

PLAN_MAX_AGE_S = 12 * 3600.0


class RequestSink:
    """Delivers a plan by request.

    :param resource: the resource of the changes.
    :param sender: sends the changes.
    :param quota: the rate limit of the client.
    :param report: the report of the run.
    :param journal: the journal of the run. ``None``: nothing is recorded, and the run is never deferred.
    :param confirmation: writes the outcomes of changes into the journal.
    :param comes_back: whether the task continues with its plan after a deferral.
    :param plan_max_age_s: seconds for which a plan is sent, deferrals included.
    """

    overwrites = True
    failures = ()
    checked_only = unaccounted = 0
    is_early = False  # an early end is always a stop

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
        self._is_parked = False
        self.summary_is_complete = not comes_back
        """Whether the summary covers the whole run; ``False`` while this process has not loaded the state of earlier
        ones."""

    @property
    def stop(self) -> Stop | None:
        """The reason why sending ended early; ``None`` if it did not."""
        return self._sender.stop

    @property
    def deferral(self) -> Deferral | None:
        """The deferral for a window or a delay, if it ended sending."""
        wait = self._sender.waits.deferred
        if wait is None or self.stop != Stop(StopKind.DEFERRED):
            return None
        return Deferral(wait.until, self._sender.waits.time_left_s)

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, if there is one, and wait for the sync, as :meth:`Sink.open` describes.

        :raises RunFailed: the journal cannot be used. Or there is none, and a retry would send changes again that have
            arrived.
        """
        if self._journal is not None:
            self._journal.open(is_to_stop, self._report.log.info, comes_back=self._comes_back, counted=self._report)
        elif not self._resource.is_idempotent:
            raise RunFailed(
                f"sending {one(self._resource.noun)} twice is not harmless, so give journal_conn_id: only a journal "
                "knows what an earlier attempt has sent",
                final=True,
            )

    def resume(self) -> bool:
        """Continue with the plan of an earlier process; return whether there was a complete one."""
        journal, report = self._journal, self._report
        state = journal.plan.load() if journal is not None and self._comes_back else None
        self.summary_is_complete = True
        if journal is not None and state is not None and not self._is_ours(state):
            journal.plan.drop()
            state = None
        if state is not None:
            report.effort.restore(state["effort"], window_opens_at=state["quota"]["until"])
            self._sender.restore(state.get("asked_deferrals", 0))
            self._quota.recall(state["quota"])
        if journal is None or state is None or not state["is_read"]:
            if self._comes_back:
                report.log.info(
                    wording.CONTINUING_WITHOUT_PLAN,
                    "the stored changes cannot be used, and " if state is None else "",
                )
            return False
        report.restore(state)
        self._sender.restore(state.get("asked_deferrals", 0), state.get("sending", NOTHING_SENT))
        if self._confirmation is not None:
            is_alive = bool(report.tally.delivered or report.tally.outcomes[Outcome.SKIPPED])
            self._confirmation.restore(state.get("held_back", ()), is_alive=is_alive)
        self._planned_at = state.get("planned_at", time.time())
        self._count_removed(journal)
        pending = journal.plan.count()
        report.progress.begin_sending(pending, *state.get("pace", ()))
        report.log.info(
            wording.CONTINUING,
            plural(pending, self._resource.noun),
            report.progress.describe_left(),
        )
        journal.left_behind = ChangesLeft(self._sender.left_behind, self._resource.same_key)
        self._send(journal.plan.patches())
        self._count_removed(journal)
        return True

    def _is_ours(self, state: Mapping[str, Any]) -> bool:
        """Whether this resource may send a stored plan: the DAG may have changed since."""
        if "quota" not in state:
            return False  # the state of an import, or of a process that died while it stored its plan
        if state.get("plan_kind") in (None, self._resource.plan_kind):  # states of older versions have no kind
            return True
        self._report.log.warning(wording.PLAN_OF_ANOTHER_KIND)
        return False

    def cost(self, changes: PendingChanges, resource: Resource) -> Cost:
        """Return the cost of a plan, at least one request for each change."""
        return changes.counts.by_request(self._quota.allowance)

    def check_columns(self, columns: Sequence[str] | None, resource: Resource) -> None:
        """Accept every column: the resource has already checked them."""

    def deliver(self, changes: PendingChanges, resource: Resource) -> None:
        """Send the changes of a plan, as far as possible.

        :param resource: the resource with the account's definitions, by which responses are compared.
        """
        self._planned_at = time.time()
        rows = len(changes) - changes.beside - changes.counts.removals
        self._report.progress.begin_sending(rows, changes.counts.most / max(1, len(changes)))
        if self._journal is not None:
            self._journal.left_behind = ChangesLeft(self._sender.left_behind, self._resource.same_key)
        self._send(changes.batches(), changes.spread, resource)

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Leave the journal; the plan stays only if the run was deferred."""
        if self._journal is None:
            return
        if (deferral := self.deferral) is not None:
            try:
                self._park(self._journal, deferral.until)
            except JournalError as error:
                self._report.cause = str(error)
                self._journal.close(verdict, keyless=keyless)
                raise
            if self.deferral is not None:
                self._is_parked = True
                return
        self._journal.close(verdict, keyless=keyless)  # also after a kill: no process continues it

    def kill(self) -> str:
        """Send nothing more; safe in a signal handler."""
        self._sender.kill()
        return ""

    def check_time_limits(self) -> None:
        """End early if the time limit is reached, or a wait is too long for a worker."""
        self._sender.check_time_limits()

    @property
    def longest_pause_s(self) -> float:
        """The longest pause in seconds for which this process waits if Connectif asks for one."""
        return self._sender.waits.longest_pause_s

    def react_to_pause(self, error: Error | None, asked_s: float) -> None:
        """React to a pause that Connectif asks for: one that is too long ends or defers the run."""
        self._sender.react_to_pause(error, asked_s)

    def summary(self) -> dict[str, Any]:
        """Return the counts of comparisons with the contacts that responses show; ``deferrals`` if the run may be
        deferred.

        A deferred run also has ``pending`` and ``predicted_end``: see :meth:`Progress.forecast`.
        """
        summary = self._report.shown.summary()
        if self._sender.waits.may_defer:
            summary["deferrals"] = self._report.effort.deferrals
        if self._is_parked and self._sender.waits.deferred is not None:
            summary |= self._report.progress.forecast(max(0.0, self._sender.waits.deferred.until - time.time()))
        return summary

    def log_end(self, end: End) -> None:
        """Log the end of the run, or its deferral."""
        if self._is_parked and self._sender.waits.deferred is not None:
            self._report.progress.log_deferral(self._sender.waits.deferred)
        else:
            self._report.shown.log_end()
            is_any_begun = self._sender.is_any_begun
            self._report.tally.unsettled_at_end = NOT_SENT_OR_UNKNOWN if is_any_begun else NOT_SENT
            self._report.progress.log_end(end)

    def _send(
        self, batches: Iterator[Sequence[Patch]], spread: Spread = nothing_more, resource: Resource | None = None
    ) -> None:
        """Send the pending changes of this process, or the stored ones of an earlier process.

        :param resource: the resource with the account's definitions; ``None``: stored changes are sent without them.
        """
        self._sender.deliver(
            batches, spread, planned_at=self._planned_at, is_too_old=self._is_too_old, resource=resource
        )

    def _window_opens_at(self, until: float) -> float:
        """Return the time of the next request, in seconds since the epoch.

        :param until: the end of the deferral.
        """
        return until

    def _count_removed(self, journal: Journal) -> None:
        """Count the rows that erasures have removed from the plan."""
        journal.lines.commit()  # rows that are counted already must not count as removed: see Plan.settle_counted
        self._report.tally.count_many(Outcome.SUPPRESSED, journal.plan.take_removed())

    def _is_too_old(self) -> bool:
        return self._planned_at is not None and time.time() - self._planned_at > self._max_age_s

    def _park(self, journal: Journal, until: float) -> None:
        for batch in self._sender.unsent():
            journal.plan.add([patch for patch in batch if patch.place is None], self._resource.same_key)
        self._count_removed(journal)
        journal.park(self._state(until), until)

    def _state(self, until: float) -> dict[str, Any]:
        """Return the state for the next process, JSON-ready."""
        return {
            "is_read": self._planned_at is not None,
            "planned_at": self._planned_at,
            "plan_kind": self._resource.plan_kind,
            "quota": self._quota.remember(self._window_opens_at(until)),
            "held_back": [] if self._confirmation is None else self._confirmation.as_state(),
            "asked_deferrals": self._sender.waits.asked_deferrals,
            "sending": self._sender.as_state(),
            "pace": self._report.progress.pace,
            **self._report.as_state(),
        }
