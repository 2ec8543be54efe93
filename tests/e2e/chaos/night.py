"""What a night consists of, drawn from its seed: the same seed is always the same night."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.chaos.victims import VICTIMS
from tests.e2e.deployment import Connectif

STRIKES = {1: 5, 2: 3, 3: 2}
"""How many deaths a night may have, each with its weight."""
RETRIES = {8: 4, 0: 1}
"""What a task may have of them, with weights: more than a night can take, or none, so that it may end red.

A deferred one has them always. Where it dies for good just when it has come back, its claim holds up the next run for
ten minutes and more (``docs/journal.md``), and no night is that long.
"""
_SQL = (
    "select email, first_name, points, case when starts_with(email, 'refused') then -1 end as orders from {} "
    "order by md5(id::text)"  # so that rows of all sorts come early and late
)
_PROPERTIES = {"_name": "first_name", "_points": "points", "order_count": "orders"}
# The sandbox's own definition has a minimum, which is what it refuses rows for.
_FIELDS = {"order_count": "integer"}
_PATCH = "max_in_flight={max_in_flight}, "
# Files of some forty rows, so that there are more than the queue takes.
_IMPORT = "max_file_bytes=1500, poll_interval=timedelta(seconds=1), timeout=timedelta(minutes=2), "


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


def _answered(connectif: Connectif) -> int:
    answers = connectif.answers()
    return answers.get("200", 0) + answers.get("201", 0)


def _imported(connectif: Connectif) -> int:
    return sum(found["success"] for found in connectif.imports())


@dataclass(frozen=True)
class Kind:
    """What runs at night.

    :param weight: how often, beside the other kinds.
    :param contacts: how many there may be, from and to.
    :param arguments: of the operator, as Python source with a comma at the end, beside those that all have.
        ``{max_in_flight}`` in it is the night's.
    :param window: requests a window and its seconds; (0, 0) is no limit.
    :param operator: the operator's class.
    :param sandbox: more options of the sandbox.
    :param accepted: how many contacts Connectif has accepted since it was started, each as often as it was.
    :param retries: of the task, with weights.
    :param written_at_once: acknowledgements that a death may lose beside the requests in flight; ``None``: it loses
        none, but the id of the import whose file is being uploaded, so that this file is uploaded again.
    """

    weight: int
    contacts: tuple[int, int]
    arguments: str = _PATCH
    window: tuple[int, float] = (0, 0.0)
    operator: str = "ContactPatchOperator"
    sandbox: Mapping[str, Any] = field(default_factory=dict)
    accepted: Callable[[Connectif], int] = _answered
    written_at_once: int | None = 50
    retries: Mapping[int, int] = field(default_factory=lambda: RETRIES)


_WORKED_OFF = {"import_rows_per_second": 60, "import_queue_seconds": 0.5}

KINDS: Mapping[str, Kind] = {
    "patch": Kind(3, (250, 450)),
    "patch, windows": Kind(1, (130, 220), window=(60, 4.0)),
    "patch, deferred": Kind(
        3, (130, 220), f"{_PATCH}deferrable=True, defer_after=timedelta(seconds=1), ", window=(70, 6.0), retries={8: 1}
    ),
    "import": Kind(
        2,
        (250, 450),
        _IMPORT,
        operator="ContactImportOperator",
        sandbox=_WORKED_OFF,
        accepted=_imported,
        written_at_once=None,
    ),
    "import, deferred": Kind(
        2,
        (250, 450),
        f"{_IMPORT}deferrable=True, ",
        operator="ContactImportOperator",
        sandbox=_WORKED_OFF,
        accepted=_imported,
        written_at_once=None,
        retries={8: 1},
    ),
}
"""The table of what runs. What a death may cost is what ``docs/journal.md`` and ``docs/bulk-import.md`` promise."""


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
    :param ignore_held: rows that an earlier run saw refused do not count against the budget. Rows that an earlier try
        of the same run saw refused do.
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
    ignore_held: bool

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
        """How many contacts a process that dies may leave to be sent once more, beside those of a lost upload."""
        written_at_once = KINDS[self.kind].written_at_once
        return 0 if written_at_once is None else self.max_in_flight + written_at_once

    def tasks(self) -> str:
        """The body of its DAG."""
        kind = KINDS[self.kind]
        return (
            f"{kind.operator}(task_id='contacts', journal_conn_id='journal_with_secret', "
            f"journal_key={self.journal_key!r}, failure_budget={self.budget}, ignore_held={self.ignore_held}, "
            f"fields={_FIELDS}, retries={self.retries}, retry_delay=timedelta(seconds=1), "
            f"{kind.arguments.format(max_in_flight=self.max_in_flight)}"
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
        retries=dice.choices(list(kind.retries), list(kind.retries.values()))[0],
        ignore_held=dice.choice([False, True]),
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
