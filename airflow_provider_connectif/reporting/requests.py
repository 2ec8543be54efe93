"""The number of requests that a plan takes, if responses decide whether further requests follow."""

from __future__ import annotations

from typing import Literal, NamedTuple

from airflow_provider_connectif.reporting.formats import plural

Via = Literal["auto", "patch", "import"]
"""The way that an author wants; ``auto``: whichever suits the plan."""


class Requests(NamedTuple):
    """The least and the largest number of requests, without retries."""

    least: int = 0
    most: int = 0

    def __add__(self, more: tuple[int, int]) -> Requests:  # type: ignore[override]  # sums, where a tuple appends
        return Requests(self.least + more[0], self.most + more[1])

    def describe(self) -> str:
        """The range in words."""
        if self.least == self.most:
            return plural(self.least, "request")
        return f"{self.least:,} to {self.most:,} requests, as responses decide"


class Imported(NamedTuple):
    """How long the imports of a run took.

    ``rows``: lines of its files. ``seconds``: from the first upload to the end of the last import.
    """

    rows: int
    seconds: float


class Cost(NamedTuple):
    """The cost of a plan.

    ``requests``: without retries. ``files``: of an import. ``seconds``: at best; ``None``: not known.
    ``way``: ``patch``, ``import`` or ``erase``; ``reason``: why this way. ``was_chosen``: there was another way.
    """

    requests: Requests
    files: int
    seconds: float | None
    way: str
    reason: str
    was_chosen: bool = False
