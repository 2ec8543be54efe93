"""The number of requests that a plan takes, and its cost. Responses may decide whether further requests follow."""

from __future__ import annotations

from typing import Literal, NamedTuple

from airflow_provider_connectif.reporting.formats import plural

Via = Literal["auto", "patch", "import"]
"""The way of delivery that an author sets; ``auto``: the run chooses the way that suits its plan."""


class Requests(NamedTuple):
    """The least and the largest number of requests, without retries."""

    least: int = 0
    most: int = 0

    def __add__(self, more: tuple[int, int]) -> Requests:  # type: ignore[override]  # sums, where a tuple appends
        return Requests(self.least + more[0], self.most + more[1])

    def describe(self) -> str:
        """Return the numbers in words."""
        if self.least == self.most:
            return plural(self.least, "request")
        return f"{self.least:,} to {self.most:,} requests, depending on the responses"


class Imported(NamedTuple):
    """The size and duration of the imports of a run.

    ``rows``: lines of its files. ``seconds``: from the first upload to the end of the last import.
    """

    rows: int
    seconds: float


class Cost(NamedTuple):
    """The cost of a plan.

    :param requests: number of requests without retries.
    :param files: number of files of an import.
    :param seconds: the least duration in seconds; ``None``: not known.
    :param way: ``patch``, ``import`` or ``erase``.
    :param reason: why this way.
    :param was_chosen: another way was possible.
    """

    requests: Requests
    files: int
    seconds: float | None
    way: str
    reason: str
    was_chosen: bool = False
