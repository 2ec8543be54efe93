"""How many requests a plan takes, where responses decide whether further ones follow."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_connectif.reporting.progress import plural


class Requests(NamedTuple):
    """Requests at least and at most, without retries and rejections."""

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
    """What a plan takes.

    ``requests``: without retries and rejections. ``files``: of an import. ``seconds``: at best. ``way``: ``patch``,
    ``import`` or ``erase``; ``reason``: why this way.
    """

    requests: Requests
    files: int
    seconds: float
    way: str
    reason: str
