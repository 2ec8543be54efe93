"""The summary of a run: rows by outcome, reasons, requests and time."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.effort import Effort

_MOST_REASONS = 20  # in the summary
_MOST_REASONS_KEPT = 1000  # in memory; a server may phrase each refusal differently
_MOST_EXAMPLES = 3
_MOST_REASONS_CARRIED = 200  # in the state of a deferral
_LARGEST_SUMMARY = 2000  # bytes as JSON; it goes to XCom and so into Airflow's database
OTHER_REASONS = "other reasons"
_EARLIER_NAMES = {"duplicate": Outcome.MERGED.value}  # in states that an earlier version has saved

BAD_OUTCOMES = (Outcome.INVALID, Outcome.REJECTED, Outcome.HELD)
"""The outcomes of refused rows, which count against the failure budget."""


@dataclass
class Tally:
    """Counts rows as they are read and settled. It holds no row, so memory does not grow with their number."""

    read: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[int]] = field(default_factory=dict)
    known_refusals: int = 0
    """Number of refused rows that an earlier run has refused, too, and that have not changed since then."""
    known_reasons: Counter[str] = field(default_factory=Counter)
    known_examples: dict[str, list[int]] = field(default_factory=dict)
    keyless: int = 0
    """Number of rows without a valid key."""
    remapped: int = 0
    """Number of changes that are sent because the mapping changed; their rows have not changed."""
    left: int | None = None
    """Number of contacts that left the source; ``None``: they were not counted."""
    unsettled_at_end: str = ""
    """Words for the rows without an outcome, once the run has ended; empty: there are no better ones."""
    removals: Counter[Outcome] = field(default_factory=Counter)
    """Outcomes of the contacts that left the source and for which ``on_removed`` was carried out; they are not rows."""

    def count(self, outcome: Outcome, number: int, reasons: Iterable[str] = (), *, is_known: bool = False) -> None:
        """Count a row's outcome.

        :param number: the row's number, kept as an example for its reasons.
        :param reasons: without personal data.
        :param is_known: whether an earlier run has seen the same refusal.
        """
        self.outcomes[outcome] += 1
        self.known_refusals += is_known
        of_examples = self.known_examples if is_known else self.examples
        for reason in dict.fromkeys(reasons):
            shown = self._add_reason(reason, 1)
            self.known_reasons[shown] += is_known
            examples = of_examples.setdefault(shown, [])
            if len(examples) < _MOST_EXAMPLES:
                examples.append(number)

    def count_removal(self, outcome: Outcome, reasons: Iterable[str]) -> bool:
        """Count the outcome of a contact that left the source.

        :param reasons: without personal data.
        :return: whether ``on_removed`` was carried out for it.
        """
        if outcome not in (Outcome.REJECTED, Outcome.UNDELIVERED):
            outcome, reasons = Outcome.UPDATED, ()
        self.removals[outcome] += 1
        for reason in dict.fromkeys(reasons):
            self._add_reason(f"left the source: {reason}", 1)
        return outcome is Outcome.UPDATED

    @property
    def removed(self) -> int | None:
        """Number of contacts for which ``on_removed`` was carried out.

        If it was not tried for any contact, this is the number of contacts that left the source. ``None``: they were
        not counted.
        """
        return self.removals[Outcome.UPDATED] if self.removals else self.left

    def count_many(self, outcome: Outcome, rows: int, reason: str | None = None) -> None:
        """Count one outcome for several rows that cannot be identified one by one.

        :param reason: without personal data.
        """
        self.outcomes[outcome] += rows
        if reason is not None and rows:
            self._add_reason(reason, rows)

    def note_known(self, rows: int, reason: str) -> None:
        """Note that rows counted as new refusals are known refusals.

        :param reason: the reason with which they were counted.
        """
        self.known_refusals += rows
        self.known_reasons[reason if reason in self.reasons else OTHER_REASONS] += rows

    def _add_reason(self, reason: str, rows: int) -> str:
        known = reason in self.reasons or len(self.reasons) < _MOST_REASONS_KEPT
        shown = reason if known else OTHER_REASONS
        self.reasons[shown] += rows
        return shown

    def as_state(self) -> dict[str, Any]:
        """The state for the process that continues after a deferral, JSON-ready; it has only the commonest reasons."""
        reasons = {reason: self.reasons[reason] for reason in self.ranked_reasons[:_MOST_REASONS_CARRIED]}
        if left_out := self.reasons.total() - sum(reasons.values()):
            reasons[OTHER_REASONS] = reasons.get(OTHER_REASONS, 0) + left_out
        return {
            "read": self.read,
            "outcomes": {outcome.value: count for outcome, count in self.outcomes.items()},
            "reasons": {
                reason: [
                    count,
                    self.examples.get(reason, []),
                    self.known_reasons[reason],
                    self.known_examples.get(reason, []),
                ]
                for reason, count in reasons.items()
            },
            "known_refusals": self.known_refusals,
            "keyless": self.keyless,
            "left": self.left,
            "removals": {outcome.value: count for outcome, count in self.removals.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Count from where an earlier process stopped."""
        self.read = int(state["read"])
        self.outcomes = Counter(
            {Outcome(_EARLIER_NAMES.get(name, name)): int(count) for name, count in state["outcomes"].items()}
        )
        # States of earlier versions have no known refusals.
        reasons = {reason: (*told, 0, [])[:4] for reason, told in state["reasons"].items()}
        self.reasons = Counter({reason: int(told[0]) for reason, told in reasons.items()})
        self.examples = {reason: list(told[1]) for reason, told in reasons.items()}
        self.known_reasons = Counter({reason: int(told[2]) for reason, told in reasons.items()})
        self.known_examples = {reason: list(told[3]) for reason, told in reasons.items()}
        self.known_refusals = int(state.get("known_refusals", 0))
        self.keyless = int(state.get("keyless", 0))
        self.left = state.get("left")
        self.removals = Counter({Outcome(name): int(count) for name, count in state.get("removals", {}).items()})

    @property
    def accounted(self) -> int:
        """Number of rows with an outcome."""
        return sum(self.outcomes.values())

    @property
    def unsettled(self) -> int:
        """Number of rows read without an outcome; below zero if a row has two."""
        return self.read - self.accounted

    @property
    def bad(self) -> int:
        """Number of refused rows: invalid, rejected or held."""
        return sum(self.outcomes[outcome] for outcome in BAD_OUTCOMES)

    @property
    def new_refusals(self) -> int:
        """Number of refused rows that no earlier run has refused in the same form; without a journal, all refused
        rows.
        """
        return max(0, self.bad - self.known_refusals)

    @property
    def needed_delivery(self) -> int:
        """Number of rows read, without the unchanged, merged and suppressed ones and the known refusals."""
        settled_before = self.outcomes[Outcome.UNCHANGED] + self.outcomes[Outcome.MERGED] + self.known_refusals
        return max(0, self.read - settled_before - self.outcomes[Outcome.SUPPRESSED])

    @property
    def ranked_reasons(self) -> list[str]:
        """Return all reasons, the commonest first; those of new refusals come before those of known refusals."""

        def rank(reason: str) -> tuple[bool, int]:
            return self.reasons[reason] > self.known_reasons[reason], self.reasons[reason]

        return sorted(self.reasons, key=rank, reverse=True)

    @property
    def delivered(self) -> int:
        """Number of rows that Connectif has accepted."""
        return self.outcomes[Outcome.CREATED] + self.outcomes[Outcome.UPDATED]

    @property
    def erased(self) -> int:
        """Number of rows whose contacts were deleted or do not exist."""
        return self.outcomes[Outcome.DELETED] + self.outcomes[Outcome.ABSENT]

    def top_reasons(self, most: int) -> list[str]:
        """Return the commonest reasons, with their counts and first row numbers; those of new refusals first."""
        return self.described(itertools.islice(self.ranked_reasons, most))

    def described(self, reasons: Iterable[str]) -> list[str]:
        """Return reasons with their counts and first row numbers."""
        shown = []
        for reason in reasons:
            count = self.reasons[reason]
            new, known = sorted(self.examples.get(reason, [])), sorted(self.known_examples.get(reason, []))
            numbers = (new + known)[:_MOST_EXAMPLES]
            rows = ", ".join(f"{number:,}" for number in numbers) + (", ..." if count > len(numbers) else "")
            where = f" (row{'s' if len(numbers) > 1 else ''} {rows})" if numbers else ""
            shown.append(f"{count:,} x {reason}{where}")
        return shown


