"""Decides whether Connectif rejects only single rows, or all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_connectif.delivery.response_policy import Rule
from airflow_provider_connectif.records.outcomes import Error, Outcome, StopKind

REJECTIONS_THAT_STOP = 20


@dataclass(eq=False)
class Sample:
    """A sample of rows spread over the rest of the plan, sent before a run stops because of its first rows.

    :param kind: the reason for which the run would stop.
    :param size: number of its rows.
    :param left: number of its rows that are not sent yet.
    :param open: number of its rows that were sent and are not settled.
    :param is_there: whether its rows are known; until then no new row is sent.
    """

    kind: StopKind
    size: int
    left: int
    open: int = 0
    is_there: bool = True


class RejectionWatch:
    """Counts responses, and decides when a run stops because all of them are rejections. It takes no lock.

    A sample of rows, spread over the rest of the plan, is tried in two cases: the first twenty responses are all
    rejections, or five in a row (:attr:`Rule.most_in_a_row`) are of a kind that a proxy may send. The sample has
    twenty or five rows. If one of them gets another response, the run continues.

    :param stops_when_all_rejected: ``False``: only the second case can stop the run.
    """

    def __init__(self, *, stops_when_all_rejected: bool) -> None:
        self._stops_when_all_rejected = stops_when_all_rejected
        self._responses = 0
        self._rejections = 0
        self._blocked_in_a_row = 0
        self.sample: Sample | None = None
        self.last_error: Error | None = None
        """The last response that did not accept its change."""

    def as_state(self) -> dict[str, Any]:
        """Return what :meth:`restore` needs after a deferral, JSON-ready."""
        sample = None
        if self.sample is not None:
            sample = {
                "kind": self.sample.kind.value,
                "size": self.sample.size,
                "left": self.sample.left + self.sample.open,
            }
        return {"blocked_in_a_row": self._blocked_in_a_row, "sample": sample}

    def restore(self, accepted: int, rejected: int, state: Mapping[str, Any]) -> None:
        """Count the responses to an earlier process of the run, and continue its sample.

        :param accepted: number of changes that Connectif has accepted.
        :param rejected: number of changes that it has rejected.
        :param state: from :meth:`as_state` of the earlier process; empty if it stored none.
        """
        self._responses, self._rejections = accepted + rejected, rejected
        self._blocked_in_a_row = state.get("blocked_in_a_row", 0)
        if (sample := state.get("sample")) is not None:
            self.sample = Sample(StopKind(sample["kind"]), sample["size"], sample["left"])

    @property
    def rejects_everything(self) -> bool:
        """Whether every response so far was a rejection."""
        return self._responses == self._rejections

    @property
    def lets_fresh_go(self) -> bool:
        """Whether a new row may be sent: during a sample, only its rows may."""
        return self.sample is None or (self.sample.is_there and self.sample.left > 0)

    def take(self) -> Sample | None:
        """Note that a new row is sent, and return the sample that it belongs to, if there is one."""
        if self.sample is not None:
            self.sample.left -= 1
            self.sample.open += 1
        return self.sample

    def settle(self, outcome: Outcome, rule: Rule, sample: Sample | None) -> StopKind | None:
        """Note that a row is settled, and return why the run stops; ``None``: it continues.

        Afterwards :attr:`sample` may have a new sample to try.

        :param sample: the sample that the row belongs to, if there is one.
        """
        is_of_sample = sample is not None and sample is self.sample
        if outcome in (Outcome.UNDELIVERED, Outcome.SUPPRESSED):
            if is_of_sample and sample is not None:  # the row shows nothing, so another row takes its place
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
