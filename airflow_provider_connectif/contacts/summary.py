"""What became of the rows: counts, reasons, and whether the run succeeded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from airflow_provider_connectif.contacts.effort import Effort
from airflow_provider_connectif.contacts.outcomes import Outcome

_MOST_REASONS = 20  # in the summary
_MOST_REASONS_KEPT = 1000  # in memory; a server may phrase each refusal differently
_MOST_EXAMPLES = 3
_MOST_REASONS_CARRIED = 200  # over a deferral
_LARGEST_SUMMARY = 2000  # bytes as JSON; it goes to XCom and so into Airflow's database
OTHER_REASONS = "other reasons"
_EARLIER_NAMES = {"duplicate": Outcome.MERGED.value}  # in states that an earlier version has saved

BAD_OUTCOMES = (Outcome.INVALID, Outcome.REJECTED)
"""The outcomes that count against the failure budget."""


@dataclass
class Tally:
    """Counts rows as they are read and settled. Holds no row: memory does not grow with their number."""

    read: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)

    def count(self, outcome: Outcome, number: int, reasons: Iterable[str] = ()) -> None:
        """Count a row's outcome.

        :param number: the row's number, kept as an example for its reasons.
        :param reasons: without personal data.
        """
        self.outcomes[outcome] += 1
        for reason in dict.fromkeys(reasons):
            examples = self.examples.setdefault(self._add_reason(reason, 1), [])
            if len(examples) < _MOST_EXAMPLES:
                examples.append(number)

    def count_many(self, outcome: Outcome, rows: int, reason: str | None = None) -> None:
        """Count the outcome of rows that nobody can tell apart.

        :param reason: without personal data.
        """
        self.outcomes[outcome] += rows
        if reason is not None and rows:
            self.examples.setdefault(self._add_reason(reason, rows), [])

    def _add_reason(self, reason: str, rows: int) -> str:
        known = reason in self.reasons or len(self.reasons) < _MOST_REASONS_KEPT
        shown = reason if known else OTHER_REASONS
        self.reasons[shown] += rows
        return shown

    def as_state(self) -> dict[str, Any]:
        """JSON-ready, for the process that goes on after a deferral; of the reasons, the commonest ones."""
        reasons = dict(self.reasons.most_common(_MOST_REASONS_CARRIED))
        if left_out := self.reasons.total() - sum(reasons.values()):
            reasons[OTHER_REASONS] = reasons.get(OTHER_REASONS, 0) + left_out
        return {
            "read": self.read,
            "outcomes": {outcome.value: count for outcome, count in self.outcomes.items()},
            "reasons": {reason: [count, self.examples.get(reason, [])] for reason, count in reasons.items()},
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Count from where an earlier process stopped."""
        self.read = int(state["read"])
        self.outcomes = Counter(
            {Outcome(_EARLIER_NAMES.get(name, name)): int(count) for name, count in state["outcomes"].items()}
        )
        self.reasons = Counter({reason: int(count) for reason, (count, _) in state["reasons"].items()})
        self.examples = {reason: list(numbers) for reason, (_, numbers) in state["reasons"].items()}

    @property
    def accounted(self) -> int:
        """Rows of which it is known what became of them."""
        return sum(self.outcomes.values())

    @property
    def unsettled(self) -> int:
        """Rows read that have no outcome; below zero where a row has two."""
        return self.read - self.accounted

    @property
    def bad(self) -> int:
        """Rows that count against the failure budget."""
        return sum(self.outcomes[outcome] for outcome in BAD_OUTCOMES)

    @property
    def delivered(self) -> int:
        """Rows that Connectif has accepted."""
        return self.outcomes[Outcome.CREATED] + self.outcomes[Outcome.UPDATED]

    def top_reasons(self, most: int, skip: int = 0) -> list[str]:
        """The commonest reasons, with their counts and the numbers of the first rows.

        :param skip: leave out so many of the commonest ones.
        """
        shown = []
        for reason, count in self.reasons.most_common(skip + most)[skip:]:
            numbers = sorted(self.examples[reason])
            rows = ", ".join(f"{number:,}" for number in numbers) + (", ..." if count > len(numbers) else "")
            where = f" (row{'s' if len(numbers) > 1 else ''} {rows})" if numbers else ""
            shown.append(f"{count:,} x {reason}{where}")
        return shown


