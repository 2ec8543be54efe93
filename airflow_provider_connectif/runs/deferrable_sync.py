"""A delivery that gives its worker back while it waits for a window.

What is left to send is put into the plan of the journal's database, so that the process that goes on needs neither
the source nor the field definitions: it sends what the plan holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.records.outcomes import Error, JournalError, Outcome, Stop, StopKind
from airflow_provider_connectif.records.protocols import Source
from airflow_provider_connectif.reporting.progress import plural
from airflow_provider_connectif.runs.sync import ContactSync

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.records.changes import Patch


@dataclass(frozen=True)
class DeferralRules:
    """When a delivery gives its worker back.

    :param after_s: a window that is further away than this, in seconds, is waited for without a worker.
    :param comes_back: the task was deferred before, and goes on with its plan.
    :param time_limit_s: seconds that the run may take in all, those in which it was deferred included.
    """

    after_s: float
    comes_back: bool = False
    time_limit_s: float | None = None


class DeferrableSync(ContactSync):
    """Delivers the rows of a source, and says when it had better wait without a worker.

    It has then left everything behind that is needed to go on, and ``deferred_until`` is set.

    :param deferral: when to defer.
    :param arguments: as of :class:`airflow_provider_connectif.runs.run.Run`; with a journal.
    """

    _journal: Journal

    def __init__(self, *arguments: Any, deferral: DeferralRules, **named_arguments: Any) -> None:
        super().__init__(*arguments, **named_arguments)
        self._rules = deferral
        self._is_reading = False
        self._is_read = False  # to its end
        self._is_planning = False  # the rest of the source goes into the plan, since the window is far away
        self._deferred_for: Wait | None = None
        self._is_parked = False
        self.account_is_known = not deferral.comes_back
        self._progress.longest_wait_s = deferral.after_s
        self._asked_deferrals = 0  # in a row, without a contact delivered in between
        self._delivered_before = 0

    @property
    def deferred_until(self) -> float | None:
        """When the task is to come back, in seconds since the epoch, if it has to."""
        is_deferred = self.stop == Stop(StopKind.DEFERRED) and self._deferred_for is not None
        return self._deferred_for.until if is_deferred and self._deferred_for is not None else None

    @property
    def time_left_s(self) -> float | None:
        """Seconds that are left of the time that the run may take."""
        limit = self._rules.time_limit_s
        return None if limit is None else max(0.0, limit - self._effort.duration_s)

    def _open_journal(self) -> None:
        self._journal.open(self._is_to_stop, self._log.info, comes_back=self._rules.comes_back)

    def _work(self, open_source: Callable[[], Source]) -> None:
        state = self._journal.plan.load() if self._rules.comes_back else None
        self.account_is_known = True
        if state is not None:
            self._effort.go_on(state["effort"], window_opens_at=state["quota"]["until"])
            self._asked_deferrals = int(state.get("asked_deferrals", 0))
            self._client.quota.recall(state["quota"])
        if state is None or not state["is_read"]:
            if self._rules.comes_back:
                self._log.info(
                    "Going on after waiting for the rate limit: %s the rows are read from the first one",
                    "what was left to send is not there any more;" if state is None else "now",
                )
                self._rejects.begin_anew()  # every row is looked at again
            super()._work(open_source)
            return
        self._tally.go_on(state["tally"])
        self._rejects.lines = state.get("rejects", 0)
        self._changes = self._made_changes(remapped=state["remapped"], repeated=state.get("repeated", 0))
        self._delivered_before = self._tally.delivered
        self._unconfirmed = state.get("unconfirmed", 0)
        if self._changes is not None:
            self._changes.refusals.restore(state.get("held_back", ()))
            if self._tally.delivered or self._tally.outcomes[Outcome.SKIPPED]:
                self._changes.refusals.release()
        self._delivery.count_before(self._tally.delivered, self._tally.outcomes[Outcome.REJECTED])
        self._is_read = True
        self._progress.rows_to_read = self._tally.read
        self._log.info(
            "Going on after waiting for the rate limit: %s pending, %s",
            plural(self._journal.plan.count(), "contact"),
            self._progress.describe_left(),
        )
        self._deliver(self._send_planned)

    def _process(self, source: Source) -> None:
        def send() -> None:
            self._is_reading = True
            for patch in self._patches(source):
                if not self._send_or_plan(patch):
                    return
                self._tick()
            self._is_reading = False
            self._is_read = self.stop is None
            self._send_planned()

        self._deliver(send)

    def _send_or_plan(self, patch: Patch) -> bool:
        """Whether there is more to be done; what cannot be sent soon is put into the plan, and what follows it too."""
        while not (self._is_planning or self._delivery.offer(patch)):
            if self.stop:
                return False
            self._tick()
        if self._is_planning:
            self._put_off([patch])
        return True

    def _send_planned(self) -> None:
        for batch in self._journal.plan.patches():
            if self._changes is not None:
                self._changes.before_sending_planned(batch)
            self._send(batch)
            if self.stop:
                return

    def _put_off(self, patches: list[Patch]) -> None:
        self._journal.plan.add(patches, self._mapping.same_contact)
        for patch in patches:
            if self._changes is not None:
                self._changes.forget(patch)

    def _end_batch(self) -> None:
        if not self._is_planning:
            self._delivery.drain(self._tick, lambda: self._is_planning or self._delivery.asked_wait is not None)
        self._write_down()

    def _tick(self) -> None:
        super()._tick()
        self._look_at_the_clock()

    def _is_to_stop(self) -> bool:
        self._look_at_the_clock()
        return super()._is_to_stop()

    def _look_at_the_clock(self) -> None:
        if self.time_left_s == 0.0:
            self._delivery.end(Stop(StopKind.TIMED_OUT))
        wait = self._client.quota.wait
        asked = self._asked_wait() if wait is None else None
        if asked is not None and not self.stop:
            self._leave_alone(asked[1], asked[0].until - time.time())
        elif wait is not None:
            self._defer_for(wait)

    def _look_at_waits(self) -> None:
        """It is done by :meth:`_look_at_the_clock`, which also looks at waits of another kind."""

    @property
    def _longest_pause_s(self) -> float:
        return self._rules.after_s

    def _leave_alone(self, error: Error | None, asked_s: float) -> None:
        if self._asked_deferrals >= self._client.tries:  # a server that only ever puts us off is not there
            self._end_early(Stop(StopKind.NOT_ANSWERING, error))
            return
        self._defer_for(Wait(time.time() + asked_s, Cause.ASKED))

    def _defer_for(self, wait: Wait) -> None:
        if self.stop or wait.until - time.time() <= self._rules.after_s:
            return
        if self._is_reading:
            self._is_planning = True  # it is read to its end first, so that it need not be read again
            return
        self._deferred_for = wait
        self._delivery.end(Stop(StopKind.DEFERRED))

    def _close_journal(self) -> None:
        until = self.deferred_until
        if until is None:
            super()._close_journal()
            return
        try:
            self._park(until)
        except JournalError:
            super()._close_journal()
            raise
        if self.deferred_until is None:  # killed meanwhile: nobody comes back
            super()._close_journal()
            return
        self._is_parked = True

    def _park(self, until: float) -> None:
        self._put_off([patch for patch in self._delivery.unsent() if not patch.is_planned])
        state = {
            "is_read": self._is_read,
            "tally": self._tally.as_state(),
            "effort": self._effort.as_state(),
            "quota": self._client.quota.remember(until),
            "remapped": self._changes.remapped if self._changes else 0,
            "repeated": self._changes.repeated if self._changes else 0,
            "rejects": self._rejects.lines,
            "unconfirmed": self._unconfirmed,
            "held_back": self._changes.refusals.as_state() if self._changes else [],
            "asked_deferrals": self._asked_deferrals_now,
        }
        self._journal.park(state, until)

    @property
    def _asked_deferrals_now(self) -> int:
        is_asked = self._deferred_for is not None and self._deferred_for.cause is Cause.ASKED
        return is_asked + (self._asked_deferrals if self._tally.delivered == self._delivered_before else 0)

    def _log_end(self) -> None:
        if self._is_parked and self._deferred_for is not None:
            self._progress.log_deferral(self._deferred_for)
        else:
            super()._log_end()

    def _more_in_summary(self) -> dict[str, Any]:
        return super()._more_in_summary() | {"deferrals": self._effort.deferrals}

    def _end_refusals(self, *, is_whole: bool) -> None:
        if self.deferred_until is None:
            super()._end_refusals(is_whole=is_whole)
