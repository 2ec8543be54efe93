"""The failure budget: the number of refused rows with which a run still succeeds."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.summary import BAD_OUTCOMES, Tally


class _Share(NamedTuple):
    """``refused`` rows out of ``rows``; ``noun`` says which rows these are."""

    refused: int
    rows: int
    noun: str

    @property
    def in_words(self) -> str:
        return f"{self.refused:,} of {self.rows:,} row{'' if self.rows == 1 else 's'}{self.noun}"


@dataclass(frozen=True)
class FailureBudget:
    """The number of refused rows (invalid, rejected or held) with which a run still succeeds.

    A number limits their count. A share limits two: all refused rows among the rows read, and new refusals among the
    rows that needed delivery (:attr:`Tally.needed_delivery`), so that unchanged rows do not hide that most of the
    changed ones were refused.

    :param allowed: a number of rows (int), or a share (float from 0 to 1).
    :param ignore_held: held rows do not count as refused.
    :raises ValueError: ``allowed`` is not such a number or share.
    """

    allowed: int | float = 0
    ignore_held: bool = False

    def __post_init__(self) -> None:
        number = not isinstance(self.allowed, bool) and isinstance(self.allowed, (int, float))
        if not number or self.allowed < 0 or (isinstance(self.allowed, float) and not self.allowed <= 1):
            raise ValueError(
                "failure_budget must be a number of rows (int, 0 or more) or a share of the rows read "
                f"(float from 0 to 1), not {self.allowed!r}"
            )

    @property
    def is_unlimited(self) -> bool:
        """Whether every row may be refused."""
        return isinstance(self.allowed, float) and self.allowed >= 1

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes of rows that count against the budget."""
        return tuple(one for one in BAD_OUTCOMES if not (self.ignore_held and one is Outcome.HELD))

    def describe_excess(self, tally: Tally) -> str:
        """Return which limit is exceeded, in words; empty if none is."""
        exceeded = self._exceeded(tally)
        if not exceeded:
            return ""
        parts = [share.in_words for share in exceeded]
        held = 0 if self.ignore_held else tally.outcomes[Outcome.HELD]
        if held and exceeded[0].noun != _NEEDED:
            parts[0] += f" ({held:,} held)"
        verb = "was" if len(exceeded) == 1 and exceeded[0].refused == 1 else "were"
        return f"{' and '.join(parts)} {verb} refused; failure_budget allows {self}"

    def describe_use(self, tally: Tally) -> str:
        """Return how much of the budget is used, in words.

        :return: empty if no row was refused, and either none may be refused or none was read.
        """
        every, *needed = self._shares(tally)
        if not ((self.allowed and tally.read) or every.refused):
            return ""
        is_share = isinstance(self.allowed, float)
        share = f" ({self} of the rows read)" if is_share else ""
        words = f"{every.refused:,} refused, {self._most(every.rows):,} allowed{share}"
        for one in needed if every.refused else ():
            if one[:2] != every[:2]:
                words += (
                    f"; new refusals: {one.refused:,}, {self._most(one.rows):,} allowed ({self} of the rows{_NEEDED})"
                )
        ignored = tally.outcomes[Outcome.HELD] if self.ignore_held else 0
        return words + (f"; {ignored:,} held not counted" if ignored else "")

    def _exceeded(self, tally: Tally) -> list[_Share]:
        return [share for share in self._shares(tally) if share.refused > self._most(share.rows)]

    def _shares(self, tally: Tally) -> list[_Share]:
        held = tally.outcomes[Outcome.HELD] if self.ignore_held else 0
        if isinstance(self.allowed, int):
            return [_Share(tally.bad - held, tally.read, "")]
        every = _Share(tally.bad - held, tally.read, "")
        needed = _Share(min(tally.new_refusals, every.refused), tally.needed_delivery, _NEEDED)
        return [every] if needed[:2] == every[:2] else [every._replace(noun=" read"), needed]

    def _most(self, rows: int) -> int:
        """Return how many of ``rows`` rows may be refused."""
        # In floats, 29 % of 100 would be a little less than 29.
        return self.allowed if isinstance(self.allowed, int) else int(Fraction(str(self.allowed)) * rows)

    def __str__(self) -> str:
        return f"{self.allowed * 100:g} %" if isinstance(self.allowed, float) else f"{self.allowed:,}"


_NEEDED = " that needed delivery"
