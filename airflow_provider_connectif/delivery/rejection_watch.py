"""Whether rows are rejected one by one, or everything is, whatever the rows hold."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_connectif.delivery.response_policy import Rule
from airflow_provider_connectif.records.outcomes import Error, Outcome, StopKind

REJECTIONS_THAT_STOP = 20


@dataclass(eq=False)
class Sample:
    """Rows from all over what is left, sent before a run stops because of those that were first.

    :param kind: why the run would stop.
    :param size: rows in it.
    :param left: rows of it that are not sent yet.
    :param open: rows of it that were sent and are not settled.
    :param is_there: its rows are known; until then no row is sent that was not tried.
    """

    kind: StopKind
    size: int
    left: int
    open: int = 0
    is_there: bool = True


class RejectionWatch:
    """Counts responses, and decides when a run stops because all of them are rejections. Takes no lock.

    Where the first twenty are, or five in a row of a kind that somebody in between sends, as many rows again are tried
    from all over what is left. If one of them gets another response, the run goes on.

    :param stops_when_all_rejected: ``False``: only the kinds that somebody in between sends stop the run.
    """

    def __init__(self, *, stops_when_all_rejected: bool) -> None:
        self._stops_when_all_rejected = stops_when_all_rejected
        self._responses = 0
        self._rejections = 0
        self._blocked_in_a_row = 0
        self.sample: Sample | None = None
        self.last_error: Error | None = None
        """The last response that was no acceptance."""

    def count_before(self, accepted: int, rejected: int) -> None:
        """Count the responses to an earlier process of the run."""
        self._responses, self._rejections = accepted + rejected, rejected

    @property
    def rejects_everything(self) -> bool:
        """Whether every response so far was a rejection."""
        return self._responses == self._rejections

    @property
    def lets_fresh_go(self) -> bool:
        """Whether a row that was not tried yet may be sent: while a sample is out, no other one."""
        return self.sample is None or (self.sample.is_there and self.sample.left > 0)

    def take(self) -> Sample | None:
        """A row that was not tried yet is sent; the sample that it belongs to, if there is one."""
        if self.sample is not None:
            self.sample.left -= 1
            self.sample.open += 1
        return self.sample

    def settle(self, outcome: Outcome, rule: Rule, sample: Sample | None) -> StopKind | None:
        """A row is settled; why the run stops, if it does. A new sample may be in :attr:`sample`.

        :param sample: what the row belongs to.
        """
        is_of_sample = sample is not None and sample is self.sample
        if outcome in (Outcome.UNDELIVERED, Outcome.SUPPRESSED):
            if is_of_sample and sample is not None:  # it says nothing, so another row takes its place
                sample.open -= 1
                sample.left += 1
            return None
        is_rejected = outcome is Outcome.REJECTED
        is_blocked = is_rejected and rule.most_in_a_row is not None
        self._responses += 1
        self._rejections += is_rejected
        self._blocked_in_a_row = self._blocked_in_a_row + 1 if is_blocked else 0
        if self.sample is not None:
            if is_blocked if self.sample.kind is StopKind.BLOCKED else is_rejected:
                self.sample.open -= is_of_sample
                return None if self.sample.left or self.sample.open else self.sample.kind
            self.sample = None
        self._begin_sample(rule)
        return None

    def _begin_sample(self, rule: Rule) -> None:
        if rule.most_in_a_row is not None and self._blocked_in_a_row >= rule.most_in_a_row:
            self.sample = Sample(StopKind.BLOCKED, rule.most_in_a_row, rule.most_in_a_row)
        elif self._stops_when_all_rejected and self._responses == self._rejections >= REJECTIONS_THAT_STOP:
            self.sample = Sample(StopKind.ALL_REJECTED, REJECTIONS_THAT_STOP, REJECTIONS_THAT_STOP)
