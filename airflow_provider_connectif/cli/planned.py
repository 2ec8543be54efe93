"""Finds out what the next run would send for one contact, with the operator's own check of the contact's rows."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_connectif.cli.checking import ContactCheck, check_rows, make_operator, operator_arguments
from airflow_provider_connectif.cli.running import CommandFailed
from airflow_provider_connectif.databases.journal_places import JournalPlace
from airflow_provider_connectif.imports.rules import way_of
from airflow_provider_connectif.imports.shapes import blank_in
from airflow_provider_connectif.imports.writing import sets_nothing
from airflow_provider_connectif.records.changes import JsonValue

_WORDS = {
    "left": "No row is sent: the query has no row of the contact.",
    "unchanged": "Nothing: Connectif has accepted the row as it is.",
    "invalid": "Nothing: the row is invalid.",
    "held": "Nothing: Connectif has rejected the row, and neither row, mapping nor fields have changed since.",
    "suppressed": "Nothing: the person of the row was erased and is on the suppression list.",
    "sent": "A request with the properties below.",
}


@dataclass(frozen=True)
class Planned:
    """The plan for the rows of one contact.

    :param outcome: ``left`` (the query has no row), ``unchanged``, ``invalid``, ``held``, ``suppressed`` or ``sent``.
    :param rows: the number of the contact's rows.
    :param reasons: the number of refused rows by reason.
    :param row: all properties of the contact's valid rows, by id, whether they are sent or not; empty if the person is
        suppressed.
    :param first: the ids of the properties in the first request.
    :param later: the ids of the properties that wait for the response to the first request.
    :param looks_up: whether the contact is looked up before anything is sent.
    """

    outcome: str
    rows: int
    reasons: Mapping[str, int]
    row: Mapping[str, JsonValue] = field(default_factory=dict)
    first: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    looks_up: bool = False

    @property
    def words(self) -> str:
        """The plan as a text for the user."""
        lines = [_WORDS[self.outcome], *(f"Reason: {reason}" for reason in self.reasons)]
        if self.outcome != "sent" and self.first:
            lines.append(f"But {', '.join(sorted(self.first))} is sent alone: a withdrawn consent does not wait.")
        if self.looks_up:
            lines.append("Before anything is sent, the contact is looked up.")
        return "\n".join(lines)

    def turn_of(self, property_id: str) -> str:
        """Return whether a property is sent: ``sent``, ``decided by the response`` or ``not sent``."""
        if property_id in self.first:
            return "sent"
        return "decided by the response" if property_id in self.later else "not sent"

    def as_dict(self) -> dict[str, Any]:
        """Return the plan without values."""
        return {
            "outcome": self.outcome,
            "rows": self.rows,
            "reasons": dict(self.reasons),
            "sent_first": sorted(self.first),
            "decided_by_response": sorted(self.later),
            "looks_up": self.looks_up,
        }


def plan_of_contact(arguments: Namespace, place: JournalPlace, contact: str, *, are_keys_digests: bool) -> Planned:
    """Check the query's rows of one contact.

    :param arguments: the command's arguments.
    :param place: the place of the journal.
    :param contact: the contact's key, in the form that is the same for all its spellings.
    :param are_keys_digests: whether the journal stores the sync's keys as HMACs.
    :raises CommandFailed: the query, the mapping or the fields do not allow a check.
    """
    given = operator_arguments(arguments, place, are_keys_digests=are_keys_digests)
    given["min_rows"] = 0  # if the query has no row of the contact, that is a result and needs no warning
    operator = make_operator(
        ContactCheck, **given, contact=contact, on_existing=arguments.on_existing, failure_budget=1.0
    )
    check_rows(operator)
    summary, patches = operator.summary, operator.patches
    if len(patches) > 1:
        raise CommandFailed("the check made several changes from the contact's rows")
    refused = {
        name: summary.get(name, 0) for name in ("suppressed", "invalid", "held", "unchanged") if summary.get(name)
    }
    outcome = "left" if not summary["read"] else "sent" if summary["valid"] else next(iter(refused), "unchanged")
    rows, reasons = summary["read"], summary["reasons"]
    whole = {} if outcome == "suppressed" else operator.whole
    if not patches:
        return Planned(outcome, rows, reasons, whole)
    (patch,) = patches
    row, first = whole | patch.whole, frozenset(patch.properties)
    if way_of(arguments.on_existing):  # the sync imports, and a file has no blank values
        first = first.difference(blank_in(patch.properties))
        if sets_nothing(patch):
            return Planned("unchanged", rows, reasons, row)
    return Planned(outcome, rows, reasons, row, first, frozenset(patch.later), patch.looks_up)
