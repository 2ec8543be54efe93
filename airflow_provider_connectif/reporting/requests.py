"""The number of requests that a plan takes, if responses decide whether further requests follow."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_connectif.reporting.formats import plural


class Requests(NamedTuple):
    """The least and the largest number of requests, without retries and rejections."""

    least: int = 0
    most: int = 0

    def __add__(self, more: tuple[int, int]) -> Requests:  # type: ignore[override]  # sums, where a tuple appends
        return Requests(self.least + more[0], self.most + more[1])

    def describe(self) -> str:
        """The range in words."""
        if self.least == self.most:
            return plural(self.least, "request")
        return f"{self.least:,} to {self.most:,} requests, as responses decide"


class Cost(NamedTuple):
    """The cost of a plan.

    ``requests``: without retries and rejections. ``files``: of an import. ``seconds``: at best. ``way``: ``patch`` or
    ``import``; ``reason``: why this way.
    """

    requests: Requests
    files: int
    seconds: float
    way: str
    reason: str
