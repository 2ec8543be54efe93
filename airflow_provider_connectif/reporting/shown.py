"""Counts what the responses to accepted changes show of the values that Connectif stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from airflow_provider_connectif.records.outcomes import Error, Outcome, Settled, describe_error
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.reporting.formats import plural

_PROPERTIES_TOLD = 10
_COUNTS = ("unconfirmed", "recreated", "drifted", "consent_kept", "lowered_alone")


class ShownCounts:
    """Counts of what the responses of a run have shown, over all its processes.

    ``unconfirmed``: changes that count as delivered although no response showed what was sent. ``recreated``: things
    that were created although Connectif had accepted properties of them before. ``drifted``: responses that showed
    another value for a property that was accepted before and not sent. ``stored_differently``: responses that showed
    another value for a property that was sent, by property id and kind of difference. ``consent_kept``: consents that
    were not raised, or will not be, since the person has lowered them. ``lowered_alone``: consents that were withdrawn
    although their row was refused.

    :param log: the task's log.
    :param noun: the name of one thing, such as ``contact``.
    """

    def __init__(self, log: Log, noun: str) -> None:
        self._log = log
        self._noun = noun
        self.unconfirmed = 0
        self.recreated = 0
        self.drifted = 0
        self.consent_kept = 0
        self.lowered_alone = 0
        self._is_unreadable_told = False
        self.stored_differently: Counter[tuple[str, str]] = Counter()

    def count(self, settled: Settled) -> None:
        """Count what the responses to a change have shown."""
        if settled.is_unconfirmed:
            self._count_unconfirmed(wording.UNCONFIRMED_OTHER)
        elif settled.shown is not None and not settled.shown.is_there:
            self._count_unconfirmed(wording.UNCONFIRMED_UNSEEN)
        self.recreated += settled.is_recreated
        if settled.outcome is not Outcome.UNDELIVERED:
            of_alone = frozenset() if settled.alone is None else settled.alone.kept
            self.consent_kept += len(settled.patch.kept | of_alone)
        self.lowered_alone += _is_lowered_alone(settled)
        if settled.shown is not None and settled.shown.unreadable is not None:
            self._warn_of_unreadable(settled.shown.unreadable)
        if settled.shown is not None:
            self.drifted += settled.shown.is_drifted
            self.stored_differently.update(settled.shown.differences.items())

    def summary(self) -> dict[str, Any]:
        """Return the counts that are not zero; ``stored_differently`` by property."""
        counts: dict[str, Any] = {
            "unconfirmed": self.unconfirmed,
            "recreated": self.recreated,
            "drifted": self.drifted,
            "consent_kept": self.consent_kept,
            "lowered_alone": self.lowered_alone,
            "stored_differently": self._by_property(),
        }
        return {name: count for name, count in counts.items() if count}

    def log_end(self) -> None:
        """Log the consents of which the other counts say nothing, and values that Connectif stored differently."""
        if self.lowered_alone:
            self._log.info(wording.LOWERED_ALONE, plural(self.lowered_alone, "row"))
        if self.consent_kept:
            self._log.info(wording.CONSENT_KEPT, plural(self.consent_kept, "consent"))
        if not self.stored_differently:
            return
        lines = [
            f"{property_id}: {kind.replace('_', ' ')}, {plural(count, self._noun)}"
            for (property_id, kind), count in self.stored_differently.most_common(_PROPERTIES_TOLD)
        ]
        more = len(self.stored_differently) - len(lines)
        tail = f"and {more:,} more" if more else ""
        self._log.warning(wording.STORED_DIFFERENTLY, wording.details(*lines, tail))

    def as_state(self) -> dict[str, Any]:
        """The state for the process that continues after a deferral, JSON-ready."""
        differences = [[*key, count] for key, count in self.stored_differently.items()]
        return {**{name: getattr(self, name) for name in _COUNTS}, "stored_differently": differences}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Count from where an earlier process stopped."""
        for name in _COUNTS:
            setattr(self, name, state.get(name, 0))
        for property_id, kind, count in state.get("stored_differently", ()):
            self.stored_differently[property_id, kind] = count

    def _warn_of_unreadable(self, error: Error) -> None:
        if not self._is_unreadable_told:
            self._is_unreadable_told = True
            self._log.warning(wording.CANNOT_READ_CONTACTS, describe_error(error))

    def _by_property(self) -> dict[str, int]:
        by_property: Counter[str] = Counter()
        for (property_id, _), count in self.stored_differently.items():
            by_property[property_id] += count
        return dict(by_property)

    def _count_unconfirmed(self, words: str) -> None:
        if not self.unconfirmed:
            self._log.warning(words, self._noun)
        self.unconfirmed += 1


def _is_lowered_alone(settled: Settled) -> bool:
    if settled.alone is not None:
        return settled.is_alone_accepted
    return settled.patch.counted_as is not None and settled.outcome in (Outcome.CREATED, Outcome.UPDATED)
