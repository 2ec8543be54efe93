"""What a run is about to send, in numbers, complete before the first request."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_connectif.journal.pending import PendingChanges, Rank
from airflow_provider_connectif.reporting.progress import seconds_at_best


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    :param requests: by PATCH, one for each change.
    :param requests_per_minute: the account's allowance, as far as it is known.
    """

    requests: int
    requests_per_minute: int

    @property
    def seconds(self) -> float:
        """How long the requests take at best: each window is used up at once, the last one too."""
        return seconds_at_best(self.requests, self.requests_per_minute)


def numbers_of_plan(changes: PendingChanges) -> dict[str, int]:
    """The changes of a plan by rank, for the journal's line of the run: ``urgent``, ``new``, ``changed`` and others."""
    return {rank.name.lower(): count for rank in Rank if (count := changes.count_of(rank))}
