"""What a journal knows of one contact, in words: for the command line, and for whatever else shows it.

Nothing here has a value of the contact; reasons are those of the journal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.next_step import NextStep, next_step
from airflow_provider_connectif.journal.properties import Mark, entries_of, value_digest
from airflow_provider_connectif.journal.states import SUPPRESSED
from airflow_provider_connectif.journal.tables import VERSION, columns_of

_HMAC_LENGTH = 64
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class KnownProperty:
    """What the journal knows of one property of a contact.

    :param id: the property id.
    :param digest: of the value that Connectif has accepted last, 16 hexadecimal digits; ``None``: it is not known.
    :param is_kept: it is a consent that belongs to the person.
    :param is_awaited: it was sent, and no response has come.
    """

    id: str
    digest: str | None
    is_kept: bool = False
    is_awaited: bool = False


@dataclass(frozen=True)
class LastOutcome:
    """The contact's line: its last outcome, and when it was last delivered.

    All but ``state`` is ``None`` where the line does not know it; moments are in UTC. ``knows_row``: the journal can
    tell whether the row is the one that Connectif has accepted. ``knows_properties``: likewise for single properties.
    ``is_held``: there is a row that waits until it changes.
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
    invalid_run: str | None
    is_held: bool
    knows_row: bool
    knows_properties: bool


@dataclass(frozen=True)
class PastOutcome:
    """One outcome of the contact in the history; ``properties`` are the ids that were sent, or were to be."""

    at: datetime
    run_id: str
    outcome: str
    properties: tuple[str, ...]
    status_code: int | None
    reason: str | None


@dataclass(frozen=True)
class Explanation:
    """What the journal knows of one contact in one sync.

    :param sync_id: the sync.
    :param version: of the journal's tables. Before 3 there is no history.
    :param last: the contact's line; ``None``: the sync has never met it.
    :param properties: those of the ids that were asked about of which something is known.
    :param unnamed_properties: how many more the line knows, under ids that were not asked about.
    :param history: its outcomes, the last one first.
    :param is_pending: a task that waits without a worker has a change of it still to send.
    :param is_suppressed: the contact is on the suppression list of the journal.
    :param last_run: the sync's last run that has ended: ``run_id``, ``verdict``, ``ended_at``.
    :param next_step: what the next run does about this state.
    """

    sync_id: str
    version: int
    last: LastOutcome | None
    properties: tuple[KnownProperty, ...]
    unnamed_properties: int
    history: tuple[PastOutcome, ...]
    is_pending: bool
    is_suppressed: bool
    last_run: Mapping[str, Any] | None
    next_step: NextStep

    def as_dict(self) -> dict[str, Any]:
        """All of it as mappings and lists."""
        return asdict(self)