@dataclass(frozen=True)
class FailureBudget:
    """How many invalid and rejected rows a run may have and still succeed.

    :param allowed: a number of rows (int), or a share of the rows read (float from 0 to 1).
    :raises ValueError: neither.
    """

    allowed: int | float = 0

    def __post_init__(self) -> None:
        number = not isinstance(self.allowed, bool) and isinstance(self.allowed, (int, float))
        if not number or self.allowed < 0 or (isinstance(self.allowed, float) and not self.allowed <= 1):
            raise ValueError(
                "failure_budget must be a number of rows (int, 0 or more) or a share of the rows read "
                f"(float from 0 to 1), not {self.allowed!r}"
            )

    @property
    def is_unlimited(self) -> bool:
        """Every row may fail."""
        return isinstance(self.allowed, float) and self.allowed >= 1

    def is_exceeded_by(self, tally: Tally) -> bool:
        """Whether more rows failed than are allowed."""
        return tally.bad > self.rows_of(tally)

    def describe_use(self, tally: Tally) -> str:
        """How much of it is used, in words; empty where nothing is allowed and nothing was used."""
        if not (self.allowed or tally.bad):
            return ""
        share = f", {self.allowed * 100:g} % of the rows read" if isinstance(self.allowed, float) else ""
        return f"failure_budget: {tally.bad:,} used of {self.rows_of(tally):,}{share}"

    def rows_of(self, tally: Tally) -> int:
        """How many of the rows read may be refused."""
        # In floats, 29 % of 100 would be a little less than 29.
        return self.allowed if isinstance(self.allowed, int) else int(Fraction(str(self.allowed)) * tally.read)

    def __str__(self) -> str:
        if not self.allowed:
            return "none"
        return f"{self.allowed * 100:g} % of them" if isinstance(self.allowed, float) else f"{self.allowed:,}"


def summarise(
    tally: Tally,
    *,
    effort: Effort | None,
    rejects_path: str | None,
    undelivered: int = 0,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The run as a small JSON-safe dictionary without personal data, below 2 KB as JSON.

    The counts of rows add up: ``read`` = ``created`` + ``updated`` + ``skipped`` + ``invalid`` + ``rejected`` +
    ``undelivered``, with a journal + ``unchanged`` + ``held``, by import + ``imported`` + ``merged`` + ``not_taken``,
    of a check + ``valid`` (of an import + ``merged``). Where they do not, the run has failed, and its error says how
    many rows it cannot account for.

    :param undelivered: rows that were read and not delivered since the run ended early; added to those that the run
        gave up on.
    :param more: entries of one kind of run only.
    :return: ``read``, ``created``, ``updated``, ``skipped``, ``invalid``, ``rejected``, ``undelivered`` (rows),
        ``requests`` (HTTP requests, 429 and retries included), ``rate_limited`` (responses 429), ``waited_s`` (seconds
        held back by a window), ``duration_s``, ``reasons`` (rows by reason, the commonest 20 that fit),
        ``rejects_path`` (``None`` where nothing was written).
    """
    counts = (Outcome.CREATED, Outcome.UPDATED, Outcome.SKIPPED, Outcome.INVALID, Outcome.REJECTED)
    summary: dict[str, Any] = {
        "read": tally.read,
        **{outcome.value: tally.outcomes[outcome] for outcome in counts},
        "undelivered": tally.outcomes[Outcome.UNDELIVERED] + undelivered,
        "requests": effort.requests if effort else 0,
        "rate_limited": effort.rate_limited if effort else 0,
        "waited_s": round(effort.waited_s, 1) if effort else 0.0,
        "duration_s": round(effort.duration_s, 1) if effort else 0.0,
        "reasons": {},
        "rejects_path": rejects_path,
        **(more or {}),
    }
    summary["reasons"] = _reasons_that_fit(tally.reasons, _LARGEST_SUMMARY - len(json.dumps(summary)))
    return summary


def empty_summary() -> dict[str, Any]:
    """The summary of a run that did not begin."""
    return summarise(Tally(), effort=None, rejects_path=None)


def _reasons_that_fit(reasons: Mapping[str, int], room: int) -> dict[str, int]:
    ranked = Counter(reasons).most_common()
    room -= len(json.dumps({OTHER_REASONS: sum(reasons.values())}))
    fitting: dict[str, int] = {}
    for reason, count in ranked[: _MOST_REASONS - (len(ranked) > _MOST_REASONS)]:
        room -= len(json.dumps({reason: count}))
        if room < 0:
            break
        fitting[reason] = count
    left_out = sum(count for reason, count in ranked if reason not in fitting)
    if left_out:
        fitting[OTHER_REASONS] = fitting.get(OTHER_REASONS, 0) + left_out
    return fitting
