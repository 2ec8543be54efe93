"""The journal's knowledge of one contact in one sync, for the command line and for the page.

It has digests of the values of properties, not the values. One entry is personal data: ``LastOutcome.spelling``, the
contact's key as it was sent. The reasons are those that the journal has stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from airflow_provider_connectif.journal.next_step import NextStep
from airflow_provider_connectif.reporting.formats import utc_second

SENT_AS = "sent as"
"""The label of the contact's key in :meth:`Explanation.facts`. No other fact is a contact key."""


@dataclass(frozen=True)
class KnownProperty:
    """The journal's knowledge of one property of a contact.

    :param id: the property id.
    :param digest: digest of the value that Connectif accepted last, 16 hexadecimal digits; ``None``: it is not known.
    :param is_kept: whether the property is a consent that belongs to the person from now on.
    :param is_awaited: whether the property was sent, and its response is missing.
    """

    id: str
    digest: str | None
    is_kept: bool = False
    is_awaited: bool = False

    @property
    def words(self) -> str:
        """The state of the property, in words."""
        return "kept for the person" if self.is_kept else "sent, no response" if self.is_awaited else "accepted"


@dataclass(frozen=True)
class LastOutcome:
    """The contact's line: its last outcome, and its last delivery.

    Everything except ``state`` is ``None`` if the line does not have it; moments are in UTC. ``refused_at``,
    ``refused_run``, ``refused_status``, ``refused_reason``: these belong to the last rejection that the journal
    remembers; ``refused_run`` is the first run that met it. ``holds_row``: whether the row of that rejection is held
    whenever the source has it. ``is_held``: whether that rejection is also the last outcome. ``knows_row``: whether the
    line has the digest of the accepted row. ``knows_properties``: whether it has digests of accepted properties.
    ``spelling``: the key as Connectif accepted it last; ``None`` if that is the journal's form.
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
        """The rejection that holds a row, in words; ``None`` if no row is held."""
        if not self.holds_row:
            return None
        at = "" if self.refused_at is None else f" at {utc_second(self.refused_at)}"
        reason = self.refused_reason or ("no reason" if self.refused_status is None else f"HTTP {self.refused_status}")
        return f"rejected{at}, first by {self.refused_run or self.run_id}: {reason}"


@dataclass(frozen=True)
class PastOutcome:
    """One outcome of the contact in the history.

    :param at: the time of the outcome, in UTC.
    :param properties: the property ids that were sent or planned.
    :param status_code: the HTTP status; ``None``: no response decided.
    :param reason: ``None``: there is none.
    """

    at: datetime
    run_id: str
    outcome: str
    properties: tuple[str, ...]
    status_code: int | None
    reason: str | None


@dataclass(frozen=True)
class Suppressed:
    """An entry of the suppression list.

    :param kind: the kind of key that is on the list: ``email`` or ``external_id``.
    :param at: the time of the entry.
    :param run_id: the run of the erasure that wrote the entry.
    """

    kind: str
    at: datetime
    run_id: str


@dataclass(frozen=True)
class LastRun:
    """The run of the sync that began last.

    :param verdict: the verdict on the run; ``None``: it has not ended, or its process was killed.
    :param holds_until: the end of the run's claim to the sync, unless the run renews it. ``None`` if the run has no
        claim or has ended.
    """

    run_id: str
    verdict: str | None
    started_at: datetime
    ended_at: datetime | None
    holds_until: datetime | None = None

    @property
    def words(self) -> str:
        """The run and its end, in words."""
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

    :param sync_id: the id of the sync.
    :param version: the version of the journal's tables. Before version 3 there is no history and no suppression list.
    :param last: the contact's line; ``None``: the sync has never met the contact, or the person was erased.
    :param properties: those among the given property ids that the journal knows.
    :param unnamed_properties: number of further properties in the line, under other ids.
    :param history: the outcomes of the contact, the last one first.
    :param is_pending: whether a deferred task still has to send a change of the contact.
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
        """The runs of the sync that are named here, without the runs of erasures."""
        named = {outcome.run_id for outcome in self.history}
        if self.last is not None:
            named |= {self.last.run_id or "", self.last.refused_run or "", self.last.invalid_run or ""}
        if self.last_run is not None:
            named.add(self.last_run.run_id)
        return frozenset(named - {""})

    def as_dict(self) -> dict[str, Any]:
        """Return everything as mappings and lists."""
        return asdict(self)

    def facts(self) -> Mapping[str, str | int | datetime]:
        """Return the facts about the contact for people, by label; unknown facts are left out."""
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
