"""The journal's knowledge of one contact in one sync, for the command line and for the page.

Nothing here has a value of the contact; reasons are those of the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from airflow_provider_connectif.journal.next_step import NextStep
from airflow_provider_connectif.reporting.formats import utc_second

SENT_AS = "sent as"
"""The label of the only fact that is a contact key."""


@dataclass(frozen=True)
class KnownProperty:
    """The journal's knowledge of one property of a contact.

    :param id: the property id.
    :param digest: of the value that Connectif has accepted last, 16 hexadecimal digits; ``None``: it is not known.
    :param is_kept: whether it is a consent that belongs to the person.
    :param is_awaited: whether it was sent without a response.
    """

    id: str
    digest: str | None
    is_kept: bool = False
    is_awaited: bool = False

    @property
    def words(self) -> str:
        """The text for a person."""
        return "kept for the person" if self.is_kept else "sent, no response" if self.is_awaited else "accepted"


@dataclass(frozen=True)
class LastOutcome:
    """The contact's line: its last outcome, and when it was last delivered.

    Everything except ``state`` is ``None`` if the line does not know it; moments are in UTC. ``refused_at``,
    ``refused_run`` (the first that met it), ``refused_status``, ``refused_reason``: of the last remembered rejection.
    ``holds_row``: the row of that rejection is held whenever the source has it. ``is_held``: that rejection is the last
    outcome, too. ``knows_row``: the journal knows the digest of the accepted row. ``knows_properties``: the same for
    single properties. ``spelling``: of the key as Connectif accepted it last, if it is another one than the journal's
    form.
    """

    state: str
    outcome_at: datetime | None
    run_id: str | None
    status_code: int | None
    reason: str | None
    delivered_at: datetime | None
    delivered_as: str | None
    refused_at: datetime | None
    refused_run: str | None
    refused_status: int | None
    refused_reason: str | None
    invalid_run: str | None
    holds_row: bool
    is_held: bool
    knows_row: bool
    knows_properties: bool
    spelling: str | None = None

    @property
    def held_row(self) -> str | None:
        """The rejection that holds a row, in words; ``None`` if there is none."""
        if not self.holds_row:
            return None
        at = "" if self.refused_at is None else f" at {utc_second(self.refused_at)}"
        reason = self.refused_reason or ("no reason" if self.refused_status is None else f"HTTP {self.refused_status}")
        return f"rejected{at}, first by {self.refused_run or self.run_id}: {reason}"


@dataclass(frozen=True)
class PastOutcome:
    """One outcome of the contact in the history; ``properties`` are the ids that were sent or planned."""

    at: datetime
    run_id: str
    outcome: str
    properties: tuple[str, ...]
    status_code: int | None
    reason: str | None


@dataclass(frozen=True)
class Suppressed:
    """An entry of the suppression list.

    :param kind: of the key that is on the list: ``email`` or ``external_id``.
    :param at: the time of the entry.
    :param run_id: of the erasure that wrote it.
    """

    kind: str
    at: datetime
    run_id: str


@dataclass(frozen=True)
class LastRun:
    """The last run of the sync that has begun.

    :param verdict: how it ended; ``None``: it has not ended, or its process was killed.
    :param holds_until: if it has not ended: the time until which it holds the sync unless it renews its claim; ``None``
        if it does not.
    """

    run_id: str
    verdict: str | None
    started_at: datetime
    ended_at: datetime | None
    holds_until: datetime | None = None

    @property
    def words(self) -> str:
        """The text for a person."""
        if self.ended_at is not None:
            return f"{self.run_id}, {self.verdict}, {utc_second(self.ended_at)}"
        end = (
            "its process was killed"
            if self.holds_until is None
            else f"holds the sync until {utc_second(self.holds_until)}"
        )
        return f"{self.run_id}, begun {utc_second(self.started_at)}, not ended: {end}"


@dataclass(frozen=True)
class Explanation:
    """The journal's knowledge of one contact in one sync.

    :param sync_id: the sync.
    :param version: of the journal's tables. Before 3 there is no history and no suppression list.
    :param last: the contact's line; ``None``: the sync has never met it, or the person was erased.
    :param properties: the known ones among the given ids.
    :param unnamed_properties: number of further properties in the line, under other ids.
    :param history: its outcomes, the last one first.
    :param is_pending: whether a deferred task still has a change of it to send.
    :param last_run: the sync's last run; ``None``: none is recorded.
    :param suppressed: the entries of the suppression list that are about the contact.
    :param next_step: the action of the next run for this state.
    :param is_in_import: whether the contact is in an import whose result is not recorded yet.
    """

    sync_id: str
    version: int
    last: LastOutcome | None
    properties: tuple[KnownProperty, ...]
    unnamed_properties: int
    history: tuple[PastOutcome, ...]
    is_pending: bool
    last_run: LastRun | None
    suppressed: tuple[Suppressed, ...]
    next_step: NextStep
    is_in_import: bool = False

    @property
    def knows_contact(self) -> bool:
        """Whether the journal knows anything about this contact."""
        return self.has_records or bool(self.suppressed)

    @property
    def has_records(self) -> bool:
        """Whether the sync has a line, a history or a change to send of this contact."""
        return bool(self.last or self.history or self.is_pending or self.is_in_import)

    @property
    def run_ids(self) -> frozenset[str]:
        """The runs of the sync that this names; those of erasures are not among them."""
        named = {outcome.run_id for outcome in self.history}
        if self.last is not None:
            named |= {self.last.run_id or "", self.last.refused_run or "", self.last.invalid_run or ""}
        if self.last_run is not None:
            named.add(self.last_run.run_id)
        return frozenset(named - {""})

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as mappings and lists."""
        return asdict(self)

    def facts(self) -> Mapping[str, str | int | datetime]:
        """The contact's state for a person, by label; without unknown facts."""
        facts: dict[str, Any] = {"state": self._state()}
        for entry in self.suppressed:
            facts[f"suppressed by its {_KINDS.get(entry.kind, entry.kind)}"] = f"{utc_second(entry.at)}, {entry.run_id}"
        if (last := self.last) is not None:
            facts |= {
                "since": last.outcome_at,
                "status": last.status_code,
                "reason": last.reason,
                "by run": last.run_id,
                "delivered at": last.delivered_at,
                "delivered as": last.delivered_as,
                SENT_AS: last.spelling,
                "held row": last.held_row,
                "invalid row first met in run": last.invalid_run,
            }
        facts["pending in a deferred task"] = "yes" if self.is_pending else None
        facts["in an import without a recorded result"] = "yes" if self.is_in_import else None
        facts["last run of the sync"] = None if self.last_run is None else self.last_run.words
        return {name: value for name, value in facts.items() if value is not None and value != ""}

    def _state(self) -> str:
        if self.suppressed:
            return "suppressed" if self.last is None else f"suppressed; its line says {self.last.state}"
        if self.last is not None:
            return self.last.state
        if self.last_run is not None and self.last_run.ended_at is None:
            return "never seen: no line of the contact; a run that has not ended may have sent it"
        return "never seen: the journal has no line of the contact"


_KINDS = {"email": "e-mail", "external_id": "external id"}
