"""People in a source and at Connectif, and what happens to both over random nights.

Everything is drawn from a seed. Some people are *quiet*: only the source changes them. The others change their consent
at Connectif, are deleted there, or lose responses.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from tests.support.consent_ranks import RANKS, Row

CONSENTS = tuple(RANKS)
UNLISTED = "cleaned"
NO_PROPERTY = "shoe_size"  # the account does not have it: a PATCH with it is rejected
MAPPED = ("_name", "_points", NO_PROPERTY)


@dataclass
class Night:
    """What a run meets.

    :param changes: of contacts at Connectif before it, as of ``StrictServer.change_contacts``.
    :param rows: the source.
    :param facts: the same for the judge, by contact key.
    :param arguments: of the operator.
    :param faults: of the server.
    :param killed_after: the process gets a SIGKILL after so many requests.
    """

    number: int
    changes: dict[str, dict[str, Any] | None]
    rows: list[dict[str, Any]]
    facts: dict[str, Row]
    arguments: dict[str, Any]
    faults: list[dict[str, Any]] = field(default_factory=list)
    killed_after: int | None = None
    by_import: bool = False


class People:
    """A source of so many people, a third of them quiet.

    :param kills: nights that end with a SIGKILL.
    :param imports: whether some nights import.
    """

    def __init__(self, seed: int, count: int, nights: int = 15, *, kills: int = 2, imports: bool = False) -> None:
        self.chance = chance = random.Random(seed)
        self.nights = nights
        keys = [f"user{number}@example.com" for number in range(count)]
        self.quiet = keys[: count // 3]
        self._keys, self._restless = keys, keys[count // 3 :]
        self._source = {key: self._new_row(key) for key in keys}
        self._absent: set[str] = set()
        self._fates: dict[str, str] = {}
        self._mapped = list(CONSENTS)
        self.falls_on = chance.randrange(nights // 3, nights - 3)
        """The night in which the source lowers everybody; in the next one it raises everybody."""
        others = [number for number in range(1, nights - 1) if number not in (self.falls_on, self.falls_on + 1)]
        self._kills = chance.sample(others, kills)
        left = [number for number in others if number not in self._kills]
        self._loses, self._gains = sorted(chance.sample(left, 2))
        self._breaks = chance.sample(left, 1)
        self._imports = chance.sample(left, 3) if imports else []
        if chance.random() < 0.5:  # also where it hurts most
            self._kills[0] = self.falls_on + chance.randrange(2)

    def night(self, number: int) -> Night:
        """The next night."""
        changes = self._change_connectif(number)
        self._change_source(number)
        by_import = number in self._imports
        if by_import:  # whose files cannot have a column that the account does not know
            self._fates = {key: fate for key, fate in self._fates.items() if fate != "rejected"}
        mapped = [name for name in (*MAPPED, *self._mapped) if not (by_import and name == NO_PROPERTY)]
        arguments: dict[str, Any] = {"properties": {name: name for name in mapped}}
        if number and self.chance.random() < 0.2:
            arguments["full_refresh"] = True
        present = [key for key in self._keys if key not in self._absent]
        self.chance.shuffle(present)
        night = Night(number, changes, [], {}, arguments, self._faults(number, present))
        for key in present:
            row = self._row_of(key)
            consents = {name: value for name in self._mapped if (value := row[name]) is not None}
            signature = tuple((name, row[name]) for name in mapped)
            night.rows.append(row)
            night.facts[key] = Row(consents, self._fates.get(key, "ok"), signature)
        if number in self._kills:
            night.killed_after = self.chance.randrange(1, max(2, len(present) // 2))
        night.by_import = by_import
        return night

    def _new_row(self, key: str) -> dict[str, Any]:
        row: dict[str, Any] = {"email": key, "_name": "Ana", "_points": 0, NO_PROPERTY: None}
        return row | {name: self._value(name) for name in CONSENTS}

    def _value(self, name: str) -> str | None:
        return None if self.chance.random() < 0.1 else self.chance.choice(RANKS[name])

    def _row_of(self, key: str) -> dict[str, Any]:
        spoilt = {"invalid": {"_points": "many"}, "rejected": {NO_PROPERTY: 38}}
        return self._source[key] | spoilt.get(self._fates.get(key, "ok"), {})

    def _change_connectif(self, number: int) -> dict[str, dict[str, Any] | None]:
        """What people do at Connectif; before the first night some are there already."""
        changes: dict[str, dict[str, Any] | None] = {}
        if not number:
            for key in self.chance.sample(self._restless, len(self._restless) // 2):
                names = self.chance.sample(CONSENTS, self.chance.randrange(len(CONSENTS) + 1))
                changes[key] = {"_name": "Eva"} | {name: self.chance.choice(RANKS[name]) for name in names}
            return changes
        for key in self.chance.sample(self._restless, max(1, len(self._restless) // 5)):
            name = self.chance.choice(CONSENTS)
            # More often down than up, as people do.
            value = self.chance.choice([RANKS[name][0], RANKS[name][0], *RANKS[name]])
            changes[key] = {name: UNLISTED if self.chance.random() < 0.03 else value}
        for key in self.chance.sample(self._restless, max(1, len(self._restless) // 40)):
            changes[key] = None
        return changes

    def _change_source(self, number: int) -> None:
        chance = self.chance
        if number == self._loses:
            self._mapped = sorted(chance.sample(CONSENTS, 3))
        if number == self._gains:
            self._mapped = list(CONSENTS)
        if number:
            self._absent = {key for key in sorted(self._absent) if chance.random() < 0.7}
        self._absent |= set(chance.sample(self._keys, len(self._keys) // (20 if number else 5)))
        for key in self._keys:
            if key in self._fates and chance.random() < 0.5:
                del self._fates[key]
            elif chance.random() < 0.05:
                self._fates[key] = chance.choice(["invalid", "rejected"])
            row = self._source[key]
            if chance.random() < 0.15:
                row["_name"] = f"Ana {number}"
            if number == self.falls_on:
                row.update({name: RANKS[name][0] for name in CONSENTS})
            elif number == self.falls_on + 1:
                row.update({name: RANKS[name][-1] for name in CONSENTS})
            elif chance.random() < 0.2:
                for name in chance.sample(CONSENTS, chance.choice([1, 1, 2])):
                    row[name] = self._value(name)

    def _faults(self, number: int, present: list[str]) -> list[dict[str, Any]]:
        """Responses that are lost, late or refused; not for quiet people."""
        restless = [key for key in self._restless if key not in self._absent]
        few = max(1, len(restless) // 40)
        keys = [self.chance.sample(restless, few) for _ in range(5)]
        faults: list[dict[str, Any]] = [
            {"keys": keys[0], "drop": "after"},
            {"keys": keys[1], "drop": "before"},
            {"keys": keys[2], "method": "GET", "drop": "before"},
            {"keys": keys[3], "method": "GET", "status": self.chance.choice([400, 503])},
            {"keys": keys[4], "status": self.chance.choice([503, 422])},
        ]
        if number in self._breaks:
            faults.insert(0, {"keys": self.chance.sample(present, 1), "status": 401})
        return faults if number else []