class ContactQuestion:
    """Asks a journal about one contact of a sync.

    :param database: open to be read.
    :param version: of its tables.
    :param sync_id: the sync.
    :param contact: the contact's key in the one form for all its spellings.
    :param key_secret: with which keys may be written; whether they are, the sync's lines tell.
    :param is_suppressed: the contact is on the suppression list.
    :raises JournalError: the database failed.
    """

    def __init__(
        self,
        database: JournalDatabase,
        version: int,
        sync_id: str,
        contact: str,
        key_secret: bytes | None,
        *,
        is_suppressed: bool = False,
    ) -> None:
        self._database = database
        self._is_suppressed = is_suppressed
        self._tables = database.tables
        self._version = version
        self.sync_id = sync_id
        self.are_keys_digests = are_keys_digests(database, sync_id)
        self.key_secret = key_secret if self.are_keys_digests else None
        self._written = key_digester(self.key_secret)(contact)
        self._line = self._found_line()
        self._history: list[PastOutcome] | None = None

    @property
    def column(self) -> bytes:
        """Digests of the properties that Connectif has accepted: see the module "properties"."""
        return bytes(self._line.get("properties") or b"")

    def history(self, most: int) -> tuple[PastOutcome, ...]:
        """The contact's outcomes, the last one first.

        :param most: how many.
        """
        if self._version < VERSION:
            return ()
        outcomes = self._tables.outcomes
        of_contact = sa.and_(outcomes.c.sync_id == self.sync_id, outcomes.c.contact_key == self._written)
        query = sa.select(outcomes).where(of_contact).order_by(outcomes.c.id.desc()).limit(most)
        return tuple(
            PastOutcome(
                _in_utc(row.at) or datetime.min,
                row.run_id,
                row.outcome,
                tuple(json.loads(row.properties) if row.properties else ()),
                row.status_code,
                row.reason,
            )
            for row in self._database.rows(query)
        )

    def explain(self, property_ids: Iterable[str], history: tuple[PastOutcome, ...]) -> Explanation:
        """Everything that is known.

        :param property_ids: that may have a digest; the journal has no names of properties.
        :param history: of :meth:`history`.
        """
        properties = [self._property(name) for name in dict.fromkeys(property_ids)]
        known = [entry for entry in properties if entry.digest or entry.is_kept or entry.is_awaited]
        last = self._last_outcome()
        named = sum(bool(entry.digest) + entry.is_kept + entry.is_awaited for entry in known)
        marks = sum(value_digest(self.column, entry.id, Mark.REFUSED) is not None for entry in properties)
        is_pending = self._is_pending()
        return Explanation(
            self.sync_id,
            self._version,
            last,
            tuple(known),
            max(0, len(entries_of(self.column)) - named - marks),
            history,
            is_pending,
            self._is_suppressed,
            self._last_run(),
            next_step(
                SUPPRESSED if self._is_suppressed else None if last is None else last.state,
                is_held=last is not None and last.is_held,
                knows_row=last is not None and last.knows_row,
                knows_properties=last is not None and last.knows_properties,
                is_pending=is_pending and not self._is_suppressed,
            ),
        )

    def _property(self, property_id: str) -> KnownProperty:
        digest = value_digest(self.column, property_id)
        return KnownProperty(
            property_id,
            None if digest is None else digest.hex(),
            value_digest(self.column, property_id, Mark.KEPT) is not None,
            value_digest(self.column, property_id, Mark.BEFORE) is not None,
        )

    def _found_line(self) -> dict[str, Any]:
        lines = self._tables.lines
        there = columns_of(lines, self._database.engine) if self._version < VERSION else {c.name for c in lines.c}
        of_contact = sa.and_(lines.c.sync_id == self.sync_id, lines.c.contact_key == self._written)
        query = sa.select(*(column for column in lines.c if column.name in there)).where(of_contact)
        return dict(next((row._mapping for row in self._database.rows(query)), {}))

    def _last_outcome(self) -> LastOutcome | None:
        line = self._line
        if not line:
            return None
        return LastOutcome(
            line["state"],
            _in_utc(line.get("outcome_at")),
            line.get("run_id"),
            line.get("status_code"),
            line.get("reason"),
            _in_utc(line.get("delivered_at")),
            line.get("delivered_as"),
            _in_utc(line.get("refused_at")),
            line.get("refused_run"),
            line.get("invalid_run"),
            is_held=line.get("refused_digest") is not None,
            knows_row=line.get("row_digest") is not None,
            knows_properties=line.get("properties") is not None or line.get("patch_digest") is not None,
        )

    def _is_pending(self) -> bool:
        if self._version < 2:  # the tables of plans come with it
            return False
        pending, plans = self._tables.pending.c, self._tables.plans.c
        query = (
            sa.select(sa.literal(1))
            .where(pending.plan_id == plans.plan_id, plans.sync_id == self.sync_id)
            .where(pending.contact_key == self._written)
        )
        return bool(self._database.rows(query.limit(1)))

    def _last_run(self) -> dict[str, Any] | None:
        if self._version < VERSION:
            return None
        runs = self._tables.runs.c
        query = sa.select(runs.run_id, runs.verdict, runs.ended_at).where(
            runs.sync_id == self.sync_id, runs.ended_at.is_not(None)
        )
        found = self._database.rows(query.order_by(runs.ended_at.desc()).limit(1))
        return next(
            ({"run_id": row.run_id, "verdict": row.verdict, "ended_at": _in_utc(row.ended_at)} for row in found), None
        )


def are_keys_digests(database: JournalDatabase, sync_id: str) -> bool:
    """Whether the contact keys of a sync are written as HMACs: no e-mail, and no external id, has that form.

    An external id has 50 characters at most.
    """
    lines = database.tables.lines.c
    found = database.rows(sa.select(lines.contact_key).where(lines.sync_id == sync_id).limit(1))
    return any(len(row.contact_key) == _HMAC_LENGTH and _HEX.issuperset(row.contact_key) for row in found)


def known_syncs(database: JournalDatabase) -> list[str]:
    """The ids of all syncs that have run with a journal."""
    syncs = database.tables.syncs.c
    return [row.sync_id for row in database.rows(sa.select(syncs.sync_id).order_by(syncs.sync_id))]


def _in_utc(moment: datetime | None) -> datetime | None:
    """A moment of the database, of which SQLite and MySQL have no zone."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
