"""The numbers of a plan, complete before the first request to a contact."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_connectif.journal.plan_counts import PlanCounts
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.formats import clock, estimated, plural
from airflow_provider_connectif.reporting.requests import Cost, Requests
from airflow_provider_connectif.reporting.summary import Tally

ERASE = "erase"
"""The way of a plan that deletes contacts."""

_PROPERTIES_LOGGED = 8
_WAYS = {"import": "import", ERASE: "DELETE"}
_WIDTH = 105
_SETTLED_BEFORE = (Outcome.CREATED, Outcome.UPDATED, Outcome.IMPORTED, Outcome.SKIPPED, Outcome.UNCHANGED)
"""Outcomes of rows that need no request in this attempt: unchanged, or delivered by an earlier attempt of the run."""


@dataclass(frozen=True)
class Plan:
    """The plan of a run.

    ``read`` is the sum of ``to_create``, ``to_change``, ``unchanged``, ``held``, ``invalid``, ``merged``,
    ``suppressed``, and in an erasure ``to_delete``.

    :param read: rows of the source.
    :param to_create: contacts that this sync has not delivered before; some may exist.
    :param to_change: contacts that this sync has delivered before.
    :param changed_properties: for each property id, the number of changes that send the property.
    :param lowered: contacts with a consent below the value that Connectif has accepted last.
    :param raised: contacts with a consent above that value.
    :param unchanged: rows that Connectif has acknowledged and that have not changed.
    :param held: rows that were rejected before and have not changed.
    :param invalid: rows with a value that is not valid; they are not sent.
    :param merged: rows that became part of another row of their contact.
    :param suppressed: rows of suppressed people.
    :param removed: contacts that left the source; ``None``: they are not counted.
    :param requests_least: the least number of requests, without retries.
    :param requests_most: the largest number of requests, without retries.
    :param files: number of files to import.
    :param minutes: the time that the plan takes at least, in minutes; ``None``: it is not known how long Connectif
        processes an import.
    :param way: the way of delivery: ``patch``, ``import`` or ``erase``.
    :param way_reason: the reason for this way.
    :param to_delete: contacts to delete; only in an erasure.
    """

    read: int
    to_create: int
    to_change: int
    changed_properties: Mapping[str, int]
    lowered: int
    raised: int
    unchanged: int
    held: int
    invalid: int
    merged: int
    suppressed: int
    removed: int | None
    requests_least: int
    requests_most: int
    files: int
    minutes: float | None
    way: str
    way_reason: str
    to_delete: int = 0

    @classmethod
    def of(cls, tally: Tally, counts: PlanCounts, cost: Cost, removed: int | None) -> Plan:
        """Return the plan of a source that was read to its end.

        :param tally: counts the rows that are not sent.
        :param counts: the counts of the changes.
        :param cost: the cost of the plan, with its way.
        :param removed: number of contacts that left the source; ``None``: they are not counted.
        """
        outcomes = tally.outcomes
        erases = cost.way == ERASE
        sent = [] if erases else counts.properties.most_common()
        return cls(
            read=tally.read,
            to_create=0 if erases else counts.to_create,
            to_change=counts.to_change,
            changed_properties={property_id: count for property_id, count in sent if count},
            lowered=counts.lowered,
            raised=counts.raised,
            unchanged=sum(outcomes[outcome] for outcome in _SETTLED_BEFORE),
            held=outcomes[Outcome.HELD] + outcomes[Outcome.REJECTED],
            invalid=outcomes[Outcome.INVALID],
            merged=outcomes[Outcome.MERGED],
            suppressed=sum(count for outcome, count in outcomes.items() if outcome.value == "suppressed"),
            removed=removed,
            requests_least=cost.requests.least,
            requests_most=cost.requests.most,
            files=cost.files,
            minutes=None if cost.seconds is None else round(cost.seconds / 60, 2),
            way=cost.way,
            way_reason=cost.reason,
            to_delete=counts.to_create if erases else 0,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for XCom and the journal, JSON-ready; ``to_delete`` is an entry only in an erasure."""
        whole = asdict(self)
        if self.way != ERASE:
            del whole["to_delete"]
        return whole

    def describe(self, method: str = "PATCH", *, was_chosen: bool = False, left_earlier: int = 0) -> str:
        """Format the plan as a small table for the log.

        :param method: the HTTP method of single requests.
        :param left_earlier: number of those in ``removed`` that left before the last complete read.
        :param was_chosen: whether the run could choose between two ways; the reason is then shown.
        """
        always = ("to delete",) if self.way == ERASE else ("to create", "to change", "unchanged")
        rows = [
            f"{count:,} {word}"
            for count, word in (
                (self.to_delete, "to delete"),
                (self.to_create, "to create"),
                (self.to_change, "to change"),
                (self.unchanged, "unchanged"),
                (self.held, "held"),
                (self.invalid, "invalid"),
                (self.merged, "merged"),
                (self.suppressed, "suppressed"),
            )
            if count or word in always
        ]
        lines = [f"Plan: {plural(self.read, 'row')} read", f"  {', '.join(rows)}"]
        if self.changed_properties:
            shown = [f"{name} {count:,}" for name, count in list(self.changed_properties.items())[:_PROPERTIES_LOGGED]]
            more = len(self.changed_properties) - len(shown)
            lines += _wrapped("  properties: ", [*shown, *([f"and {more} more"] if more else [])])
        if self.lowered or self.raised:
            lines.append(f"  consents: {self.lowered:,} lowered, {self.raised:,} raised")
        if self.removed is not None:
            earlier = f", and {left_earlier:,} earlier whose change is due" if left_earlier else ""
            lines.append(f"  left since the last complete read: {self.removed - left_earlier:,}{earlier}")
        files = f"{plural(self.files, 'file')}, " if self.files else ""
        requests = Requests(self.requests_least, self.requests_most)
        if not requests.most:
            return "\n".join([*lines, "  nothing to send"])
        way = _WAYS.get(self.way, method)
        lines.append(f"  by {way}: {files}{requests.describe()}, {self._described_time}")
        if was_chosen:
            reason = self.way_reason
            if reason.startswith(f"{way} "):
                reason = f"it{reason.removeprefix(way)}"
            lines += textwrap.wrap(f"  {way} is chosen: {reason}", _WIDTH, subsequent_indent="    ")
        return "\n".join(lines)

    @property
    def _described_time(self) -> str:
        if self.minutes is None:
            return "duration unknown: no similar import is known yet"
        seconds = 60 * self.minutes
        if self.way == "import" and seconds:
            return f"{estimated(seconds)}, until {clock(time.time() + seconds)}"
        return estimated(seconds) if seconds else "less than a minute"


def _wrapped(head: str, words: list[str], width: int = _WIDTH) -> list[str]:
    """Return the words, with commas between them, in lines that are short enough for a log view."""
    lines = [head]
    for place, word in enumerate(words):
        text = word + (", " if place < len(words) - 1 else "")
        if len(lines[-1]) + len(text) > width and lines[-1].strip():
            lines.append(" " * len(head))
        lines[-1] += text
    return [line.rstrip() for line in lines]
