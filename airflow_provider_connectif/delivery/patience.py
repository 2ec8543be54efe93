"""The limits for the waits of a delivery."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Patience:
    """The limits for the waits of a delivery.

    :param longest_wait_s: the longest pause in seconds for which the run waits if Connectif asks for one. A longer
        pause ends the run, unless the run can be deferred.
    :param defer_after_s: a wait of more seconds defers the run; ``None``: the run is never deferred.
    :param time_limit_s: seconds that the run may take, deferrals included.
    """

    longest_wait_s: float
    defer_after_s: float | None = None
    time_limit_s: float | None = None

    @property
    def longest_pause_s(self) -> float:
        """The longest pause in seconds for which this process waits if Connectif asks for one."""
        return self.longest_wait_s if self.defer_after_s is None else self.defer_after_s
