"""Counts the requests and the time of a run, over all its processes and attempts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from airflow_provider_connectif.api.quota import Quota

_COUNTS = ("requests", "rate_limited", "tried_again", "deferrals")


class Effort:
    """The requests and the time of a run; after a deferral, counting continues where it stopped.

    :param quota: the quota of this process.
    """

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._before = dict.fromkeys(_COUNTS, 0)
        self._waited_before_s = 0.0
        self._by_others = {"requests": 0, "rate_limited": 0, "waited_s": 0.0}
        self._last_failure = ""
        self.waited_for_others_s = 0.0
        """Seconds spent waiting because another run held the sync. See :meth:`add_wait_for_others`."""
        self.started_at = time.time()
        self._run_started_at = self.started_at

    def begin_series(self, counts: Mapping[str, Any], started_at: float) -> None:
        """Count from where the earlier attempts of the run stopped.

        :param counts: the counts of these attempts, from :meth:`as_counts`; empty if there were none.
        :param started_at: when the first attempt began, in seconds since the epoch; 0 if that is not known.
        """
        for name in ("requests", "rate_limited", "tried_again"):
            self._before[name] += int(counts.get(name, 0))
        self._last_failure = self._last_failure or str(counts.get("last_failure", ""))
        self._waited_before_s += float(counts.get("waited_s", 0.0))
        self._run_started_at = min(started_at or self.started_at, self.started_at)

    def add_wait_for_others(self, seconds: float) -> None:
        """Count a wait for another run of the sync."""
        self.waited_for_others_s += seconds

    def as_counts(self) -> dict[str, Any]:
        """The counts for the next attempt of the run, JSON-ready."""
        failures = {"tried_again": self._before["tried_again"], "last_failure": self._last_failure}
        counts = {"requests": self.requests, "rate_limited": self.rate_limited, "waited_s": self.waited_s}
        return {**counts, **failures} if self._last_failure else counts

    @property
    def requests(self) -> int:
        """Number of HTTP requests, with retries and those that got 429."""
        return self._before["requests"] + self._quota.requests

    @property
    def rate_limited(self) -> int:
        """Number of responses 429."""
        return self._before["rate_limited"] + self._quota.rate_limited

    @property
    def failures(self) -> str:
        """The number of requests that failed and were sent again, with the reason of the last one; empty if none
        failed.
        """
        count = self._before["tried_again"]
        if not count:
            return ""
        return f"{count:,} failed request{'' if count == 1 else 's'}, last: {self._last_failure}"

    def add_failure(self, why: str) -> None:
        """Count a request that failed and is sent again; a 429 does not count as a failure.

        :param why: in words without personal data.
        """
        self._before["tried_again"] += 1
        self._last_failure = why

    @property
    def waited_s(self) -> float:
        """Seconds spent waiting for the rate limit, on a worker or deferred; queueing for a worker is not included."""
        return self._waited_before_s + self._quota.waited_s

    @property
    def duration_s(self) -> float:
        """Seconds since this attempt's first process began."""
        return max(0.0, time.time() - self.started_at)

    @property
    def run_duration_s(self) -> float:
        """Seconds since the first attempt of the run began, the delays between attempts included."""
        return max(0.0, time.time() - min(self._run_started_at, self.started_at))

    @property
    def deferrals(self) -> int:
        """Number of deferrals of the run."""
        return self._before["deferrals"]

    def add_requests(self, requests: int, rate_limited: int) -> None:
        """Count requests that the triggerer has made for this run."""
        self._before["requests"] += requests
        self._before["rate_limited"] += rate_limited
        self._by_others["requests"] += requests
        self._by_others["rate_limited"] += rate_limited

    @property
    def of_this_process(self) -> dict[str, float]:
        """``requests``, ``rate_limited`` and ``waited_s`` since the run's previous process ended."""
        quota, others = self._quota, self._by_others
        return {
            "requests": quota.requests + others["requests"],
            "rate_limited": quota.rate_limited + others["rate_limited"],
            "waited_s": quota.waited_s + others["waited_s"],
        }

    def as_state(self) -> dict[str, Any]:
        """The state for the process that continues after a deferral, JSON-ready."""
        return {
            "requests": self.requests,
            "rate_limited": self.rate_limited,
            "tried_again": self._before["tried_again"],
            "last_failure": self._last_failure,
            "deferrals": self.deferrals + 1,
            "waited_s": self.waited_s,
            "waited_for_others_s": self.waited_for_others_s,
            "started_at": self.started_at,
            "deferred_at": time.time(),
        }

    def restore_after_others(self, state: Mapping[str, Any]) -> None:
        """Count from where an earlier process stopped because another run held the sync.

        :param state: the state from :meth:`as_state`.
        """
        self.restore(state)
        self.waited_for_others_s += max(0.0, time.time() - float(state["deferred_at"]))

    def restore(self, state: Mapping[str, Any], window_opens_at: float | None = None) -> None:
        """Count from where an earlier process stopped.

        :param state: the state from :meth:`as_state`.
        :param window_opens_at: end of the rate-limit window that the run was deferred for, in seconds since the epoch;
            ``None`` if it was deferred for another reason.
        """
        deferrals = self.deferrals  # so far, only deferrals because another run held the sync
        self._before = {name: int(state.get(name, 0)) for name in _COUNTS}
        self._before["deferrals"] += deferrals
        self._last_failure = str(state.get("last_failure", ""))
        held_back_until = 0.0 if window_opens_at is None else min(window_opens_at, time.time())
        waited_s = max(0.0, held_back_until - float(state["deferred_at"]))
        self._by_others["waited_s"] += waited_s
        self._waited_before_s = float(state["waited_s"]) + waited_s
        self.waited_for_others_s += float(state.get("waited_for_others_s", 0.0))
        self.started_at = float(state["started_at"])
