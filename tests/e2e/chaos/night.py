"""What a night consists of, drawn from its seed: the same seed is always the same night."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.e2e.chaos.victims import VICTIMS

STRIKES = {1: 5, 2: 3, 3: 2}
"""How many deaths a night may have, each with its weight."""
WRITTEN_AT_ONCE = 50
"""Acknowledgements, by ``docs/journal.md``."""
# A property that the sandbox does not know, which is what it refuses a row for; other rows have none of it.
_PROPERTIES = {"_name": "first_name", "_points": "points", "nobody_knows": "unknown"}
_SQL = (
    "select email, first_name, points, case when starts_with(email, 'refused') then 1 end as unknown from {} "
    "order by md5(id::text)"  # so that rows of all sorts come early and late
)
RETRIES = {8: 4, 0: 1}
"""What a task may have of them, with weights: more than a night can take, or none, so that it may end red."""


@dataclass(frozen=True)
class Strike:
    """Something dies.

    :param victim: who, of :data:`tests.e2e.chaos.victims.VICTIMS`.
    :param at_share: which share of tonight's contacts Connectif has accepted by then.
    :param after_s: how much later it is.
    :param away_s: how long the victim stays away.
    """

    victim: str
    at_share: float
    after_s: float
    away_s: float


@dataclass(frozen=True)
class Kind:
    """What runs at night.

    :param weight: how often, beside the other kinds.
    :param arguments: of the operator, as Python source with a comma at the end, beside those that all have.
    :param contacts: how many there may be, from and to.
    :param window: requests a window and its seconds; (0, 0) is no limit.
    :param operator: the operator's class.
    """

    weight: int
    arguments: str
    contacts: tuple[int, int]
    window: tuple[int, float] = (0, 0.0)
    operator: str = "ContactPatchOperator"


KINDS: Mapping[str, Kind] = {
    "patch": Kind(3, "", (250, 450)),
    "patch, windows": Kind(1, "", (130, 220), window=(60, 4.0)),
    "patch, deferred": Kind(3, "deferrable=True, defer_after=timedelta(seconds=1), ", (130, 220), window=(70, 6.0)),
}
"""The table of what runs; a bulk import is one line more."""


@dataclass(frozen=True)
class Night:
    """One night.

    :param yesterday: contacts that were delivered by an earlier run, in peace.
    :param changed: how many of those have changed since.
    :param added: how many are new.
    :param invalid: new rows that are refused before they are sent.
    :param refused: new rows that Connectif refuses.
    :param budget: how many refused rows the run may have.
    :param max_in_flight: requests at once.
    :param journal_key: how the journal writes contact keys.
    :param strikes: in the order in which they come.
    :param retries: of the task.
    """

    seed: int
    kind: str
    yesterday: int
    changed: int
    added: int
    invalid: int
    refused: int
    budget: int
    max_in_flight: int
    journal_key: str
    strikes: Sequence[Strike]
    retries: int

    @property
    def name(self) -> str:
        """Of its DAG, its table and its connection."""
        return f"night_{self.seed}"

    @property
    def needed(self) -> int:
        """Contacts that Connectif has to accept tonight."""
        return self.changed + self.added

    @property
    def rows(self) -> int:
        """Rows of the source tonight."""
        return self.yesterday + self.added + self.bad

    @property
    def bad(self) -> int:
        """Rows that count against the failure budget."""
        return self.invalid + self.refused

    @property
    def is_over_budget(self) -> bool:
        """Whether the run has to fail."""
        return self.bad > self.budget

    @property
    def lost_by_a_death(self) -> int:
        """How many requests a process that dies may leave to be sent once more, by ``docs/journal.md``."""
        return self.max_in_flight + WRITTEN_AT_ONCE

    def tasks(self) -> str:
        """The body of its DAG."""
        kind = KINDS[self.kind]
        return (
            f"{kind.operator}(task_id='contacts', journal_conn_id='journal_with_secret', "
            f"journal_key={self.journal_key!r}, failure_budget={self.budget}, max_in_flight={self.max_in_flight}, "
            f"retries={self.retries}, retry_delay=timedelta(seconds=1), fields='builtin', {kind.arguments}"
            f"**{{**TARGET, 'sql': {_SQL.format(self.name)!r}, 'properties': {_PROPERTIES}}})"
        )

    def __str__(self) -> str:
        rows = f"{self.yesterday}+{self.added}, {self.changed} changed, {self.bad} bad"
        hard = [
            words for words, is_so in (("over budget", self.is_over_budget), ("no retry", not self.retries)) if is_so
        ]
        return f"{self.kind}, {self.journal_key}: {rows}" + (f" ({', '.join(hard)})" if hard else "")


def night_of(seed: int) -> Night:
    """The night of a seed."""
    dice = random.Random(seed)
    name = dice.choices(list(KINDS), [kind.weight for kind in KINDS.values()])[0]
    kind = KINDS[name]
    contacts = dice.randint(*kind.contacts)
    # A window's worth at most, so that the evening before does not wait for one.
    yesterday = dice.choice([0, min(contacts // 2, kind.window[0] or contacts)])
    invalid, refused = dice.choice([(0, 0), (3, 0), (0, 4), (2, 3)])
    bad = invalid + refused
    is_over_budget = bad and dice.random() < 0.25
    return Night(
        seed=seed,
        kind=name,
        yesterday=yesterday,
        changed=yesterday // dice.randint(2, 4),
        added=contacts - yesterday,
        invalid=invalid,
        refused=refused,
        budget=bad - 1 if is_over_budget else bad + dice.randint(0, 2),
        max_in_flight=dice.choice([2, 4, 8]),
        journal_key=dice.choice(["plain", "sha256"]),
        strikes=_strikes(seed, dice),
        retries=dice.choices(list(RETRIES), list(RETRIES.values()))[0],
    )


def _strikes(seed: int, dice: random.Random) -> Sequence[Strike]:
    victims = list(VICTIMS)
    [count] = dice.choices(list(STRIKES), list(STRIKES.values()))
    shares = sorted(dice.uniform(0.0, 0.8) for _ in range(count))
    # Any few seeds in a row have each victim once.
    named = [victims[seed % len(victims)], *(dice.choice(victims) for _ in shares[1:])]
    dice.shuffle(named)
    return [
        Strike(victim, share, dice.choice([0.0, dice.uniform(0.0, 2.0)]), dice.uniform(*VICTIMS[victim].away_s))
        for victim, share in zip(named, shares, strict=True)
    ]