def summarise(
    tally: Tally,
    *,
    effort: Effort | None,
    rejects_path: str | None,
    undelivered: int = 0,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the run as a small JSON-safe dictionary without personal data, below 2 KB as JSON.

    The counts of rows add up: ``read`` = ``created`` + ``updated`` + ``skipped`` + ``invalid`` + ``rejected`` +
    ``merged`` + ``undelivered``, with a journal + ``unchanged`` + ``held`` + ``suppressed``, by import + ``imported`` +
    ``not_taken``, of an erasure + ``deleted`` + ``absent``, of a check + ``valid``. If they do not, the run fails, and
    its error says how many rows it cannot account for.

    :param undelivered: rows that were read but not sent because the run ended early; they are added to the rows whose
        attempts all failed.
    :param more: entries of one kind of run only.
    :return: ``read``, ``created``, ``updated``, ``skipped``, ``invalid``, ``rejected``, ``merged`` (rows that became
        part of another row of their key), ``undelivered`` (rows),
        ``requests`` (HTTP requests, 429 and retries included), ``rate_limited`` (responses 429), ``waited_s`` (seconds
        spent waiting for the rate limit), ``duration_s`` (since the first attempt of the run began), ``new_refusals``
        (refused rows that no earlier run has refused in the same form; without a journal, all refused rows),
        ``reasons`` (rows by reason, those of new refusals first, then the commonest, 20 at most that fit),
        ``rejects_path`` (``None`` if nothing was written). With a journal ``requests``, ``rate_limited`` and
        ``waited_s`` are those of all attempts.
    """
    counts = (
        Outcome.CREATED,
        Outcome.UPDATED,
        Outcome.SKIPPED,
        Outcome.INVALID,
        Outcome.REJECTED,
        Outcome.MERGED,
    )
    summary: dict[str, Any] = {
        "read": tally.read,
        **{outcome.value: tally.outcomes[outcome] for outcome in counts},
        "undelivered": tally.outcomes[Outcome.UNDELIVERED] + undelivered,
        "requests": effort.requests if effort else 0,
        "rate_limited": effort.rate_limited if effort else 0,
        "waited_s": round(effort.waited_s, 1) if effort else 0.0,
        "duration_s": round(effort.run_duration_s, 1) if effort else 0.0,
        "new_refusals": tally.new_refusals,
        "reasons": {},
        "rejects_path": rejects_path,
        **(more or {}),
    }
    summary["reasons"] = _reasons_that_fit(
        {reason: tally.reasons[reason] for reason in tally.ranked_reasons}, _LARGEST_SUMMARY - len(json.dumps(summary))
    )
    return summary


def empty_summary() -> dict[str, Any]:
    """Return the summary of a run that did not begin."""
    return summarise(Tally(), effort=None, rejects_path=None)


def _reasons_that_fit(reasons: Mapping[str, int], room: int) -> dict[str, int]:
    ranked = list(reasons.items())
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
