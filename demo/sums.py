"""Sentences whose numbers add up, so that a reader can check them against the table of the demo's end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OUTCOMES = ("created", "updated", "imported", "unchanged", "merged", "invalid", "rejected", "held")
"""Outcomes of rows, in the order of the table."""


def rows_in_words(summary: Mapping[str, Any]) -> str:
    """The rows of a run by outcome: ``320 rows = 270 created + 50 merged``."""
    read = summary["read"]
    counts = {name: summary.get(name, 0) for name in OUTCOMES}
    counts["with another outcome"] = read - sum(counts.values())
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    return f"{read:,} rows = {' + '.join(parts) or 'none'}"


def bad_rows_in_words(bad: int, summary: Mapping[str, Any]) -> str:
    """The bad rows by outcome. Rows of one contact are merged, and refused as one.

    :param bad: number of bad rows in the warehouse.
    """
    invalid, rejected = summary["invalid"], summary["rejected"]
    words = f"{bad} bad rows = {invalid} invalid + {rejected} rejected"
    merged = bad - invalid - rejected
    return f"{words} + {merged} merged with a rejected row of the same contact" if merged else words


@dataclass(frozen=True)
class KilledNight:
    """The numbers of the night in which the task was killed, as the sandbox has counted them.

    :param changes: rows that had changed.
    :param arrived: changes that had arrived before the second attempt.
    :param after: changes that had arrived after it.
    :param first: PATCH requests of the killed process, those in flight at the kill included.
    :param second: PATCH requests of the second attempt.
    :param others: other requests of both.
    :param recorded: requests in the summary.
    """

    changes: int
    arrived: int
    after: int
    first: int
    second: int
    others: int
    recorded: int

    @property
    def words(self) -> str:
        """The numbers in sentences."""
        brought = self.after - self.arrived
        lost = self.changes - self.after
        again = self.second - brought
        total = self.first + self.second + self.others
        return (
            f"{self.changes} changes = {self.arrived} by the killed process, those in flight at the kill included, "
            f"+ {brought} by the second attempt{f' + {lost} lost' if lost else ': none is lost'}. "
            f"The second attempt sent {self.second} PATCH requests = {brought} for these + {again} again, as the "
            "journal did not have their responses yet, or the rate limit refused them; that changes nothing there. "
            f"{total} requests in all = {self.first} + {self.second} PATCH + {self.others} to read fields; the summary "
            f"has {self.recorded}, as a killed process has recorded its requests only up to its last batch."
        )
