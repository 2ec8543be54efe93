"""Judges what a sync did to the consent of people, from a server's log and the source alone.

Pure code, written from the specification and with nothing of the package: its own ranks, its own memory. For each
contact and consent property it knows what the server accepted, what responses showed, and what the source had.

What a run knew cannot always be seen from outside: it was killed, or a response was lost. There the judge accepts every
reading that the specification allows, so that each violation that it reports is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.support.consent_ranks import RANKS, Known, Row, Violation, is_lowest, is_raise, rank

Entry = Mapping[str, Any]


class ConsentJudge:
    """Looks at one run after the other.

    :param quiet: contacts that only the source changes: they must hold what it says.
    :param overtaking: so many bodies of others may come before one that lowers consent: requests that are in flight
        together overtake each other.
    """

    def __init__(self, quiet: Iterable[str] = (), overtaking: int = 0) -> None:
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        """How much there was to judge: ``raised`` for a cause, ``lowered``, ``kept``, ``unsubscribed``, ``quiet``."""
        self._quiet = set(quiet)
        self._overtaking = overtaking
        self._known: dict[tuple[str, str], Known] = {}
        self._delivered: set[str] = set()
        self._held: dict[str, object] = {}
        self._night = 0

    def look(
        self,
        night: int,
        entries: Sequence[Entry],
        rows: Mapping[str, Row],
        contacts: Mapping[str, Mapping[str, Any]],
        *,
        is_broken: bool = False,
        by_import: bool = False,
    ) -> None:
        """Judge one run.

        :param entries: what the server logged in it, as of ``StrictServer.take_log``.
        :param rows: the source, by contact key.
        :param contacts: what the server holds after it.
        :param is_broken: it was killed, or broken off.
        """
        self._night = night
        of_keys: dict[str, list[Entry]] = {}
        for entry in entries:
            if "key" in entry:
                of_keys.setdefault(entry["key"], []).append(entry)
        owed = {key: names for key, row in rows.items() if (names := self._owed(key, row))}
        if not by_import:
            self._look_at_the_order(entries, of_keys, owed)
        for key, row in rows.items():
            seen = of_keys.get(key, [])
            _Contact(self, key, row, seen, is_broken).look(owed.get(key, set()), contacts.get(key, {}))
            if is_broken:
                self._quiet -= {key} if seen else set()
            elif key in self._quiet and row.fate == "ok":
                self._look_at_a_quiet_one(key, row, contacts.get(key, {}))
        for key in of_keys.keys() - rows.keys():
            self.report("not in the source", key, "", "a request")

    def known(self, key: str, name: str) -> Known:
        """What there is of a property of a contact."""
        return self._known.setdefault((key, name), Known(name))

    def report(self, kind: str, key: str, name: str, detail: str) -> None:
        """Remember a violation."""
        self.violations.append(Violation(kind, self._night, key, name, detail))

    def was_delivered(self, key: str) -> bool:
        """Whether the sync surely knows that it has delivered this contact."""
        return key in self._delivered

    def note_delivery(self, key: str) -> None:
        self._delivered.add(key)
        self._held.pop(key, None)

    def hold(self, key: str, row: Row) -> None:
        """The row was rejected, with all that it could send alone: nothing is owed until it changes."""
        self._held[key] = row.signature

    def is_held(self, key: str, row: Row) -> bool:
        return self._held.get(key, ...) == row.signature

    def _owed(self, key: str, row: Row) -> set[str]:
        """The properties that the source has lowered to the lowest rank, and that have not arrived."""
        if self.is_held(key, row):
            return set()
        lowest = {name for name, value in row.consents.items() if is_lowest(name, value)}
        return {name for name in lowest if not self.known(key, name).may_be_settled_as(row.consents[name])}

    def _look_at_the_order(
        self, entries: Sequence[Entry], of_keys: Mapping[str, Sequence[Entry]], owed: Mapping[str, set[str]]
    ) -> None:
        others, first_other, met = 0, "", set[str]()
        for entry in entries:
            key = entry.get("key", "")
            if entry["method"] != "PATCH" or key in met:
                continue
            if key not in owed:
                if any(is_lowest(name, (entry["body"] or {}).get(name)) for name in RANKS):
                    met.add(key)  # what follows at once is no other body
                    continue
                others += 1
                first_other = first_other or f"{key} {entry['body']} -> {entry['status']}"
                continue
            met.add(key)
            for name in owed[key] - (entry["body"] or {}).keys():
                self.report("lowered late", key, name, "not in the first PATCH of the contact")
            is_smooth = all(one["status"] in (200, 201, 403, 404, 422) for one in of_keys[key])
            if others > self._overtaking and is_smooth:
                self.report("lowered late", key, "", f"after {others} bodies of other contacts: {first_other}")

    def _look_at_a_quiet_one(self, key: str, row: Row, contact: Mapping[str, Any]) -> None:
        for name, value in row.consents.items():
            self.counts["quiet"] += 1
            held = contact.get(name)
            if held != value and (held, value) != (None, "none"):
                self.report("change lost", key, name, f"Connectif holds {held}, the source has {value}")


class _Contact:
    """One contact in one run."""

    def __init__(self, judge: ConsentJudge, key: str, row: Row, entries: Sequence[Entry], is_broken: bool) -> None:
        self.judge = judge
        self.key = key
        self.row = row
        self.entries = entries
        self.is_broken = is_broken
        self.applied: set[str] = set()
        self.recreated: set[str] = set()
        self.is_created = False  # by this run, for the first time
        self.shown: dict[str, Any] | None = None
        surely = {name: known for name in row.consents if not (known := self._known(name)).doubts}
        self.surely_higher = {name for name, one in surely.items() if one.acknowledged and rank(name, one.acknowledged)}
        """The properties whose acknowledged value is above the lowest."""
        patches = [entry for entry in entries if entry["method"] == "PATCH"]
        gets = [entry["status"] for entry in entries if entry["method"] == "GET"]
        self.patch_failed = any(self._is_failure(entry) for entry in patches)
        self.get_failed = bool(gets) and not any(status in (200, 404) for status in gets)
        self.get_unclear = any(status not in (200, 404) for status in gets)

    def look(self, owed: set[str], contact: Mapping[str, Any]) -> None:
        """Judge the requests of the contact, and what it holds after them."""
        was_held = self.judge.is_held(self.key, self.row)
        for entry in self.entries:
            if entry.get("applied") is not None:
                self._look_at_a_body(entry)
            elif entry.get("is_shown"):
                self._see(entry["after"])
            if entry["status"] == 422 and self._is_failure(entry):
                self.judge.hold(self.key, self.row)
                was_held = True
        lowest = {name for name in self.recreated if is_lowest(name, self.row.consents[name])}  # go with the rest
        if not (self.is_broken or self.patch_failed):
            for name in owed | lowest:
                self.judge.counts["lowered"] += 1
                if contact.get(name) != self.row.consents[name]:
                    self.judge.report("lowering lost", self.key, name, f"Connectif holds {contact.get(name)}")
        self._settle(was_held)

    def _is_failure(self, entry: Entry) -> bool:
        """Whether a PATCH did not do its work; a rejected row is expected to be, but for the consent alone."""
        is_alone = (entry.get("body") or {}).keys() <= RANKS.keys()
        if entry["status"] == 422 and self.row.fate == "rejected":
            return is_alone
        return entry["status"] not in (200, 201)

    def _look_at_a_body(self, entry: Entry) -> None:
        applied, before = entry["applied"], entry["before"]
        if self.row.fate != "ok":
            self._look_at_a_body_of_a_refused_row(entry)
        is_new = before is None and entry["status"] == 201
        if is_new and self.judge.was_delivered(self.key) and self.row.fate == "ok" and not self.is_broken:
            values = self.row.consents.items()
            self.recreated |= {name for name, value in values if self._known(name).is_settled_as(value)}
        for name in RANKS:
            if (value := applied.get(name)) is None:
                continue
            self._look_at_a_value(name, value, (before or {}).get(name))
            self.applied.add(name)
            known = self._known(name)
            is_remembered = entry["status"] in (200, 201) and not self.is_broken
            if is_remembered:
                known.settle(value)
            else:
                known.doubts[value] = entry["status"] in (200, 201) or known.doubts.get(value, False)
        self.is_created = self.is_created or (is_new and not self.judge.was_delivered(self.key))
        if entry["is_shown"]:
            self._see({name: value for name, value in entry["after"].items() if name not in applied})
        if entry["status"] in (200, 201) and not self.is_broken:
            self.judge.note_delivery(self.key)

    def _look_at_a_body_of_a_refused_row(self, entry: Entry) -> None:
        lowest = {name: value for name, value in self.row.consents.items() if is_lowest(name, value)}
        for name in entry["body"].keys() - lowest.keys():
            self.judge.report("more than the lowest", self.key, name, f"of a row that is {self.row.fate}")

    def _look_at_a_value(self, name: str, value: str, before: Any) -> None:
        known = self._known(name)
        if name in self.recreated and not is_lowest(name, value):
            self.judge.report("raised recreated", self.key, name, f"{value}, which the source has not changed")
        elif is_raise(name, before, value) and not self.is_created:
            self._look_at_a_raise(known, value, before)
        elif is_lowest(name, value) and before is not None and rank(name, before) < known.lowest_rank:
            self.judge.counts["unsubscribed"] += 1
            known.unsubscribed_from = known.acknowledged
            known.is_sure = not self.is_broken

    def _look_at_a_raise(self, known: Known, value: str, before: Any) -> None:
        name, went_below = known.name, known.unsubscribed_from
        if known.is_kept:
            kind = "raised though kept"
        elif went_below is not None and (known.is_sure or rank(name, value) <= rank(name, went_below)):
            kind = "raised who unsubscribed"
        elif not known.lowest_rank < rank(name, value) or known.lowest_rank < 0:
            kind = "raised without cause"
        else:
            self.judge.counts["raised"] += 1
            return
        self.judge.report(kind, self.key, name, f"{before} -> {value}")

    def _see(self, shown: Mapping[str, Any]) -> None:
        """A response shows consent that the sync has not just set."""
        self.shown = {**(self.shown or {}), **shown}
        for name in RANKS.keys() & shown.keys():
            known = self._known(name)
            is_below = known.acknowledged is not None and rank(name, shown[name]) < rank(name, known.acknowledged)
            if is_below and not known.doubts and not self.is_broken:
                known.is_kept = True
            went_below = known.unsubscribed_from
            if went_below is not None and rank(name, shown[name]) < rank(name, went_below):
                known.is_sure = known.is_sure or not self.is_broken

    def _settle(self, was_held: bool) -> None:
        """What the sync knows of the row's consent after the run."""
        is_over = not (self.is_broken or self.patch_failed or self.get_unclear or was_held) and self.row.fate == "ok"
        for name, value in self.row.consents.items():
            known, shown = self._known(name), (self.shown or {}).get(name)
            is_sent = name in self.applied
            if self.get_failed and is_sent and is_lowest(name, value) and name in self.surely_higher:
                known.is_kept = known.is_kept or not self.is_broken  # whether the person decided is not known
            if is_over and not is_sent:
                if not is_lowest(name, value) and shown is not None and not known.may_be_settled_as(value):
                    is_lower = rank(name, shown) < rank(name, value) or rank(name, shown) == float("inf")
                    self.judge.counts["kept"] += is_lower
                    known.is_kept = known.is_kept or is_lower
                if name in self.recreated and not is_lowest(name, value) and value != "none":
                    known.is_kept = True
            if is_over:
                known.settle(value)
            elif self.shown is None or self.row.fate != "ok" or is_lowest(name, value):
                continue  # only its own PATCH settles the lowest
            elif known.acknowledged != value:
                known.doubts[value] = True

    def _known(self, name: str) -> Known:
        return self.judge.known(self.key, name)
